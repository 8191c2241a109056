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
from isr.text import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")
_AT_START = re.compile(r"^--([a-z][a-z0-9-]*)(?: ([^\n:]{1,200}))?(?=: |$)")
_WORD = r"(?!--)[^\s;,()]*[^\s:;,()]"
_SHELL = rf"\bisr [a-z]+(?: {_WORD}){{0,4}}(?: --[a-z][a-z0-9-]*(?: {_WORD}(?= --))?)+"  # a command that is advised stays one
_OPTION = re.compile(
    rf"({_SHELL})|(?<![\w'\"-])--([a-z][a-z0-9-]*)(?:[ =]([^\s,;)]+?)(?=[\s,;)]|:(?:\s|$)|$))?"
)
_VALUE = re.compile(
    r"[A-Z][A-Z_=.]+|.*[0-9:/=].*"
)  # after an option: a placeholder, a number, a path; no further word
_ENDS = ("", "s", "es", "_file")
SHOWN = 200  # letters of a value in an error
_OTHERWISE = {"set": "sets", "json": "problems"}
NEAR = {("plan", "prompts"): "give per_image, the edits of each image"}
"""Keywords that a function has under a name that is not near: what to give instead."""
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

        def flags() -> frozenset[str]:
            return frozenset(name for name, hint in get_type_hints(call).items() if hint is bool)

        def require(*args: P.args, **kwargs: P.kwargs) -> None:
            given = _bound(bound, call.__name__, *args, **kwargs)
            hints = get_type_hints(call)
            for name, value in given.items():
                every = value if bound.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL else (value,)
                expected = next((e for v in every if (e := _expected(hints.get(name, Any), v))), "")
                if not expected and checks and name in checks and value is not None:
                    expected = checks[name](value)
                if expected:
                    raise UsageError(
                        f"--{name.replace('_', '-')}: expected {expected}; found {_shown(value)}"
                    )

        @wraps(call)
        def plain(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                require(*args, **kwargs)
                return call(*args, **kwargs)
            except IsrError as error:
                _say(error, names, call.__name__, words(), flags())
                raise

        @wraps(call)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                require(*args, **kwargs)
                return await cast("Any", call(*args, **kwargs))
            except IsrError as error:
                _say(error, names, call.__name__, words(), flags())
                raise

        return cast("Callable[P, R]", awaited) if inspect.iscoroutinefunction(call) else plain

    return wrapped


def _bound(signature: inspect.Signature, function: str, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
    """The arguments by name. Raises ``TypeError`` as Python does, with the function and the nearest keyword."""
    names = [n for n, p in signature.parameters.items() if p.kind is not p.VAR_POSITIONAL]
    for name in kwargs.keys() - set(names):
        near = NEAR.get((function, name)) or did_you_mean(name, names, f"it takes {', '.join(names)}")
        raise TypeError(f"isr.{function}() got an unexpected keyword argument {name!r}; {near}")
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"isr.{function}() {error}") from None


def _shown(value: object) -> str:
    """What was given, as Python shows it; of a value that holds much, what it is."""
    said = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
    text = repr(value)
    return text if len(text) <= SHOWN and "\n" not in text else f"a value of type {type(said).__name__}"


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


def in_python(
    text: str,
    names: Collection[str],
    function: str,
    words: Collection[str] = (),
    flags: Collection[str] = (),
) -> str:
    """A message in which options are the keywords of a function, and the command is the function.

    words: those that keywords take as values. flags: keywords that are True or False, which an option without a value
    turns on. What was found stands in quotes and stays as it is.
    """

    def first(found: re.Match[str]) -> str:
        value = "" if found[2] is None else found[2]
        return f"{keyword(found[1], names)}={value}"

    def other(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        value, name = found[3] or "", keyword(found[2], names)
        if name in flags and not (found[3] and _VALUE.fullmatch(value)):
            return f"{name}=True{f' {value}' if value else ''}"
        said = (
            repr(value) if value in words else value if not value or _VALUE.fullmatch(value) else f" {value}"
        )
        return f"{name}={said}"

    said = re.sub(rf"^isr {re.escape(function)}\b", f"isr.{function}", text)
    return _OPTION.sub(other, _AT_START.sub(first, said))


def _say(
    error: IsrError,
    names: Collection[str],
    function: str,
    words: Collection[str],
    flags: Collection[str],
) -> None:
    """Rewrites an error's message in place, so that its type and its traceback stay."""

    def line(text: str) -> str:
        said = text.lstrip(" ")
        return text[: len(text) - len(said)] + in_python(said, names, function, words, flags)

    error.args = tuple("\n".join(map(line, a.split("\n"))) if isinstance(a, str) else a for a in error.args)
    if isinstance(error, InputError):
        error.summary = line(error.summary)
        error.problems = tuple(
            replace(p, **{n: line(getattr(p, n)) for n in ("where", "expected", "fix")})
            for p in error.problems
        )


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
