"""What goes into a paper: a LaTeX table, the same as CSV, and a methods sentence that is ready to paste."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from isr import text
from isr.canonical import short
from isr.people.labels import attention_told
from isr.report.comparison import Compared
from isr.report.comparison_paper import latex_pairs, pair_rows, tex_note, tex_shown
from isr.report.comparison_paper import sentences as comparison_sentences
from isr.report.controls import shared_controls
from isr.report.corrected import Corrected
from isr.report.names import full_names, row_names, said_name
from isr.report.population import population
from isr.report.runs import ReportRun, spelt
from isr.scoring.judge_words import described
from isr.scoring.result import Part, Result, TreatmentPart
from isr.scoring.row_names import full_name
from isr.scoring.sequenced import SEQUENCE
from isr.scoring.shown import Shown, repeats_in, shown_in
from isr.scoring.text import in_order
from isr.tables import csv_table, tex_cell, tex_points
from isr.text import counted

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
    """Every part of every run under its full name, each before its groups."""
    for run in runs:
        whole: list[tuple[str, Part]] = [(full_name(p.treatment), p) for p in run.result.treatments]
        if run.result.control is not None:
            whole.append((CONTROL, run.result.control))
        for title, part in whole:
            yield run, title, part
            for group in part.groups:
                yield run, f"{title}; {text.group_in_words(group.by)}", group


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
        undecided = part.counts["edits"] - part.counts["decided"]
        first, *others = _cells(shown_in(run.result, part), undecided)
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
    if found is None or found.found is None or found.people is None or found.people.kind == "nothing":
        return "--"
    return f"{_tex_rate(found.people, interval=True)}, {found.found.labels} labels"


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


def _cells(found: Mapping[str, Shown], undecided: int) -> Iterator[str]:
    name = "control" if "control" in found else "isr"
    main = found[name]
    yield _tex_rate(main, interval=True)
    yield from (
        _tex_rate(found.get(f"{name}_{kind}"), interval=False) for kind in ("semantic", "perceptual", "both")
    )
    yield from (_tex_uplift(found.get("uplift")), main.size, str(main.estimate.clusters))
    yield f"{undecided}{_tex_open(main)}"


def _tex_rate(one: Shown | None, *, interval: bool) -> str:
    """A rate, or what stands in its place. interval: with its own; that of a range stands beside it in any case."""
    if one is None or one.kind == "nothing":
        return "--"
    held = one.spanned(text.hundredths, ", ")
    if one.is_range:
        return f"between {one.written(text.hundredths, ' and ')}" + (f" [{held}]" if held else "")
    own = one.written(text.hundredths)
    if not interval:
        return f"{own}{_tex_open(one)}"
    return own + (f" [{held}]" if held else "")


def _tex_open(one: Shown) -> str:
    """How far the undecided edits leave a rate open beside its value, with the interval that holds whatever they are."""
    held = "" if one.is_range else text.open_interval(one.estimate, text.hundredths, ", ")
    return f" ({text.open_range(one.estimate, text.hundredths)} [{held}])" if held else ""


def _tex_uplift(one: Shown | None) -> str:
    if one is None or one.kind == "nothing":
        return "--"
    own = tex_shown(one)
    if one.is_range or one.band is None or one.held is None:
        return own
    low, high = (f"${text.points(x)}$" for x in one.band)
    return f"{own} ({low} to {high} {tex_points(None, *one.held)})"


def estimates_csv(
    runs: Sequence[ReportRun], comparisons: Sequence[Compared] = (), people: Corrected | None = None
) -> str:
    """Every estimate of every run with its interval, bounds, n and signature, unrounded; then every pair of methods.

    Of a pair ``part`` is the pair, ``estimate`` is ``difference``, and the last columns hold its test and the units that
    only the first or only the second is immunized on. ``shown`` says how other outputs show it: a ``point``, or as a ``range`` its bounds, since
    too many edits are undecided for the value to stand for all.
    """
    header = (
        "run", "part", "estimate", "value", "low", "high", "level", "bound_low", "bound_high", "identified_low",
        "identified_high", "n", "images", "edits", "decided", "method", "notes", "signature", "shown", "p", "p_holm", "wins", "losses",
    )  # fmt: skip
    rows = [
        _csv_row(run.name, title, one, part.counts["edits"], part.counts["decided"], run.result.signature)
        for run, title, part in _parts(runs)
        for one in in_order(shown_in(run.result, part))
    ]
    rows += [
        _csv_row(run.name, f"repeats by {entry['judge']}, {entry['question']}", one, entry["edits"], one.estimate.n, run.result.signature)
        for run in runs
        for entry in run.result.reliability
        for one in repeats_in(entry)
    ]  # fmt: skip
    for run in runs if people is not None else ():
        for part in run.result.treatments:
            found_rate = None if people is None else people.of(run, part.treatment)
            if found_rate is not None and found_rate.people is not None:
                counts = (part.counts["edits"], part.counts["decided"])
                rows.append(_csv_row(run.name, full_name(part.treatment), found_rate.people, *counts, run.result.signature))  # fmt: skip
    every = ", ".join(dict.fromkeys(run.name for run in runs))
    for found in comparisons:
        for one, row, tested in pair_rows(found):
            place = f"{row.place}: " if row.place else ""
            n = one.estimate.n
            head = _csv_row(
                found.runs or every, f"{place}{row.first} - {row.second}", one, n + row.found.undecided, n, found.signature
            )  # fmt: skip
            rows.append((*head[:-4], *tested))
    return csv_table(header, rows)


def _csv_row(run: str, part: str, one: Shown, edits: int, decided: int, signature: str) -> tuple[object, ...]:
    e = one.estimate
    return (
        run, part, one.name, e.value, e.low, e.high, e.level, *(e.bounds or (None, None)), *(e.identified or (None, None)),
        e.n, e.clusters, edits, decided, e.method, "; ".join(e.notes), signature, one.kind, None, None, None, None,
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
        if rate.found is not None and (one := rate.people) is not None and one.kind != "nothing":
            told.append(f"{rate.name}: {one.value} ({one.span}; {counted(rate.found.labels, 'label')})")
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
    parts = [
        f"{said_name(run, p.treatment)}: {_said(shown_in(result, p)['isr'], p)}" for p in result.treatments
    ]
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
        yield f"Without protection the same edits fail at {_said(shown_in(result, c)['control'], c)}. "
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


def _said(one: Shown, part: Part) -> str:
    e = one.estimate
    undecided = part.counts["edits"] - part.counts["decided"]
    tail = f"n = {counted(e.n, 'edit')} of {counted(e.clusters, 'image')}, {undecided} undecided"
    held = text.open_interval(e)
    if one.is_range:
        said = f"{e.level:.0%} interval {held} whatever the undecided edits are" if held else "no interval"
        return f"between {one.written(one.one, ' and ')} ({said}; {tail})"
    if one.kind == "nothing":
        return f"no value ({one.reason})"
    more = (
        f"; whatever these are, between {text.open_range(e, join=' and ')}, interval {held}" if held else ""
    )
    return f"{one.value} ({one.span}; {tail}{more})"
