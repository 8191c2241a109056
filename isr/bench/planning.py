"""What a study would do, and what of it is done: for ``--dry-run``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isr.bench.running import Bench, records


def plan_dict(bench: Bench) -> dict[str, Any]:
    """The plan as JSON values; ``done`` counts what is on the disk."""
    plan, pairs, out = bench.plan, bench.pairs, bench.out
    return {
        "study": bench.study.name,
        "digest": bench.study.digest,
        "out": str(out),
        "images": {"n": bench.pictures, "pairs": pairs, "known": bench.material is not None},
        "immunize": [
            {"cell": c.title, "folder": c.folder, "images": bench.pictures, "done": records(out / c.folder)}
            for c in plan.immunizations
        ],
        "edit": [
            {
                "cell": e.editor.name,
                "folder": e.folder,
                "treatments": len(e.treatments),
                "purifiers": len(e.purifiers),
                "edits": plan.edits(e, pairs),
                "controls": plan.units(e, pairs),
                "done": records(out / e.folder),
            }
            for e in plan.editings
        ],
        "score": [
            {
                "cell": s.title,
                "folder": s.folder,
                "questions": plan.questions(s, pairs),
                "done": _answers(out / s.folder),
            }
            for s in plan.scorings
        ],
    }


def _answers(folder: Path) -> int:
    """Answers in a store, if there is one."""
    from isr.store import Store

    file = folder / "isr.db"
    if not file.is_file():
        return 0
    with Store(file, read_only=True) as store:
        return store.count()


def plan_lines(bench: Bench) -> Iterator[str]:
    """The plan for people."""
    found = plan_dict(bench)
    images, known = found["images"], found["images"]["known"]
    yield f"{bench.study.name}: {images['n']} images, {images['pairs']} pairs of image and prompt" + (
        "" if known else " (expected; the data set is not read yet)"
    )
    yield f"seeds {json.dumps(list(bench.study.seeds))}; in {bench.out}"
    total = sum(c["images"] for c in found["immunize"])
    done = sum(min(c["done"], c["images"]) for c in found["immunize"])
    yield f"immunize: {len(found['immunize'])} treatments, {total} protected images, {done} done"
    yield from (f"  {c['done']:>7}/{c['images']:<7} {c['cell']}" for c in found["immunize"])
    total, done = (sum(c[k] for c in found["edit"]) for k in ("edits", "done"))
    controls = sum(c["controls"] for c in found["edit"])
    yield f"edit: {total} edits and {controls} control edits, {done} edits done"
    yield from (
        f"  {c['done']:>7}/{c['edits']:<7} {c['cell']} ({c['treatments']} treatments x {c['purifiers']} purifiers)"
        for c in found["edit"]
    )
    total, done = (sum(c[k] for c in found["score"]) for k in ("questions", "done"))
    yield f"score: {total} questions, {done} answered"
    yield from (f"  {c['done']:>7}/{c['questions']:<7} {c['cell']}" for c in found["score"])
    yield from _pairs(bench)


def _pairs(bench: Bench) -> Iterator[str]:
    from isr.bench.comparisons import declared

    texts = {p: p for e in bench.plan.editings for p in e.purifiers}
    for name, pairs in declared(bench.plan, texts).items():
        yield f"compare: the {name} family has {len(pairs)} comparisons for each judge"
