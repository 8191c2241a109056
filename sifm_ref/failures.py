"""What libraries raise while pictures are made, in words: what failed, what is kept, what to do."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isr.errors import InputError, IsrError, UsageError

_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
OWN = "sifm_ref_own_"  # how modules of one's own files begin
KEPT = "what was made before stays, and the same command with --resume goes on"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library ran out of memory, of a device or of the machine."""
    torch = importlib.import_module("torch")
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _MEMORY)


@contextmanager
def memory(doing: str, advice: str) -> Iterator[None]:
    """Turns a lack of memory into a ``UsageError`` that says what to lower; everything else passes."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UsageError(f"{doing}: memory ran out ({first_line(error)}); {KEPT}; {advice}") from error


@contextmanager
def others_code(*whose: str) -> Iterator[None]:
    """The border to methods, editors and purifiers that others wrote: whatever they raise is one ``UsageError``.

    whose: who is at work here, ``method mine.py:protect``; nobody (all is this package's own): everything passes. So do a
    lack of memory and the package's own errors.
    """
    try:
        yield
    except IsrError:
        raise
    except Exception as error:
        if not whose or is_out_of_memory(error):
            raise
        name = type(error).__name__
        said = name if str(error).strip() == "" else f"{name}: {first_line(error)}"
        raise UsageError(
            f"the {' or the '.join(whose)} failed ({said}{_line(error)}); what was made before stays; correct it"
        ) from error


def is_others(function: object) -> bool:
    """Whether a function or a class was written outside this package."""
    return not str(getattr(function, "__module__", "")).startswith("sifm_ref.")


def _line(error: BaseException) -> str:
    """The last line of a file of one's own that ran, of those that a path names."""
    steps = list(traceback.walk_tb(error.__traceback__))
    own = [(f, n) for f, n in steps if str(f.f_globals.get("__name__", "")).startswith(OWN)]
    return f"; {Path(own[-1][0].f_code.co_filename).name}:{own[-1][1]}" if own else ""


@contextmanager
def library(doing: str, advice: str) -> Iterator[None]:
    """Turns what a pipeline says of its inputs or its parts into an ``InputError``."""
    try:
        yield
    except IsrError:
        raise
    except (RuntimeError, ValueError) as error:
        found = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{doing}: expected an edit; found {found}; {KEPT}; {advice}") from error


def first_line(error: BaseException) -> str:
    """The first line of what an error says, cut between words."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return line if len(line) <= 200 else line[:200].rsplit(" ", 1)[0] + " ..."
