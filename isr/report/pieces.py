"""Style, script and templates of the page, each in files that the page holds as one."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

STYLE = ("base", "forest", "tables", "transfer", "gallery", "viewer", "print")
SCRIPT = (
    "base",
    "tables",
    "saving",
    "address",
    "data",
    "sets",
    "cells",
    "filters",
    "grid",
    "viewer",
    "begin",
)
"""In the order in which they are joined: a script uses what those before it declare, and functions of those after it."""


@lru_cache(maxsize=1)
def style() -> str:
    """The page's style."""
    return "".join(_text("static", "style", f"{name}.css") for name in STYLE)


@lru_cache(maxsize=1)
def script() -> str:
    """The page's script: its files as one function, so that none of their names is seen from outside."""
    body = "".join(_text("static", "script", f"{name}.js") for name in SCRIPT)
    return f'"use strict";\n(() => {{\n{body}}})();\n'


def template(name: str) -> str:
    """The text of a template."""
    return _text("templates", *name.split("/"))


def _text(*path: str) -> str:
    return resources.files("isr.report").joinpath(*path).read_text("utf-8")
