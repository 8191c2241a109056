"""A command's options as one object, in place of one parameter for each."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

T = TypeVar("T")


def gathered(kind: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """What makes a command of a function that takes ``kind``, a dataclass with a field for each of click's options."""

    def around(command: Callable[[T], None]) -> Callable[..., None]:
        @wraps(command)
        def called(**given: Any) -> None:
            command(kind(**given))

        return called

    return around


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say on which other machines pictures are made."""
    command = click.option(
        "--engine-set",
        "engine_sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="A setting of --engine ray: address, actors=MIN,MAX, gpus and cpus of each, room_s, silent_s.",
    )(command)
    return click.option(
        "--engine",
        default="",
        metavar="NAME",
        help="Make the pictures elsewhere: ray on the nodes of a cluster (docs/scale.md). The files are the same.",
    )(command)
