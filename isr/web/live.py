"""A run while it goes on: progress, rate, cost, undecided by reason, the newest answers, its end. Reads, never writes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from isr.edits.scan import PATH_BY_DIGEST
from isr.errors import IsrError, UsageError
from isr.judging.parsing import parse
from isr.judging.progress import Progress
from isr.judging.rubrics import load_rubric
from isr.judging.store_connection import FAILURES, in_use
from isr.judging.store_rows import sound_answer, sound_request
from isr.reading import Unreadable, json_of, require_regular
from isr.scoring.bundled import edits_in, fill
from isr.scoring.ending import Ending, ending_by
from isr.scoring.places import CACHE, STORE, edits_of, home_at, home_of, read_record, store_of
from isr.types import Answer
from isr.web.figures import Elsewhere, of_progress

NEWEST = 12
WINDOW = 512  # newest answers from which rate and reasons are taken, where the run is in another process
OPEN_S = 5.0  # a page that has not asked for so long is closed
LINGER_S = 5.0  # for which the last word waits for open pages, at most
MOST_PAGES = 64


class Reading:
    """What an answer store holds at this moment, and where the images of its requests lie.

    names: of judges, by their digests.
    """

    def __init__(
        self, folder: Path, store: Path, root: Path | None, names: Callable[[], Mapping[str, str]]
    ) -> None:
        self.folder, self.store, self.root, self.names = folder, store, root, names
        self._lock = threading.Lock()

    def count(self) -> int:
        rows = self._rows(self.store, "SELECT COUNT(*) FROM answers")
        return int(rows[0][0]) if rows else 0

    def newest(self, n: int) -> list[dict[str, Any]]:
        """The newest answers as verdicts, the newest first."""
        rows = self._rows(
            self.store,
            "SELECT r.key, CAST(r.body AS BLOB), a.ask, CAST(a.body AS BLOB), a.digest "
            "FROM answers a JOIN requests r ON r.key = a.key ORDER BY a.rowid DESC LIMIT ?",
            n,
        )
        try:
            parts = {d: json_of(b) for d, b in self._rows(self.store, "SELECT digest, body FROM parts")}
        except ValueError:  # damaged: isr store verify says more
            return []
        found, names = [], self.names()
        for key, asked, ask, said, digest in rows:
            try:
                request, answer = sound_request(key, asked), sound_answer(key, ask, said, digest)
                rubric = load_rubric(parts[request["rubric"]]["rubric"])
                verdict = parse(Answer.recorded(answer), rubric)
                model = str(parts[request["judge"]].get("model") or parts[request["judge"]]["backend"])
                name = names.get(request["judge"], "")
            except (IsrError, KeyError, TypeError, ValueError):
                continue
            found.append(
                {
                    "prompt": request["prompt"],
                    "images": request["images"],
                    "question": rubric.question.value,
                    "verdict": verdict.value,
                    "reason": verdict.reason,
                    "score": verdict.score,
                    "reasoning": verdict.reasoning,
                    "judge": f"{name} ({model})" if name and name != model else model,
                    "at": answer.get("received_at", ""),
                }
            )
        return found

    def image(self, digest: str) -> bytes | None:
        """The image of that digest, as PNG; only files of the edit directory are read."""
        from isr.web.pages import read_png

        if self.root is None:
            return None
        rows = self._rows(self.folder / CACHE, PATH_BY_DIGEST, digest)
        return read_png(self.root.resolve(), rows[0][0]) if rows else None

    def is_open(self) -> bool | None:
        """Whether another process has the store open (``in_use``)."""
        with self._lock:  # a connection of our own would be seen, and would lose its locks
            return in_use(self.store)

    def _rows(self, path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if not path.is_file():
            return []
        try:
            require_regular(path)
            address = f"{path.absolute().as_uri()}?mode=ro"
            with self._lock, closing(sqlite3.connect(address, uri=True, timeout=5)) as db:
                return db.execute(sql, values).fetchall()
        except (*FAILURES, Unreadable):
            return []


class Pages:
    """Which pages are open, by a name that each gives itself, and which of them have shown the last word."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}
        self._lock = threading.Lock()
        self._all_told = threading.Event()
        self._ending = False

    def asked(self, name: str) -> None:
        """A page asks for figures."""
        with self._lock:
            if name and len(name) <= 40 and (name in self._asked or len(self._asked) < MOST_PAGES):
                self._asked[name] = time.monotonic()

    def told(self, name: str) -> None:
        """A page has shown the last word."""
        with self._lock:
            self._asked.pop(name, None)
            self._tell()

    def wait(self) -> None:
        """Until every open page has shown the last word, but no longer than ``LINGER_S``."""
        with self._lock:
            now = time.monotonic()
            self._asked = {name: at for name, at in self._asked.items() if now - at < OPEN_S}
            self._ending = True
            self._tell()
        self._all_told.wait(LINGER_S)

    def _tell(self) -> None:
        if self._ending and not self._asked:
            self._all_told.set()


def make_app(
    reading: Reading, status: Callable[[], Mapping[str, Any]], title: str, pages: Pages | None = None
) -> Any:
    """The application: one page, its figures as JSON, the images of the newest answers, the report of a finished run.

    status: the figures (``isr.web.figures``). pages: is told which are open, where the server ends with the run.
    """
    from fastapi import FastAPI, Response
    from fastapi.responses import HTMLResponse, JSONResponse

    from isr.web import served_report
    from isr.web.pages import page as rendered
    from isr.web.pages import static

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    html = rendered("live.html", title=title)
    pages = pages or Pages()

    def index() -> HTMLResponse:
        return HTMLResponse(html)

    def file(name: str) -> Response:
        found = static(name)
        return Response(status_code=404) if found is None else Response(found[0], media_type=found[1])

    def figures(page: str = "") -> JSONResponse:
        pages.asked(page)
        now = dict(status())
        if not now["own"] and now["report"]:
            now["address"] = served_report.address_of(Path(now["report"]))
        return JSONResponse({**now, "newest": reading.newest(NEWEST), "pictures": reading.root is not None})

    def seen(page: str = "") -> Response:
        pages.told(page)
        return Response(status_code=204)

    def image(digest: str) -> Response:
        data = reading.image(digest)
        return Response(status_code=404) if data is None else Response(data, media_type="image/png")

    def of_report(path: str) -> Response:
        now = status()
        report = Path(now["report"]) if not now["own"] and now["report"] else None
        found = served_report.served(path, report, reading.root) if report else None
        if found is None:
            return Response(status_code=404)
        policy = {"content-security-policy": served_report.POLICY} if found[1].startswith("text/html") else {}
        return Response(found[0], media_type=found[1], headers=policy)

    for path, work in (
        ("/", index),
        ("/static/{name}", file),
        ("/api/status", figures),
        ("/api/seen", seen),
        ("/image/{digest}", image),
        (served_report.PREFIX + "{path:path}", of_report),
    ):
        app.add_api_route(path, work, methods=["GET"], response_model=None)
    return app


class Watched:
    """A run in this process that is watched: whoever ends it says how."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ending: Ending | None = None
        self.pages = Pages()

    def end(self, ending: Ending) -> None:
        """The last word, which open pages show before the server ends."""
        self.ending = ending


@contextmanager
def watching_run(
    folder: Path, store: Path, root: Path, progress: Progress, until: str = ""
) -> Iterator[Watched]:
    """Serves the live view of a run in this process until the block ends; its address goes to stderr.

    The block says how the run ended; an error says so itself. Open pages are given a moment to show it.
    """
    from isr.web.guard import require_extra

    require_extra()
    from isr.web.serve import beside, guarded

    watched = Watched(folder)
    reading = Reading(folder, store, root, lambda: progress.judges)
    app = make_app(reading, lambda: of_progress(progress, until, watched.ending), folder.name, watched.pages)
    config, listening, address = guarded(app, 0)
    click.echo(f"isr: watch: {address}", err=True)
    with beside(config, listening):
        try:
            yield watched
        except BaseException as error:
            watched.end(ending_by(error, folder))
            raise
        finally:
            with suppress(KeyboardInterrupt):  # who will not wait
                watched.pages.wait()


def watch_folder(folder: Path, port: int, data: Path | None = None) -> None:
    """Serves the live view of a run in another process until Ctrl-C. Raises ``UsageError`` if there is none.

    data: the edit directory, or a bundle with images; by default that of the run's record, else the folder's name without ``.isr``.
    """
    from isr.web.guard import require_extra

    require_extra()
    from isr.web.serve import guarded, run

    home = home_at(home_of(folder))
    run_alone = folder if home_of(folder) != folder else None
    reading = Reading(home, home / STORE, None, dict)
    found = Elsewhere(
        home=home,
        chosen=run_alone,
        newest=lambda: reading.newest(WINDOW),
        count=reading.count,
        is_open=reading.is_open,
    )
    finished = found.run()
    record = read_record(finished) if finished is not None else {}
    if finished is not None and not reading.store.is_file():
        reading.store = store_of(finished, record)
    if not reading.store.is_file():
        raise UsageError(f"{home}: expected the folder of a run, with isr.db; found none; check the path")
    reading.root = edits_in(data) if data is not None else edits_of(finished or home, record)
    if reading.root is None or not reading.root.is_dir():
        if data is not None:
            raise UsageError(f"--data {data}: expected the edit directory; found no folder; check the path")
        reading.root = None
        click.echo(
            "isr: no pictures: the edit directory was not found; give it with --data EDIT_DIR", err=True
        )
    fill(reading.root)
    names = found.names()
    reading.names = lambda: names
    app = make_app(reading, lambda: found.figures(datetime.now(UTC)), home.name)
    config, listening, address = guarded(app, port)
    click.echo(f"open: {address}")
    run(config, listening)
