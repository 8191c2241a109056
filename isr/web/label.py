"""The labelling page: FastAPI for checked input, Jinja for the one page, SQLite for every click.

The page never learns what an item is: it asks for "what is shown to this rater now", and pictures have no other
names than that, so neither method nor arm nor judge can be read anywhere in the browser.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from isr.canonical import sha256_bytes
from isr.errors import UsageError
from isr.image_file import ImageProblem, decode, read_file
from isr.judging.field_errors import expected_by
from isr.judging.rubrics import Rubric
from isr.people.label_store import LabelStore, State
from isr.people.labelling_plan import Item
from isr.people.looks import NARROW_PX, RANGES, Look
from isr.reading import database_advice
from isr.web.pages import page, static


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


MOST_POSITION = 2**31
MOST_SECONDS = 1e9
Position = Annotated[int, InPath(ge=0, le=MOST_POSITION)]


class SignIn(_In):
    rater: str = Field(max_length=60)


def _between(name: str) -> Any:
    low, high = RANGES[name]
    return Field(None, ge=low, le=high, allow_inf_nan=False)


class LookIn(_In):
    """How the page was when an item was answered; see ``isr.people.looks``."""

    window_px: float | None = _between("window_px")
    pixel_ratio: float | None = _between("pixel_ratio")
    fit_scale: float | None = _between("fit_scale")
    largest_scale: float | None = _between("largest_scale")


class Click(_In):
    rater: str = Field(max_length=60)
    id: str = Field(min_length=8, max_length=80)
    position: int = Field(ge=0, le=MOST_POSITION)
    action: str = Field(max_length=8)
    question: str = Field("", max_length=16)
    value: str = Field("", max_length=2000)
    seconds: float = Field(0.0, ge=0, le=MOST_SECONDS, allow_inf_nan=False)
    look: LookIn = LookIn()


def make_app(store: LabelStore, root: Path, rubrics: Sequence[Rubric]) -> FastAPI:
    """The application for a study; ``root``: the edit directory."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(sqlite3.Error, _not_kept)
    pictures = Pictures(root, store.folder)
    html = page("label.html", rubrics={r.question.value: r for r in rubrics}, narrow=NARROW_PX)

    @app.get("/")
    def index() -> HTMLResponse:
        return HTMLResponse(html)

    @app.get("/static/{name}")
    def file(name: str) -> Response:
        found = static(name)
        return Response(status_code=404) if found is None else Response(found[0], media_type=found[1])

    @app.post("/api/sign-in")
    def sign_in(body: SignIn) -> Response:
        def work() -> State:
            store.sign_in(body.rater.strip())
            return store.state(body.rater.strip())

        return _answer(work)

    @app.post("/api/click")
    def click(body: Click) -> Response:
        look = Look(**body.look.model_dump())
        return _answer(
            lambda: store.add(
                body.rater, body.id, body.position, body.action, body.question, body.value, body.seconds, look
            )
        )

    @app.get("/api/state")
    def state(rater: str) -> Response:
        return _answer(lambda: store.state(rater))

    @app.get("/picture/{rater}/{position}/{role}")
    def picture(rater: str, position: Position, role: str) -> Response:
        item = store.item(rater, position)
        try:
            data = pictures.get(item, role) if item is not None else None
        except UsageError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        return Response(status_code=404) if data is None else Response(data, media_type="image/png")

    return app


def _not_valid(request: Request, error: Exception) -> Response:
    """What is wrong with a request, field by field; the values are left out, since not every value can be written."""
    assert isinstance(error, RequestValidationError)
    said = [f"{_field(e['loc'][1:])}: expected {expected_by(e)}" for e in error.errors()[:10]]
    return JSONResponse({"error": "; ".join(said)}, status_code=422)


def _not_kept(request: Request, error: Exception) -> Response:
    """The study's file could not be read or written: nothing was kept, and the page says so."""
    advice = database_advice(error, "look at what the command printed")
    return JSONResponse({"error": f"the study's file: {error}; {advice}"}, status_code=503)


def _field(place: Sequence[object]) -> str:
    return ".".join(map(str, place))[:60].encode("ascii", "backslashreplace").decode() or "the request"


def _answer(work: Callable[[], State]) -> Response:
    try:
        found = work()
    except UsageError as error:
        return JSONResponse({"error": str(error)}, status_code=409)
    return JSONResponse(state_fields(found))


def state_fields(state: State) -> Mapping[str, Any]:
    """What the page may know."""
    return {
        "rater": state.rater,
        "position": state.position,
        "total": state.total,
        "finished": state.finished,
        "prompt": state.prompt,
        "source": state.has_source,
        "marks": dict(state.marks),
        "note": state.note,
    }


class Pictures:
    """The pictures of items as PNG without any metadata; nothing outside the two folders is ever read.

    Only the bytes that the study was planned with are shown: of others ``UsageError``.
    """

    def __init__(self, root: Path, own: Path) -> None:
        self.root, self.own = root.resolve(), own.resolve()
        self._png = lru_cache(maxsize=64)(_read)

    def get(self, item: Item, role: str) -> bytes | None:
        """The picture of a role, or ``None`` where there is none."""
        if role == "edit":
            folder = self.own if item.kind == "attention" else self.root
            return self._png(folder, item.edit, item.edit_sha256)
        if role == "source" and item.source:
            return self._png(self.root, item.source, item.source_sha256)
        return None


def _read(folder: Path, path: str, digest: str) -> bytes | None:
    """A picture of a resolved folder as PNG; ``None`` if it is none, or lies outside."""
    file = (folder / path).resolve()
    if not file.is_relative_to(folder):
        return None
    try:
        data = read_file(file)
    except ImageProblem:
        return None
    if digest and sha256_bytes(data) != digest:
        raise UsageError("a picture: expected the file that the study was planned with; found another one")
    try:
        image = decode(data)
    except ImageProblem:
        return None
    out = BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()
