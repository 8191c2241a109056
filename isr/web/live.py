"""A run while it goes on: progress, rate, cost, undecided by reason, the newest answers. Reads, never writes."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from isr.edits.scan import PATH_BY_DIGEST
from isr.errors import IsrError, UsageError
from isr.judging.parsing import parse
from isr.judging.progress import Progress
from isr.judging.rubrics import load_rubric
from isr.judging.store_connection import FAILURES
from isr.judging.store_rows import sound_answer, sound_request
from isr.reading import Unreadable, json_of, require_regular
from isr.scoring.places import CACHE, RESULT, STORE, home_at, home_of, run_folders
from isr.types import Answer

NEWEST = 12
WINDOW = 512  # newest answers from which rate and reasons are taken, where the run is in another process


class Reading:
    """What an answer store holds at this moment, and where the images of its requests lie."""

    def __init__(self, folder: Path, store: Path, root: Path | None) -> None:
        self.folder, self.store, self.root = folder, store, root

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
        found = []
        for key, asked, ask, said, digest in rows:
            try:
                request, answer = sound_request(key, asked), sound_answer(key, ask, said, digest)
                rubric = load_rubric(parts[request["rubric"]]["rubric"])
                verdict = parse(Answer.recorded(answer), rubric)
                judge = parts[request["judge"]].get("model") or parts[request["judge"]]["backend"]
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
                    "judge": judge,
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

    @staticmethod
    def _rows(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if not path.is_file():
            return []
        try:
            require_regular(path)
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
                return db.execute(sql, values).fetchall()
        except (*FAILURES, Unreadable):
            return []


def of_progress(progress: Progress, began: float, until: str = "") -> dict[str, Any]:
    """The figures of a run in this process. until: the rule by which it stops."""
    seconds = max(time.monotonic() - began, 1e-6)
    fresh = progress.answered + progress.failures
    rate = fresh / seconds
    left = max(progress.total - progress.done, 0)
    return {
        "total": progress.total,
        "done": progress.done,
        "stored": progress.stored,
        "rate": rate,
        "left": left / rate if rate and left else None,
        "retries": progress.retries,
        "tokens": progress.prompt_tokens + progress.completion_tokens,
        "usd": progress.usd if progress.priced else None,
        "undecided": dict(progress.undecided),
        "stopped": progress.stopped,
        "partial": "",
        "looks": [seen._asdict() for seen in progress.looks],
        "until": until,
    }


def of_store(reading: Reading, total: int | None) -> dict[str, Any]:
    """The figures of a run in another process, as far as its answers tell them."""
    newest = reading.newest(WINDOW)
    stamps = sorted(n["at"] for n in newest if n["at"])
    return {
        "total": total,
        "done": reading.count(),
        "stored": 0,
        "rate": _rate(stamps),
        "left": None,
        "retries": None,
        "tokens": None,
        "usd": None,
        "undecided": dict(Counter(n["reason"] for n in newest if n["reason"])),
        "stopped": "",
        "partial": f"rate and undecided are those of the newest {len(newest)} answers",
        "looks": [],
        "until": "",
    }


def _rate(stamps: list[str]) -> float | None:
    from datetime import datetime

    try:
        first, last = datetime.fromisoformat(stamps[0]), datetime.fromisoformat(stamps[-1])
    except (IndexError, ValueError):
        return None
    seconds = (last - first).total_seconds()
    return len(stamps) / seconds if seconds > 0 else None


def make_app(reading: Reading, status: Callable[[], Mapping[str, Any]], title: str) -> Any:
    """The application: one page, its figures as JSON, and the images of the newest answers."""
    from fastapi import FastAPI, Response
    from fastapi.responses import HTMLResponse, JSONResponse

    from isr.web.pages import page, static

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    html = page("live.html", title=title)

    def index() -> HTMLResponse:
        return HTMLResponse(html)

    def file(name: str) -> Response:
        found = static(name)
        return Response(status_code=404) if found is None else Response(found[0], media_type=found[1])

    def figures() -> JSONResponse:
        runs = run_folders(reading.folder)
        report = any((r / "report.html").is_file() and (r / RESULT).is_file() for r in runs)
        return JSONResponse({**status(), "newest": reading.newest(NEWEST), "report": report})

    def image(digest: str) -> Response:
        data = reading.image(digest)
        return Response(status_code=404) if data is None else Response(data, media_type="image/png")

    for path, work in (
        ("/", index),
        ("/static/{name}", file),
        ("/api/status", figures),
        ("/image/{digest}", image),
    ):
        app.add_api_route(path, work, methods=["GET"], response_model=None)
    return app


@contextmanager
def watching_run(
    folder: Path, store: Path, root: Path, progress: Progress, until: str = ""
) -> Iterator[None]:
    """Serves the live view of a run in this process until the block ends; its address goes to stderr."""
    from isr.web.guard import require_extra

    require_extra()
    from isr.web.serve import beside, guarded

    began = time.monotonic()
    app = make_app(Reading(folder, store, root), lambda: of_progress(progress, began, until), folder.name)
    config, listening, address = guarded(app, 0)
    click.echo(f"isr: watch: {address}", err=True)
    with beside(config, listening):
        yield


def watch_folder(folder: Path, port: int) -> None:
    """Serves the live view of a run in another process until Ctrl-C. Raises ``UsageError`` if there is none."""
    from isr.web.guard import require_extra

    require_extra()
    from isr.web.serve import guarded, run

    folder = home_at(home_of(folder))
    if not (folder / STORE).is_file():
        raise UsageError(f"{folder}: expected the folder of a run, with isr.db; found none; check the path")
    beside = folder.parent / folder.name.removesuffix(".isr")
    reading = Reading(folder, folder / STORE, beside if folder.name.endswith(".isr") else None)
    app = make_app(reading, lambda: of_store(reading, None), folder.name)
    config, listening, address = guarded(app, port)
    click.echo(f"open: {address}")
    run(config, listening)
