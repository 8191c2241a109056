"""Carries a study out, step by step, and goes on where an earlier run of it stopped."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isr.bench.cells import STEPS, with_earlier
from isr.bench.given_texts import PROMPT, editor_columns
from isr.bench.judging import note_scores, score_all, scored_as
from isr.bench.making import WHOLE, compute, edit_cells, immunize_cells, known_of, need_images
from isr.bench.material.folder import FOLDER, RECORD, prepare
from isr.bench.material.gather import gather
from isr.bench.opening import check_folder, check_ready
from isr.bench.results import write
from isr.bench.state import Bench, Findings, Show
from isr.errors import InputError, Problem
from isr.locks import held
from isr.reading import read_json
from isr.scoring.result import Result
from sifm_ref.checkpoints import SAMPLE
from sifm_ref.pictures import write_whole
from sifm_ref.records import versions


def run(bench: Bench, show: Show) -> Findings | None:
    """What was found, where results are asked for. Carries out the steps that are asked for.

    Raises ``IsrError``, or ``KeyboardInterrupt`` with all work kept.
    """
    check_ready(bench)
    bench.out.mkdir(parents=True, exist_ok=True)
    busy = f"{bench.out}: another isr bench is at work here; wait for it or give another --out"
    with held(bench.out / ".lock", busy):
        for line in _begin(bench):
            show.say(line)
        earlier, findings = _earlier(bench.out), None
        if (bench.out / FOLDER / RECORD).is_file() and "images" not in bench.order.steps:
            bench = _images(
                bench, show
            )  # whatever is asked for: another picture under an old name is refused
        for name in STEPS:
            if name not in bench.order.steps or (name == "edit" and "immunize" in bench.order.steps):
                continue
            began = time.monotonic()
            if name == "images":
                bench = _images(bench, show)
            elif name in ("immunize", "edit"):
                compute(bench, show)  # both, where both are asked for
            elif name == "score":
                score_all(bench, show)
            else:
                findings = _results(bench, show)
            bench.record.timing.setdefault(name, round(time.monotonic() - began, 1))
            _keep_timing(bench, earlier)
    return findings


def _begin(bench: Bench) -> list[str]:
    """Keeps the study and its weights in ``bench.json``; what is to be said of an earlier state of the folder."""
    file, now = bench.out / "bench.json", bench.study.choices()
    begun = check_folder(bench)
    differing = list(_differences(_flat(begun.studies[-1]), _flat(now))) if begun.studies else []
    studies = [*begun.studies, *([now] if differing or not begun.studies else [])]
    weights = {**(begun.weights or {}), **bench.weights}
    if len(studies) > len(begun.studies) or weights != begun.weights:
        kept = {"schema": "isr.bench-begun/1", "study": studies[0], "later": studies[1:], "weights": weights}
        write_whole(file, (json.dumps(kept, indent=1, ensure_ascii=False) + "\n").encode())
    said = []
    if begun.studies and begun.weights is None and bench.weights:
        said.append(f"{SAMPLE}; what they make is made anew, in folders of its own")
    if differing:
        said += [
            "the study differs from the last one of this folder; what is done of it stays:",
            *(f"  {line}" for line in differing[:20]),
            *([f"  and {len(differing) - 20} more"] if len(differing) > 20 else []),
        ]
    return said


def _flat(value: Any, at: str = "") -> dict[str, str]:
    """Values by their paths; entries of a list by their names."""
    if isinstance(value, dict):
        return {
            k: v
            for key, inner in value.items()
            for k, v in _flat(inner, f"{at}.{key}" if at else key).items()
        }
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        named = [(str(v.get("name") or v.get("card") or i), v) for i, v in enumerate(value)]
        return {k: v for name, inner in named for k, v in _flat(inner, f"{at}[{name}]").items()}
    return {at: json.dumps(value, ensure_ascii=False)}


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            yield f"{key}: then {before.get(key, 'not there')[:80]}; now {now.get(key, 'not there')[:80]}"


def _images(bench: Bench, show: Show) -> Bench:
    """The bench with its images and prompts, which are written where they are not there yet."""
    board = bench.board
    board.step, board.detail = "images", ""
    material = bench.material
    if material is None:
        own = editor_columns(bench.study) | ({bench.study.caption} - {"", PROMPT})
        material = gather(bench.study.images, bench.order.root, bench.out, show.say, own)
        for note in material.notes:
            bench.record.note(note)
    board.plan("images", "images", len(material.images))

    def on_image(name: str) -> None:
        board.add("images", 0.0, fresh=False)
        board.detail = name
        show.update(board)

    for line in prepare(material, bench.study.images, bench.out / FOLDER, on_image):
        show.say(f"images: {line}")
    return replace(bench, material=material)


def _keep_timing(bench: Bench, earlier: Sequence[Mapping[str, Any]]) -> None:
    """Adds what is true of this run only to ``run.json``: times, host, versions. ``results.json`` has none of it."""
    now = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": list(bench.order.steps),
        "exit_code": bench.record.exit_code,
        "jobs": bench.board.jobs,
        "seconds": bench.record.timing,
        "usd": round(bench.board.usd, 6) if bench.board.priced else None,
        "versions": versions(),
        "platform": platform.platform(),
    }
    said = {
        "schema": "isr.bench-run/2",
        "seconds_each": {**known_of(bench.out), **bench.board.seconds_each()},
        "edit_versions": sorted({v for e in bench.record.edited.values() for v in e.versions}),
        "runs": [*earlier, now],
    }
    write_whole(bench.out / "run.json", (json.dumps(said, indent=1) + "\n").encode())


def _earlier(out: Path) -> list[dict[str, Any]]:
    """The records of the runs before this one; a folder of an older version has that of its last one only."""
    try:
        said = read_json(out / "run.json")
        runs = said.get("runs", [said])
        drop = ("schema", "seconds_each")
        return [{k: v for k, v in run.items() if k not in drop} for run in runs]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _results(bench: Bench, show: Show) -> Findings:
    bench.board.step, bench.board.detail = "results", ""
    show.update(bench.board)
    need_images(bench)
    if problems := list(_other_than_wanted(bench)):
        raise InputError(
            f"{bench.out}: expected everything as the study says; no results were written", problems
        )
    for scoring in bench.plan.scorings:
        note_scores(bench, scored_as(bench, scoring) or WHOLE)
        for remark in Result.load(bench.out / scoring.folder).remarks:
            bench.record.note(f"{scoring.title}: {remark}")
    return write(bench, show)


def _other_than_wanted(bench: Bench) -> Iterator[Problem]:
    """What is missing, or was made of other images, prompts, settings or edits than the study has now."""
    found = "less, or what was made of others"
    for cell in immunize_cells(bench):
        if not cell.is_done:
            yield Problem(
                cell.folder.name, "", "all its images as the study says", found, _again(bench, "immunize")
            )
    done = set()
    for cell in edit_cells(bench):
        if cell.is_done:
            done.add(cell.key)
        else:
            yield Problem(
                cell.folder.name, "", "all its edits as the study says", found, _again(bench, "edit")
            )
    for s in bench.plan.scorings:
        if s.editing.folder in done and scored_as(bench, s) is None:
            found = "none, or scores of other edits"
            yield Problem(s.title, "", "the score of its edits", found, _again(bench, "score"))


def _again(bench: Bench, step: str) -> str:
    return f"run isr bench {bench.order.file.name} without --only, or with {with_earlier(step)} in it"
