"""The border to Python: a call's arguments are checked by its types, and errors name keywords, where commands name options.

Messages name a setting as the command's option, ``--half-width``; that is the one spelling within the package. Whoever
calls a function of ``isr`` reads ``half_width=``.
"""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from types import UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from isr.errors import InputError, IsrError, UsageError

P = ParamSpec("P")
R = TypeVar("R")
_AT_START = re.compile(r"^--([a-z][a-z0-9-]*)(?: ([^\n:]{1,200}))?(?=: |$)")
_SHELL = r"\bisr [a-z]+(?: [A-Za-z_./]+)?(?: --[a-z][a-z0-9-]*)+"  # a command that is advised stays one
_OPTION = re.compile(
    rf"({_SHELL})|(?<![\w'\"-])--([a-z][a-z0-9-]*)(?:[ =]([^\s,;)]+?)(?=[\s,;)]|:(?:\s|$)|$))?"
)
_VALUE = re.compile(
    r"[A-Z][A-Z_=.]+|.*[0-9:/=].*"
)  # after an option: a placeholder, a number, a path; no further word
_ENDS = ("", "s", "es", "_file")
_OTHERWISE = {"set": "sets", "json": "problems"}
Check = Callable[[Any], str]  # what was expected; "" if that is what it is


def from_python(
    checks: Mapping[str, Check] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A public function whose errors speak Python. checks: what its types do not say, by keyword.

    Raises ``UsageError`` for an argument that its annotation rules out: a word that is none of a ``Literal``, a text or NaN
    for a number.
    """

    def wrapped(call: Callable[P, R]) -> Callable[P, R]:
        bound = inspect.signature(call)
        names = tuple(bound.parameters)

        def words() -> frozenset[str]:
            literal = (
                k
                for h in get_type_hints(call).values()
                for k in (h, *get_args(h))
                if get_origin(k) is Literal
            )
            return frozenset(word for kind in literal for word in get_args(kind))

        def require(*args: P.args, **kwargs: P.kwargs) -> None:
            given = bound.bind(*args, **kwargs).arguments
            hints = get_type_hints(call)
            for name, value in given.items():
                every = value if bound.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL else (value,)
                expected = next((e for v in every if (e := _expected(hints.get(name, Any), v))), "")
                if not expected and checks and name in checks and value is not None:
                    expected = checks[name](value)
                if expected:
                    raise UsageError(f"--{name.replace('_', '-')}: expected {expected}; found {value!r}")

        @wraps(call)
        def plain(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                require(*args, **kwargs)
                return call(*args, **kwargs)
            except IsrError as error:
                _say(error, names, call.__name__, words())
                raise

        @wraps(call)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                require(*args, **kwargs)
                return await cast("Any", call(*args, **kwargs))
            except IsrError as error:
                _say(error, names, call.__name__, words())
                raise

        return cast("Callable[P, R]", awaited) if inspect.iscoroutinefunction(call) else plain

    return wrapped


def share(value: float) -> str:
    """Between 0 and 1, neither included."""
    return (
        "" if 0 < value < 1 else f"a number between 0 and 1{' (0.05 is five percent)' if value >= 1 else ''}"
    )


def level(value: float) -> str:
    """A confidence level."""
    return "" if 0.5 <= value < 1 else "a number from 0.5 to below 1"


def at_least(least: float) -> Check:
    """A number from here on."""
    return lambda value: "" if value >= least else f"a number of at least {least:g}"


def keyword(option: str, names: Collection[str]) -> str:
    """The keyword among ``names`` that an option sets: ``half-width`` is ``half_width``, ``rubric`` is ``rubrics``."""
    plain = option.replace("-", "_")
    return next((plain + end for end in _ENDS if plain + end in names), _OTHERWISE.get(option, plain))


def in_python(text: str, names: Collection[str], function: str, words: Collection[str] = ()) -> str:
    """A message in which options are the keywords of a function, and the command is the function.

    words: those that keywords take as values. What was found stands in quotes and stays as it is.
    """

    def first(found: re.Match[str]) -> str:
        value = "" if found[2] is None else found[2]
        return f"{keyword(found[1], names)}={value}"

    def other(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        value = found[3] or ""
        said = (
            repr(value) if value in words else value if not value or _VALUE.fullmatch(value) else f" {value}"
        )
        return f"{keyword(found[2], names)}={said}"

    said = re.sub(rf"^isr {re.escape(function)}\b", f"isr.{function}", text)
    return _OPTION.sub(other, _AT_START.sub(first, said))


def _say(error: IsrError, names: Collection[str], function: str, words: Collection[str]) -> None:
    """Rewrites an error's message in place, so that its type and its traceback stay."""
    error.args = tuple(
        "\n".join(_line(line, names, function, words) for line in a.split("\n")) if isinstance(a, str) else a
        for a in error.args
    )
    if isinstance(error, InputError):
        error.summary = in_python(error.summary, names, function, words)
        error.problems = tuple(
            replace(
                p,
                **{n: in_python(getattr(p, n), names, function, words) for n in ("where", "expected", "fix")},
            )
            for p in error.problems
        )


def _line(line: str, names: Collection[str], function: str, words: Collection[str]) -> str:
    said = line.lstrip(" ")
    return line[: len(line) - len(said)] + in_python(said, names, function, words)


def _expected(hint: Any, value: object) -> str:
    """What an annotation of texts, numbers, words and pairs wants, if the value is none of it; else nothing."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    said = [_kind(kind, value) for kind in kinds]
    return "" if "" in said or None in said else " or ".join(dict.fromkeys(s for s in said if s))


def _kind(kind: Any, value: object) -> str | None:
    """``""``: the value is of this kind; ``None``: this module knows nothing of the kind."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if get_origin(kind) is Literal:
        return "" if value in get_args(kind) else f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is tuple:
        size = len(get_args(kind))
        sized = isinstance(value, tuple | list) and len(value) == size
        fits = sized and not any(
            _expected(k, v) for k, v in zip(get_args(kind), cast("Any", value), strict=True)
        )
        return "" if fits else f"{size} numbers"
    if get_origin(kind) is Sequence:
        listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        fits = listed and not any(_expected(get_args(kind)[0], v) for v in cast("Sequence[Any]", value))
        return "" if fits else "a list of them"
    if get_origin(kind) is Mapping:
        return "" if isinstance(value, Mapping) else "a dictionary"
    if kind is float:
        return "" if number else "a number"
    if kind is int:
        return "" if number and isinstance(value, int) else "a whole number"
    if kind is bool:
        return "" if isinstance(value, bool) else "True or False"
    if kind is type(None):
        return "" if value is None else "None"
    if kind is str:
        return "" if isinstance(value, str) else "a text"
    if inspect.isclass(kind) and issubclass(kind, os.PathLike):
        return "" if isinstance(value, os.PathLike) else "a path"
    return None
