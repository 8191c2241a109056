"""The paragraph under a figure: what is shown, interval, level, n, judges by name and model, signatures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from isr.report.paper import INTERVALS
from isr.report.runs import ReportRun
from isr.scoring.judge_words import described
from isr.text import counted, plain

MOST_NAMES = 8  # rows that a caption names
Counts = Iterable[tuple[str, int, int]]
"""Name, edits and images of each row."""


def caption(runs: Sequence[ReportRun], shown: str, n: str, *, signature: bool = True) -> str:
    """The whole paragraph. shown: its first sentences. n: of what, in a sentence."""
    return " ".join(filter(None, (shown, n, judged(runs), signatures(runs) if signature else "")))


def intervals(runs: Sequence[ReportRun]) -> str:
    """``95% logit-t intervals with standard errors clustered by source image``."""
    said = dict.fromkeys(
        f"{percent_level(r.level)} {INTERVALS.get(r.settings.get('interval', ''), 'intervals')}" for r in runs
    )
    return " and ".join(said)


def percent_level(level: float) -> str:
    """``95%``, ``99.5%``."""
    return f"{100 * level:g}%"


def sizes(rows: Counts, word: str = "edit") -> str:
    """``n = 124 edits of 48 images (noise) and 144 edits of 48 images (sifm; spin).``

    word: what n counts. Said once where all are alike; as a range where there are many rows, or rows of one name differ (by several judges).
    """
    found: dict[tuple[int, int], list[str]] = {}
    for name, edits, images in rows:
        names = found.setdefault((edits, images), [])
        if name not in names:
            names.append(name)
    every = [name for names in found.values() for name in names]
    if len(found) == 1:
        ((edits, images),) = found
        said = (
            f"{counted(edits, word)} of {counted(images, 'image')}{' in each row' if len(every) > 1 else ''}"
        )
    elif len(every) > MOST_NAMES or len(set(every)) < len(every):
        (fewest, most), (least, greatest) = ((min(ns), max(ns)) for ns in zip(*found, strict=True))
        of = f"{least} to {greatest}" if least < greatest else f"{least}"
        said = (
            f"{fewest} to {most} {word}s of {of} images"
            if fewest < most
            else f"{most} {word}s of {of} images"
        )
    else:
        said = " and ".join(
            f"{counted(edits, word)} of {counted(images, 'image')} ({'; '.join(names)})"
            for (edits, images), names in found.items()
        )
    return f"n = {said}."


def judged(runs: Sequence[ReportRun]) -> str:
    """``Judged by second (replayed-second-7b, revision not pinned; ...).``"""
    said = dict.fromkeys(
        " and ".join(described(j, r.answered) for j in r.result.judges)
        + (f", joined by the rule '{r.result.rule}'" if len(r.judges) > 1 else "")
        for r in runs
    )
    return f"Judged by {'; by '.join(said)}."


def signatures(runs: Sequence[ReportRun]) -> str:
    """``Signature: ...``, each once."""
    said = dict.fromkeys(r.result.signature for r in runs)
    return f"Signature{'s' if len(said) > 1 else ''}: {plain(' ; '.join(said))}."
