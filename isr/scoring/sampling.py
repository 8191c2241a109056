"""Of what the units of a comparison are a sample: of images or of clusters of images, of prompts or of these alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from isr.errors import UsageError
from isr.scoring.finished import Contender
from isr.stats.rows import Interval, Prompts, codes
from isr.types import Ints, Unit

RESERVED = {"arm", "outcome"}  # columns of edits.csv that say nothing of an edit itself
_IMAGE = re.compile(r"\bimage(s?)\b")


@dataclass(frozen=True)
class Sampling:
    """Of what a comparison's units are a sample.

    ``column`` groups images (those of one person, of one scene), ``cluster`` says how: the column's value by image_id, without
    the images that have none. ``margin``: against which differences are tested too.
    """

    prompts: Prompts = "fixed"
    column: str = ""
    margin: float | None = None
    cluster: Mapping[str, str] = field(default_factory=dict)
    alone: int = 0

    @classmethod
    def of(
        cls, found: Sequence[Contender], prompts: Prompts, column: str, margin: float | None = None
    ) -> Sampling:
        """Raises ``UsageError`` where the column is not in every run, says nothing at all, or splits an image.

        An image whose cell is empty in every run is a cluster of its own.
        """
        if not column:
            return cls(prompts, margin=margin)
        if column in RESERVED:
            raise UsageError(
                f"--cluster {column}: expected a column that groups images; found what the judge said"
            )
        held: dict[str, str] = {}
        images: set[str] = set()
        for contender in found:
            for unit, row in contender.edits.items():
                images.add(unit.image_id)
                value = row.columns.get(column)
                if value is None:
                    raise UsageError(
                        f"--cluster {column}: expected a column of every run's edits.csv; found none in that of {contender.name}; "
                        "add it to metadata and score again, or leave --cluster out"
                    )
                if value and held.setdefault(unit.image_id, value) != value:
                    raise UsageError(
                        f"--cluster {column}: expected every image in one cluster; found {unit.image_id} in {held[unit.image_id]} and "
                        f"{value}; prompts that are a sample are --prompts random"
                    )
        if not held:
            raise UsageError(
                f"--cluster {column}: expected a cluster of each image; found that every cell is empty"
            )
        return cls(prompts, column, margin, held, len(images - held.keys()))

    def images(self, units: Sequence[Unit]) -> Ints:
        """The clusters of units, as codes. An image of no cluster shares a name with none."""
        return codes(
            [
                f"={self.cluster[u.image_id]}" if u.image_id in self.cluster else f" {u.image_id}"
                for u in units
            ]
        )

    def asked(self, units: Sequence[Unit]) -> Ints:
        """The prompts of units, as codes."""
        return codes([u.prompt_id for u in units])

    @property
    def clusters(self) -> str:
        """What the clusters are, for the head of a column."""
        return "clusters" if self.column else "images"

    def named(self, text: str) -> str:
        """The text of a method or a note, with the clusters called what they are."""
        if not self.column:
            return text
        return _IMAGE.sub(r"cluster\1", text.replace("clustered by image_id", f"clustered by {self.column}"))

    def in_words(self, found: Interval) -> Interval:
        """The interval, its method and its notes :meth:`named`."""
        return replace(found, method=self.named(found.method), notes=tuple(map(self.named, found.notes)))

    def told(self) -> Iterator[str]:
        """That some images are in no cluster, where it is so."""
        if self.alone:
            yield f"--cluster {self.column}: {self.alone} images have an empty cell; each stands as a cluster of its own"


ALL_THERE_IS = Sampling()
"""Units whose images are a sample, each its own cluster, and whose prompts are fixed."""
