"""A command's options as one object, in place of one parameter for each."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


def gathered(kind: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """What makes a command of a function that takes ``kind``, a dataclass with a field for each of click's options."""

    def around(command: Callable[[T], None]) -> Callable[..., None]:
        @wraps(command)
        def called(**given: Any) -> None:
            command(kind(**given))

        return called

    return around
