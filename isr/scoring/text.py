"""The result as a readable table in plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isr import text
from isr.edits.pictures import Level
from isr.judging.stopping import TECHNICAL
from isr.scoring.estimates import TIPPING
from isr.scoring.judge_words import Answered, judges_told
from isr.scoring.result import Part, Result, TreatmentPart
from isr.scoring.sequenced import METHOD, OUTSIDE
from isr.scoring.shown import Shown, shown, shown_in
from isr.stats.rows import UNEQUAL
from isr.types import StoreReason

ROWS = (
    ("isr", "ISR"),
    ("isr_semantic", "  semantic fails"),
    ("isr_perceptual", "  perceptual fails"),
    ("isr_both", "  both"),
    ("isr_conditional", "ISR, control fine"),
    ("uplift", "uplift over control"),
    ("isr_worst", "ISR, worst attack"),
    ("isr_with_refusals", "ISR, refusals count"),
    ("control", "control"),
    ("control_semantic", "  semantic fails"),
    ("control_perceptual", "  perceptual fails"),
    ("control_both", "  both"),
    ("source_kept", "source kept (0 to 4)"),
)


def in_order(found: Mapping[str, Shown]) -> list[Shown]:
    """Estimates in the order in which they are printed; those that it does not know come last."""
    names = [name for name, _ in ROWS]
    return [found[n] for n in [*(n for n in names if n in found), *(n for n in found if n not in names)]]


def render(result: Result, answers: Sequence[Answered] = ()) -> str:
    """The whole result: one block for each treatment, one for the control edits, notes, the signature.

    answers: who gave them, and when; with them each judge is described in full.
    """
    lines = list(_lines(result, answers))
    return "\n".join(lines) + "\n"


def left_open(
    unfinished: Mapping[str, int], store: Path, advice: str = "run the same command again to fill them"
) -> list[str]:
    """What to do about the requests without a reply that can be used, in sentences; none if there are none.

    unfinished: their numbers by reason. advice: for those that got no reply.
    """
    missing = ", ".join(
        f"{n} {reason}" for reason, n in sorted(unfinished.items()) if reason != StoreReason.DAMAGED
    )
    said = [f"without a reply: {missing}; {advice}"] if missing else []
    if damaged := unfinished.get(StoreReason.DAMAGED):
        said.append(
            f"{damaged} answers in {store} are not what their digests say (rot, or an edit of the file) and were not "
            f"used; `isr store recover {store}` saves all others, then run the same command again to ask for these"
        )
    return said


def nothing_decided(result: Result, store: Path) -> str:
    """That not one edit is decided, why, and what to do; ``""`` where one is."""
    reasons: Counter[str] = Counter()
    for part in [*result.treatments, *([result.control] if result.control else [])]:
        for entry in part.counts["undecided"]:
            reasons[entry["reason"]] += entry["n"]
    if result.decided or not reasons:
        return ""
    counted = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
    worst = reasons.most_common(1)[0][0]
    again = (
        f"once the judge is mended, `isr store discard {store} --reason {worst}` puts its useless answers aside, and the "
        "same command asks anew (isr judges check says what is wrong)"
        if worst in TECHNICAL
        else "isr judges check shows what the judge does"
    )
    return f"not one edit is decided ({counted}); {again}"


def _lines(result: Result, answers: Sequence[Answered]) -> Iterator[str]:
    data = result.data
    of = f" (of {result.until['of']})" if result.until else ""
    edits, images = text.counted(data["edits"], "edit"), text.counted(data["images"], "image")
    yield f"{edits} of {images}{of}, {text.counted(data['controls'], 'control edit')}"
    yield from judges_told(result.judges, result.rule, answers)
    for seen in result.pictures:
        if seen["level"] != Level.NOTE:
            accepted = "accepted: " if seen["level"] == Level.REFUSAL else ""
            yield f"WARNING: {accepted}{text.plain(seen['text'])}"
    for treatment in result.treatments:
        yield ""
        yield _title(treatment)
        yield from _block(result, treatment)
    if result.control is not None:
        yield ""
        yield "control edits (made without protection)"
        yield from _block(result, result.control)
    else:
        yield ""
        yield "no control edits: how often the editor fails by itself is not known"
    for entry in result.reliability:
        yield ""
        yield from _reliability(entry)
    yield ""
    for note in map(text.plain, (*result.notes, *result.remarks)):
        yield f"note: {note}"
    for seen in result.pictures:
        if seen["level"] == Level.NOTE:
            yield f"note: {text.plain(seen['text'])}"
    for said in result.answered:
        yield f"{said['level']}: {text.plain(said['text'])}"
    yield f"signature: {result.signature}"


def _reliability(entry: Mapping[str, Any]) -> Iterator[str]:
    e, flips, alpha = (entry[name] for name in ("not_unanimous", "flip_rate", "alpha"))
    yield f"{entry['repeats']} repeats, {entry['judge']}, {entry['question']} ({entry['measures']})"
    for label, one in (("not unanimous", e), ("flip rate", flips)):
        yield f"  {label:22}{text.rate(one.value):>10}  {text.rate_interval(one):>18}{one.n:>8}{one.clusters:>8}"
    if alpha.value is None:
        yield f"  {'alpha across repeats':22}{'-':>10}  {'; '.join(alpha.notes)}"
    else:
        span = "no interval" if alpha.low is None else f"{alpha.low:.3f} to {alpha.high:.3f}"
        yield f"  {'alpha across repeats':22}{alpha.value:>10.3f}  {span:>18}{alpha.n:>8}{alpha.clusters:>8}"
    yield f"  {entry['advice']}"
    yield f"  {'; '.join(entry['notes'])}"


def _title(part: TreatmentPart) -> str:
    t = part.treatment
    named = {"method": t.method, "config": t.config, "eps": t.eps, "surrogate": t.surrogate}
    return text.plain(", ".join(f"{k} {v}" for k, v in named.items() if v)) or "no method named"


def _block(result: Result, part: Part) -> Iterator[str]:
    yield from _headline(part)
    level = next(iter(part.estimates.values())).level
    kind = "sequence" if any(e.method == METHOD for e in part.estimates.values()) else "interval"
    every = shown_in(result, part)
    groups = [(group, shown_in(result, group)) for group in part.groups]
    some = [*every.values(), *(one for _, found in groups for one in found.values())]
    wide = (max(10, *(len(s.value) for s in some)), max(8, *(2 + len(s.size) for s in some)))
    yield f"  {'':22}{'value':>{wide[0]}}  {f'{level:.0%} {kind}':>18}{'n':>{wide[1]}}{'images':>8}   bounds"
    for name, label in ROWS:
        if name in every:
            yield _row(label, every[name], wide)
            notes = every[name].estimate.notes
            yield from (f"    {text.note_in_words(n)}" for n in notes if _is_told(n, every[name]))
    yield from _undecided(part.counts)
    for group, found in groups:
        yield f"  by {text.group_in_words(group.by)}"
        for estimate, label in (("isr", "ISR"), ("uplift", "uplift over control"), ("control", "control")):
            if estimate in found:
                yield _row(f"  {label}", found[estimate], wide)


def _is_told(note: str, one: Shown) -> bool:
    """Notes that change how a number is read; a missing value's reason stands in its own row."""
    if one.kind == "nothing" or note.startswith("design effect") or one.name == "source_kept":
        return False
    return (
        one.estimate.low is None
        or note.startswith(("read the bounds", TIPPING, UNEQUAL, OUTSIDE))
        or "attacks on each unit" in note
    )


def _headline(part: Part) -> Iterator[str]:
    name = "isr" if "isr" in part.estimates else "control"
    main = shown(name, part.estimates[name], part.headline)
    if main.is_range:
        undecided = part.counts["edits"] - part.counts["decided"]
        held = main.spanned(main.one)
        yield (
            f"  BETWEEN {main.written(main.one, ' AND ')}{f' ({main.estimate.level:.0%} interval {held})' if held else ''}: "
            f"{undecided} of {part.counts['edits']} edits are undecided, too many for one value"
        )


def _row(label: str, one: Shown, wide: tuple[int, int]) -> str:
    if one.kind == "nothing":
        return f"  {label:22}{one.value:>{wide[0]}}  {one.reason}"
    left = one.left_open.replace(" (", f" ({one.estimate.level:.0%}: ") if one.held else one.left_open
    line = f"  {label:22}{one.value:>{wide[0]}}  {one.span:>18}{one.size:>{wide[1]}}{one.estimate.clusters:>8}   {left}"
    return line.rstrip() if one.name == "source_kept" or one.is_range else line


def _undecided(counts: Mapping[str, object]) -> Iterator[str]:
    entries = counts["undecided"]
    if isinstance(entries, list) and entries:
        total = int(str(counts["edits"])) - int(str(counts["decided"]))
        yield f"  undecided: {total} of {counts['edits']} edits"
        for e in entries:
            yield f"    {e['n']:>6}  {e['reason']:16} {e['question']:12} {e['judge']}"
