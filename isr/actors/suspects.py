"""Who is asked again after an actor died, how, and how often: what its death says of the tasks that were in it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from enum import StrEnum

TRIES = 2  # ends of an actor under a task after which the task is asked no more
NODES = 5  # nodes that may die under a task: machines go for reasons of their own
BARREN = 10  # actors that ended one after the other, without a reply of any between them


class Death(StrEnum):
    """How an actor ended."""

    PROCESS = "its process ended"
    MEMORY = "memory ran out"
    SILENT = "it did not reply"
    NODE = "its node died"


@dataclass(kw_only=True)
class Suspects:
    """The tasks that were in actors that died, by their keys.

    All that were in it together are suspects, and each is asked again alone: the one under which an actor ends alone is the
    one to blame. A node that died blames nobody, up to ``NODES`` times.
    """

    ends: Counter[Hashable] = field(default_factory=Counter)
    nodes: Counter[Hashable] = field(default_factory=Counter)
    last: dict[Hashable, Death] = field(default_factory=dict)
    barren: int = 0  # ends in a row without a reply

    def died(self, tasks: Collection[Hashable], death: Death) -> None:
        """An actor died, with these tasks in it."""
        for task in tasks:
            self.last[task] = death
        if death is Death.NODE:
            self.nodes.update(tasks)
            return
        self.ends.update(tasks)
        self.barren += 1

    def ran_out(self, task: Hashable) -> None:
        """A task did not fit into an actor's memory, which lives on; a fresh one has its memory whole."""
        self.last[task] = Death.MEMORY
        self.ends[task] += 1

    def succeeded(self, task: Hashable) -> None:
        """A task was replied to."""
        self.barren = 0
        for counted in (self.ends, self.nodes):
            counted.pop(task, None)
        self.last.pop(task, None)

    def is_alone(self, task: Hashable) -> bool:
        """Whether the task is asked with no other one in its actor."""
        return self.ends[task] > 0

    def is_given_up(self, task: Hashable) -> Death | None:
        """How the actors of a task ended that is asked no more; ``None`` for one that is asked."""
        over = self.ends[task] >= TRIES or self.nodes[task] >= NODES
        return self.last[task] if over else None

    def is_hopeless(self) -> bool:
        """Whether actors end again and again, whatever they are asked."""
        return self.barren >= BARREN
