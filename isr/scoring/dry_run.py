"""What a run would ask and cost, without asking anybody."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from isr.image_file import open_image, read_file
from isr.judging.cards import Card, load_panel
from isr.judging.keys import is_loopback
from isr.judging.local_time import SMALL, seconds, speed
from isr.judging.plan import arms_of, missing_requests
from isr.judging.prices import image_tokens, text_tokens, usd
from isr.judging.qualification import qualifications
from isr.judging.requests import Request
from isr.judging.store import Store
from isr.scoring.as_author import as_author
from isr.scoring.batch_dry_run import InBatches, in_files, price_in_batches
from isr.scoring.batches import asks_in_batches, require_engine
from isr.scoring.judge_words import judge_record, model_words
from isr.scoring.metrics import open_measures
from isr.scoring.options import Options, check_options, default_judge
from isr.scoring.run import Watch, prepare

SHORT = 100  # tokens of a short answer


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a run would ask of one judge; token and price figures are estimates, ``None`` where no rule is known."""

    judge: str
    model: str  # in words, with its revision
    requests: int
    text_tokens: int
    image_tokens: int | None
    most_output_tokens: int
    usd_low: float | None
    usd_high: float | None
    pictures: Mapping[str, int]  # files that would be sent, by role
    minutes: (
        tuple[float, float] | None
    )  # for 100 edits on this machine's CPU alone, where the size of the model is known
    program: bool  # no model is asked: it reads and writes no tokens
    qualify_first: bool  # a small model, which is often no judge, and was not qualified
    hosts: tuple[str, ...]  # to whom; none where everything stays on this machine
    batch: InBatches | None = None  # with an engine that asks by batches


def dry_run(options: Options, watch: Watch | None = None) -> list[DryRun]:
    """What ``run`` would ask and cost, without asking anybody. Raises ``IsrError`` as ``run`` does."""
    check_options(options)
    options = as_author(options)
    if options.metrics:
        open_measures(options, fetch=False)
    panel = load_panel(options.judge or default_judge(), options.sets)
    for card in panel.members:
        require_engine(options, card)
    plan, *_ = prepare(options, panel, watch)
    members, rubrics = plan.panel.members, list(plan.rubrics.values())
    known = qualifications(members, rubrics, options.home, options.qualifications)
    unknown = {
        c.name for c, k in zip(members, known, strict=True) if 0 < c.parameters <= SMALL and not k.verdict
    }
    sizes: dict[str, tuple[int, int]] = {}

    def tokens(card: Card, path: str) -> int | None:
        if path not in sizes:
            sizes[path] = open_image(read_file(plan.root / path)).size
        return image_tokens(card, *sizes[path])

    totals = {
        c.name: DryRun(
            judge=c.name,
            model=model_words(judge_record(c)),
            requests=0,
            text_tokens=0,
            image_tokens=0,
            most_output_tokens=0,
            usd_low=None,
            usd_high=None,
            pictures={},
            minutes=None,
            program=not c.model,
            qualify_first=c.name in unknown,
            hosts=tuple(p.host for p in c.endpoint.each if p.base_url and not is_loopback(p.host)),
        )
        for c in members
    }
    by_batches = asks_in_batches(options)
    sent: dict[tuple[str, str], set[str]] = defaultdict(set)
    asking: dict[str, list[Request]] = defaultdict(list)
    with _reading(options.store_path) as store:
        for card, request in missing_requests(plan, store):
            t = totals[card.name]
            if by_batches:
                asking[card.name].append(request)
            for role, ref in request.images.items():
                sent[card.name, role].add(ref.sha256)
            images = [tokens(card, ref.path) for ref in request.images.values()]
            total = (
                None
                if t.image_tokens is None or None in images
                else t.image_tokens + sum(i or 0 for i in images)
            )
            totals[card.name] = replace(
                t,
                requests=t.requests + 1,
                text_tokens=t.text_tokens + text_tokens(request),
                image_tokens=total,
                most_output_tokens=t.most_output_tokens + card.decoding.max_tokens,
            )
    cards = {c.name: c for c in members}
    arms = sum(1 for _ in arms_of(plan.edits))
    asked = (
        len(plan.rubrics) * plan.repeats * arms / max(len(plan.edits), 1)
    )  # requests for each edit, its control edit's too
    if by_batches:
        for name, requests in asking.items():
            files = in_files(options.engine, plan, cards[name], requests, asked)
            totals[name] = replace(totals[name], batch=files)
    return [
        _timed(
            cards[t.judge],
            _priced(
                cards[t.judge],
                replace(t, pictures={r: len(f) for (j, r), f in sorted(sent.items()) if j == t.judge}),
            ),
            asked,
        )
        for t in totals.values()
    ]


def _timed(card: Card, total: DryRun, asked: float) -> DryRun:
    """With the minutes that 100 edits take here, for a model of known size that no other machine answers for."""
    if not card.parameters or total.hosts or total.image_tokens is None or not total.requests:
        return total
    prompt = total.text_tokens + total.image_tokens
    least, most = seconds(card.parameters, prompt, SHORT * total.requests, speed())
    scale = 100 * asked / total.requests / 60
    return replace(total, minutes=(least * scale, most * scale))


def _priced(card: Card, total: DryRun) -> DryRun:
    if card.price.input is None or card.price.output is None or total.image_tokens is None:
        return total
    prompt = total.text_tokens + total.image_tokens
    short, most = SHORT * total.requests, total.most_output_tokens
    batch = total.batch
    if batch is not None:
        low, high = price_in_batches(card, prompt, short, most)
        batch = replace(batch, usd_low=low, usd_high=high)
    return replace(total, usd_low=usd(card, prompt, short), usd_high=usd(card, prompt, most), batch=batch)


@contextmanager
def _reading(path: Path) -> Iterator[Store]:
    """The store at ``path``, or an empty one that leaves no file behind."""
    if path.is_file():
        with Store(path, read_only=True) as store:
            yield store
        return
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "isr.db") as store:
        yield store
