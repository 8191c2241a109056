"""Where runs lie: ``DIR.isr/runs/<judge>-<digest>/`` each, or a folder that was named with ``--out``.

The folder that holds ``runs/``, the answer store and the image cache is called the home of its runs. 0.1.0 wrote its one
run into the home itself; that is read as a run among the others.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isr.errors import Interrupted, IsrError
from isr.files import clear_partials, file_digest
from isr.reading import Unreadable, read_json
from isr.scoring.bundle_file import is_bundle
from isr.scoring.bundled import beside, bundle_of, run_in, table_in

log = logging.getLogger("isr")
RUNS = "runs"
RESULT = "result.json"
TABLE = "edits.csv"
RECORD = "run.json"
STORE = "isr.db"
CACHE = "cache.db"
PEOPLE = "people"  # judge of a run whose verdicts are people's labels (``isr score --labels``)
HOME_END = ".isr"  # how the name of a home ends: DIR.isr
_DIGITS = 12
FILES = (
    RESULT,
    TABLE,
    RECORD,
    "metrics.csv",
    "metrics.json",
    "report.html",
)  # a path to one of them means its run


def home_of(run: Path) -> Path:
    """The folder that a run shares its store with: two above where it lies in ``runs/``, else its own."""
    above = run.absolute().parent
    inside = above.name == RUNS and above.parent.name.endswith(HOME_END)
    return Path(os.path.normpath(run / os.pardir / os.pardir)) if inside else run


def run_folder(home: Path, judge: str, digest: str) -> Path:
    """The folder of the run by this judge that answers the question of this digest."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", judge).strip(".-")[:60] or "judge"
    return home / RUNS / f"{name}-{digest.partition(':')[2][:_DIGITS]}"


def run_folders(home: Path) -> list[Path]:
    """Every folder of a home in which a run was begun, the home itself included if a result lies in it."""
    own = [home] if (home / RESULT).is_file() else []
    inside = sorted(p for p in (home / RUNS).glob("*") if p.is_dir())
    return [*own, *inside]


def home_at(path: Path) -> Path:
    """The home that a path means: itself, ``DIR.isr`` beside the edit directory ``DIR``, or what is in a bundle."""
    if is_bundle(path):
        return run_in(path)
    beside = folder_beside(path)
    runs = (
        path.absolute().name.endswith(HOME_END) and (path / RUNS).is_dir()
    )  # data may have a folder of that name
    is_home = (path / RESULT).is_file() or runs
    return beside if not is_home and path.is_dir() and beside.is_dir() else path


def folder_beside(path: Path, end: str = HOME_END) -> Path:
    """The folder of results beside an edit directory: its own name with ``end``, whatever path leads to it; of a bundle, without ``.zip``.

    ``.`` and a link mean what they lead to. A folder that 0.1.0 made beside a link is used further.
    """
    if is_bundle(path):
        return beside(path, end)
    plain = Path(os.path.normpath(path))
    named = Path(f"{plain}{end}")
    if ".." not in path.parts and plain.name and not plain.is_symlink():
        return named
    real = path.resolve()
    found = real.with_name(f"{real.name}{end}")
    if plain.is_symlink() and named.is_dir() and not found.is_dir():
        return named
    return found


def clear_killed(home: Path) -> None:
    """Removes what processes that were killed left half written in a home, and in the folders of its runs."""
    for folder in (home, *(home / RUNS).glob("*")):
        clear_partials(folder)


@contextmanager
def unless_refused(home: Path) -> Iterator[None]:
    """Takes away a home that was made within the block if the block is refused, with the cache in it; nothing else of it.

    An interruption is no refusal: what was digested is not digested again.
    """
    made = next((p for p in (*reversed(home.parents), home) if not p.exists()), None)
    try:
        yield
    except Interrupted:
        raise
    except IsrError:
        if made is not None and home.is_dir():
            for file in (CACHE, *(f"{CACHE}{end}" for end in ("-wal", "-shm", "-journal"))):
                (home / file).unlink(missing_ok=True)
            with suppress(OSError):  # somebody has put something there meanwhile
                for folder in (home, *home.parents):
                    folder.rmdir()
                    if folder == made:
                        break
        raise


def cache_if_there(home: Path) -> Path | None:
    """The cache of a home that exists: who only looks makes no folder."""
    return home / CACHE if home.is_dir() else None


def find_run(path: Path) -> Path:
    """The folder of the run that a path means: its own, or of a home the newest whole run (``is_whole``; without one
    the newest), which is said in the log; or what is in a bundle, for the time that ``bundled.released`` lasts.

    A path without any run comes back as it is: its reader says what is missing.
    """
    if is_bundle(path):
        return run_in(path)
    if path.name in FILES and (path.is_file() or (path.name == RESULT and not path.exists())):
        return path.parent
    home = home_at(path)
    found = [p for p in run_folders(home) if (p / RESULT).is_file()]
    if not found or found == [path]:
        return path if not found else home
    chosen, newest = max(found, key=lambda p: (is_whole(p), *age(p))), max(found, key=age)
    of = "the only one there"
    if len(found) > 1:
        kind = (
            "newest"
            if chosen == newest
            else f"newest whole one (the newest, {newest.name}, is a part, unfinished, or of people)"
        )
        of = f"the {kind} of {len(found)}; isr runs {home} lists them"
    log.info("%s: the run that is read is %s, %s", path, chosen, of)
    return chosen


def is_whole(run: Path) -> bool:
    """Whether a run may stand for its data: finished, not limited to some edits, and of a judge, as far as its record says."""
    record = read_record(run)
    options = record.get("options") or {}
    if not isinstance(options, Mapping):
        return False
    return record.get("exit_code", 0) == 0 and not options.get("limit") and options.get("judge") != PEOPLE


def age(run: Path) -> tuple[str, int, str]:
    """By which runs are put in order, the newest last: when they were finished, to the file's date, to the name."""
    result = run / RESULT
    return finished_at(run), result.stat().st_mtime_ns if result.is_file() else 0, run.name


def finished_at(run: Path) -> str:
    """When a run was finished, in ISO 8601 and UTC: by its record, else by the date of its result."""
    said = read_record(run).get("finished_at")
    if isinstance(said, str) and said:
        return said
    changed = (run / RESULT).stat().st_mtime
    return datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds")


def read_record(run: Path) -> Mapping[str, Any]:
    """``run.json`` of a run; empty where there is none, or where it is not that of the ``result.json`` beside it."""
    try:
        found = read_json(run / RECORD)
        result = file_digest(run / RESULT)
    except Unreadable:
        return {}
    if not isinstance(found, dict) or found.get("result", result) != result:
        return {}
    return found


def store_of(run: Path, record: Mapping[str, Any]) -> Path:
    """The answer store of a run: the one on record, else ``isr.db`` in its own folder or in its home."""
    named = (record.get("options") or {}).get("store")
    paths = [run / named] if isinstance(named, str) and named else []
    paths += [run / STORE, home_of(run) / STORE]
    return next((p for p in paths if p.is_file()), paths[0])


def edits_of(run: Path, record: Mapping[str, Any]) -> Path | None:
    """The edit directory of a run: of a bundle its own, else what is at ``place_of_edits``; ``None`` where that is not known.

    A bundle in its place is unpacked without its images (``bundled.fill``).
    """
    place = bundle_of(run) or place_of_edits(run, record)
    return None if place is None else table_in(place)


def place_of_edits(run: Path, record: Mapping[str, Any]) -> Path | None:
    """Where the edits of a run lie, a folder or a bundle: the place on record, else the home's name without ``.isr``.

    ``None`` where neither is there.
    """
    named = (record.get("options") or {}).get("directory")
    places = [run / named] if isinstance(named, str) and named else []
    home = home_of(run).absolute()
    if home.name.endswith(HOME_END) and home.name != HOME_END:
        places.append(home.with_name(home.name.removesuffix(HOME_END)))
    return next((place for place in places if place.is_dir() or is_bundle(place)), None)


def store_at(path: Path) -> Path:
    """The answer store that a path means: a file itself, or that of a run, of a home, or of an edit directory."""
    if not path.is_dir():
        return path
    home = home_at(path)
    is_run = (home / RESULT).is_file()
    return store_of(home, read_record(home)) if is_run else home / STORE


def cache_of(run: Path) -> Path:
    """The cache of image digests that runs of one home share."""
    return home_of(run) / CACHE
