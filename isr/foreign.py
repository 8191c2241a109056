"""Loads what others wrote: the one place that catches whatever the code of a package or a file raises when it is read."""

from __future__ import annotations

from collections.abc import Callable
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
