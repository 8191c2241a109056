"""The types of options: names that a shell can complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    Text = click.ParamType[str]
    Number = click.ParamType[float]
else:  # no generic class in older versions of click
    Text = Number = click.ParamType


class Named(Text):
    """A name out of what there is, or the path of a file: taken as it is, and completed by a shell."""

    name = "text"

    def __init__(self, there: Callable[[], Iterable[str]]) -> None:
        self._there = there

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names that begin so; where there are none, what the shell knows of files."""
        found = [CompletionItem(name) for name in self._there() if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]


def _cards() -> Iterable[str]:
    from isr.judging.cards import builtin_names

    return builtin_names()


def _rubrics() -> Iterable[str]:
    from isr.judging.rubrics import names

    return names()


def _methods() -> Iterable[str]:
    from sifm_ref.registry import names

    return names("methods")


def _editors() -> Iterable[str]:
    from sifm_ref.registry import names

    return names("editors")


def _purifiers() -> Iterable[str]:
    from sifm_ref.registry import names

    return ["none", *names("purifiers")]


CARD, RUBRIC = Named(_cards), Named(_rubrics)
METHOD, EDITOR, PURIFIER = Named(_methods), Named(_editors), Named(_purifiers)
