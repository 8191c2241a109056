"""Cosine similarities of a checkpoint's vectors, as measures: edit with control edit, source and caption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from isr.scoring.measures import CAPTION, PAIRS, SOURCE, Absent, Given, Measure, Wanted
from isr.scoring.measures._checkpoints import Encoder


def similarities(encoder: Encoder, word: str, title: str, pooling: str) -> Iterator[Measure]:
    """``word``: edit with control edit and protected with source; ``word_i``: edit with source.

    ``title``: the family's name; ``pooling``: which vector of the model is compared.
    """
    model = encoder.checkpoint.name
    about = f"cosine of two pictures' vectors ({pooling}), {described(encoder)}"
    yield _cosine(
        encoder,
        f"{word}@{model}",
        f"{title} ({model})",
        f"{about}; edit with control edit, protected with source",
    )
    yield _cosine(
        encoder, f"{word}_i@{model}", f"{title}-I ({model})", f"{about}; edit with source",
        columns={"edit": SOURCE},
    )  # fmt: skip


def caption_similarity(
    encoder: Encoder, wanted: Wanted, word: str, title: str, pooling: str
) -> Iterator[Measure | Absent]:
    """``word_t``: the edit with the caption of what it should show."""
    name = f"{word}_t@{encoder.checkpoint.name}"
    if not wanted.caption:
        yield Absent(name, "it compares the edit with a caption of the target: --caption COLUMN names one")
        return
    yield _cosine(
        encoder, name, f"{title}-T ({encoder.checkpoint.name})",
        f"cosine of edit and caption (column {wanted.caption!r}; {pooling}), not times 100, {described(encoder)}",
        columns={"edit": ("edit", CAPTION)},
    )  # fmt: skip


def described(encoder: Encoder) -> str:
    """Which model, and how it sees pictures."""
    import transformers

    checkpoint = encoder.checkpoint
    return (
        f"{checkpoint.kind} checkpoint {checkpoint.name} ({checkpoint.digest}), transformers {transformers.__version__}, "
        f"picture {encoder.sees}"
    )


def mark_of(encoder: Encoder) -> str:
    import transformers

    return f"transformers={transformers.__version__},{encoder.checkpoint.name}={encoder.checkpoint.digest}"


def _cosine(
    encoder: Encoder,
    name: str,
    title: str,
    definition: str,
    *,
    columns: Mapping[str, tuple[str, ...]] = PAIRS,
) -> Measure:
    def value(given: Given) -> float:
        one, other = encoder.vectors(given)
        return float(one @ other)

    return Measure(
        name=name,
        value=value,
        mark=mark_of(encoder),
        title=title,
        orientation=-1,
        definition=definition,
        prepare=encoder.show,
        cut=encoder.cut,
        columns=columns,
    )
