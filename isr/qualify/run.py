"""Is a judge awake? Asks it about probe edits, and says whether it is fit to be believed.

What a judge does well here it may still do badly on real edits: probes can show that a judge is unfit, agreement
with people shows that it is good (docs/qualify.md).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isr.canonical import short
from isr.edits.images import POLICY
from isr.errors import TransportError, TransportReason, UsageError
from isr.files import write_text
from isr.judging.cards import Card, Panel, load_panel
from isr.judging.edits import load_edits
from isr.judging.judged import judged_edits
from isr.judging.loop import judge_all
from isr.judging.parsing import PARSER_VERSION
from isr.judging.plan import Plan
from isr.judging.qualification import FILE, FOLDER
from isr.judging.requests import requests_for
from isr.judging.rubrics import Rubric, load_pair, load_rubric, names, rubric_parts
from isr.judging.store import Store
from isr.qualify.checks import CHECKS, LEVEL, MARKS_VERSION, Answers, Given, evaluate
from isr.qualify.probes import ASKED, PROBES_VERSION, write_probes
from isr.qualify.record import Qualification
from isr.scoring.judge_words import judge_record
from isr.scoring.options import Options
from isr.scoring.run import Watch, open_panel
from isr.scoring.text import left_open
from isr.signature import Signature
from isr.types import Arm, Edit, Question, StoreReason
from isr.version import __version__

IMAGES, REPEATS = 12, 3


@dataclass(frozen=True, kw_only=True)
class Request:
    """What ``isr qualify`` is asked to do; fields as its options."""

    judge: str
    directory: Path
    sets: tuple[str, ...] = ()
    out: Path | None = None
    store: Path | None = None
    rubrics: tuple[str, ...] = ()
    images: int = IMAGES
    repeats: int = REPEATS
    seed: int = 0
    budget_usd: float | None = None

    @property
    def options(self) -> Options:
        return Options(directory=self.directory, judge=self.judge, sets=self.sets, budget_usd=self.budget_usd)

    def folder(self, card: Card) -> Path:
        """Where the qualification of a judge goes; ``isr score`` finds it there."""
        return self.out or self.options.home / FOLDER / card.name

    def store_path(self) -> Path:
        """The store of ``isr score`` on the same directory: what it knows already is not asked again."""
        return self.store or self.options.store_path


def _check_request(request: Request) -> None:
    for name, value, least in (("images", request.images, 2), ("repeats", request.repeats, 2)):
        if value < least:
            raise UsageError(f"--{name}: expected at least {least}; found {value}")


def open_card(request: Request) -> Card:
    """The judge that is to be qualified, its key there. Raises ``UsageError`` for a panel."""
    panel = load_panel(request.judge, request.sets)
    if len(panel.members) > 1:
        members = ", ".join(c.name for c in panel.members)
        raise UsageError(f"{panel.name}: expected a judge; found a panel; qualify its members: {members}")
    return open_panel(request.options).members[0]


async def qualify(request: Request, watch: Watch | None = None) -> tuple[Qualification, Answers]:
    """Makes the probes, asks what the store has no answer to, and writes ``qualification.json``.

    Raises ``IsrError``; ``TransportError`` if requests got no reply: run again, and only those are asked.
    """
    watch = watch or Watch()
    _check_request(request)
    rubrics = load_pair(request.rubrics) if request.rubrics else load_pair()
    card = open_card(request)
    out = request.folder(card)
    watch.stage("making probes")
    edits, digest = await asyncio.to_thread(_make, request, out, watch)
    plans = _plans(request, out / "probes", edits, rubrics, Panel(card.name, (card,), "single"))
    given: list[Given] = []
    with Store(request.store_path()) as store:
        watch.stage("asking about the probes")
        for plan in plans:
            left = None if request.budget_usd is None else request.budget_usd - watch.progress.usd
            await judge_all(plan, store, budget_usd=left, progress=watch.progress, interrupt=watch.interrupt)
        for plan in plans:
            given += _given(plan, store, watch)
    _require_complete(given, watch, request.store_path())
    answers = Answers(given, rubrics)
    found = tuple(evaluate(check, answers) for check in CHECKS)
    done = Qualification(
        _signature(request, card, rubrics, digest),
        judge_record(card, _models(watch)),
        tuple({"name": r.name, "question": r.question.value, "digest": r.digest} for r in rubrics.values()),
        {
            "probes": digest,
            "images": len({g.image for g in given}),
            "answers": len(given),
            "seed": request.seed,
        },
        found,
    )
    write_text(out / FILE, done.to_json())
    return done, answers


def _make(request: Request, out: Path, watch: Watch) -> tuple[tuple[Edit, ...], str]:
    directory = load_edits(request.directory, cache=request.options.home / "cache.db", on_progress=watch.rows)
    write_probes(directory, out / "probes", images=request.images, seed=request.seed)
    probes = load_edits(out / "probes", cache=out / "cache.db")
    return probes.edits, probes.digest


def _plans(
    request: Request, root: Path, edits: Sequence[Edit], rubrics: Mapping[Question, Rubric], panel: Panel
) -> list[Plan]:
    """Each probe with the questions that it is about; the edits themselves repeatedly, and under all versions."""
    groups: dict[tuple[Question, ...], list[Edit]] = {}
    for edit in edits:
        groups.setdefault(ASKED[edit.treatment.method], []).append(edit)
    own = [e for e in edits if e.treatment.method == "own"]
    plans = [Plan(root=root, edits=own, rubrics=rubrics, panel=panel, repeats=request.repeats)]
    for questions, some in groups.items():
        rest = [e for e in some if e.treatment.method != "own"]
        plans.append(Plan(root=root, edits=rest, rubrics={q: rubrics[q] for q in questions}, panel=panel))
    for question, rubric in rubrics.items():
        plans += [
            Plan(root=root, edits=own, rubrics={question: other}, panel=panel)
            for other in _other_versions(rubric)
        ]
    return plans


def _other_versions(rubric: Rubric) -> list[Rubric]:
    family = rubric.name.partition("/")[0]
    return [load_rubric(n) for n in names() if n.partition("/")[0] == family and n != rubric.name]


def _given(plan: Plan, store: Store, watch: Watch) -> Iterator[Given]:
    card = plan.panel.members[0]
    for judged in judged_edits(plan, store, watch.progress):
        edit = judged.edit
        for template in plan.templates[card.name]:
            question = template.rubric.question
            asked = requests_for(edit, Arm.PROTECTED, template, plan.repeats)
            for request, verdict in zip(asked, judged.verdicts[0, question], strict=True):
                yield Given(
                    probe=edit.treatment.method,
                    variant=edit.treatment.config,
                    image=edit.cluster,
                    question=question,
                    rubric=template.rubric.name,
                    repeat=request.repeat,
                    content=request.content,
                    verdict=verdict,
                )


def _require_complete(given: Sequence[Given], watch: Watch, store: Path) -> None:
    unusable = (
        g.verdict.reason for g in given if isinstance(g.verdict.reason, TransportReason | StoreReason)
    )
    if said := left_open(Counter(map(str, unusable)), store):
        stopped = [watch.progress.stopped] if watch.progress.stopped else []
        raise TransportError(
            TransportReason.NOT_ASKED,
            f"qualify: expected a reply to each of {len(given)} requests; found {'; '.join([*said, *stopped])}",
        )


def _models(watch: Watch) -> list[str]:
    return sorted({s.model for s in watch.progress.served if s.model})


def _signature(request: Request, card: Card, rubrics: Mapping[Question, Rubric], digest: str) -> str:
    made = Signature.of(
        ("isr", __version__),
        *rubric_parts(rubrics),
        ("judge", card.signature),
        ("parser", PARSER_VERSION),
        ("images", POLICY.rpartition("/")[2]),
        ("probes", f"{PROBES_VERSION}:{short(digest)}"),
        ("marks", MARKS_VERSION),
        ("repeats", request.repeats),
        ("seed", request.seed),
        ("level", f"{LEVEL:g}"),
    )
    return str(made)
