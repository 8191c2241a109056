"""What people say of the edits of several methods, unit by unit, and whether the labels fit how they are said to be drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from isr.calibration.agreement.alpha import MISSING
from isr.canonical import sha256_json, short
from isr.errors import DesignError, InputError, Problem
from isr.people.arms import arms_by_pixels
from isr.people.labels import Consensus, Label, Labels, consensus, one_guideline
from isr.people.meeting import meet, unmet, unmet_told
from isr.scoring.finished import Contender
from isr.types import Unit

PairDesign = Literal["random", "within_verdict"]
SAME = 1e-9
"""Probabilities of being drawn that differ by less are one."""


@dataclass(frozen=True, kw_only=True)
class LabelChoices:
    """How labelled units were chosen, and how labels become one word of an edit.

    design: ``random``, or ``within_verdict``: at random within the cells of the two methods' verdicts. plan: of labels within
    verdict that name one; instruments: by what the compared runs were judged, to be held against it.
    """

    design: PairDesign
    consensus: Consensus = "majority"
    pool_guidelines: bool = False
    allow_unmatched: bool = False
    plan: Mapping[str, Any] | None = None
    instruments: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class PeopleOnUnits:
    """By contender: the outcome that people saw, 1 immunized, 0 not, by unit; and the labelled units that came to none."""

    said: Mapping[str, Mapping[Unit, int]]
    unsettled: Mapping[str, frozenset[Unit]]
    guideline: str
    warnings: tuple[str, ...]
    unmatched: int = 0


def people_on_units(
    contenders: Sequence[Contender],
    labels: Labels,
    choices: LabelChoices,
    controls: frozenset[tuple[str, str]] = frozenset(),
    unprotected: Sequence[Contender] = (),
) -> PeopleOnUnits:
    """Labels meet the contenders' edits by ``edit_id`` and pixels. controls: (edit_id, digest) of control edits.

    unprotected: contenders whose edits are control edits; they meet the labels of that arm, by pixels where a label names them.

    Raises ``InputError`` where a label is of other pixels than the judged ones, where it could be of several, where it meets
    no edit or there is none; ``DesignError`` where labels do not fit the design.
    """
    guideline = one_guideline(labels, pool=choices.pool_guidelines)
    places = _places(contenders)
    edits = {(edit, digest) for edit, found in places.items() for *_, digest in found}
    known = {*places, *_places(unprotected)}
    every = arms_by_pixels(meet(labels, known), controls - edits)
    met = every.of_arm(control=False)
    if not met.rows:
        raise InputError(
            "isr compare --labels: expected labels of protected edits; found those of control edits only"
        )
    warnings = [*labels.notes, *_check_unmet(met, places, choices)]
    if len(labels.guidelines) > 1:
        warnings.append(f"labels of several guidelines were pooled: {guideline}")
    _check_pixels(met, places)
    warnings += [*_check_plan(met, choices), *_by_name(contenders, met, edits)]
    said, unsettled = {}, {}
    for contender in (*contenders, *unprotected):
        of_controls = contender in unprotected
        own = (
            _of_controls(contender, every.of_arm(control=True))
            if of_controls
            else _own(contender, met, edits)
        )
        if not of_controls:
            _check_probabilities(contender, own, choices)
        said[contender.name], unsettled[contender.name] = _by_unit(contender, own, choices.consensus)
    return PeopleOnUnits(
        said=said,
        unsettled=unsettled,
        guideline=guideline,
        warnings=tuple(warnings),
        unmatched=len(unmet(met, places)),
    )


Place = tuple[str, Unit, str]  # contender, unit, digest of the edit's pixels


def _places(contenders: Sequence[Contender]) -> dict[str, list[Place]]:
    """Where each edit_id stands."""
    found: dict[str, list[Place]] = {}
    for contender in contenders:
        for unit, row in contender.edits.items():
            place = (contender.name, unit, row.columns.get("edit_sha256", ""))
            found.setdefault(row.columns["edit_id"], []).append(place)
    return found


def _check_unmet(labels: Labels, places: Mapping[str, list[Place]], choices: LabelChoices) -> Iterator[str]:
    lost = unmet(labels, places)
    if not lost:
        return
    told = unmet_told(lost, labels, places)
    if len(lost) == len(labels.edits):
        raise InputError(f"isr compare --labels: {told}; give the labels that were made of these runs")
    if not choices.allow_unmatched:
        raise DesignError(
            f"isr compare --labels: {told}; a sample that lost some of its edits is not the sample that --design "
            f"{choices.design} claims; correct the ids, or say --allow-unmatched if they are edits of other methods"
        )
    yield f"{told}; they are left out"


def _check_pixels(labels: Labels, places: Mapping[str, list[Place]]) -> None:
    """A label is of pixels: of those that it names, or of the only ones that its edit_id has."""
    problems = []
    for (edit, digest), row in {(r.edit_id, r.edit_sha256): r for r in labels.rows}.items():
        found = sorted({d for *_, d in places.get(edit, ())})
        if not found:
            continue
        if digest and digest not in found and "" not in found:
            what = f"{digest[:19]}, judged {', '.join(d[:19] for d in found)}"
            fix = "labels belong to pixels: label this image, or judge the labelled one"
            problems.append(Problem(edit, "edit_sha256", "the digest of the judged image", what, fix))
        elif not digest and (len(found) > 1 or (found == [""] and len(places[edit]) > 1)):
            methods = ", ".join(dict.fromkeys(c for c, *_ in places[edit]))
            fix = "write each label's edit_sha256, as isr label does: one edit_id can be many edits"
            problems.append(
                Problem(
                    row.rater,
                    f"edit_id {edit}",
                    "a label of one edit",
                    f"edits of {methods} under this id",
                    fix,
                )
            )
    if problems:
        raise InputError(
            f"isr compare --labels: {len(problems)} label(s) of other or of unknown images", problems
        )


def _own(contender: Contender, labels: Labels, edits: Collection[tuple[str, str]]) -> Labels:
    """The labels of a contender's edits. edits: (edit_id, digest) of all contenders' ones.

    A label that names the pixels of some edit is of that one, and of none that has its edit_id and no digest.
    """
    pixels = {row.columns["edit_id"]: row.columns.get("edit_sha256", "") for row in contender.edits.values()}

    def is_own(row: Label) -> bool:
        if row.edit_id not in pixels:
            return False
        held = pixels[row.edit_id]
        if not row.edit_sha256 or held == row.edit_sha256:
            return True
        return not held and (row.edit_id, row.edit_sha256) not in edits

    return replace(labels, rows=tuple(r for r in labels.rows if is_own(r)))


def _by_name(
    contenders: Sequence[Contender], labels: Labels, edits: Collection[tuple[str, str]]
) -> Iterator[str]:
    """That labels which name their pixels meet a run's edits by edit_id alone, as it has no digests."""
    for contender in contenders:
        own = _own(contender, labels, edits)
        named = sum(bool(r.edit_sha256) and (r.edit_id, r.edit_sha256) not in edits for r in own.rows)
        if named:
            yield f"{contender.name}: {named} labels name their pixels, and the run has no digests: they meet by edit_id alone"


def _of_controls(contender: Contender, labels: Labels) -> Labels:
    """The labels of a contender's control edits, each under the ``edit_id`` that the edit stands under here.

    One control edit is that of several protected ones, and labels may name any of them: pixels say which it is.
    """
    here: dict[str, list[str]] = {}
    for row in contender.edits.values():
        here.setdefault(row.columns.get("edit_sha256", ""), []).append(row.columns["edit_id"])
    ids = {row.columns["edit_id"] for row in contender.edits.values()}
    found: dict[tuple[str, str], Label] = {}
    for label in labels.rows:
        own = (
            here.get(label.edit_sha256, []) if label.edit_sha256 else [label.edit_id] * (label.edit_id in ids)
        )
        for edit in own:
            made = replace(label, edit_id=edit)
            first = found.setdefault((edit, label.rater), made)
            if first.outcome != made.outcome:
                what = f"two, which differ, of one control edit ({label.edit_sha256[:19]})"
                problem = Problem(
                    label.rater, "rater", "one label per rater and edit", what, "drop one of them"
                )
                raise InputError("isr compare --labels: labels contradict each other", [problem])
    return replace(labels, rows=tuple(found.values()))


def _by_unit(contender: Contender, own: Labels, rule: Consensus) -> tuple[dict[Unit, int], frozenset[Unit]]:
    edits = own.edits
    if not edits:
        return {}, frozenset()
    units = {row.columns["edit_id"]: unit for unit, row in contender.edits.items()}
    codes = dict(zip(edits, consensus(own.codes(edits, "outcome"), rule).tolist(), strict=True))
    said = {units[e]: code for e, code in codes.items() if code != MISSING}
    return said, frozenset(units[e] for e, code in codes.items() if code == MISSING)


def _check_probabilities(contender: Contender, own: Labels, choices: LabelChoices) -> None:
    """Of a pair of edits nobody knows how probable it was to draw both, where edits were drawn with unequal probabilities."""
    units = {row.columns["edit_id"]: row for row in contender.edits.values()}
    groups: dict[float | None, list[float]] = {}
    for row in own.first.values():
        if row.pi is not None:
            outcome = units[row.edit_id].outcome if choices.design == "within_verdict" else None
            key = None if outcome is None or outcome != outcome else outcome
            groups.setdefault(key, []).append(row.pi)
    uneven = [g for g in groups.values() if max(g) - min(g) > SAME]
    if uneven:
        raise DesignError(
            f"isr compare --labels: {contender.name}: expected labels drawn with one probability"
            f"{' within each verdict' if choices.design == 'within_verdict' else ''}; found pi from {min(uneven[0]):g} to "
            f"{max(uneven[0]):g}: how probable it was that both edits of a unit were drawn is not known; draw units with one probability"
        )


def _check_plan(labels: Labels, choices: LabelChoices) -> Iterator[str]:
    """Labels within verdict hold for the instrument whose verdicts made the strata; labels called random name none."""
    if choices.design == "random":
        named = [r for r in labels.rows if _strata(r) and r.pi is None]
        if named:
            raise DesignError(
                f"isr compare --design random: {len(named)} labels name a plan or a stratum without their probability (column pi): "
                "they were not drawn at random from all units; say --design within_verdict with their --plan"
            )
        return
    plans = [p for p in labels.plans if p]
    if not plans:
        yield "the labels name no plan: nothing shows that their strata were this judge's verdicts"
        return
    if choices.plan is None:
        raise DesignError(
            f"isr compare --design within_verdict: labels name the plan {', '.join(map(short, plans))}; expected that plan; found "
            "none; give it with --plan plan.json"
        )
    content = {k: v for k, v in choices.plan.items() if k not in ("plan", "design")}
    digest = sha256_json(content)
    if plans != [digest]:
        raise DesignError(
            f"--plan: expected the plan of the labels ({', '.join(map(short, plans))}); found {short(digest)}"
        )
    if any(content.get("instrument") != one for one in choices.instruments):
        raise DesignError(
            "--plan: expected strata made by the verdicts of the judge, rubrics, rule and thresholds of the compared runs; found "
            "another instrument; labels within verdict hold only for the one that made the strata"
        )


def _strata(row: Label) -> bool:
    return bool(row.plan or row.stratum)
