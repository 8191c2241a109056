"""What a study would do, and what of it is done: for ``--dry-run``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from isr.bench import given_texts
from isr.bench.cells import Scoring
from isr.bench.comparisons import declared
from isr.bench.making import records
from isr.bench.material import dataset, gather, writing
from isr.bench.opening import check_folder, check_ready
from isr.bench.state import Bench
from isr.bench.study import judge_sets, judge_spec
from isr.errors import IsrError
from isr.judging.cards import load_panel
from isr.judging.prices import CHARACTERS_PER_TOKEN, image_tokens, usd
from isr.judging.rubrics import load_pair
from isr.judging.store import Store
from isr.reading import MAX_TABLE, read_bytes


def plan_dict(bench: Bench) -> dict[str, Any]:
    """The plan as JSON values; ``done`` counts what is on the disk."""
    plan, pairs, out = bench.plan, bench.pairs, bench.out
    return {
        "study": bench.study.name,
        "digest": bench.study.digest,
        "out": str(out),
        "images": {"n": bench.pictures, "pairs": pairs, "known": bench.material is not None},
        "texts": list(given_texts.lines(bench.study, bench.order.root, bench.material)),
        "writer": _writer(bench),
        "immunize": [
            {
                "cell": c.title,
                "folder": c.folder,
                "images": bench.pictures,
                "done": min(records(out / c.folder), bench.pictures),
            }
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
                "done": min(records(out / e.folder), plan.edits(e, pairs)),
            }
            for e in plan.editings
        ],
        "score": [
            {
                "cell": s.title,
                "folder": s.folder,
                "questions": plan.questions(s, pairs),
                "done": min(_answers(out / s.folder), plan.questions(s, pairs)),
                "usd": _usd(bench, s),
            }
            for s in plan.scorings
        ],
        "stops": stops(bench),
    }


def stops(bench: Bench) -> list[str]:
    """What the run would stop at before it does anything, in words."""
    found = []
    checks: tuple[Callable[[Bench], object], ...] = (check_folder, partial(check_ready, fetch=False))
    for check in checks:
        try:
            check(bench)
        except IsrError as error:
            found.append(str(error))
    return found


def _writer(bench: Bench) -> dict[str, Any] | None:
    """The calls of the language model that writes unseen prompts: one for each image, what is recorded is not asked again."""
    part = bench.study.images.unseen
    if part is None or not part.writer:
        return None
    card = writing.writer(part.writer, bench.order.root)
    file = bench.out / gather.FOLDER / dataset.REPLIES
    done = min(read_bytes(file, MAX_TABLE).count(b"\n"), bench.pictures) if file.is_file() else 0
    calls = bench.pictures - done
    usd_most: float | None = None
    if card.price.input is not None and card.price.output is not None:
        named = bool(part.captions)
        asked = [writing.question(n, t, "", card, part.count, named) for n, t in bench.expected.seen.items()]
        asked = asked or [writing.question("", "", "", card, part.count, named)]
        text = sum(len(q.system) + len(q.text) for q in asked) / len(asked) / CHARACTERS_PER_TOKEN
        usd_most = round(calls * usd(card, text, card.decoding.max_tokens), 4)
    return {"card": card.name, "calls": calls, "done": done, "usd_most": usd_most}


def _usd(bench: Bench, scoring: Scoring) -> list[float] | None:
    """What the questions that are left cost, about: short answers, and every output token used; ``None`` if not known."""
    panel = load_panel(judge_spec(scoring.judge, bench.order.root), judge_sets(scoring.judge))
    pair = load_pair(*([tuple(scoring.judge.rubrics)] if scoring.judge.rubrics else []))
    words = [len(r.system) + sum(len(p.model_dump_json()) for p in r.user) for r in pair.values()]
    pictures = sum(len(r.images) for r in pair.values()) / len(pair)
    side = bench.study.images.resolution
    low = high = 0.0
    total = bench.plan.questions(scoring, bench.pairs)
    left = total - min(_answers(bench.out / scoring.folder), total)
    for card in panel.members:
        each = image_tokens(card, side, side)
        if card.price.input is None or card.price.output is None or each is None:
            return None
        prompt = sum(words) / len(words) / CHARACTERS_PER_TOKEN + pictures * each
        n = left / scoring.members
        low += n * usd(card, prompt, 100)
        high += n * usd(card, prompt, card.decoding.max_tokens)
    return [round(low, 2), round(high, 2)]


def _answers(folder: Path) -> int:
    """Answers in a store, if there is one."""
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
        "" if known else f" (expected; {_not_yet(bench)})"
    )
    if writer := found["writer"]:
        cost = "not known" if writer["usd_most"] is None else f"at most about {writer['usd_most']:.2f} USD"
        yield (
            f"writer: {writer['calls']} calls of {writer['card']}, {writer['done']} done; cost {cost}; "
            "--budget-usd does not count them"
        )
    yield from found["texts"]
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
    yield from (
        f"  {c['done']:>7}/{c['questions']:<7} {c['cell']}; {_cost(c['usd'])}" for c in found["score"]
    )
    yield from _pairs(bench)
    yield from _sampling(bench)
    yield from (f"the run would stop: {why}" for why in found["stops"])


def _sampling(bench: Bench) -> Iterator[str]:
    """Of what rates and comparisons will be, where a study says it; and by whose labels they are corrected."""
    study, said = bench.study, []
    if study.prompts == "random":
        said.append("prompts are taken as a sample")
    if study.cluster:
        said.append(f"clustered by {study.cluster}")
    if study.margin is not None:
        said.append(f"with a margin of {100 * study.margin:g} points")
    if study.labels is not None:
        said.append(f"corrected by the labels of {len(study.labels.files())} files ({study.labels.design})")
    if said:
        yield f"comparisons: {', '.join(said)}"


def _not_yet(bench: Bench) -> str:
    part = bench.study.images
    if part.dataset is not None:
        return "the data set is not read yet"
    return (
        "its unseen prompts are not written yet"
        if part.unseen and part.unseen.writer
        else "not put together yet"
    )


def _cost(dollars: list[float] | None) -> str:
    if dollars is None:
        return "cost not known (no price in the card, or no rule for image tokens)"
    return f"about {dollars[0]:.2f} (short answers) to {dollars[1]:.2f} USD"


def _pairs(bench: Bench) -> Iterator[str]:
    texts = {p: p for e in bench.plan.editings for p in e.purifiers}
    for name, pairs in declared(bench.plan, texts).items():
        yield f"compare: the {name} family has {len(pairs)} comparisons for each judge"
