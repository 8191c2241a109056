"""Samples of judged edits for people to label: strata and inclusion probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isr.canonical import sha256_json
from isr.errors import UsageError
from isr.people.judgements import Judgements
from isr.people.labels import Label
from isr.types import Unit

TABLE_I = (150, 3)
"""Triples and raters of the paper's human study (arXiv 2512.14320, Table I); which strata it used is not known."""
SHOWN = ("file_name", "source_file_name", "prompt")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Edits drawn at random within strata. ``plan`` is the digest of everything that fixed the draw."""

    plan: str
    design: str
    strata: Mapping[str, tuple[int, int]]  # drawn, of all
    rows: tuple[Label, ...]  # one per edit, without a rater
    shown: Mapping[str, Mapping[str, str]]
    content: Mapping[str, Any]


def draw(
    judgements: Judgements,
    rows: Mapping[str, Mapping[str, str]],
    *,
    n: int = TABLE_I[0],
    by: Sequence[str] = ("editor", "method"),
    seed: int = 0,
    guideline: str = "",
    shares: Mapping[str, float] | None = None,
) -> Sample:
    """``n`` edits of a run, each stratum in proportion to its size (largest remainders), at least one of each.

    shares: parts of ``n`` for some strata instead; the known ``pi`` then differ, and calibration weights by them.
    by: columns of the run, or ``verdict`` for the judge's outcome; then the labels hold only for this judge,
    rubric and rule (design ``within_verdict``), else they are a random sample with known ``pi``.
    """
    edits = sorted(judgements.edits)
    if not 1 <= n <= len(edits):
        raise UsageError(f"--edits: expected 1 to {len(edits)}, as many as the run has; found {n}")
    names = {e: _stratum(e, judgements, rows, by) for e in edits}
    strata: dict[str, list[str]] = {}
    for edit in edits:
        strata.setdefault(names[edit], []).append(edit)
    counted = {k: len(v) for k, v in strata.items()}
    sizes = _allocate(counted, n) if shares is None else _shared(counted, n, shares)
    content = {
        "schema": "isr.plan/1",
        "edits": sha256_json([[e, judgements.edits[e].sha256] for e in edits]),
        "by": list(by),
        "strata": {k: [sizes[k], len(v)] for k, v in sorted(strata.items())},
        "seed": seed,
        "guideline": guideline,
    }
    if shares is not None:
        content["shares"] = dict(sorted(shares.items()))
    if "verdict" in by:
        content["instrument"] = judgements.instrument
    plan, rng = sha256_json(content), np.random.default_rng(seed)
    drawn: list[Label] = []
    for stratum, members in sorted(strata.items()):
        chosen = rng.choice(len(members), size=sizes[stratum], replace=False)
        for index in sorted(chosen.tolist()):
            info = judgements.edits[members[index]]
            drawn.append(
                Label(
                    edit_id=members[index],
                    rater="",
                    edit_sha256=info.sha256,
                    image_id=info.image_id,
                    pi=sizes[stratum] / len(members),
                    stratum=stratum,
                    plan=plan,
                    guideline=guideline,
                )
            )
    design = "within_verdict" if "verdict" in by else "random"
    shown = {r.edit_id: {k: rows[r.edit_id].get(k, "") for k in SHOWN} for r in drawn}
    counts = {k: (sizes[k], len(v)) for k, v in sorted(strata.items())}
    return Sample(plan=plan, design=design, strata=counts, rows=tuple(drawn), shown=shown, content=content)


def draw_units(
    judgements: Judgements,
    rows: Mapping[str, Mapping[str, str]],
    *,
    n: int = TABLE_I[0],
    seed: int = 0,
    guideline: str = "",
) -> Sample:
    """Whole units (image, prompt, editor, seed, purifier) at random, about ``n`` edits: those of every method on each.

    So methods are compared by people (``isr compare --labels --design random``): a difference needs labels on both sides of a
    unit. Every unit has the same chance.
    """
    edits = sorted(judgements.edits)
    if not 1 <= n <= len(edits):
        raise UsageError(f"--edits: expected 1 to {len(edits)}, as many as the run has; found {n}")
    units: dict[tuple[str, ...], list[str]] = {}
    for edit in edits:
        units.setdefault(tuple(rows[edit].get(c, "") for c in Unit._fields), []).append(edit)
    count = min(len(units), max(1, round(n * len(units) / len(edits))))
    content = {
        "schema": "isr.plan/1",
        "edits": sha256_json([[e, judgements.edits[e].sha256] for e in edits]),
        "by": ["unit"],
        "strata": {"(every unit)": [count, len(units)]},
        "seed": seed,
        "guideline": guideline,
    }
    plan = sha256_json(content)
    chosen = np.random.default_rng(seed).choice(len(units), size=count, replace=False)
    drawn = [edit for i in sorted(chosen.tolist()) for edit in units[sorted(units)[i]]]
    made = tuple(
        Label(
            edit_id=edit, rater="", edit_sha256=judgements.edits[edit].sha256, image_id=judgements.edits[edit].image_id,
            pi=count / len(units), plan=plan, guideline=guideline,
        )
        for edit in drawn
    )  # fmt: skip
    shown = {r.edit_id: {k: rows[r.edit_id].get(k, "") for k in SHOWN} for r in made}
    counts = {"(every unit)": (count, len(units))}
    return Sample(plan=plan, design="random", strata=counts, rows=made, shown=shown, content=content)


def _stratum(
    edit: str, judgements: Judgements, rows: Mapping[str, Mapping[str, str]], by: Sequence[str]
) -> str:
    words = {1: "immunized", 0: "not immunized"}
    parts = [
        words.get(int(judgements.outcomes[edit]), "undecided") if c == "verdict" else rows[edit].get(c, "")
        for c in by
    ]
    return " / ".join(p or "(empty)" for p in parts)


def _allocate(sizes: Mapping[str, int], n: int) -> dict[str, int]:
    """Shares of ``n`` in proportion to sizes, at least 1 and at most the stratum (largest remainders)."""
    if n < len(sizes):
        raise UsageError(
            f"--edits: expected at least one per stratum ({len(sizes)}); found {n}; use fewer columns"
        )
    total = sum(sizes.values())
    out = {k: max(1, n * size // total) for k, size in sizes.items()}
    order = sorted(sizes, key=lambda k: (-((n * sizes[k] / total) % 1), k))
    while (left := n - sum(out.values())) != 0:
        step = 1 if left > 0 else -1
        able = [k for k in order if (out[k] < sizes[k] if step > 0 else out[k] > 1)]
        for k in able[: abs(left)] if step > 0 else sorted(able, key=lambda k: -out[k])[: abs(left)]:
            out[k] += step
    return out


def _shared(sizes: Mapping[str, int], n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """As many of each stratum as its share of ``n`` asks for; what a stratum lacks goes to the others."""
    out = {k: min(size, max(1, round(n * shares.get(k, 0.0)))) for k, size in sizes.items()}
    while (left := n - sum(out.values())) != 0:
        able = [k for k in sizes if (out[k] < sizes[k] if left > 0 else out[k] > 1)]
        if not able:
            break
        best = max(able, key=lambda k: (sizes[k] - out[k] if left > 0 else out[k], k))
        out[best] += 1 if left > 0 else -1
    return out
