"""The types of options: names that a shell can complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
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


class Radius(Number):
    """A number in [0, 1] pixel units, as ``0.03`` or as a fraction, ``8/255``. How large it may be its user says."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from sifm_ref.budget import number_of

        try:
            return number_of(str(value))
        except ValueError:
            return self.fail(
                f"expected a number in [0, 1] pixel units, such as 0.03 or 8/255; found {value!r}", param, ctx
            )


class Share(click.FloatRange):
    """A share between two shares; what looks like percent is told how it is written."""

    name = "share"

    def __init__(
        self,
        low: float = 0.0,
        high: float = 1.0,
        *,
        low_open: bool = True,
        high_open: bool = True,
        unit: str = "%",
    ) -> None:
        super().__init__(low, high, min_open=low_open, max_open=high_open)
        self._unit = unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(super().convert(value, param, ctx))
        except click.BadParameter:
            number = float("nan")
        if isfinite(number):
            return number
        return self.fail(f"expected {self._wanted()}; found {value}{self._hint(str(value))}", param, ctx)

    def _wanted(self) -> str:
        if (self.min, self.max, self.min_open, self.max_open) == (0, 1, True, True):
            return "a number between 0 and 1"
        low = f"above {self.min:g}" if self.min_open else f"from {self.min:g}"
        return f"a number {low} to {'below ' if self.max_open else ''}{self.max:g}"

    def _hint(self, text: str) -> str:
        try:
            percent = float(text.strip().removesuffix("%"))
        except ValueError:
            return ""
        share = percent / 100
        inside = (self.min or 0) <= share < (self.max or 1) and bool(self._unit)
        return (
            f"; for {percent:g} {self._unit} write {share:g}"
            if inside and (percent > 1 or "%" in text)
            else ""
        )


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
RADIUS = Radius()
SHARE, POINTS, LEVEL = Share(), Share(unit="percentage points"), Share(0.5, low_open=False)
CORRELATION = Share(low_open=False, high_open=False, unit="")
METHOD, EDITOR, PURIFIER = Named(_methods), Named(_editors), Named(_purifiers)
