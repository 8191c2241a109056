"""Judge backends: what a backend is, how one is found by name, and the border at which its answers are checked.

A backend is a module with a function ``open_judge(card) -> Judge``: a file of ``isr.judges``, or a module that an
installed package registers in the entry point group ``isr.judge_backends``. The module says what it is by constants
(``FREE``, ``FILES``, ``SERVED_BY_NAME``, ``WRITES``; see ``Traits``). No other module knows a backend by its name.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from isr.errors import CardError, IsrError, JudgeError
from isr.types import Answer

if TYPE_CHECKING:
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

BUILT_IN = "isr.judges"
BACKEND_ENTRY_POINTS = "isr.judge_backends"
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")

T = TypeVar("T")


class Judge(Protocol):
    """Answers requests. One instance serves a whole run, from one event loop."""

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """The completed reply. Raises ``TransportError`` if there was none, ``JudgeError`` if there can be none."""

    async def close(self) -> None:
        """Releases connections and memory."""


class Writer(Protocol):
    """Writes words; what ``open_writer`` opens. The judges of a backend that says ``WRITES = True`` are writers too."""

    async def write(
        self, system: str, text: str, response_format: Mapping[str, Any] | None = None, repeat: int = 0
    ) -> Answer:
        """The completed reply to words alone. Raises as ``Judge.ask`` does."""

    async def close(self) -> None:
        """Releases connections and memory."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a backend's module says of itself; each default is the cautious one.

    ``free`` (``FREE``): asking costs no money. ``files`` (``FILES``): fields of a card's ``[engine]`` that name a
    file, whose content is part of the judge's identity. ``served_by_name`` (``SERVED_BY_NAME``): the model is a name
    at a server, so that an absolute path is a name there and no folder here. ``writes`` (``WRITES``): its judges are
    writers of words as well.
    """

    free: bool = False
    files: tuple[str, ...] = ()
    served_by_name: bool = False
    writes: bool = False


def traits(backend: str) -> Traits:
    """What the backend of that name says of itself. Raises ``CardError`` if there is none of that name."""
    module = _found(backend)[0]
    said = Traits(
        getattr(module, "FREE", False),
        getattr(module, "FILES", ()),
        getattr(module, "SERVED_BY_NAME", False),
        getattr(module, "WRITES", False),
    )
    flags = {"FREE": said.free, "SERVED_BY_NAME": said.served_by_name, "WRITES": said.writes}
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise _misdeclared(backend, name, "True or False", value)
    if not (isinstance(said.files, tuple) and all(isinstance(f, str) for f in said.files)):
        raise _misdeclared(backend, "FILES", "a tuple of names", said.files)
    return said


def _misdeclared(backend: str, name: str, expected: str, found: object) -> CardError:
    return CardError(
        f"backend {backend!r}: {name} expected {expected}; found {found!r}; correct the backend's module"
    )


def backend_of(card: Card) -> Callable[[Card], Judge]:
    """The function that opens judges of the card's backend, its module imported. Raises ``CardError``."""
    try:
        return _found(card.backend)[1]
    except CardError as error:
        raise CardError(f"{card.name}: {error}") from error


def open_judge(card: Card) -> Judge:
    """The judge of a card, whose answers and errors are checked at the border.

    Raises ``CardError`` if no such backend exists or it cannot take the card.
    """
    return _opened(card)


def open_writer(card: Card) -> Writer:
    """The writer of a card, checked at the border as a judge is. Raises ``CardError`` if its backend has none."""
    if not traits(card.backend).writes:
        raise CardError(
            f"{card.name}: expected a card whose backend writes words; found backend {card.backend!r}, which does "
            f"not; choose another card"
        )
    return _opened(card)


def _opened(card: Card) -> _AtTheBorder:
    opened = backend_of(card)
    with _border(card, "open_judge"):
        return _AtTheBorder(card, opened(card))


# --------------------------------------------------------------------------- found by name


def _found(name: str) -> tuple[ModuleType, Callable[[Card], Judge]]:
    """The module of a backend and its function; one name is one backend, whoever wrote it."""
    known = bool(NAME.match(name))
    built_in = known and find_spec(f"{BUILT_IN}.{name}") is not None
    points = {p.value: p for p in metadata.entry_points(group=BACKEND_ENTRY_POINTS, name=name)}
    if built_in + len(points) > 1:
        owners = [f"{BUILT_IN}.{name} of isr itself"] * built_in + sorted(map(_owner, points.values()))
        raise CardError(
            f"backend {name!r}: expected one backend of that name; found {len(owners)}: {', '.join(owners)}; "
            f"uninstall one, or rename it in its package"
        )
    if points:
        (point,) = points.values()
        return _loaded(name, point.module, point.attr or "open_judge", _owner(point))
    if built_in:
        return _loaded(name, f"{BUILT_IN}.{name}", "open_judge", f"{BUILT_IN}.{name}")
    raise CardError(f"'backend' expected a module of {BUILT_IN} or an installed entry point; found {name!r}")


def _owner(point: metadata.EntryPoint) -> str:
    package = f" of the package {point.dist.name}" if point.dist else ""
    return f"{point.value}{package}"


def _loaded(name: str, module: str, attr: str, owner: str) -> tuple[ModuleType, Callable[[Card], Judge]]:
    try:
        found = import_module(module)
    except ImportError as error:
        raise CardError(
            f"backend {name!r}: {owner} cannot be imported ({error}); install what it needs"
        ) from error
    function: Any = found
    for part in attr.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise CardError(
            f"'backend' expected a judge backend; {name!r} is none: {owner} has no function {attr}"
        )
    return found, function


# --------------------------------------------------------------------------- the border


class _AtTheBorder:
    """A judge as the rest of the package knows it: whatever its backend does, an ``Answer`` or an ``IsrError``."""

    def __init__(self, card: Card, judge: Any) -> None:
        self._card, self._judge = card, judge

    async def ask(self, request: Request, images: Prepared) -> Answer:
        return await self._answer("ask", lambda: self._judge.ask(request, images))

    async def write(
        self, system: str, text: str, response_format: Mapping[str, Any] | None = None, repeat: int = 0
    ) -> Answer:
        return await self._answer("write", lambda: self._judge.write(system, text, response_format, repeat))

    async def close(self) -> None:
        with _border(self._card, "close"):
            await self._judge.close()

    async def _answer(self, what: str, call: Callable[[], Awaitable[Any]]) -> Answer:
        with _border(self._card, what):
            answer = await call()
            _check(answer)
        return answer  # type: ignore[no-any-return]


@contextmanager
def _border(card: Card, what: str) -> Iterator[None]:
    """Lets the package's own errors pass, and makes of any other one ``JudgeError`` that names the backend.

    The one place that catches whatever comes: here the code of others ends, which may raise anything. Cancellation
    and interrupts are no ``Exception`` and pass.
    """
    try:
        yield
    except IsrError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:600] or "no message"
        raise JudgeError(
            f"{card.name}: the backend {card.backend!r} failed in {what} ({type(error).__name__}: {said}); "
            f"what was received is kept; correct the backend, then run the same command again"
        ) from error


def _check(answer: object) -> None:
    """Raises ``TypeError`` unless a backend handed over an ``Answer`` of the types that its fields name."""
    if not isinstance(answer, Answer):
        raise TypeError(f"expected an isr.Answer; found {type(answer).__name__}")
    for name in ("text", "refusal", "received_at"):
        if not isinstance(getattr(answer, name), str):
            raise TypeError(f"Answer.{name} expected a text; found {getattr(answer, name)!r:.80}")
    for name, kind, words in (
        ("served", str, "texts"),
        ("usage", int, "whole numbers"),
        ("sent", str, "texts"),
    ):
        values = getattr(answer, name)
        sound = isinstance(values, Mapping) and all(isinstance(k, str) for k in values)
        if not sound or not all(isinstance(v, kind) and not isinstance(v, bool) for v in values.values()):
            raise TypeError(f"Answer.{name} expected {words} by name; found {values!r:.80}")
    p = answer.p_yes
    if p is not None and not (isinstance(p, float) and 0 <= p <= 1):
        raise TypeError(f"Answer.p_yes expected a probability or None; found {p!r:.80}")
