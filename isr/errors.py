"""The error tree. Every message says where, what was expected, what was found and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from isr.redaction import without_keys

MOST = 50
"""Problems that a message names one by one."""
MOST_KINDS = 10


class IsrError(Exception):
    """Root of every error that this package raises on purpose. ``exit_code`` is the command's.

    Its message shows what was found, and never a key.
    """

    exit_code = 2

    def __str__(self) -> str:
        return without_keys(super().__str__())


class UsageError(IsrError):
    """An argument or a combination of arguments that cannot be carried out. Nothing was spent."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in an input: where (``file:row``), which field, expected, found, what to do."""

    where: str
    field: str
    expected: str
    found: str
    fix: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "found", without_keys(self.found))  # what a user or a stranger wrote

    def __str__(self) -> str:
        at = f"{self.where}: {self.field!r}" if self.field else self.where
        return f"{at}: expected {self.expected}; found {self.found}; {self.fix}"


class InputError(IsrError):
    """An input file or directory is not as it must be. ``problems`` lists all of them, the message the first ``MOST``."""

    def __init__(self, summary: str, problems: Sequence[Problem] = ()) -> None:
        self.summary = summary
        self.problems = tuple(problems)
        super().__init__("\n".join([summary, *(f"  {line}" for line in _told(self.problems))]))


def _told(problems: Sequence[Problem]) -> Iterator[str]:
    """The first problems, and how many there are of each kind where there are more."""
    yield from map(str, problems[:MOST])
    if len(problems) <= MOST:
        return
    yield f"and {len(problems) - MOST:,} more, which --json lists; all {len(problems):,} by kind:"
    kinds = Counter((p.field, p.expected) for p in problems).most_common()
    for (field, expected), n in kinds[:MOST_KINDS]:
        yield f"  {n:,} x {f'{field!r}: ' if field else ''}expected {expected}"
    if len(kinds) > MOST_KINDS:
        yield f"  {sum(n for _, n in kinds[MOST_KINDS:]):,} of other kinds"


class EditDirectoryError(InputError):
    """An edit directory is broken or tries what data must not do."""


class RubricError(InputError):
    """A rubric file is missing or malformed."""


class CardError(InputError):
    """A judge card is missing or malformed."""


class StatisticsError(InputError):
    """Numbers that no estimator can take: wrong shapes, values out of range."""


class DesignError(StatisticsError):
    """An estimator does not fit how the labels were sampled; the message names the design it needs."""


class StoreError(IsrError):
    """The answer store cannot be opened, is of another version, or does not verify."""


class SecretError(IsrError):
    """A key would go where its owner did not send it (a key in a card, a foreign host, a redirect)."""


class MissingExtraError(IsrError):
    """A feature needs a package that is not installed; the message names the extra."""


class Interrupted(IsrError):
    """The user stopped the run before anything was asked."""

    exit_code = 130


class JudgeError(IsrError):
    """A judge cannot be used at all: the run stops, what was received is kept."""


class AuthenticationError(JudgeError):
    """The endpoint refused the key, or there is none."""


class ModelNotFoundError(JudgeError):
    """The endpoint does not serve the card's model."""


class RetiredError(JudgeError):
    """The judge's model is past the day on which it retires: nothing new is asked of it. ``stored``: answers that are kept."""

    def __init__(self, message: str, stored: int = 0) -> None:
        self.stored = stored
        super().__init__(message)


class QuotaError(JudgeError):
    """The account behind the key has nothing left to pay with: no request will be answered."""


class RejectedError(JudgeError):
    """The endpoint refuses every request in the form in which the card sends it."""


class UselessJudgeError(JudgeError):
    """A judge answers, and nothing that it says can be used: the run stops before the whole set is asked for nothing."""


class FilteredError(IsrError):
    """The host's content filter refused a request, in the host's words: that is an answer, not a failure."""


class TransportReason(StrEnum):
    """Why one request got no completed reply: it is undecided for now, and a further run asks again."""

    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    REJECTED = "rejected"
    TOO_LONG = "too_long"
    OUT_OF_MEMORY = "out_of_memory"
    NOT_ASKED = "not_asked"


class TransportError(IsrError):
    """One request got no completed reply. ``reason`` is an undecided reason, never a verdict.

    ``overloaded``: the host is too busy, so less is asked at once. ``worded``: the host said why. ``terminal``: how the
    reply counts as ended (a ``Finish``) once the judge has answered others: asking again would give the same. ``stops``:
    what it means where the judge never answered anything.

    Raises ``ValueError`` for a reason that is no ``TransportReason`` and no word of one.
    """

    exit_code = 3

    def __init__(
        self,
        reason: TransportReason | str,
        message: str,
        *,
        retryable: bool = True,
        retry_after_s: float | None = None,
        overloaded: bool = False,
        worded: bool = False,
        terminal: str = "",
        stops: IsrError | None = None,
    ) -> None:
        try:
            self.reason = TransportReason(reason)
        except ValueError:
            raise ValueError(
                f"TransportError: reason expected one of {', '.join(TransportReason)}; found {reason!r}; "
                f"name the nearest of these, and say the rest in the message ({message})"
            ) from None
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.overloaded = overloaded
        self.worded = worded
        self.terminal = terminal
        self.stops = stops
        self.at: int | None = None  # which of a judge's servers
        super().__init__(message)


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups that is none itself."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
