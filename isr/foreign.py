"""Loads what others wrote: the one place that catches whatever the code of a package or a file raises when it is read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import SourceLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from isr.errors import IsrError

T = TypeVar("T")


class ForeignCodeError(IsrError):
    """Code from outside could not be loaded; the message says of what kind the failure was."""


def loaded(load: Callable[[], T]) -> T:
    """What ``load`` returns. Raises ``ForeignCodeError`` for anything that the loaded code raises, an exit included.

    Here the code of others begins, which may do anything when it is imported; the caller says whose it is and what to do.
    """
    try:
        return load()
    except IsrError:
        raise
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())[:300] or "no message"
        raise ForeignCodeError(f"{type(error).__name__}: {said}") from error


def module_of_bytes(name: str, path: Path, source: bytes) -> ModuleType:
    """The module in the bytes of a file, which is loaded once for each ``name``; what was digested is what runs.

    Raises ``ForeignCodeError``.
    """
    module = sys.modules.get(name)
    if module is None:
        spec = spec_from_loader(name, _Source(str(path), source))
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = module_from_spec(spec)
        loader, made = spec.loader, module
        try:
            loaded(lambda: loader.exec_module(made))
        except IsrError:
            del sys.modules[name]  # half of it ran: it is not loaded
            raise
    return module


class _Source(SourceLoader):
    """Loads a module from bytes that were read already; nothing is cached on the disk."""

    def __init__(self, path: str, source: bytes) -> None:
        self._path, self._source = path, source

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str | bytes) -> bytes:
        return self._source
