"""The report as one HTML file that opens from disk (its style: ``static/style``): no network, every text escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

from isr import text
from isr.calibration.agreement.summary import Agreement, two_rater_agreement
from isr.errors import IsrError
from isr.files import write_text
from isr.judging.cards import load_card
from isr.judging.rubrics import Rubric, load_rubric
from isr.report import figures, pieces
from isr.report.assets import Assets, Mode
from isr.report.comparison import Compared, compared
from isr.report.corrected import Corrected, corrected
from isr.report.crossed import STATES, pair_data
from isr.report.curve_figures import curve_figures
from isr.report.curve_figures import told as curves_told
from isr.report.decompositions import decompositions
from isr.report.desk import desk_data
from isr.report.figures import Figure
from isr.report.forest import Block, blocks, judges
from isr.report.gallery import gallery, packed, places, script_json
from isr.report.lede import judged, lede
from isr.report.limits import limits
from isr.report.margins import margins
from isr.report.names import full_names, row_names
from isr.report.numbers import numbers
from isr.report.paper import estimates_csv, latex, methods
from isr.report.people import People, checked, find_labels, low_kappas, people
from isr.report.placed import percent as place_in_percent
from isr.report.placed import placed, placed_pair, shape
from isr.report.runs import ReportRun, judge_codes, needs_embedding, spelt, told_apart, without_images
from isr.report.shrinking import Ready
from isr.report.specimens import sheet, without_shown
from isr.report.transfer import matrices, transfer_csv
from isr.scoring.bundled import NO_IMAGES, fill
from isr.scoring.judge_words import details
from isr.scoring.result import Part

PARTS = tuple(figures.TONES)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a report is made. ``labels``: a file; by default the one beside the run.

    ``links``: of a page that lies in a bundle, where each image lies there, by its path in the metadata.
    """

    assets: Mode = "auto"
    labels: Path | None = None
    title: str = ""
    links: Mapping[str, str] | None = None
    comparisons: tuple[Compared, ...] | None = None  # by default every treatment against every other
    people: Corrected | None = (
        None  # rates corrected by labels; by default those beside the run, where their plan says how
    )
    ready: Ready = field(default_factory=dict)  # pictures that were made before, see ``isr.report.ahead``


def write_report(runs: Sequence[ReportRun], out: Path, options: Options | None = None) -> Path:
    """Writes the report of one run or several to the file ``out``, whole or not at all."""
    write_report_told(runs, out, options)
    return out


def write_report_told(runs: Sequence[ReportRun], out: Path, options: Options | None = None) -> list[str]:
    """Writes a report, and gives what a reader of the terminal must know: the file, and what became of its pictures."""
    out.parent.mkdir(parents=True, exist_ok=True)
    page, pictures = _rendered(runs, out.parent, options or Options())
    write_text(out, page)
    return [f"report: {out}", *([f"pictures: {pictures}"] if pictures else [])]


def render(runs: Sequence[ReportRun], folder: Path, options: Options) -> str:
    """The HTML of a report that will lie in ``folder``."""
    return _rendered(runs, folder, options)[0]


def _rendered(runs: Sequence[ReportRun], folder: Path, options: Options) -> tuple[str, str]:
    """The HTML, and what is said of its pictures."""
    file = options.labels or find_labels(runs)
    found = people(runs, file) if file is not None else None
    sealed = needs_embedding(runs, options.assets)
    assets = Assets(page=folder, mode=options.assets, links=options.links, sealed=sealed, ready=options.ready)
    for run in runs:
        fill(run.root)
    bare = [f"{name}: {NO_IMAGES}" for name in without_images(runs)]
    data = gallery(runs, assets, found.labels if found else None)
    rows, marked_by, tables = blocks(runs), judges(runs), numbers(runs)
    confirmed = options.people or corrected(runs, options.labels)
    pairs = options.comparisons
    if pairs is None:
        pairs = compared(runs, confirmed.given if confirmed else None)
    data["pairs"] = pair_data([[row.sides for row in family.rows] for family in pairs], places(runs))
    asked = _rubrics(runs)
    titles = {str(e["question"]): rubric.title for e, rubric in reversed(asked) if rubric}
    data["desk"] = desk_data(runs, found.labels if found else None, titles)
    level = runs[0].level
    bars = list(decompositions(runs))
    drawn = [
        figures.forest(rows, marked_by, level, " ; ".join(r.result.signature for r in runs)),
        figures.decomposition(bars),
    ]
    drawn += [one.figure for one in found.reliable] if found else []
    crossed, curves = matrices(runs), curve_figures(runs)
    drawn += curves
    title = options.title or ", ".join(dict.fromkeys(r.name for r in runs))
    style, script = pieces.style() + margins(title, runs), pieces.script()
    specimens = sheet(data)
    page: str = _environment().get_template("report.html").render(
        title=title,
        sheet=specimens,
        runs=runs,
        blocks=rows,
        lede=lede(rows[0], marked_by),
        judged=judged(runs),
        marked_by=marked_by,
        has_bands=any(row.shown.band for b in rows for row in b.rows),
        has_ranges=any(one.is_range for table in tables for one in table.every),
        limits=limits(runs, checked(found)),
        transfer=crossed,
        curves=curves,
        curves_told=curves_told(runs),
        level=level,
        parts=PARTS,
        bars=bars,
        numbers=tables,
        undecided=list(_undecided(runs)),
        reliability=[(run, entry) for run in runs for entry in run.result.reliability],
        people=found,
        pairs=list(_pairs(runs)),
        judges=list(_judges(runs)),
        rubrics=asked,
        costs=list(_costs(runs)),
        figures={f.name: f for f in drawn},
        packed=packed(data),
        images=script_json({"urls": without_shown(assets.made.urls, specimens), "shown": assets.made.shown}),
        pictures=assets.made,
        entries=len(data["entries"]),
        downloads=script_json({f.name: {"svg": f.svg, "csv": f.csv} for f in drawn} | _tables(runs, pairs, confirmed) | {"transfer": {"csv": transfer_csv(crossed)}}),
        methods=methods(runs, pairs, confirmed),
        latex=latex(runs, pairs, confirmed),
        comparisons=pairs,
        confirmed=confirmed,
        full=full_names(runs),
        pinned=any(r.result.control is None for r in runs),
        stopped=all(r.result.until for r in runs),
        style=style,
        script=script,
        policy=policy(style, script),
        bare=["This page lies in a bundle without images; isr report BUNDLE --data EDIT_DIR shows them"] if options.links == {} else bare,
        span=_span,
        placed=placed,
        placed_pair=placed_pair,
        shape=shape,
        paradox=low_kappas,
        cell=_cell,
        states=STATES,
    )  # fmt: skip
    return page, assets.made.said


def _tables(
    runs: Sequence[ReportRun], pairs: Sequence[Compared], people: Corrected | None
) -> dict[str, dict[str, str]]:
    return {
        "estimates": {"csv": estimates_csv(runs, pairs, people)},
        "comparison": {"csv": estimates_csv((), pairs)},
    }


def policy(style: str, script: str) -> str:
    """The page's Content-Security-Policy: its own script and style by digest, pictures from itself and the disk."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "img-src data: blob: file: 'self'; base-uri 'none'; form-action 'none'"
    )


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=FunctionLoader(pieces.template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["percent"] = text.rate
    made.filters["own"] = Markup  # text of this package, not of the data
    made.filters["at"] = place_in_percent
    made.filters["p"] = text.p_value
    made.filters["rate_span"] = text.rate_interval
    made.filters["points"] = text.difference
    made.filters["points_span"] = text.difference_interval
    made.filters["reason"] = lambda word: word.replace("_", " ")
    return made


def _span(e: Any, uplift: bool = False) -> str:
    """An interval in words."""
    if e is None or e.low is None or e.high is None:
        return "no interval"
    return f"{100 * e.low:+.1f} to {100 * e.high:+.1f} pp" if uplift else text.rate_interval(e)


def _cell(i: Any) -> str:
    """A coefficient with its interval."""
    if i is None or i.value is None:
        return "–"
    return f"{i.value:.2f}" + ("" if i.low is None or i.high is None else f" ({i.low:.2f} to {i.high:.2f})")


def _undecided(runs: Sequence[ReportRun]) -> Iterator[tuple[str, str, int, int, list[Mapping[str, Any]]]]:
    for run, names in zip(runs, row_names(runs), strict=True):
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        parts: list[tuple[str, Part]] = [(names[spelt(t.treatment)], t) for t in run.result.treatments]
        if run.result.control is not None:
            parts.append(("control edits", run.result.control))
        for title, part in parts:
            edits, decided = int(part.counts["edits"]), int(part.counts["decided"])
            if edits > decided or part.counts["undecided"]:
                yield prefix + title, part.headline, edits - decided, edits, list(part.counts["undecided"])


def _pairs(runs: Sequence[ReportRun]) -> Iterator[tuple[str, str, Agreement]]:
    """Every two judges on the protected edits that both decide; judges of other runs where the edits are the same."""
    said: dict[str, dict[tuple[str, str], int]] = {}
    image: dict[tuple[str, str], str] = {}
    names = told_apart(runs, [run.judges for run in runs])
    for run, some in zip(runs, names, strict=True):
        rows = [r for r in run.rows if r["arm"] == "protected"]
        keys = [(r["edit_id"], r.get("edit_sha256", "")) for r in rows]
        image |= {k: r["image_id"] for k, r in zip(keys, rows, strict=True)}
        for judge, name in zip(run.judges, some, strict=True):
            said[name] = {k: c for k, c in zip(keys, judge_codes(rows, judge), strict=True) if c is not None}
    for a, b in combinations(said, 2):
        both = sorted(set(said[a]) & set(said[b]))
        if both:
            yield (
                a,
                b,
                two_rater_agreement(
                    [said[a][k] for k in both], [said[b][k] for k in both], [image[k] for k in both]
                ),
            )


def _judges(runs: Sequence[ReportRun]) -> Iterator[dict[str, Any]]:
    """Each judge with its identity, its card's words where the card is at hand, its probes."""
    seen: set[tuple[str, str]] = set()
    for run in runs:
        for judge in run.result.judges:
            key = (str(judge["name"]), str(judge["digest"]))
            if key in seen:
                continue
            seen.add(key)
            probes = run.probes.get(key[0])
            qualified = next(
                (q for q in run.record.get("qualification", []) if q.get("judge") == key[0]), None
            )
            said = list(details(judge, run.answered))
            yield {
                "judge": judge,
                "details": said,
                "card": _card_words(*key),
                "probes": probes,
                "qualified": qualified,
            }


def _card_words(name: str, digest: str) -> dict[str, str]:
    """Words of a built-in card of that name, if it is this judge still."""
    try:
        card = load_card(name)
        if card.digest != digest:
            return {}
    except IsrError:
        return {}
    words = {
        "verified on": card.verified_on,
        "retires on": card.retires_on,
        "notes": card.notes,
        "needs": card.needs,
    }
    return {k: v for k, v in words.items() if v}


def _rubrics(runs: Sequence[ReportRun]) -> list[tuple[Mapping[str, Any], Rubric | None]]:
    """Every rubric with its text; without one where this package does not hold that version."""
    found: dict[str, tuple[Mapping[str, Any], Rubric | None]] = {}
    for run in runs:
        for entry in run.result.rubrics:
            try:
                rubric: Rubric | None = load_rubric(str(entry["name"]), run.folder)
            except IsrError:
                rubric = None
            same = rubric is not None and rubric.digest == entry["digest"]
            found[str(entry["digest"])] = (entry, rubric if same else None)
    return list(found.values())


def _costs(runs: Sequence[ReportRun]) -> Iterator[tuple[ReportRun, list[tuple[str, str]]]]:
    for run in runs:
        record = run.record
        usage, requests = record.get("usage") or {}, record.get("requests") or {}
        seconds = sum((record.get("seconds") or {}).values())
        if run.by_people:
            yield (
                run,
                [
                    ("finished", str(record.get("finished_at", "not recorded"))),
                    ("asked", "nobody: people's labels"),
                ],
            )
            continue
        usd = usage.get("usd")
        tokens = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
        yield (
            run,
            [
                ("finished", str(record.get("finished_at", "not recorded"))),
                ("answers asked for in this run", f"{requests.get('answered', 0):,}"),
                ("answers already there", f"{requests.get('from_store', 0):,}"),
                *_for_later(requests),
                ("tokens", f"{tokens:,}"),
                ("cost", "no price in the card" if usd is None else f"{usd:.4f} USD"),
                ("time", f"{seconds:.0f} s"),
            ],
        )


def _for_later(requests: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if later := requests.get("for_later_images", 0):
        yield "answers to images after the last that counts", f"{later:,}"


__all__ = ["Block", "Figure", "Options", "People", "render", "write_report"]
