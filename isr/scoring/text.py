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
from isr.stats.rows import UNEQUAL
from isr.types import Estimate, StoreReason

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
)


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
        yield from _block(treatment)
    if result.control is not None:
        yield ""
        yield "control edits (made without protection)"
        yield from _block(result.control)
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
    yield f"  {'not unanimous':22}{_value('', e):>10}  {_interval('', e):>18}{e.n:>8}{e.clusters:>8}"
    yield f"  {'flip rate':22}{_value('', flips):>10}  {_interval('', flips):>18}{flips.n:>8}{flips.clusters:>8}"
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


def _block(part: Part) -> Iterator[str]:
    yield from _headline(part)
    level = next(iter(part.estimates.values())).level
    kind = "sequence" if any(e.method == METHOD for e in part.estimates.values()) else "interval"
    yield f"  {'':22}{'value':>10}  {f'{level:.0%} {kind}':>18}{'n':>8}{'images':>8}   bounds"
    for name, label in ROWS:
        if name in part.estimates:
            yield _row(name, label, part.estimates[name])
            yield from (
                f"    {text.note_in_words(n)}"
                for n in part.estimates[name].notes
                if _is_told(n, part.estimates[name])
            )
    if kept := part.estimates.get("source_kept"):
        low, high = kept.low, kept.high
        interval = "" if low is None or high is None else f"{low:.2f} to {high:.2f}"
        value = "-" if kept.value is None else f"{kept.value:.2f}"
        yield f"  {'source kept (0 to 4)':22}{value:>10}  {interval:>18}{kept.n:>8}{kept.clusters:>8}"
    yield from _undecided(part.counts)
    for group in part.groups:
        name = text.plain(", ".join(f"{k} {text.value_in_words(k, v)}" for k, v in group.by.items()))
        yield f"  by {name}"
        for estimate, label in (("isr", "ISR"), ("uplift", "uplift over control"), ("control", "control")):
            if estimate in group.estimates:
                yield _row(estimate, f"  {label}", group.estimates[estimate])


def _is_told(note: str, e: Estimate) -> bool:
    """Notes that change how a number is read; a missing value's reason stands in its own row."""
    if e.value is None or note.startswith("design effect"):
        return False
    return (
        e.low is None
        or note.startswith(("read the bounds", TIPPING, UNEQUAL, OUTSIDE))
        or "attacks on each unit" in note
    )


def _headline(part: Part) -> Iterator[str]:
    main = part.estimates.get("isr") or part.estimates["control"]
    if part.headline == "bounds" and main.is_open and main.bounds is not None:
        undecided = part.counts["edits"] - part.counts["decided"]
        low, high = main.bounds
        held = text.open_interval(main)
        yield (
            f"  BETWEEN {low:.1%} AND {high:.1%}{f' ({main.level:.0%} interval {held})' if held else ''}: "
            f"{undecided} of {part.counts['edits']} edits are undecided, too many for one value"
        )


def _row(name: str, label: str, e: Estimate) -> str:
    one = text.difference if name == "uplift" else text.rate
    bounds = "" if e.bounds is None else " to ".join(map(one, e.bounds))
    if held := text.open_interval(e, one):
        bounds += f" ({e.level:.0%}: {held})"
    if e.value is None:
        return f"  {label:22}{'-':>10}  {'; '.join(e.notes)}"
    if e.low is None:
        return f"  {label:22}{_value(name, e):>10}  {'no interval':>18}{e.n:>8}{e.clusters:>8}   {bounds}"
    return f"  {label:22}{_value(name, e):>10}  {_interval(name, e):>18}{e.n:>8}{e.clusters:>8}   {bounds}"


def _value(name: str, e: Estimate) -> str:
    return text.difference(e.value) if name == "uplift" else text.rate(e.value)


def _undecided(counts: Mapping[str, object]) -> Iterator[str]:
    entries = counts["undecided"]
    if isinstance(entries, list) and entries:
        total = int(str(counts["edits"])) - int(str(counts["decided"]))
        yield f"  undecided: {total} of {counts['edits']} edits"
        for e in entries:
            yield f"    {e['n']:>6}  {e['reason']:16} {e['question']:12} {e['judge']}"


def _interval(name: str, e: Estimate) -> str:
    if name == "uplift" and e.low is not None and e.high is not None:
        return f"{text.difference(e.low)} to {text.difference(e.high)}"
    return text.rate_interval(e)
