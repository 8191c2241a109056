"""Engines: other ways than one reply at a time in which the requests of a judge are answered, found by their names.

An engine is a module of ``isr.judges`` (``openai-batch`` is ``openai_batch.py``, ``ray`` is ``ray_engine.py``: a file's name never
shadows a package) or one that an installed package registers in the entry point group ``isr.judge_engines``. It says ``TAKES``,
the backends whose cards it takes (none named: it looks at the card itself), and has one of two functions:
``open_batches(card) -> BatchHost`` asks by batches, ``open_workers(card, settings) -> Workers`` asks one by one of many at a time. One
with workers may have ``open_hands(settings)`` too, which makes pictures (``isr.actors.hands``).
The judge stays the same: body and reading of a request are its backend's own, so are signature, keys and answers. No other module
knows an engine by its name.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module, metadata, resources
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from isr.errors import CardError, UsageError
from isr.foreign import ForeignCodeError, loaded
from isr.judging.backends import BUILT_IN
from isr.reading import read_text
from isr.text import did_you_mean

if TYPE_CHECKING:
    from isr.actors.hands import Hands
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared
    from isr.types import Answer

ENTRY_POINTS = "isr.judge_engines"
OPENS, OPENS_WORKERS, OPENS_HANDS = "open_batches", "open_workers", "open_hands"
_SUFFIX = "_engine"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


class Status(StrEnum):
    """Where a batch stands at its host."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing more becomes of it."""
        return self in (Status.COMPLETED, Status.EXPIRED, Status.CANCELLED, Status.FAILED)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as its host tells it.

    queue_full: it failed as a whole, because more was waiting than the account may have in the queue; nothing of it was
    asked. errors: why it failed, in the host's words.
    """

    id: str
    status: Status
    metadata: Mapping[str, str] = field(default_factory=dict)
    input_file: str = ""
    output_files: tuple[str, ...] = ()  # of answers, then of errors
    done: int = 0  # requests that succeeded or failed, as the host counts them
    queue_full: bool = False
    errors: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A line that says that its request was not asked, for the reason in ``why``: the batch expired, or was cancelled."""

    why: str


class BatchHost(Protocol):
    """Where batches are made. Nothing here tries anything again: the run of the batches does."""

    async def line(
        self, custom_id: str, request: Request, images: Prepared
    ) -> tuple[bytes, Mapping[str, str]]:
        """The line that asks a request, with its ``\\n``, and the digests of the images in it by role (``Answer.sent``)."""

    async def upload(self, path: Path, name: str) -> str:
        """The id of a file of lines, uploaded under a name."""

    async def create(self, file_id: str, metadata: Mapping[str, str]) -> Batch:
        """A batch of an uploaded file."""

    async def get(self, batch_id: str) -> Batch:
        """A batch as it stands now."""

    async def cancel(self, batch_id: str) -> Batch:
        """A batch whose cancellation was asked for."""

    def batches(self) -> AsyncIterator[Batch]:
        """Every batch of the account, page by page."""

    def content(self, file_id: str, most: int) -> AsyncGenerator[bytes]:
        """The bytes of a file of results in pieces, at most ``most``."""

    def custom_id(self, line: Mapping[str, Any]) -> object:
        """Which request a line of results says it answers."""

    def read(self, line: Mapping[str, Any], request: Request) -> Answer | Unanswered:
        """The answer in a line of results. Raises as ``Judge.ask`` does."""

    async def close(self) -> None:
        """Closes the connections."""


class Workers(Protocol):
    """A judge at many places, asked as one: a ``Judge`` that says how much it takes."""

    most: int  # requests that can be in it at a time, at most

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """The completed reply. Raises as ``Judge.ask`` does."""

    async def free(self) -> None:
        """Waits until one more request can be asked. Raises ``IsrError`` where none ever can."""

    async def close(self) -> None:
        """Ends them."""


def _no_host(card: Card) -> BatchHost:
    raise UsageError(
        f"{card.name}: expected an engine that asks by batches; found one that does not; leave out --engine"
    )


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine by its name: the backends whose cards it takes, and what opens its host or its workers."""

    name: str
    takes: tuple[str, ...]
    host_of: Callable[[Card], BatchHost] = _no_host
    workers_of: Callable[[Card, Sequence[str]], Workers] | None = None
    hands_of: Callable[[Sequence[str]], Hands] | None = None

    @property
    def in_batches(self) -> bool:
        """Whether it asks by batches, which wait at a host and are priced apart."""
        return self.workers_of is None

    def require(self, card: Card, sets: Sequence[str] = ()) -> None:
        """Raises ``IsrError`` unless the engine takes the card, and the settings that are meant for it."""
        if self.workers_of is not None:
            self.workers_of(card, sets)
            return
        if sets:
            raise UsageError(
                f"--engine-set {sets[0]}: expected an engine with settings; found --engine {self.name}; leave it out"
            )
        if card.backend not in self.takes:
            raise UsageError(
                f"--engine {self.name}: expected a card of the backend {' or '.join(self.takes)}; found {card.name} of "
                f"{card.backend!r}; leave out --engine, or choose another judge"
            )
        if len(card.endpoint.each) > 1:
            raise UsageError(
                f"--engine {self.name}: expected a card with one server; found {card.name} with {len(card.endpoint.each)} "
                "base_urls; set endpoint.base_url to the one that takes batches"
            )


def engine_of(name: str) -> Engine:
    """The engine of that name. Raises ``UsageError`` if there is none, ``CardError`` for a module that is none."""
    points = metadata.entry_points(group=ENTRY_POINTS, name=name)
    own = _NAME.match(name) and name in built_in()
    if not own and not points:
        hint = did_you_mean(name, [*built_in(), *outside()], "leave it out")
        raise UsageError(
            f"--engine: expected one of {', '.join([*built_in(), *outside()])}; found {name!r}; {hint}"
        )
    module_name = f"{BUILT_IN}.{_file_of(name)}" if own else next(iter(points)).module
    try:
        module = loaded(lambda: import_module(module_name))
    except ForeignCodeError as error:
        raise CardError(f"engine {name!r}: {module_name} cannot be imported ({error})") from error
    takes = getattr(module, "TAKES", None)
    opens, workers = getattr(module, OPENS, None), getattr(module, OPENS_WORKERS, None)
    if not (
        isinstance(takes, tuple) and all(isinstance(t, str) for t in takes) and callable(opens or workers)
    ):
        raise CardError(
            f"engine {name!r}: expected a module with TAKES, a tuple of backends, and {OPENS} or {OPENS_WORKERS}; found "
            f"{_lacks(module)}"
        )
    return Engine(name, takes, opens or _no_host, workers, getattr(module, OPENS_HANDS, None))


def hands_of(name: str, sets: Sequence[str]) -> Hands | None:
    """What makes pictures by the engine of that name; ``None`` without one. Raises ``IsrError``."""
    if not name:
        if sets:
            raise UsageError(f"--engine-set {sets[0]}: expected --engine beside it; found none; add it")
        return None
    engine = engine_of(name)
    if engine.hands_of is None:
        raise UsageError(
            f"--engine {name}: expected an engine that makes pictures; found one that does not; leave it out"
        )
    return engine.hands_of(sets)


def _lacks(module: ModuleType) -> str:
    names = [n for n in ("TAKES",) if not hasattr(module, n)]
    names += [] if hasattr(module, OPENS) or hasattr(module, OPENS_WORKERS) else [OPENS]
    return f"{module.__name__} without {' and '.join(names)}" if names else f"{module.__name__} with others"


def _files() -> dict[str, str]:
    """The modules of ``isr.judges`` whose text defines one of the two functions, by the names of their engines."""
    found = {}
    for file in resources.files(BUILT_IN).iterdir():
        if file.name.endswith(".py"):
            text = read_text(Path(str(file)))
            if f"\ndef {OPENS}(" in text or f"\ndef {OPENS_WORKERS}(" in text:
                stem = file.name[:-3]
                found[stem.removesuffix(_SUFFIX).replace("_", "-")] = stem
    return found


def _file_of(name: str) -> str:
    return _files()[name]


def built_in() -> list[str]:
    """Names of the engines that ship with the package."""
    return sorted(_files())


def outside() -> list[str]:
    """Names of the engines that installed packages bring."""
    return sorted({p.name for p in metadata.entry_points(group=ENTRY_POINTS)})
