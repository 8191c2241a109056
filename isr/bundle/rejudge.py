"""Asks a judge of one's own about a sample of a bundle's edits."""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from isr.bundle.opened import Opened, Rejudged, file_state
from isr.calibration.agreement.summary import two_rater_agreement
from isr.canonical import sha256_bytes
from isr.errors import UsageError
from isr.judging.cards import Panel
from isr.judging.judged import Judged, judged_edits
from isr.judging.loop import judge_all
from isr.judging.store import Store
from isr.reading import read_bytes
from isr.scoring.bundle_file import Bundle
from isr.scoring.finished import OUTCOME
from isr.scoring.judge_words import judge_record, named
from isr.scoring.outcomes import Ballot, outcomes
from isr.types import Arm, Edit, ImageRef, Question


def rejudge(
    bundle: Bundle, opened: Opened, panel: Panel, n: int, *, data: Path | None = None, seed: int = 0
) -> Rejudged:
    """Asks another judge about ``n`` protected edits, drawn at random among those that were decided.

    Raises ``UsageError`` where their images are not at hand, ``JudgeError`` if the judge cannot be used.
    """
    given = {r["edit_id"]: r for r in _rows(bundle) if r["arm"] == Arm.PROTECTED}
    decided = [
        e for e in opened.plan.edits if OUTCOME.get(given.get(e.edit_id, {}).get("outcome", "")) in (0.0, 1.0)
    ]
    if not 1 <= n <= len(decided):
        raise UsageError(f"--rejudge: expected 1 to {len(decided)}, as many as were decided; found {n}")
    chosen = np.random.default_rng(seed).choice(len(decided), size=n, replace=False)
    edits = tuple(replace(decided[i], control=None) for i in sorted(chosen.tolist()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        local = [_placed(e, bundle, data, folder) for e in edits]
        plan = replace(
            opened.plan,
            root=folder,
            edits=local,
            panel=panel,
            repeats=1,
            reask=frozenset(),
            recalibrations=(),
        )
        with Store(folder / "again.db") as store:
            asyncio.run(judge_all(plan, store))
            judged = list(judged_edits(plan, store))
    return replace(_compared(judged, given, panel), seed=seed)


def _rows(bundle: Bundle) -> list[dict[str, str]]:
    csv.field_size_limit(16 * 2**20)
    return list(csv.DictReader(io.StringIO(bundle.read("edits.csv").decode("utf-8", "replace"), newline="")))


def _placed(edit: Edit, bundle: Bundle, data: Path | None, folder: Path) -> Edit:
    """The edit with its images under names of our own."""
    moved: dict[str, ImageRef] = {}
    for role in ("edited", "source"):
        ref = getattr(edit, role)
        if ref is None:
            continue
        if inside := bundle.images.get(ref.sha256):
            content = bundle.read(inside)
        elif data is not None and not file_state(data, ref):
            content = read_bytes(data / ref.path)
        else:
            raise UsageError(
                f"--rejudge: expected the image {ref.path} as it was judged; found none in the bundle"
                f"{f' nor in {data}' if data else ''}; give its folder with --data EDIT_DIR"
            )
        if sha256_bytes(content) != ref.sha256:
            raise UsageError(f"--rejudge: expected the image {ref.path} as it was judged; found other bytes")
        name = ref.sha256.partition(":")[2]
        (folder / name).write_bytes(content)
        moved[role] = ImageRef(name, ref.sha256)
    return replace(edit, edited=moved["edited"], source=moved.get("source"), protected=None)


def _compared(judged: Sequence[Judged], given: Mapping[str, Mapping[str, str]], panel: Panel) -> Rejudged:
    words = {"immunized": 1, "not_immunized": 0}
    image, theirs, ours = [], [], []
    said: dict[str, list[tuple[str, int, int]]] = {q.value: [] for q in Question}
    for one in judged:
        row = given[one.edit.edit_id]
        ballot = Ballot.empty(len(panel.members), 1)
        for (judge, question), verdicts in one.verdicts.items():
            ballot.cast(judge, question, 0, verdicts)
        word = outcomes(ballot, panel.rule).word(0)
        if word in words:
            image.append(one.edit.cluster)
            theirs.append(words[row["outcome"]])
            ours.append(words[word])
        for question in Question:
            before = [v for k, v in row.items() if k.endswith(f":{question.value}")]
            now = one.verdicts[0, question][0].value
            if (
                len(before) == 1
                and before[0] in ("fails", "fine")
                and now in ("fails", "fine")
                and len(panel.members) == 1
            ):
                said[question.value].append(
                    (one.edit.cluster, int(before[0] == "fails"), int(now == "fails"))
                )
    return Rejudged(
        judge=", ".join(named(judge_record(card)) for card in panel.members),
        asked=len(judged),
        undecided=len(judged) - len(ours),
        outcome=two_rater_agreement(ours, theirs, np.array(image, np.str_)),
        questions={
            q: two_rater_agreement(
                [c for *_, c in found], [b for _, b, _ in found], np.array([a for a, *_ in found], np.str_)
            )
            for q, found in said.items()
            if found
        },
    )
