"""What goes into a paper: a LaTeX table, the same as CSV, and a methods sentence that is ready to paste."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isr import text
from isr.canonical import short
from isr.report.forest import treatment_title
from isr.report.population import population
from isr.report.runs import ReportRun
from isr.scoring.judge_words import described
from isr.scoring.result import Part, Result
from isr.scoring.sequenced import SEQUENCE
from isr.scoring.text import ROWS
from isr.tables import csv_table, tex
from isr.types import Estimate

_LABELS = {
    "logit-t": "logit-t intervals with standard errors clustered by source image",
    "korn-graubard": "Korn-Graubard intervals clustered by source image",
    "wilson": "Wilson intervals, edits taken as independent",
    "clopper-pearson": "Clopper-Pearson intervals, edits taken as independent",
    "jeffreys": "Jeffreys intervals, edits taken as independent",
    SEQUENCE: "betting confidence sequences of image means, which hold at every look (Waudby-Smith and Ramdas 2024)",
}


def _parts(runs: Sequence[ReportRun]) -> Iterator[tuple[ReportRun, str, Part]]:
    for run in runs:
        for part in run.result.treatments:
            yield run, treatment_title(part.treatment), part
        if run.result.control is not None:
            yield run, "control (no protection)", run.result.control


def latex(runs: Sequence[ReportRun]) -> str:
    """A table with booktabs' rules: rate, interval, decomposition, uplift, n, images, undecided."""
    several = len(runs) > 1
    head = ["run"] if several else []
    head += [
        "method",
        "ISR (\\%)",
        "semantic",
        "perceptual",
        "both",
        "uplift (pp)",
        "$n$",
        "images",
        "undecided",
    ]
    lines = [
        "% " + r"\usepackage{booktabs}",
        *(f"% {r.name}: {r.result.signature}".replace("\n", " ") for r in runs),
        *(f"% {r.name}: judged by {described(j, r.answered)}" for r in runs for j in r.result.judges),
        *(
            f"% {level.upper()}, {r.name}: {text}".replace("\n", " ")
            for r in runs
            for level, text in r.result.told
        ),
        r"\begin{tabular}{" + "l" * (1 + several) + "rrrrrrrr" + "}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
    ]
    for run, title, part in _parts(runs):
        control = "control" in part.estimates
        name = "control" if control else "isr"
        e = part.estimates
        undecided = part.counts["edits"] - part.counts["decided"]
        cells = [tex(run.name)] if several else []
        cells += [tex(title), _tex_rate(e.get(name), part.headline)]
        cells += [_bare(e.get(f"{name}_{kind}")) for kind in ("semantic", "perceptual", "both")]
        cells += [_tex_uplift(e.get("uplift")), str(e[name].n), str(e[name].clusters)]
        told = part.headline == "bounds"  # in the cell of the rate
        cells += [f"{undecided}{'' if told else _tex_open(e[name])}"]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _tex_rate(e: Estimate | None, headline: str) -> str:
    if e is None:
        return "--"
    if headline == "bounds" and e.is_open:
        held = text.open_interval(e, _hundredths, ", ")
        told = f" [{held}]" if held else f" (decided edits: {_tex_own(e)})"
        return f"between {text.open_range(e, _hundredths, ' and ')}{told}"
    return _tex_own(e)


def _tex_own(e: Estimate) -> str:
    """The value of decided edits with its interval."""
    if e.value is None:
        return "--"
    span = "" if e.low is None or e.high is None else f" [{100 * e.low:.1f}, {100 * e.high:.1f}]"
    return f"{100 * e.value:.1f}{span}"


def _tex_open(e: Estimate) -> str:
    """How far the undecided edits leave a rate open, with the interval that holds whatever they are."""
    held = text.open_interval(e, _hundredths, ", ")
    return f" ({text.open_range(e, _hundredths)} [{held}])" if held else ""


def _hundredths(value: float) -> str:
    return f"{100 * value:.1f}"


def _bare(e: Estimate | None) -> str:
    if e is None or e.value is None:
        return "--"
    return f"{100 * e.value:.1f}{_tex_open(e)}"


def _tex_uplift(e: Estimate | None) -> str:
    if e is None or e.value is None:
        return "--"
    span = "" if e.low is None or e.high is None else f" [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"
    held = text.open_interval(e, text.points, ", ")
    more = f" ({text.open_range(e, text.points)} [{held}])" if held else ""
    return f"${100 * e.value:+.1f}$" + span + more


def estimates_csv(runs: Sequence[ReportRun]) -> str:
    """Every estimate of every run with its interval, bounds, n and signature, unrounded."""
    header = (
        "run", "part", "estimate", "value", "low", "high", "level", "bound_low", "bound_high", "identified_low",
        "identified_high", "n", "images", "edits", "decided", "method", "notes", "signature",
    )  # fmt: skip
    rows = [
        (
            run.name, title, name, e.value, e.low, e.high, e.level, *(e.bounds or (None, None)),
            *(e.identified or (None, None)), e.n, e.clusters, part.counts["edits"], part.counts["decided"], e.method, "; ".join(e.notes), run.result.signature,
        )
        for run, title, part in _parts(runs)
        for name, _ in ROWS
        if (e := part.estimates.get(name)) is not None
    ]  # fmt: skip
    return csv_table(header, rows)


def methods(run: ReportRun) -> str:
    """The sentences that a paper's methods section needs: judge, rubrics, rule, interval, n, images, whom it speaks of, undecided."""
    result, s = run.result, run.settings
    judges = " and ".join(described(j, run.answered) for j in result.judges)
    rubrics = " and ".join(f"{r['name']} ({short(str(r['digest']))})" for r in result.rubrics)
    rule = f", joined by the rule '{result.rule}'" if len(result.judges) > 1 else ""
    repeats = (
        f", each question asked {s['repeats']} times and the majority taken"
        if s.get("repeats", "1") != "1"
        else ""
    )
    interval = _LABELS.get(s.get("interval", ""), s.get("interval", ""))
    if s.get("interval") == "logit-t" and s.get("estimates", "1") != "1":
        interval += " (CR2, Kish's degrees of freedom where images have unequal numbers of edits)"
    parts = []
    for part in result.treatments:
        e = part.estimates["isr"]
        parts.append(f"{treatment_title(part.treatment)}: {_said(e, part)}")
    control = ""
    if result.control is not None:
        c = result.control
        control = f" Without protection the same edits fail at {_said(c.estimates['control'], c)}."
    return (
        f"We report the Immunization Success Rate (ISR; arXiv 2512.14320), the share of edits of protected images that "
        f"fail the instruction or are substantially degraded, measured with isr {s.get('isr', '')}. Edits were judged "
        f"by {judges}{rule}, with the rubrics {rubrics}{repeats}. We give {run.level:.0%} {interval}, over "
        f"{result.data['edits']} edits of {result.data['images']} source images. {_until(result)}{'; '.join(parts)}.{control} "
        f"{population(run)}"
        f"{_undecided(result)}"
        f"Signature: {result.signature}."
    )


def _until(result: Result) -> str:
    """That, and by what, the run was stopped."""
    if (until := result.until) is None:
        return ""
    half = f"at most {100 * until['half_width']:g} percentage points"
    each = "the ISR" if until["treatments"] == 1 else "the ISR of every treatment"
    split = "" if until["treatments"] == 1 else f", the level split over {until['treatments']} treatments"
    asked = f"Images were judged in a seeded random order (seed {until['order_seed']})"
    images = f"{until['images']} of {until['of']} images"
    if until["met"]:
        end = f"and judging was stopped as soon as the half-width of {each} was {half}, after {images}{split}"
    elif until.get("left"):
        end = f"to be stopped once the half-width of {each} is {half}{split}, which {images} do not reach: the run is not finished"
    else:
        end = f"to be stopped once the half-width of {each} is {half}{split}, which all {until['of']} images do not reach"
    return f"{asked}, {end}. "


def _undecided(result: Result) -> str:
    """What was done with edits without a usable answer."""
    parts = [*result.treatments, *([result.control] if result.control else [])]
    said = "Edits without a usable answer count as undecided; a point estimate leaves them out unless they cannot change it. "
    if any(e.identified for p in parts for e in p.estimates.values()):
        said += (
            "The interval that holds whatever they are reaches from the lower endpoint with all of them at one extreme to the upper "
            "endpoint with all at the other. "
        )
    return said


def _own(e: Estimate) -> str:
    return "no interval" if e.low is None or e.high is None else f"{e.low:.1%} to {e.high:.1%}"


def _said(e: Estimate, part: Part) -> str:
    undecided = part.counts["edits"] - part.counts["decided"]
    tail = f"n = {e.n} edits of {e.clusters} images, {undecided} undecided"
    held = text.open_interval(e)
    if part.headline == "bounds" and e.is_open:
        own = "none" if e.value is None else f"{e.value:.1%} ({_own(e)})"
        said = (
            f"{e.level:.0%} interval {held} whatever the undecided edits are"
            if held
            else f"decided edits alone: {own}"
        )
        return f"between {text.open_range(e, join=' and ')} ({said}; {tail})"
    if e.value is None:
        return f"no value ({'; '.join(e.notes)})"
    span = _own(e)
    more = (
        f"; whatever these are, between {text.open_range(e, join=' and ')}, interval {held}" if held else ""
    )
    return f"{e.value:.1%} ({span}; {tail}{more})"
