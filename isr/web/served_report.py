"""The report of a finished run, served with the pictures that it links to."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from isr.reading import MAX_FILE, Unreadable, read_bytes
from isr.web.pages import read_png

PREFIX = "/files/"
MOST = MAX_FILE  # bytes of a report, which may hold all its pictures
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data: blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""Beside the page's own, which names its script and its style by digest: nothing is fetched but pictures of this server."""


def address_of(report: Path) -> str:
    """The address of a report on the server: its place on the disk, so that its links lead to the pictures as from the disk."""
    return PREFIX + quote(Path(os.path.abspath(report)).as_posix().lstrip("/"))


def served(path: str, report: Path | None, root: Path | None) -> tuple[bytes, str] | None:
    """The report, or a picture of the edit directory as PNG, at a path behind ``PREFIX``, with its media type.

    ``None`` for everything else: no other file is read, whatever the path says.
    """
    file = Path(os.path.normpath(path if os.path.isabs(path) else f"/{path}"))
    if report is not None and file == Path(os.path.abspath(report)):
        try:
            return read_bytes(report, MOST), "text/html; charset=utf-8"
        except Unreadable:
            return None
    data = read_png(root.resolve(), str(file)) if root is not None else None
    return None if data is None else (data, "image/png")
