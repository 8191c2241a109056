"""What an ISR cannot say, from the facts of its run: short sentences for the box beside the rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from isr.report.population import INDEPENDENT
from isr.report.runs import ReportRun
from isr.scoring.judge_words import named
from isr.text import counted, plain

FEW_IMAGES = 30
"""Below so many source images the box says how many there are."""
MOST_NAMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the box rests on. ``unprobed``, ``unchecked``: judges without probes, and those that no label was compared with.

    ``purifiers``: those that were tried, none left out. ``shares``: undecided edits and edits of each arm. ``learnt``: whether a threshold was
    learnt from labels.
    """

    judges: tuple[str, ...]
    unprobed: tuple[str, ...]
    unchecked: tuple[str, ...]
    people: bool
    learnt: bool
    rubrics: tuple[str, ...]
    images: int
    prompts: int
    prompts_fixed: bool
    independent: bool
    editors: tuple[str, ...]
    purifiers: tuple[str, ...]
    seeds: int
    controls: bool
    protected_undecided: tuple[int, int]
    control_undecided: tuple[int, int]


def limits(runs: Sequence[ReportRun], checked: Sequence[str] = ()) -> list[str]:
    """The sentences of all runs, each once; one that is not of all runs begins with their names.

    checked: the judges (by name) that people's labels were compared with.
    """
    told: dict[str, list[str]] = {}
    found = [facts(run, checked) for run in runs]
    unprobed, unchecked = (tuple(dict.fromkeys(j for f in found for j in getattr(f, name))) for name in ("unprobed", "unchecked"))  # fmt: skip
    for run, own in zip(runs, found, strict=True):
        of_all = replace(
            own, unprobed=unprobed, unchecked=unchecked
        )  # a judge is named, whatever its run is called
        for sentence in sentences(of_all):
            told.setdefault(sentence, []).append(run.name)
    return [s if len(of) == len(runs) else f"{', '.join(dict.fromkeys(of))}: {s}" for s, of in told.items()]


def facts(run: ReportRun, checked: Sequence[str] = ()) -> Facts:
    """What a run says of itself."""
    rows = [r for r in run.rows if r["arm"] == "protected"]

    def values(column: str) -> tuple[str, ...]:
        return tuple(sorted({plain(r.get(column, "")) for r in rows}))

    parts = run.result.treatments
    control = run.result.control
    qualified = {str(q.get("judge")) for q in run.record.get("qualification", ()) if q.get("verdict")}
    said = {str(j["name"]): named(j) for j in run.result.judges}
    edits = sum(p.counts["edits"] for p in parts)
    return Facts(
        judges=tuple(said.values()),
        unprobed=tuple(words for name, words in said.items() if name not in {*qualified, *run.probes}),
        unchecked=tuple(words for name, words in said.items() if name not in checked),
        people=run.by_people,
        learnt="calibration" in run.settings,
        rubrics=tuple(str(r["name"]) for r in run.result.rubrics),
        images=int(run.result.data["images"]),
        prompts=len(values("prompt_id")),
        prompts_fixed=run.settings.get("prompts", "fixed") == "fixed",
        independent=run.settings.get("interval") in INDEPENDENT,
        editors=values("editor"),
        purifiers=tuple(p for p in values("purifier") if p),
        seeds=len(values("seed")),
        controls=control is not None,
        protected_undecided=(edits - sum(p.counts["decided"] for p in parts), edits),
        control_undecided=(0, 0) if control is None else (control.counts["edits"] - control.counts["decided"], control.counts["edits"]),
    )  # fmt: skip


def sentences(f: Facts) -> Iterator[str]:
    """What the number cannot say, the largest doubt first."""
    if not f.people:
        yield from _of_judges(f)
    if not f.controls:
        yield "How often the editor fails without protection is not known: there are no control edits."
    yield from _of_attacks(f)
    yield from _of_undecided(f)
    yield from _of_sample(f)


def _of_judges(f: Facts) -> Iterator[str]:
    if f.unchecked:
        yield f"Whether people would say the same: no label of these edits was compared with {_listed(f.unchecked)}."
    if f.unprobed:
        yield f"Whether {_listed(f.unprobed)} can answer the two questions at all: {'it was' if len(f.unprobed) == 1 else 'they were'} not probed (isr qualify)."
    if f.learnt:
        yield "What another threshold would give: a failure begins where labels said it does (isr calibrate), not where the rubric does."
    elif f.rubrics:
        yield f"What another threshold would give: what counts as a failure is set by the words of {_listed(f.rubrics)}."


def _of_attacks(f: Facts) -> Iterator[str]:
    if len(f.editors) == 1:
        who = f" ({f.editors[0]})" if f.editors[0] else ""
        yield f"How it does against other editors: all edits are by one{who}."
    else:
        yield f"How it does against editors other than these {len(f.editors)}: {_listed(f.editors)}."
    if f.purifiers:
        yield f"Whether it survives an attacker who adapts to it: of purifiers only {_listed(f.purifiers)} {'were' if len(f.purifiers) > 1 else 'was'} tried."
    else:
        yield "Whether it survives JPEG, resizing or another purifier, or an attacker who adapts to it: none was tried."


def _of_undecided(f: Facts) -> Iterator[str]:
    parts = (("edits of protected images", f.protected_undecided), ("control edits", f.control_undecided))
    said = [f"{n} of {of} {what}" for what, (n, of) in parts if n]
    if said:
        yield f"What the undecided edits are: {' and '.join(said)} have no usable answer, and need not be like the others."


def _of_sample(f: Facts) -> Iterator[str]:
    if f.prompts_fixed:
        what = "the same prompt" if f.prompts == 1 else f"the same {f.prompts} prompts"
        yield f"How it does under other prompts: the intervals speak of new images under {what}."
    if f.images < FEW_IMAGES:
        yield f"Much about other images: it rests on {counted(f.images, 'source image')}."
    if f.seeds == 1:
        yield "How much it changes with the editor's seed: each edit was made with one."
    if f.independent:
        yield "How sure it is for new images: the intervals take edits of one image as independent."


def _listed(names: Sequence[str]) -> str:
    shown = [name or "(no name)" for name in names[:MOST_NAMES]]
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")
