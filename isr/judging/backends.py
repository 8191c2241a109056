"""Judge backends: what a backend is, how one is found by name, and the border at which its answers are checked.

A backend is a module with a function ``open_judge(card) -> Judge``: a file of ``isr.judges``, a module that an
installed package registers in the entry point group ``isr.judge_backends``, or a file beside a card that is itself
given by a path (``backend = "./judge.py:open_judge"``). The module says what it is by constants (``FREE``, ``FILES``,
``SERVED_BY_NAME``, ``WRITES``; see ``Traits``). No other module knows a backend by its name.

What another package brings can change with its releases: the name of its distribution, and the ``ANSWERS_VERSION``
that its module declares, are part of its judges' identity (``plugin_identity``).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from isr.canonical import sha256_bytes
from isr.errors import CardError, FilteredError, IsrError, JudgeError
from isr.foreign import ForeignCodeError, loaded, module_of_bytes
from isr.judging.retirement import require_served, utc_today
from isr.reading import Unreadable, read_bytes
from isr.types import Answer, Finish

if TYPE_CHECKING:
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

BUILT_IN = "isr.judges"
BACKEND_ENTRY_POINTS = "isr.judge_backends"
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_FILE = re.compile(r"[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*\Z")

MAX_TEXT = 100_000  # characters of an answer that are kept
MAX_REASONING = 4_000  # characters of a judge's thoughts that are kept beside its answer
MAX_COUNT = 10**9  # tokens that one request can have

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


def traits(backend: str, folder: str = "") -> Traits:
    """What the backend of that name, or of that file in ``folder``, says of itself. Raises ``CardError`` if there is none."""
    module = _found(backend, folder).module
    said = Traits(
        _flag(backend, module, "FREE"),
        getattr(module, "FILES", ()),
        _flag(backend, module, "SERVED_BY_NAME"),
        _flag(backend, module, "WRITES"),
    )
    if not (isinstance(said.files, tuple) and all(isinstance(f, str) for f in said.files)):
        raise _misdeclared(backend, "FILES", "a tuple of names", said.files)
    return said


def extra_of(backend: str, folder: str = "") -> str:
    """The extra of isr that brings what a backend runs on (``EXTRA``); ``""`` for one that needs none."""
    said = getattr(_found(backend, folder).module, "EXTRA", "")
    if not isinstance(said, str):
        raise _misdeclared(backend, "EXTRA", "a text", said)
    return said


def identity_of(backend: str, folder: str = "") -> dict[str, Any]:
    """What a backend adds to the identity of its judges: ``backend``, and ``plugin`` if another package brings it.

    A backend's file is its content: ``file:<digest>:<function>`` stands in the place of its path. ``plugin`` holds the
    name of the distribution and the ``ANSWERS_VERSION`` that the module declares; if it declares none, the version of
    the distribution. A module that was part of isr before it had a distribution says ``FORMERLY_BUILT_IN = True``: its
    judges keep the identity that they had. Raises ``CardError`` for a file that cannot be read.
    """
    if by_path(backend):
        found = _found(backend, folder)
        return {"backend": f"file:{found.digest}:{backend.rpartition(':')[2]}"}
    plugin = _plugin(backend)
    said = {"backend": backend}
    if plugin is None:
        return said
    declared = getattr(plugin.module, "ANSWERS_VERSION", None)
    if declared is not None and not (isinstance(declared, str) and declared):
        raise _misdeclared(backend, "ANSWERS_VERSION", "a text that is not empty", declared)
    return said | {"plugin": {"distribution": plugin.distribution, "answers": declared or plugin.version}}


def _plugin(backend: str) -> _Found | None:
    """The backend of that name if a package other than isr brings it, and it never was a part of isr."""
    if not NAME.match(backend) or _is_built_in(backend):
        return None
    if not metadata.entry_points(group=BACKEND_ENTRY_POINTS, name=backend):
        return None
    found = _found(backend)
    return None if _flag(backend, found.module, "FORMERLY_BUILT_IN") else found


def _flag(backend: str, module: ModuleType, name: str) -> bool:
    value = getattr(module, name, False)
    if not isinstance(value, bool):
        raise _misdeclared(backend, name, "True or False", value)
    return value


def _misdeclared(backend: str, name: str, expected: str, found: object) -> CardError:
    return CardError(
        f"backend {backend!r}: {name} expected {expected}; found {found!r}; correct the backend's module"
    )


def backend_of(card: Card) -> Callable[[Card], Judge]:
    """The function that opens judges of the card's backend, its module imported. Raises ``CardError``."""
    try:
        return _found(card.backend, card.folder).function
    except CardError as error:
        raise CardError(f"{card.name}: {error}") from error


def open_judge(card: Card, *, allow_retired: bool = False) -> Judge:
    """The judge of a card, whose answers and errors are checked at the border.

    Raises ``CardError`` if no such backend exists or it cannot take the card, ``RetiredError`` if its model is retired.
    """
    return _opened(card, allow_retired)


def open_writer(card: Card) -> Writer:
    """The writer of a card, checked at the border as a judge is. Raises ``CardError`` if its backend has none."""
    if not traits(card.backend, card.folder).writes:
        raise CardError(
            f"{card.name}: expected a card whose backend writes words; found backend {card.backend!r}, which does "
            f"not; choose another card"
        )
    return _opened(card)


def _opened(card: Card, allow_retired: bool = False) -> _AtTheBorder:
    if not allow_retired:
        require_served(card, utc_today())
    opened = backend_of(card)
    with border(card, "open_judge"):
        return _AtTheBorder(card, opened(card), _plugin(card.backend))


# --------------------------------------------------------------------------- found by name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A backend's module and its function, and who brings it: a distribution, or a file by its digest."""

    module: ModuleType
    function: Callable[[Card], Judge]
    distribution: str = ""
    version: str = ""
    digest: str = ""


def by_path(backend: str) -> bool:
    """Whether a card's ``backend`` is a file with a function (``./judge.py:open_judge``) and not a name."""
    return bool(_FILE.match(backend))


def _is_built_in(name: str) -> bool:
    return find_spec(f"{BUILT_IN}.{name}") is not None


def _found(name: str, folder: str = "") -> _Found:
    """The backend of a name, or of a file in ``folder``; one name is one backend, whoever wrote it."""
    if by_path(name):
        return _of_file(name, folder)
    known = bool(NAME.match(name))
    built_in = known and _is_built_in(name)
    points = {p.value: p for p in metadata.entry_points(group=BACKEND_ENTRY_POINTS, name=name)}
    if built_in + len(points) > 1:
        owners = [f"{BUILT_IN}.{name} of isr itself"] * built_in + sorted(map(_owner, points.values()))
        raise CardError(
            f"backend {name!r}: expected one backend of that name; found {len(owners)}: {', '.join(owners)}; "
            f"uninstall one, or rename it in its package"
        )
    if points:
        (point,) = points.values()
        module = _imported(name, point.module, _owner(point))
        return _Found(
            module=module,
            function=_function(name, module, point.attr or "open_judge", _owner(point)),
            distribution=point.dist.name if point.dist else point.module.partition(".")[0],
            version=point.dist.version if point.dist else "",
        )
    if built_in:
        module = _imported(name, f"{BUILT_IN}.{name}", f"{BUILT_IN}.{name}")
        return _Found(module=module, function=_function(name, module, "open_judge", f"{BUILT_IN}.{name}"))
    raise CardError(f"'backend' expected a module of {BUILT_IN} or an installed entry point; found {name!r}")


def _of_file(backend: str, folder: str) -> _Found:
    """The backend in a file of one's own. The bytes that are digested are the bytes that run."""
    file, _, function = backend.rpartition(":")
    if not folder:
        raise CardError(
            f"'backend' expected a name; found the file {file!r}, which only a card that is given by its path may name"
        )
    path = Path(folder, file)
    try:
        source = read_bytes(path)
    except Unreadable as error:
        raise CardError(
            f"'backend' expected a file of Python; found {file!r} ({error.found}: {path}); check the path"
        ) from None
    digest = sha256_bytes(source)
    name = f"isr_backend_{digest.partition(':')[2][:16]}"
    try:
        module = module_of_bytes(name, path, source)
    except ForeignCodeError as error:
        raise CardError(
            f"'backend' expected a file that can be imported; found {path} ({error}); install what it needs, or "
            f"correct it"
        ) from error
    return _Found(module=module, function=_function(backend, module, function, str(path)), digest=digest)


def _owner(point: metadata.EntryPoint) -> str:
    package = f" of the package {point.dist.name}" if point.dist else ""
    return f"{point.value}{package}"


def _imported(name: str, module: str, owner: str) -> ModuleType:
    try:
        return loaded(lambda: import_module(module))
    except ForeignCodeError as error:
        raise CardError(
            f"backend {name!r}: {owner} cannot be imported ({error}); install what it needs"
        ) from error


def _function(name: str, module: ModuleType, attr: str, owner: str) -> Callable[[Card], Judge]:
    function: Any = module
    for part in attr.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise CardError(
            f"'backend' expected a judge backend; {name!r} is none: {owner} has no function {attr}"
        )
    return function  # type: ignore[no-any-return]


# --------------------------------------------------------------------------- the border


class _AtTheBorder:
    """A judge as the rest of the package knows it: whatever its backend does, an ``Answer`` or an ``IsrError``."""

    def __init__(self, card: Card, judge: Any, plugin: _Found | None = None) -> None:
        self._card, self._judge = card, judge
        self._by = {} if plugin is None else {"plugin": f"{plugin.distribution} {plugin.version}".rstrip()}

    async def ask(self, request: Request, images: Prepared) -> Answer:
        return await self._answer("ask", lambda: self._judge.ask(request, images))

    async def write(
        self, system: str, text: str, response_format: Mapping[str, Any] | None = None, repeat: int = 0
    ) -> Answer:
        return await self._answer("write", lambda: self._judge.write(system, text, response_format, repeat))

    async def close(self) -> None:
        with border(self._card, "close"):
            await self._judge.close()

    async def _answer(self, what: str, call: Callable[[], Awaitable[Any]]) -> Answer:
        with border(self._card, what):
            try:
                given = await call()
            except FilteredError as error:
                given = filtered(self._card, error)
            answer = taken(given)
        # which release answered stands beside the answer: by itself it makes no other judge
        return replace(answer, served={**answer.served, **self._by}) if self._by else answer


@contextmanager
def border(card: Card, what: str) -> Iterator[None]:
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


def filtered(card: Card, error: FilteredError) -> Answer:
    """The answer for which a refusal by the host's content filter stands."""
    return Answer(
        text="",
        finish_reason=Finish.CONTENT_FILTER,
        refusal=str(error),
        served={"host": card.endpoint.address} if card.endpoint.address else {},
        received_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def taken(given: object) -> Answer:
    """What a backend handed over, as the package takes it. Raises ``TypeError`` for what is no answer."""
    return bounded(_checked(given))


def bounded(answer: Answer) -> Answer:
    """The answer within what a store keeps and arithmetic can take.

    No rubric asks for more than a few thousand characters: of a longer text the head is kept, and it counts as cut off
    (``truncated``). Counts of tokens that no request can have are dropped, so that the worst case is charged.
    """
    if any(not 0 <= n <= MAX_COUNT for n in answer.usage.values()):
        answer = replace(answer, usage={})
    if len(answer.reasoning) > MAX_REASONING:
        answer = replace(answer, reasoning=answer.reasoning[:MAX_REASONING])
    length = max(len(answer.text), len(answer.refusal))
    if length <= MAX_TEXT:
        return answer
    return replace(
        answer,
        text=answer.text[:MAX_TEXT],
        refusal=answer.refusal[:MAX_TEXT],
        finish_reason=Finish.LENGTH
        if answer.finish_reason in (Finish.STOP, Finish.OTHER)
        else answer.finish_reason,
        served={**answer.served, "cut": f"{MAX_TEXT} of {length} characters kept"},
    )


def _checked(answer: object) -> Answer:
    """What a backend handed over. Raises ``TypeError`` unless it is an ``Answer`` of the types that its fields name."""
    if not isinstance(answer, Answer):
        raise TypeError(f"expected an isr.Answer; found {type(answer).__name__}")
    for name in ("text", "refusal", "received_at", "reasoning"):
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
        if sum(len(k) + len(str(v)) for k, v in values.items()) > MAX_TEXT:
            raise TypeError(f"Answer.{name} expected at most {MAX_TEXT:,} characters in all; found more")
    p = answer.p_yes
    if p is not None and not (isinstance(p, float) and 0 <= p <= 1):
        raise TypeError(f"Answer.p_yes expected a probability or None; found {p!r:.80}")
    return answer
