"""Which edits are labelled, and in which order each rater sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from isr.canonical import sha256_bytes, sha256_json, short
from isr.edits.directory import EditDirectory
from isr.errors import UsageError
from isr.image_file import decode, read_file
from isr.judging.plan import arms_of
from isr.judging.rubrics import Rubric
from isr.people.judgements import EditInfo, Judgements
from isr.people.labels import QUESTIONS, Label
from isr.people.sampling import Sample, draw, draw_units
from isr.reading import read_bytes
from isr.types import Arm, Edit, ImageRef, Treatment

Kind = Literal["edit", "control", "attention"]
Design = Literal["random", "units", "within_verdict", "disagreement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One picture to label. Paths start at the edit directory, those of attention checks at the study's folder.

    ``expected``: the answers that an attention check must get, by question.
    """

    kind: Kind
    edit_id: str
    prompt: str
    edit: str
    edit_sha256: str
    source: str = ""
    image_id: str = ""
    pi: float | None = None
    stratum: str = ""
    expected: Mapping[str, str] = field(default_factory=dict)
    source_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is fixed before the first click."""

    items: tuple[Item, ...]
    plan: Mapping[str, Any]  # as in plan.json
    guideline: str
    seed: int
    repeat: float  # share of the items that a rater sees twice
    directory: str = ""  # digest of the items, as the directory had them
    options: Mapping[str, Any] = field(default_factory=dict)  # that the study was planned with


def plan_study(
    directory: EditDirectory,
    rubrics: Sequence[Rubric],
    out: Path,
    *,
    design: Design = "random",
    judges: Sequence[Judgements] = (),
    edits: int = 150,
    strata: Sequence[str] = (),
    controls: float = 0.2,
    repeat: float = 0.1,
    attention: int = 4,
    disputed: float = 0.5,
    seed: int = 0,
) -> Study:
    """Draws the edits, control edits and attention checks of a study. Raises ``UsageError``.

    random: every edit with the same chance, within ``strata`` if there are any. units: whole units, the edits of every method
    on each, with the control edits of the same units first. within_verdict: within the judge's
    outcome. disagreement: a share ``disputed`` of the edits on which judges differ. The probabilities are kept.
    """
    _check_ranges(edits, controls, repeat, attention, disputed)
    n = min(edits, len(directory.edits))
    guideline = "+".join(f"{r.name}:{short(r.digest)}" for r in rubrics)
    by_id = {e.edit_id: e for e in directory.edits}
    judged = _judged(directory, judges, design)
    rows = {i: _columns(e) for i, e in by_id.items()}
    by, shares = list(strata), None
    if design == "within_verdict":
        by = ["verdict", *by]
    if design == "disagreement":
        for i, row in rows.items():
            row["disagreement"] = "disputed" if _disputed(i, judges) else "agreed"
        by, share = ["disagreement"], disputed
        shares = {"disputed": share, "agreed": 1 - share}
    if design == "units":
        if strata:
            raise UsageError(
                "--strata: expected none with --design units, which draws from all units alike; leave it out"
            )
        sample = draw_units(judged, rows, n=n, seed=seed, guideline=guideline)
    else:
        sample = draw(judged, rows, n=n, by=by, seed=seed, guideline=guideline, shares=shares)
    items = [_item("edit", by_id[label.edit_id], by_id[label.edit_id].edited, label) for label in sample.rows]
    rng = np.random.default_rng([seed, 1])
    controlled = [e for e, arm in arms_of(directory.edits) if arm is Arm.CONTROL]
    if design == "units":
        drawn = {by_id[label.edit_id].unit for label in sample.rows}
        controlled = [e for e in controlled if e.unit in drawn]
    count = min(round(controls * n), len(controlled))
    for i in sorted(rng.choice(len(controlled), size=count, replace=False).tolist()) if count else ():
        edit = controlled[i]
        if edit.control is not None:
            items.append(_item("control", edit, edit.control, None))
    items += _attention(directory, sample, out, attention, rng)
    plan = {"plan": sample.plan, "design": _calibration_design(design), **sample.content}
    return Study(
        items=tuple(items),
        plan=plan,
        guideline=guideline,
        seed=seed,
        repeat=repeat,
        directory=items_digest(directory, items),
    )


def _check_ranges(edits: int, controls: float, repeat: float, attention: int, disputed: float) -> None:
    for name, value, good, expected in (
        ("edits", edits, edits >= 1, "1 or more"),
        ("controls", controls, 0 <= controls <= 1, "a share from 0 to 1"),
        ("repeat", repeat, 0 <= repeat <= 1, "a share from 0 to 1"),
        ("attention", attention, 0 <= attention <= 1000, "a number from 0 to 1000"),
        ("disputed", disputed, 0 < disputed < 1, "a share above 0 and below 1"),
    ):
        if not good:
            raise UsageError(f"--{name}: expected {expected}; found {value}; correct it")


def _calibration_design(design: Design) -> str:
    """The design that ``isr calibrate`` takes; unequal probabilities are in the labels."""
    return "within_verdict" if design == "within_verdict" else "random"


def _judged(directory: EditDirectory, judges: Sequence[Judgements], design: Design) -> Judgements:
    """The judge that edits are drawn by; without one only what the directory says."""
    known = {e.edit_id: EditInfo(e.unit.image_id, e.edited.sha256) for e in directory.edits}
    if design in ("random", "units"):
        return Judgements(name="", judge="", rubrics={}, verdicts={}, outcomes={}, edits=known)
    if not judges:
        raise UsageError(f"--design {design}: expected a finished run (--judge RUN); found none")
    if design == "disagreement":
        if sum(bool(j.verdicts) for j in judges) < 2:
            raise UsageError(
                "--design disagreement: expected two judges or more; found one; give --judge RUN twice"
            )
        return Judgements(name="", judge="", rubrics={}, verdicts={}, outcomes={}, edits=known)
    judge = judges[-1]
    if missing := sorted(set(known) - set(judge.edits)):
        raise UsageError(f"--judge: expected a run of this directory; it has no answer about {missing[0]}")
    kept = {i: judge.edits[i] for i in known}
    return Judgements(
        name=judge.name,
        judge=judge.judge,
        rubrics=judge.rubrics,
        verdicts=judge.verdicts,
        outcomes=judge.outcomes,
        edits=kept,
        rule=judge.rule,
        signature=judge.signature,
    )


def _disputed(edit: str, judges: Sequence[Judgements]) -> bool:
    return any(
        len({c for j in judges if (c := j.code(question, edit)) is not None and c >= 0}) > 1
        for question in QUESTIONS
    )


def _columns(edit: Edit) -> dict[str, str]:
    named = {c: edit.column(c) for c in ("split", *edit.unit._fields, *Treatment._fields)}
    source = edit.source.path if edit.source else ""
    return {
        **edit.extra,
        **named,
        "file_name": edit.edited.path,
        "source_file_name": source,
        "prompt": edit.prompt,
    }


def _item(kind: Kind, edit: Edit, shown: ImageRef, label: Label | None) -> Item:
    return Item(
        kind=kind,
        edit_id=edit.edit_id,
        prompt=edit.prompt,
        edit=shown.path,
        edit_sha256=shown.sha256,
        source=edit.source.path if edit.source else "",
        image_id=edit.unit.image_id,
        pi=label.pi if label else None,
        stratum=label.stratum if label else "",
        source_sha256=edit.source.sha256 if edit.source else "",
    )


def items_digest(directory: EditDirectory, items: Iterable[Item]) -> str:
    """Digest of what a directory has where the items of a study were: prompts and pictures."""
    by_id = {e.edit_id: e for e in directory.edits}
    rows: list[list[str]] = []
    for item in items:
        edit = by_id.get(item.edit_id)
        if item.kind != "attention":
            shown = None if edit is None else edit.control if item.kind == "control" else edit.edited
            source = edit.source if edit else None
            refs = [(r.path, r.sha256) if r else ("", "") for r in (shown, source)]
            rows.append([item.edit_id, edit.prompt if edit else "", *refs[0], *refs[1]])
    return sha256_json(rows)


def check_plan(study: Study, directory: EditDirectory | None, given: Mapping[str, Any]) -> None:
    """Raises ``UsageError`` if a study was planned of other edits, or with other options than are given now."""
    for name, value in given.items():
        kept = study.options.get(name, value)
        if kept != value:
            raise UsageError(
                f"--{name}: expected {kept!r}, which the study was planned with; found {value!r}; "
                "leave it out, or plan another study with --out"
            )
    if directory and study.directory and items_digest(directory, study.items) != study.directory:
        raise UsageError(
            f"{directory.root}: expected the edits that the study was planned of; found others in their place; "
            "give the directory as it was, or plan another study with --out"
        )


def _attention(
    directory: EditDirectory, sample: Sample, out: Path, count: int, rng: np.random.Generator
) -> Iterator[Item]:
    """Pictures whose right answer is plain: a black one, one of noise, and the source itself as its own edit.

    Without any source there is nothing that could be seen to be unchanged: only the first two.
    """
    sourced = [e for e in directory.edits if e.source is not None]
    with_source = sourced or list(directory.edits)
    kinds = ("black", "noise", "unchanged") if sourced else ("black", "noise")
    folder = out / "attention"
    for number in range(count):
        edit = with_source[int(rng.integers(len(with_source)))]
        ref = edit.source or edit.edited
        image = decode(read_file(directory.root / ref.path))
        kind = kinds[number % len(kinds)]
        if kind == "black":
            image = Image.new("RGB", image.size)
        elif kind == "noise":
            image = Image.fromarray(rng.integers(0, 256, (image.height, image.width, 3), np.uint8))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number}.png"
        image.save(path)
        expected = (
            {"perceptual": "fine"} if kind == "unchanged" else {"semantic": "fails", "perceptual": "fails"}
        )
        digest = sha256_bytes(read_bytes(path))
        yield Item(
            kind="attention", edit_id=f"attention-{number}-{kind}", prompt=edit.prompt, edit=f"attention/{number}.png", edit_sha256=digest,
            source=edit.source.path if edit.source else "", image_id=edit.unit.image_id, expected=expected,
            source_sha256=edit.source.sha256 if edit.source else "",
        )  # fmt: skip


def order_for(study: Study, number: int, first: Sequence[int] = ()) -> list[int]:
    """A rater's own order: all items shuffled, and a share of them once more, far from their first time."""
    rng = np.random.default_rng([study.seed, 7, number])
    rest = [i for i in range(len(study.items)) if i not in set(first)]
    order = [*first, *(rest[i] for i in rng.permutation(len(rest)))]
    again = [i for i in order if study.items[i].kind == "edit"]
    count = min(round(study.repeat * len(again)), len(again))
    early = again[: max(count, len(again) // 2)]
    chosen = (
        [early[i] for i in sorted(rng.choice(len(early), size=count, replace=False).tolist())]
        if count
        else []
    )
    for item in chosen:
        soonest = min(max(order.index(item) + max(len(study.items) // 3, 2), len(first)), len(order))
        order.insert(int(rng.integers(soonest, len(order) + 1)), item)
    return order
