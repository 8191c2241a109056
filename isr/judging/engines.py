"""Engines: other ways than one reply at a time in which the requests of a judge are answered, found by their names.

An engine is a module of ``isr.judges`` (``openai-batch`` is ``openai_batch.py``) or one that an installed package registers in
the entry point group ``isr.judge_engines``. It says ``TAKES``, the backends whose cards it takes, and has
``open_batches(card) -> BatchHost``. The judge stays the same: body and reading of a request are its backend's own, so are
signature, keys and answers. No other module knows an engine by its name.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
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
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared
    from isr.types import Answer

ENTRY_POINTS = "isr.judge_engines"
OPENS = "open_batches"
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


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine by its name: the backends whose cards it takes, and what opens its host."""

    name: str
    takes: tuple[str, ...]
    host_of: Callable[[Card], BatchHost]

    def require(self, card: Card) -> None:
        """Raises ``UsageError`` unless the engine takes the card."""
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
    module_name = f"{BUILT_IN}.{name.replace('-', '_')}" if own else next(iter(points)).module
    try:
        module = loaded(lambda: import_module(module_name))
    except ForeignCodeError as error:
        raise CardError(f"engine {name!r}: {module_name} cannot be imported ({error})") from error
    takes, opens = getattr(module, "TAKES", None), getattr(module, OPENS, None)
    if not (isinstance(takes, tuple) and all(isinstance(t, str) for t in takes) and callable(opens)):
        raise CardError(
            f"engine {name!r}: expected a module with TAKES, a tuple of backends, and {OPENS}; found {_lacks(module)}"
        )
    return Engine(name, takes, opens)


def _lacks(module: ModuleType) -> str:
    names = [n for n in ("TAKES", OPENS) if not hasattr(module, n)]
    return f"{module.__name__} without {' and '.join(names)}" if names else f"{module.__name__} with others"


def built_in() -> list[str]:
    """Names of the engines that ship with the package: the modules of ``isr.judges`` whose text defines ``open_batches``."""
    files = (f for f in resources.files(BUILT_IN).iterdir() if f.name.endswith(".py"))
    return sorted(
        f.name[:-3].replace("_", "-") for f in files if f"\ndef {OPENS}(" in read_text(Path(str(f)))
    )


def outside() -> list[str]:
    """Names of the engines that installed packages bring."""
    return sorted({p.name for p in metadata.entry_points(group=ENTRY_POINTS)})
