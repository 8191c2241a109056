"""What a study found, written: ``results.json`` (the science), ``results.md``, tables, ``report.html``; and as text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from isr.bench import metric_check, rows
from isr.bench.cells import Immunization, Scoring, named
from isr.bench.comparisons import Family, compared, declared, lines
from isr.bench.contact_sheet import contact_sheet
from isr.bench.general_table import general
from isr.bench.page import Key, write_page
from isr.bench.paper_tables import LAYOUTS
from isr.bench.published import Published
from isr.bench.rows import Row
from isr.bench.state import BY_SPLIT, Bench, Findings, Show
from isr.bench.study_labels import NOBODY, Labelled
from isr.bench.thesis import Thesis
from isr.canonical import sha256_json
from isr.errors import InputError, IsrError
from isr.files import write_text
from isr.people.judgements import read_source
from isr.reading import byte_lines, json_of, why
from isr.scoring.estimates import as_dicts
from isr.scoring.finished import Contender, FinishedRun, read_run
from isr.scoring.judge_words import panel_words
from isr.scoring.metrics_csv import read_definitions
from isr.scoring.sampling import Sampling
from isr.signature import Signature
from isr.types import Treatment
from sifm_ref.registry import purifier

SCHEMA = "isr.bench/1"

SHEET = "disagreements.png"
REPORT_MOST = 20_000  # edits; a report of more takes a while to write and to open


def collect(bench: Bench) -> Findings:
    """The findings in a bench's finished scores."""
    known = _treatments(bench)
    folders = [bench.out / s.folder for s in bench.plan.scorings]
    found = tuple(_labelled(row, known) for row in rows.read(folders, bench.study.level))
    published = _published(bench)
    tables = {"general": general(found)}
    for split, name in split_names({r.split for r in found} - {""}).items():
        tables[BY_SPLIT + name] = general(found, split)
    for name in bench.study.tables:
        tables[name] = LAYOUTS[name](found, published)
    return Findings(found, tuple(_families(bench, known)), tables, _thesis(bench, known))


def split_names(splits: Iterable[str]) -> dict[str, str]:
    """Each split with its piece of a file name; those that would share one, in any case of letters, get a digest."""
    short = {s: named(s) for s in sorted(splits)}
    times = Counter(n.casefold() for n in short.values())
    return {s: n if times[n.casefold()] == 1 else f"{n}-{sha256_json(s)[7:13]}" for s, n in short.items()}


def _treatments(bench: Bench) -> dict[Key, Immunization]:
    """The study's treatments under the names that edits have of them."""
    found: dict[Key, Immunization] = {}
    for cell in bench.plan.immunizations:
        file = bench.out / cell.folder / "metadata.jsonl"
        try:
            row = json_of(next(byte_lines(file), b""))
            key = (str(row["method"]), str(row["config"]), float(row["eps"]), str(row["surrogate"]))
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{file}: expected what isr bench immunized; found {why(error)}; run without --only"
            ) from error
        if key in found:
            raise InputError(
                f"{cell.title} and {found[key].title}: expected two treatments; found one; drop one of them"
            )
        found[key] = cell
    return found


def _key(method: str, config: str, eps: str, surrogate: str) -> Key | None:
    try:
        return (method, config, float(eps), surrogate)
    except ValueError:
        return None


def _labelled(row: Row, known: Mapping[Key, Immunization]) -> Row:
    """The row under the study's name for its method."""
    key = _key(row.method, row.config, row.eps, row.surrogate)
    if row.is_control or key is None or key not in known:
        return row
    method = known[key].method
    return replace(row, label=method.name, role=method.role, ablation=method.ablation, lam=method.lam)


def _published(bench: Bench) -> Published | None:
    file = bench.study.published
    return Published.load(bench.order.root / file) if file else None


def _families(bench: Bench, known: Mapping[Key, Immunization]) -> Iterator[Family]:
    """Every family by every judge; the first judge's are the study's claims, the others show what rests on it."""
    texts = {
        p: found.text if (found := purifier(p)) else "" for e in bench.plan.editings for p in e.purifiers
    }
    pairs = declared(bench.plan, texts)
    part = bench.study.labels
    labelled = None if part is None else Labelled.read(part, bench.order.root)
    for scorings in _by_judge(bench.plan.scorings):
        runs = [read_run(bench.out / s.folder) for s in scorings]
        claim = scorings[0].judge == bench.study.judges[0]
        judge = panel_words(runs[0].judges, Signature.parse(runs[0].signature).get("rule", "single"))
        study = bench.study
        sides = [
            Contender("", "", t, rows)
            for r in runs
            for t, rows in [*r.treatments.items(), (NOBODY, r.controls)]
        ]
        drawn = Sampling.of(sides, study.prompts, study.cluster, study.margin)
        people = None if labelled is None else _for_runs(labelled, runs, claim=claim)
        for name, some in pairs.items():
            yield compared(
                name, judge, some, runs, _labels(runs, known), level=bench.study.level,
                claim=claim, labelled=people, drawn=drawn,
            )  # fmt: skip


def _for_runs(labelled: Labelled, runs: Sequence[FinishedRun], *, claim: bool) -> Labelled | None:
    """The labels for one judge's runs: labels within verdict tell of the judge whose verdicts they were drawn by, the first."""
    if labelled.choices.design != "within_verdict":
        return labelled
    if not claim:
        return None
    planned = labelled.choices.plan is not None
    return labelled.held_against([read_source(r.path)[-1].instrument for r in runs] if planned else [])


def _by_judge(scorings: Sequence[Scoring]) -> list[list[Scoring]]:
    found: dict[str, list[Scoring]] = {}
    for s in scorings:
        found.setdefault(repr(s.judge), []).append(s)
    return list(found.values())


def _labels(runs: Sequence[FinishedRun], known: Mapping[Key, Immunization]) -> dict[Treatment, str]:
    found = {}
    for run in runs:
        for treatment in run.treatments:
            key = _key(*treatment)
            if key is not None and key in known:
                found[treatment] = known[key].label
    return found


def _thesis(bench: Bench, known: Mapping[Key, Immunization]) -> Thesis | None:
    """What the conventional metrics say of the first judge's outcomes, where they were measured."""
    if not bench.study.metrics:
        return None

    def naming(treatment: Treatment) -> metric_check.Named | None:
        cell = known.get(key) if (key := _key(*treatment)) else None
        return metric_check.Named(cell.label, cell.method.role, cell.method.norm) if cell else None

    first = bench.study.judges[0]
    folders = [bench.out / s.folder for s in bench.plan.scorings if s.judge == first]
    return metric_check.study(folders, naming=naming)


def _definitions(bench: Bench) -> dict[str, str]:
    """What each conventional metric is, as the first judge's runs measured it."""
    first = bench.study.judges[0]
    runs = [(s.editing.editor.name, bench.out / s.folder) for s in bench.plan.scorings if s.judge == first]
    return one_of_each({editor: read_definitions(folder) for editor, folder in runs})


def one_of_each(definitions: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Definitions by metric from those by editor; where they differ, as after an unfinished scoring, each with its editor."""
    out = {}
    for name in dict.fromkeys(n for said in definitions.values() for n in said):
        by_editor = {editor: said[name] for editor, said in definitions.items() if name in said}
        texts = list(dict.fromkeys(by_editor.values()))
        told = "; ".join(f"on {editor}: {text}" for editor, text in by_editor.items())
        out[name] = texts[0] if len(texts) == 1 else f"NOT ONE QUANTITY, finish the scoring: {told}"
    return out


def write(bench: Bench, show: Show) -> Findings:
    """Writes all results; ``results.json`` last, so that it is there only when everything is."""
    found = collect(bench)
    _clear(bench.out)
    folder = bench.out / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in found.tables.items():
        write_text(folder / f"{name}.csv", table.csv())
        write_text(folder / f"{name}.tex", table.latex())
    if found.thesis and found.thesis.units:
        contact_sheet(found.thesis.units, bench.out / SHEET)
    _report(bench, found.families, show)
    write_text(bench.out / "results.md", markdown(bench, found))
    write_text(
        bench.out / "results.json",
        json.dumps(as_dict(bench, found), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    )
    return found


def _clear(out: Path) -> None:
    """Takes away what an earlier run wrote, ``results.json`` first: nothing stale lies beside what is new."""
    tables = sorted(p for kind in ("csv", "tex") for p in (out / "tables").glob(f"*.{kind}"))
    for path in (out / "results.json", *(out / n for n in ("results.md", SHEET, "report.html")), *tables):
        path.unlink(missing_ok=True)


def as_dict(bench: Bench, found: Findings) -> dict[str, Any]:
    """The bytes of ``results.json`` as values: no time, no host, no path of this machine."""
    material = bench.material
    return {
        "schema": SCHEMA,
        "study": {"name": bench.study.name, "digest": bench.study.digest},
        "choices": bench.study.choices(),
        "images": {
            "n": bench.pictures,
            "prompts": bench.pairs,
            "digest": material.digest if material else sha256_json([]),
        },
        "notes": list(bench.record.notes),
        "cells": {
            "immunized": [c.title for c in bench.plan.immunizations],
            "edited": [e.editor.name for e in bench.plan.editings],
            "scored": [s.title for s in bench.plan.scorings],
        },
        "signatures": sorted({r.signature for r in found.rows}),
        "rows": [_row(r) for r in found.rows],
        "comparisons": [f.as_dict() for f in found.families],
        "tables": {
            n: {"title": t.title, "notes": list(t.notes), "csv": t.csv()} for n, t in found.tables.items()
        },
        "thesis": _thesis_dict(found.thesis) if found.thesis else None,
        **({"definitions": _definitions(bench)} if found.thesis else {}),
    }


def _thesis_dict(thesis: Thesis) -> dict[str, Any]:
    """The separations as values; the units without the places of their pictures."""
    return {
        "separations": [
            {
                **{n: getattr(s, n) for n in ("editor", "judge", "metric", "signature")},
                "rank_correlation": s.overall.correlation.as_dict(),
                "auc": s.overall.auc.as_dict(),
                **{n: getattr(s, n).as_dict() for n in ("within", "between", "false_protected", "missed")},
            }
            for s in thesis.separations
        ],
        "units": [
            {
                n: getattr(u, n)
                for n in (
                    "editor",
                    "judge",
                    "metric",
                    "name",
                    "edit_id",
                    "prompt",
                    "outcome",
                    "value",
                    "rank",
                    "of",
                )
            }
            for u in thesis.units
        ],
        "notes": list(thesis.notes),
    }


def _row(row: Row) -> dict[str, Any]:
    names = ("editor", "surrogate", "label", "role", "method", "config", "eps", "purifier", "split", "judge")
    return {
        **{n: getattr(row, n) for n in names},
        "edits": row.edits,
        "decided": row.decided,
        "estimates": as_dicts(row.estimates),
        "metrics": as_dicts(row.metrics),
        "signature": row.signature,
    }


def _report(bench: Bench, families: Sequence[Family], show: Show) -> None:
    """Writes report.html of all scores; results are never lost to a report that cannot be written."""
    edits = sum(bench.plan.edits(s.editing, bench.pairs) for s in bench.plan.scorings)
    if edits > REPORT_MOST:
        folders = " ".join(str(bench.out / s.folder) for s in bench.plan.scorings[:2])
        show.say(f"no report for {edits:,} edits unasked; make one of some: isr report {folders}")
        return
    try:
        write_page(bench, families, _treatments(bench))
    except (IsrError, OSError) as error:
        show.say(f"no report was written: {error}")


def markdown(bench: Bench, found: Findings) -> str:
    """``results.md``: for people."""
    return "\n".join(_markdown(bench, found)) + "\n"


def _markdown(bench: Bench, found: Findings) -> Iterator[str]:
    study, plan = bench.study, bench.plan
    yield f"# {_md(study.name)}\n"
    yield "## What was run\n"
    yield f"- study `{study.digest}`"
    yield f"- {bench.pictures} images, {bench.pairs} prompts of them, seeds {', '.join(map(str, study.seeds))}"
    yield f"- {len(plan.immunizations)} treatments: {_md('; '.join(c.title for c in plan.immunizations))}"
    for e in plan.editings:
        n = bench.pairs
        yield f"- editor {_md(e.editor.name)}: {plan.edits(e, n)} edits, {plan.units(e, n)} control edits; purifiers {_md(', '.join(e.purifiers))}"
    yield f"- judges: {_md(', '.join(dict.fromkeys(s.name for s in plan.scorings)))} (the first one's comparisons are the claims)"
    yield from (f"- {_md(note)}" for note in bench.record.notes)
    yield "\n## Rates\n"
    for table in found.tables.values():
        yield table.markdown()
    yield "\n## Comparisons\n"
    if not found.families:
        yield "None is declared: no method has the role ours or ablation.\n"
    for family in found.families:
        yield "```text"
        yield from (line.replace("`", "'") for line in lines(family))
        yield f"signature: {family.signature}".replace("`", "'")
        yield "```\n"
    if found.thesis:
        yield "## Do the conventional metrics tell?\n"
        yield found.thesis.markdown()
        yield from (f"- {_md(name)}: {_md(what)}" for name, what in _definitions(bench).items())
        yield ""
    yield "## Where everything lies\n"
    yield from _places(bench)
    yield "\n## How to repeat it\n"
    yield f"`isr bench {bench.order.file.name}` beside its files; in this folder it goes on and repeats nothing that is done."
    yield "Versions, times and host of every run, and the versions that made the edits: `run.json`."


def _places(bench: Bench) -> Iterator[str]:
    yield "| what | where |\n|---|---|"
    yield "| images, prompts | `images/` |"
    for c in bench.plan.immunizations:
        yield f"| {_md(c.title)} | `{c.folder}` |"
    for e in bench.plan.editings:
        yield f"| edits of {_md(e.editor.name)} | `{e.folder}` |"
    for s in bench.plan.scorings:
        yield f"| scores, {_md(s.title)} | `{s.folder}` |"
    yield "| tables | `tables/` |\n| every number | `results.json` |"
    if (bench.out / "report.html").is_file():
        yield "| gallery, plots | `report.html` |"
    if (bench.out / SHEET).is_file():
        yield f"| where metric and judge disagree most, in pictures | `{SHEET}` |"


def _md(text: str) -> str:
    """Text of the study as plain text in markdown."""
    for c in "\\`*_[]|<>#":
        text = text.replace(c, f"\\{c}")
    return text.replace("\n", " ")


def places(out: Path) -> list[str]:
    """What was written, for the end of the run."""
    names = ("results.md", "results.json", "tables", SHEET, "report.html")
    return [str(out / n) for n in names if (out / n).exists()]
