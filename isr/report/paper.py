"""What goes into a paper: a LaTeX table, the same as CSV, and a methods sentence that is ready to paste."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from isr import text
from isr.canonical import short
from isr.people.labels import attention_told
from isr.report.comparison import Compared
from isr.report.comparison_paper import latex_pairs, pair_rows, tex_note
from isr.report.comparison_paper import sentences as comparison_sentences
from isr.report.corrected import Corrected
from isr.report.names import full_names, row_names, said_name
from isr.report.population import population
from isr.report.runs import ReportRun, spelt
from isr.scoring.judge_words import described
from isr.scoring.result import Part, Result, TreatmentPart
from isr.scoring.row_names import full_name
from isr.scoring.sequenced import SEQUENCE
from isr.scoring.text import ROWS
from isr.tables import csv_table, tex_cell, tex_points
from isr.text import counted
from isr.types import Estimate, Question, Treatment

CONTROL = "control (no protection)"
INTERVALS = {
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
            yield run, full_name(part.treatment), part
        if run.result.control is not None:
            yield run, CONTROL, run.result.control


def latex(
    runs: Sequence[ReportRun], comparisons: Sequence[Compared] = (), people: Corrected | None = None
) -> str:
    """A table with booktabs' rules: rate, interval, decomposition, uplift, n, images, undecided; beneath, each comparison.

    people: where their labels correct a rate, it stands beside that of verdicts.
    """
    confirmed = people is not None and any(r.found is not None for r in people.rates)
    several = len(runs) > 1
    head = ["run"] if several else []
    head += [
        "method",
        "ISR (\\%)",
        *(["to people (\\%)"] if confirmed else []),
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
        r"\begin{tabular}{" + "l" * (1 + several) + "r" * (8 + confirmed) + "}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
    ]
    for run, called, title, part in _rows(runs):
        first, *others = _cells(part)
        beside = [_tex_people(people, run, part)] if confirmed else []
        cells = [tex_cell(called)] * several + [tex_cell(title), first, *beside, *others]
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if full := full_names(runs):
        lines.append(tex_note("; ".join(f"{short}: {said}" for short, said in full.items()) + "."))
    if people is not None and (said := corrected_note(people)):
        lines.append(tex_note(said) if confirmed else f"% {text.plain(said)}")
    return "\n".join(["\n".join(lines) + "\n", *(latex_pairs(found) for found in comparisons)])


def _tex_people(people: Corrected | None, run: ReportRun, part: Part) -> str:
    """The rate that people's labels make of a treatment's, with its interval and how many labels it rests on."""
    found = people.of(run, part.treatment) if people is not None and isinstance(part, TreatmentPart) else None
    if found is None or found.found is None or (c := found.found.corrected) is None or c.value is None:
        return "--"
    span = "" if c.low is None or c.high is None else f" [{100 * c.low:.1f}, {100 * c.high:.1f}]"
    return f"{100 * c.value:.1f}{span}, {found.found.labels} labels"


def corrected_note(people: Corrected) -> str:
    """On what corrected rates rest, and why others are not corrected; ``""`` where nothing is to be said."""
    if people.reason:
        return f"{people.reason[0].upper()}{people.reason[1:]}."
    design = people.given.design if people.given is not None else ""
    said = f"To people: corrected by people's labels, design {design}." if design else ""
    return " ".join(filter(None, (said, *(f"Not corrected: {why}." for why in people.refusals))))


def _rows(runs: Sequence[ReportRun]) -> Iterator[tuple[ReportRun, str, str, Part]]:
    """Run, its name, short name and part of each row; control edits that are the same in several runs are one row, the last."""
    shared = shared_controls(runs)
    later = []
    for number, (run, names) in enumerate(zip(runs, row_names(runs), strict=True)):
        for part in run.result.treatments:
            yield run, run.name, names[spelt(part.treatment)], part
        if (control := run.result.control) is None:
            continue
        of = shared[number]
        if len(of) == 1:
            yield run, run.name, CONTROL, control
        elif number == of[-1]:
            every = len(of) == len(runs)
            later.append((run, "all" if every else ", ".join(runs[i].name for i in of), CONTROL, control))
    yield from later


def shared_controls(runs: Sequence[ReportRun]) -> dict[int, list[int]]:
    """For each run the runs with its control edits: the same pixels, verdicts and estimates, whatever they are called."""
    found: dict[object, list[int]] = {}
    for number, run in enumerate(runs):
        rows = run.controls
        told = Counter((r.get("edit_sha256", ""), r["outcome"], *_verdicts(r, run.judges)) for r in rows)
        judges = tuple(str(j["digest"]) for j in run.result.judges)
        control = run.result.control
        estimates = repr({n: e.as_dict() for n, e in control.estimates.items()}) if control else ""
        known = bool(rows) and all(r.get("edit_sha256") for r in rows)
        key = (judges, estimates, frozenset(told.items())) if known else number
        found.setdefault(key, []).append(number)
    return {number: of for of in found.values() for number in of}


def _verdicts(row: Mapping[str, str], judges: Sequence[str]) -> Iterator[str]:
    yield from (row.get(f"{judge}:{question}", "") for judge in judges for question in Question)


def _cells(part: Part) -> Iterator[str]:
    name = "control" if "control" in part.estimates else "isr"
    e = part.estimates
    yield _tex_rate(e.get(name), part.headline)
    yield from (_bare(e.get(f"{name}_{kind}")) for kind in ("semantic", "perceptual", "both"))
    yield from (_tex_uplift(e.get("uplift")), str(e[name].n), str(e[name].clusters))
    told = part.headline == "bounds"  # in the cell of the rate
    yield f"{part.counts['edits'] - part.counts['decided']}{'' if told else _tex_open(e[name])}"


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
    own = tex_points(e.value, e.low, e.high)
    if not e.is_open or e.bounds is None or e.identified is None:
        return own
    low, high = (f"${text.points(x)}$" for x in e.bounds)
    return f"{own} ({low} to {high} {tex_points(None, *e.identified)})"


def estimates_csv(
    runs: Sequence[ReportRun], comparisons: Sequence[Compared] = (), people: Corrected | None = None
) -> str:
    """Every estimate of every run with its interval, bounds, n and signature, unrounded; then every pair of methods.

    Of a pair ``part`` is the pair, ``estimate`` is ``difference``, and the last columns hold its test and the units that
    only the first or only the second is immunized on.
    """
    header = (
        "run", "part", "estimate", "value", "low", "high", "level", "bound_low", "bound_high", "identified_low",
        "identified_high", "n", "images", "edits", "decided", "method", "notes", "signature", "p", "p_holm", "wins", "losses",
    )  # fmt: skip
    rows = [
        _csv_row(run.name, title, name, e, part.counts["edits"], part.counts["decided"], run.result.signature)
        for run, title, part in _parts(runs)
        for name, _ in ROWS
        if (e := part.estimates.get(name)) is not None
    ]
    for run in runs if people is not None else ():
        for part in run.result.treatments:
            if (made := _corrected_estimate(people, run, part.treatment)) is not None:
                counts = (part.counts["edits"], part.counts["decided"])
                rows.append(_csv_row(run.name, full_name(part.treatment), "isr_corrected", made, *counts, run.result.signature))  # fmt: skip
    every = ", ".join(dict.fromkeys(run.name for run in runs))
    for found in comparisons:
        for e, row, name, tested in pair_rows(found):
            place = f"{row.place}: " if row.place else ""
            head = _csv_row(
                found.runs or every, f"{place}{row.first} - {row.second}", name, e, e.n + row.found.undecided, e.n,
                found.signature,
            )  # fmt: skip
            rows.append((*head[:-4], *tested))
    return csv_table(header, rows)


def _corrected_estimate(people: Corrected | None, run: ReportRun, treatment: Treatment) -> Estimate | None:
    """The rate to people as a row of the CSV: on how many labels of which design it rests stands in its method."""
    found = None if people is None else people.of(run, treatment)
    if people is None or people.given is None or found is None or found.found is None:
        return None
    c = found.found.corrected
    assert c is not None
    return Estimate(
        value=c.value, low=c.low, high=c.high, level=run.level, method=f"{c.method}; {found.found.labels} labels, design {people.given.design}",
        n=c.n, clusters=c.clusters, bounds=None, identified=found.found.identified, notes=c.notes,
    )  # fmt: skip


def _csv_row(
    run: str, part: str, name: str, e: Estimate, edits: int, decided: int, signature: str
) -> tuple[object, ...]:
    return (
        run, part, name, e.value, e.low, e.high, e.level, *(e.bounds or (None, None)), *(e.identified or (None, None)),
        e.n, e.clusters, edits, decided, e.method, "; ".join(e.notes), signature, None, None, None, None,
    )  # fmt: skip


def methods(
    runs: Sequence[ReportRun], comparisons: Sequence[Compared] = (), people: Corrected | None = None
) -> list[str]:
    """The paragraphs that a paper's methods section needs: what all runs share, each run's own, and the comparisons.

    judge, rubrics, rule, interval, n, images, whom it speaks of, undecided. Of a single run it is one paragraph.
    """
    told = [list(_sentences(run, alone=len(runs) == 1)) for run in runs]
    shared = [s for s in told[0] if all(s in some for some in told)]
    paragraphs = ["".join(shared)]
    for run, some in zip(runs, told, strict=True):
        if own := "".join(s for s in some if s not in shared):
            paragraphs.append(f"{run.name}: {own}")
    paragraphs += [_corrected_sentences(people)] if people is not None else []
    paragraphs += map(comparison_sentences, comparisons)
    return [p.strip() for p in paragraphs if p.strip()]


def _corrected_sentences(people: Corrected) -> str:
    """The rates that people's labels make of the judge's, or why there are none."""
    told = []
    for rate in people.rates:
        if rate.found is not None and (c := rate.found.corrected) is not None:
            told.append(f"{rate.name}: {text.rate(c.value)} ({text.rate_interval(c)}; {counted(rate.found.labels, 'label')})")  # fmt: skip
    if not told or people.given is None:
        return corrected_note(people)
    refused = "".join(f" Not corrected: {why}." for why in people.refusals)
    doubts = "".join(f" {note[0].upper()}{note[1:]}." for note in attention_told(people.given.labels.rows))
    return f"Corrected by people's labels (design {people.given.design}) the rates are {'; '.join(told)}.{refused}{doubts}"


def _sentences(run: ReportRun, *, alone: bool) -> Iterator[str]:
    """The sentences of one run; together they are its paragraph. alone: in as few as one run needs."""
    result, s = run.result, run.settings
    judges = " and ".join(described(j, run.answered) for j in result.judges)
    rubrics = " and ".join(f"{r['name']} ({short(str(r['digest']))})" for r in result.rubrics)
    rule = f", joined by the rule '{result.rule}'" if len(result.judges) > 1 else ""
    repeats = (
        f", each question asked {s['repeats']} times and the majority taken"
        if s.get("repeats", "1") != "1"
        else ""
    )
    interval = INTERVALS.get(s.get("interval", ""), s.get("interval", ""))
    if s.get("interval") == "logit-t" and s.get("estimates", "1") != "1":
        interval += " (CR2, Kish's degrees of freedom where images have unequal numbers of edits)"
    parts = [f"{said_name(run, p.treatment)}: {_said(p.estimates['isr'], p)}" for p in result.treatments]
    yield (
        f"We report the Immunization Success Rate (ISR; arXiv 2512.14320), the share of edits of protected images that "
        f"fail the instruction or are substantially degraded, measured with isr {s.get('isr', '')}. "
    )
    asked = f", with the rubrics {rubrics}{repeats}" if rubrics else ""
    yield f"Edits were judged by {judges}{rule}{asked}. "
    edits, images = counted(result.data["edits"], "edit"), counted(result.data["images"], "source image")
    if alone:
        yield f"We give {run.level:.0%} {interval}, over {edits} of {images}. "
    else:
        yield f"We give {run.level:.0%} {interval}. "
        yield f"The run has {edits} of {images}. "
    if until := _until(result):
        yield until
    yield f"{'; '.join(parts)}. "
    if result.control is not None:
        c = result.control
        yield f"Without protection the same edits fail at {_said(c.estimates['control'], c)}. "
    yield population(run)
    yield _undecided(result)
    yield f"Signature: {result.signature}. "


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
    tail = f"n = {counted(e.n, 'edit')} of {counted(e.clusters, 'image')}, {undecided} undecided"
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
