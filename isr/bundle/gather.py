"""What a finished run was made from, found again by its record: data, judges, rubrics, calibrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isr.edits.directory import EditDirectory, load_edits
from isr.errors import InputError, Problem, UsageError
from isr.judging.cards import Panel, load_panel
from isr.judging.plan import Plan, in_order
from isr.judging.recorded_card import recorded_panel
from isr.judging.rubrics import Rubric, load_rubric
from isr.judging.thresholds import parse_recalibration
from isr.reading import Unreadable, read_bytes
from isr.scoring.bundled import edits_in
from isr.scoring.estimates import Settings
from isr.scoring.limit import chosen, is_in_turn
from isr.scoring.places import HOME_END, PEOPLE, RECORD, cache_of, home_of, place_of_edits
from isr.scoring.result import Result
from isr.scoring.sequenced import order_of
from isr.scoring.stored import StoredRun, read_stored
from isr.signature import Signature


@dataclass(frozen=True)
class Contents:
    """What goes into a bundle, found again from a finished run."""

    run: StoredRun
    record: Mapping[str, Any]
    plan: Plan
    directory: EditDirectory
    calibrations: tuple[bytes, ...] = ()

    @property
    def result(self) -> Result:
        return self.run.result


def gather(folder: Path, data: Path | None = None, judge: str = "") -> Contents:
    """The contents of a run's bundle. Raises ``InputError`` or ``UsageError`` where they are not what was scored.

    data: the edit directory, by default the one on record. judge: the card, by default the one on record.
    """
    run = read_stored(folder)
    result, folder, record = run.result, run.folder, _record(run)
    if any(j["backend"] == PEOPLE for j in result.judges):
        raise UsageError(
            f"{folder}: expected a run of a judge, whose answers a bundle holds; found one of people's labels, which has none: publish "
            "the labels beside the edits (isr score EDIT_DIR --labels makes its numbers again), or in the bundle of a judge's run (--labels)"
        )
    root = edits_in(data or place_of_edits(folder, record) or _missing(folder, record))
    panel = _panel(judge, record, folder)
    _same_judges(panel, result)
    rubrics = _rubrics(folder, result)
    directory = load_edits(
        root,
        needs_source=any("source" in r.images for r in rubrics),
        skip_invalid=bool(result.data["skipped"]),
        cache=cache_of(folder),
    )
    if directory.digest != result.data["digest"]:
        raise UsageError(
            f"{root}: expected the edits that were scored ({result.data['digest'][:19]}); found others "
            f"({directory.digest[:19]}); score again, or restore the images and the metadata"
        )
    settings = Signature.parse(result.signature)
    Settings.signed(settings)  # or it says what is wrong with it
    seed = order_of(settings)
    edits = chosen(in_order(directory.edits, seed), settings)
    reask = frozenset(settings["reask"].split(",")) if "reask" in settings else frozenset[str]()
    calibrations = _calibrations(record)
    plan = Plan(
        root=root,
        edits=edits,
        in_turn=is_in_turn(settings),
        rubrics={r.question: r for r in rubrics},
        panel=panel,
        repeats=int(settings.get("repeats", "1")),
        reask=reask,
        allow_retired="retired" in settings,
        accepted=frozenset(settings["accepted"].split(",")) if "accepted" in settings else frozenset[str](),
        recalibrations=tuple(
            parse_recalibration(data.decode("utf-8", "replace"), f"calibration {number} of {folder / RECORD}")
            for number, data in enumerate(calibrations, 1)
        ),
        order_seed=seed,
    )
    return Contents(run=run, record=record, plan=plan, directory=directory, calibrations=calibrations)


def _missing(folder: Path, record: Mapping[str, Any]) -> Path:
    """Where the edit directory should lie, to be named in an error."""
    named, home = (record.get("options") or {}).get("directory"), home_of(folder).absolute()
    return folder / str(named) if named else home.with_name(home.name.removesuffix(HOME_END) or home.name)


def _record(run: StoredRun) -> Mapping[str, Any]:
    if not run.record:
        problem = Problem(
            str(run.folder / RECORD), "", "the record of this run", "none that belongs to its result.json",
            "run the same isr score again, which costs nothing for stored answers",
        )  # fmt: skip
        raise InputError("a run cannot be read", [problem])
    return run.record


def _panel(judge: str, record: Mapping[str, Any], folder: Path) -> Panel:
    """The judges that are named, else those on record; 0.1.0 kept the name of the card and no more."""
    if record.get("panel") and not judge:
        return recorded_panel(record["panel"], str(folder / RECORD))
    options: Mapping[str, Any] = record.get("options") or {}
    return load_panel(judge or str(options.get("judge", "")), tuple(options.get("set", ())))


def _calibrations(record: Mapping[str, Any]) -> tuple[bytes, ...]:
    """The calibration files of a run: their text on record, or of 0.1.0 the files at their places."""
    if "calibrations" in record:
        return tuple(str(text).encode() for text in record["calibrations"])
    named = (record.get("options") or {}).get("calibrations", ())
    return tuple(_read(Path(p)) for p in named)


def _read(path: Path) -> bytes:
    """A file's bytes. Raises ``InputError`` if it cannot be read."""
    try:
        return read_bytes(path)
    except Unreadable as error:
        raise InputError(f"{path}: expected the file that the run used; found {error.found}") from error


def _same_judges(panel: Panel, result: Result) -> None:
    found = {c.name: c.digest for c in panel.members}
    wanted = {str(j["name"]): str(j["digest"]) for j in result.judges}
    if found != wanted:
        raise UsageError(
            f"--judge: expected the judges of the run ({', '.join(f'{n}:{d[:19]}' for n, d in wanted.items())}); "
            f"found {', '.join(f'{n}:{d[:19]}' for n, d in found.items())}; give the card that the run was scored with"
        )


def _rubrics(folder: Path, result: Result) -> list[Rubric]:
    """The rubrics of a run, by the run's own copies or as published. Raises ``UsageError`` if they are others now."""
    rubrics = []
    for said in result.rubrics:
        rubric = load_rubric(str(said["name"]), folder)
        if rubric.digest != said["digest"]:
            raise UsageError(
                f"rubric {rubric.name}: expected the text that the run was judged by ({str(said['digest'])[:19]}); "
                f"found another ({rubric.digest[:19]}); restore it, or score again"
            )
        rubrics.append(rubric)
    return rubrics
