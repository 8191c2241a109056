"""What the steps of a study share: the study, its folder, what was found."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from isr.bench.cells import STEPS, Plan
from isr.bench.comparisons import Family, lines
from isr.bench.material.folder import Material
from isr.bench.progress import Board
from isr.bench.rows import Row
from isr.bench.study import Study
from isr.bench.thesis import Thesis
from isr.scoring.run import Watch
from isr.tables import Table

BY_SPLIT = "general-"


@dataclass(frozen=True)
class Findings:
    """Everything that a study found."""

    rows: tuple[Row, ...]
    families: tuple[Family, ...]
    tables: Mapping[str, Table]
    thesis: Thesis | None

    def text(self) -> str:
        """For the terminal: the main table and the paper's, comparisons, thesis; those by split are in the files."""
        parts = [t.text() for name, t in self.tables.items() if not name.startswith(BY_SPLIT)]
        parts += ["\n".join(lines(f)) + "\n" for f in self.families]
        parts += [self.thesis.text()] if self.thesis else []
        return "\n".join(parts)


class Show(Protocol):
    """Where a run tells how far it is."""

    def say(self, text: str) -> None: ...
    def update(self, board: Board) -> None: ...
    def scoring(self, watch: Watch) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for. ``jobs``: 0 for as many as there are cores, or one where there is a GPU."""

    file: Path
    out: Path
    jobs: int = 0
    steps: tuple[str, ...] = STEPS
    budget_usd: float | None = None
    allow_code: bool = False

    @property
    def root(self) -> Path:
        """What relative paths of the study start from."""
        return self.file.parent


@dataclass(frozen=True)
class Edited:
    """What lies in a folder of edits: the digest of its table and of every file in it, and what made them."""

    digest: str
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Expected:
    """How many images and prompts a data set or a writer is to give; ``seen``: texts that are known already."""

    images: int
    prompts: int
    seen: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Record:
    """What a run has come to so far: notes, exit code, seconds of each step, folders of edits that were looked at;
    whether all pictures were found as they were made."""

    notes: list[str] = field(default_factory=list)
    exit_code: int = 0
    timing: dict[str, float] = field(default_factory=dict)
    edited: dict[str, Edited] = field(default_factory=dict)
    as_made: bool = False

    def note(self, text: str, exit_code: int = 0) -> None:
        """Adds a note that is not there yet; the exit code is the highest of all."""
        self.exit_code = max(self.exit_code, exit_code)
        if text and text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A study that is carried out: its cells, its images as far as they are known. ``board`` and ``record`` are kept
    by the steps: how far it is, and what it has come to. ``weights``: what each place of local weights held when the
    study was opened, by what the study says of it."""

    order: Order
    study: Study
    plan: Plan
    material: Material | None
    expected: Expected = field(default_factory=lambda: Expected(0, 0))
    board: Board = field(default_factory=Board)
    record: Record = field(default_factory=Record)
    weights: Mapping[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.order.out

    @property
    def pairs(self) -> int:
        """Pairs of an image and a prompt, as far as they are known."""
        return len(self.material.prompts) if self.material else self.expected.prompts

    @property
    def pictures(self) -> int:
        return len(self.material.images) if self.material else self.expected.images
