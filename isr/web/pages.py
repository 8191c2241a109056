"""Pages and files that the local servers share."""

from __future__ import annotations

import io
from importlib import resources
from pathlib import Path
from typing import Any

from isr.image_file import ImageProblem, decode, read_file

TYPES = {"css": "text/css", "js": "text/javascript"}


def static(name: str) -> tuple[bytes, str] | None:
    """A file of the pages and its type; ``None`` for any other name."""
    kind = TYPES.get(name.rpartition(".")[2])
    if kind is None or not name.replace(".", "").isalnum():
        return None
    file = resources.files("isr.web").joinpath("static", name)
    return (file.read_bytes(), kind) if file.is_file() else None


def page(name: str, **values: Any) -> str:
    """A page of ``templates``, every value escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(template: str) -> str:
        return resources.files("isr.web").joinpath("templates", template).read_text("utf-8")

    made = Environment(loader=FunctionLoader(load), autoescape=True, undefined=StrictUndefined)
    return made.get_template(name).render(**values)


def read_png(folder: Path, path: str) -> bytes | None:
    """A picture of a resolved folder as PNG without metadata; ``None`` if it is none, or lies outside."""
    file = (folder / path).resolve()
    if not file.is_relative_to(folder):
        return None
    try:
        image = decode(read_file(file))
    except ImageProblem:
        return None
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()
