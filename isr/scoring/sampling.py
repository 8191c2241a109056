"""Of what the units of a comparison are a sample: of images or of clusters of images, of prompts or of these alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from isr.errors import UsageError
from isr.scoring.finished import Contender
from isr.stats.rows import Interval, Prompts, codes
from isr.text import did_you_mean
from isr.types import Ints, Unit

RESERVED = {"arm", "outcome"}  # columns of edits.csv that say nothing of an edit itself


class _Groups:
    """The value of each image, or of each prompt; the first that has two, in words.

    An empty cell of one run contradicts nothing in another; beside a value in the same run it does.
    """

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.seen: dict[tuple[int, str], str] = {}
        self.split = ""

    def add(self, run: int, name: str, value: str) -> None:
        first = self.seen.setdefault((run, name), value)
        held = self.held.setdefault(name, value) if value else self.held.get(name, "")
        if not self.split and (first != value or (value and held != value)):
            pair = sorted({first, value} if first != value else {held, value}, reverse=True)
            self.split = f"{name} in {' and '.join(v or '(empty)' for v in pair[::-1])}"

    @property
    def alone(self) -> int:
        return len({name for _, name in self.seen} - self.held.keys())


_IMAGE = re.compile(r"\bimage(s?)\b")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Of what a comparison's units are a sample.

    ``column`` groups images (those of one person, of one scene) or prompts (those of one template); ``cluster`` and ``templates`` say
    how: the column's value by image_id, or by prompt_id, without those that have none. ``alone``: how many have none.
    ``margin``: against which differences are tested too.
    """

    prompts: Prompts = "fixed"
    column: str = ""
    margin: float | None = None
    cluster: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    alone: int = 0

    @classmethod
    def of(
        cls, found: Sequence[Contender], prompts: Prompts, column: str, margin: float | None = None
    ) -> Sampling:
        """A column with one value for each image groups images; one with one value for each prompt groups prompts.

        An image or a prompt whose cell is empty in every run is a cluster of its own. Raises ``UsageError`` where the column is not
        in every run, says nothing at all, groups neither, or groups prompts that are not taken as a sample.
        """
        if not column:
            return cls(prompts=prompts, margin=margin)
        if column in RESERVED:
            raise UsageError(
                f"--cluster {column}: expected a column that groups images; found what the judge said"
            )
        by_image, by_prompt = _Groups(), _Groups()
        for run, contender in enumerate(found):
            for unit, row in contender.edits.items():
                value = row.columns.get(column)
                if value is None:
                    raise UsageError(
                        f"--cluster {column}: expected a column of every run's edits.csv; found none in that of {contender.name}; "
                        f"{did_you_mean(column, row.columns, 'add it to metadata and score again, or leave --cluster out')}"
                    )
                by_image.add(run, unit.image_id, value)
                by_prompt.add(run, unit.prompt_id, value)
        if not by_image.held:
            raise UsageError(
                f"--cluster {column}: expected a cluster of each image; found that every cell is empty"
            )
        if not by_image.split:
            return cls(
                prompts=prompts, column=column, margin=margin, cluster=by_image.held, alone=by_image.alone
            )
        if by_prompt.split:
            raise UsageError(
                f"--cluster {column}: expected every image in one cluster (or, with --prompts random, every prompt); found "
                f"{by_image.split}, and {by_prompt.split}"
            )
        if prompts == "fixed":
            raise UsageError(
                f"--cluster {column}: it groups prompts, not images ({by_image.split}): expected --prompts random beside it, which "
                f"takes {column} as a sample; fixed prompts are no sample, whatever groups them"
            )
        return cls(
            prompts=prompts, column=column, margin=margin, templates=by_prompt.held, alone=by_prompt.alone
        )

    def images(self, units: Sequence[Unit]) -> Ints:
        """The clusters of units, as codes. An image of no cluster shares a name with none."""
        return codes(
            [
                f"={self.cluster[u.image_id]}" if u.image_id in self.cluster else f" {u.image_id}"
                for u in units
            ]
        )

    def asked(self, units: Sequence[Unit]) -> Ints:
        """The prompts of units, or what groups them, as codes."""
        held = self.templates
        return codes([f"={held[u.prompt_id]}" if u.prompt_id in held else f" {u.prompt_id}" for u in units])

    @property
    def clusters(self) -> str:
        """What the clusters are, for the head of a column."""
        return "clusters" if self.cluster else "images"

    def named(self, text: str) -> str:
        """The text of a method or a note, with the clusters called what they are."""
        if not self.cluster:
            return text
        return _IMAGE.sub(r"cluster\1", text.replace("clustered by image_id", f"clustered by {self.column}"))

    def in_words(self, found: Interval) -> Interval:
        """The interval, its method and its notes :meth:`named`."""
        return replace(found, method=self.named(found.method), notes=tuple(map(self.named, found.notes)))

    def told(self) -> Iterator[str]:
        """That some images are in no cluster, where it is so."""
        if self.alone:
            what = "images" if self.cluster else "prompts"
            yield f"--cluster {self.column}: {self.alone} {what} have an empty cell; each stands as a cluster of its own"


ALL_THERE_IS = Sampling()
"""Units whose images are a sample, each its own cluster, and whose prompts are fixed."""
