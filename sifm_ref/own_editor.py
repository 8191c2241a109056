"""Editors of a file of one's own: ``path.py:Class``, an adapter, or ``path.py:function``, which edits by itself.

They are code to be run: whoever loads one says so (``Settings.code``).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from PIL.Image import Image

from isr.errors import UsageError
from isr.text import did_you_mean
from sifm_ref.editor import Editor
from sifm_ref.registry import of_file

_CODE = re.compile(r"[^=]+\.py:[A-Za-z_][A-Za-z0-9_]*\Z")


def is_code(name: str) -> bool:
    """Whether an editor's name is that of a file's class or function."""
    return bool(_CODE.match(name))


def code_of(name: str) -> str:
    """The digest of the file's bytes."""
    return of_file(Path(name.rpartition(":")[0]), "editor")[1]


def shown_code(name: str) -> str:
    """What such an editor is called where nobody says: its class or function, and which file: ``edit@3fa2c1``."""
    return f"{name.rpartition(':')[2]}@{code_of(name).partition(':')[2][:6]}"


class FunctionEditor(Editor):
    """An editor that is a function of a picture, a prompt and a seed; its keyword parameters with defaults are its settings."""

    pipelines: ClassVar[tuple[str, ...]] = ()
    default: ClassVar[str] = ""
    function: ClassVar[Callable[..., Image]]

    @property
    def multiple(self) -> int:
        return int(getattr(type(self).function, "multiple", 1))

    @property
    def device(self) -> Any:
        return "cpu"

    def edit(self, image: Image, prompt: str, seed: int, mask: Image | None = None) -> Image:
        given = {"mask": mask} if self.masked else {}
        made = type(self).function(image, prompt, seed, **given, **self.settings)
        if not isinstance(made, Image):
            raise UsageError(
                f"editor {self.name}: expected a PIL image; found {type(made).__name__}; correct the function"
            )
        return made


def own_adapter(name: str) -> type[Editor]:
    """The adapter behind ``path.py:Class`` or ``path.py:function``. Raises ``UsageError`` if there is none."""
    path, _, attribute = name.rpartition(":")
    module, _ = of_file(Path(path), "editor")
    found = getattr(module, attribute, None)
    if isinstance(found, type) and issubclass(found, Editor):
        return found
    if not callable(found) or isinstance(found, type):
        raise UsageError(
            f"editor {name}: expected a class of sifm_ref.editor.Editor, or a function; {_instead(module, attribute)}"
        )
    parameters = inspect.signature(found).parameters
    defaults = {
        p.name: p.default
        for p in parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.default is not p.empty and p.name != "mask"
    }
    fields = {
        "function": staticmethod(found),
        "defaults": defaults,
        "masked": "mask" in parameters,
        "reads": getattr(found, "reads", "instruction"),
    }
    return type(attribute, (FunctionEditor,), fields)


def _instead(module: ModuleType, attribute: str) -> str:
    """What a file has under a name in place of an editor, and what to do."""
    if not hasattr(module, attribute):
        known = [n for n in vars(module) if not n.startswith("_")]
        return f"found none of the name {attribute!r}; {did_you_mean(attribute, known, 'check the name')}"
    found = getattr(module, attribute)
    if isinstance(found, type):
        bases = ", ".join(
            f"{b.__module__}.{b.__qualname__}" if b is not object else "object" for b in found.__bases__
        )
        return f"found a class of {bases}; let it inherit from Editor (docs/extending.md)"
    return f"found {attribute}, {type(found).__name__}; name a class or a function"
