"""The complete first images of a plan: in whatever order answers come, images are looked at in theirs."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from isr.errors import TransportReason
from isr.judging.cards import load_panel
from isr.judging.edits import load_edits
from isr.judging.plan import Plan, arms_of, in_order
from isr.judging.prefix import AHEAD, Prefix
from isr.judging.rubrics import load_pair
from isr.judging.store import Store
from isr.types import Edit
from tests.directories import card_text, make_directory


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root = tmp_path_factory.mktemp("prefix")
    make_directory(root / "e", images=9, prompts=2, methods=("a", "b"))
    (root / "judge.toml").write_text(card_text("http://127.0.0.1:1/v1"))  # which nobody asks
    edits = in_order(load_edits(root / "e").edits, 3)
    panel = load_panel(str(root / "judge.toml"))
    return Plan(root=root / "e", edits=edits, rubrics=load_pair(), panel=panel, order_seed=3)


def keys_of(plan: Plan, edits: Sequence[Edit]) -> list[bytes]:
    return [r.key for r in plan.requests(plan.panel.members[0], arms_of(edits))]


def test_the_order_is_that_of_seed_and_name_alone(plan: Plan) -> None:
    images = list(dict.fromkeys(e.cluster for e in plan.edits))
    assert len(images) == 9
    assert images == sorted(images, key=lambda i: hashlib.sha256(f'[3,"{i}"]'.encode()).hexdigest())
    assert images != sorted(images)
    some = [
        e for e in plan.edits if e.cluster not in images[2:4]
    ]  # without some, the others stay as they stand
    assert [e.cluster for e in in_order(some[::-1], 3)][::4] == [*images[:2], *images[4:]]
    assert list(dict.fromkeys(e.cluster for e in in_order(plan.edits, 4))) != images
    assert in_order(plan.edits, None) is plan.edits


@pytest.mark.parametrize("seed", range(5))
def test_images_are_looked_at_in_order_whatever_the_latency(plan: Plan, tmp_path: Path, seed: int) -> None:
    seen: list[str] = []
    failed: dict[bytes, TransportReason] = {}

    def look(edits: Sequence[Edit]) -> bool:
        seen.append(edits[0].cluster)
        assert len(edits) == 4
        return len(seen) == 6

    with Store(tmp_path / "isr.db") as store:
        prefix = Prefix(plan, store, failed, look)
        prefix.advance()
        assert prefix.complete == 0
        keys = keys_of(plan, plan.edits)
        random.Random(seed).shuffle(keys)
        settled: set[bytes] = set()
        for key in keys:
            prefix.settle(key)
            settled.add(key)
            whole = [settled.issuperset(keys_of(plan, image)) for image in prefix.images]
            wanted = min(whole.index(False) if False in whole else 9, 6)
            assert prefix.complete == len(seen) == wanted
            assert prefix.edits == 4 * wanted
            assert prefix.met == (wanted == 6)
    assert seen == list(dict.fromkeys(e.cluster for e in plan.edits))[:6]


def test_what_was_given_up_is_missing_and_the_prefix_is_stuck_where_nothing_else_is(
    plan: Plan, tmp_path: Path
) -> None:
    first, second = (keys_of(plan, plan.edits[4 * i : 4 * i + 4]) for i in (0, 1))
    failed: dict[bytes, TransportReason] = {}
    with Store(tmp_path / "isr.db") as store:
        looked, bound = (Prefix(plan, store, failed, lambda edits: False, ends=e) for e in (False, True))
        for prefix in (looked, bound):
            prefix.advance()
            for key in [*first, *second[2:]]:
                prefix.settle(key)
            assert (prefix.complete, prefix.stuck) == (1, False)
        failed[second[0]] = TransportReason.TIMEOUT
        for prefix in (looked, bound):
            prefix.advance()
            assert not prefix.stuck  # another answer may still come
        failed[second[1]] = TransportReason.TIMEOUT
        for prefix in (looked, bound):
            prefix.advance()
            assert (prefix.complete, prefix.stuck) == (1, True)
        assert (looked.is_over, bound.is_over) == (False, True)


def test_a_judge_waits_where_it_is_far_ahead_and_something_is_in_flight(plan: Plan, tmp_path: Path) -> None:
    async def work() -> None:
        card = plan.panel.members[0]
        slow = card.model_copy(update={"limits": card.limits.model_copy(update={"concurrency": 1})})
        one = replace(plan, panel=replace(plan.panel, members=(slow,)))
        with Store(tmp_path / "isr.db") as store:
            prefix = Prefix(one, store, {}, lambda edits: False)
            prefix.advance()
            await prefix.room(8)  # nothing is in flight: nothing would ever come
            prefix.took_off()
            await prefix.room(AHEAD + 1)
            waiting = asyncio.create_task(prefix.room(AHEAD + 2))
            await asyncio.sleep(0)
            assert not waiting.done()
            for key in keys_of(one, one.edits[:4]):
                prefix.settle(key)
            prefix.landed()
            await waiting

    asyncio.run(work())
