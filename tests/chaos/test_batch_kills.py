"""2,000 requests in three shards, killed at twenty random moments: the result of the direct path, and nothing asked twice.

Minutes long: ``make proof``.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest

import isr
from isr.judging.store import Store
from tests.batch_server import serving
from tests.directories import make_directory
from tests.judging.batching import ENGINE, card_of, kept
from tests.processes import run, started, wait_for

pytestmark = pytest.mark.proof

KILLS = 20
REQUESTS = 2000


def test_killed_at_twenty_random_moments(tmp_path: Path) -> None:
    for name in ("e", "whole"):
        make_directory(tmp_path / name, images=125, prompts=4)
    chance = random.Random(22)
    moments = []
    with serving(seed=2) as server:
        judge = card_of(tmp_path, server, batch_requests=700, batch_poll_s=0.05)
        # shard 0 has a line that fails, shard 1 expires half-done; shard 2 is not done before the last kill
        server.change(fail_lines=[0], expire=[1], looks_of={"0": 4, "1": 12, "2": 10**9})
        command = [sys.executable, "-m", "isr", "score", tmp_path / "e", "--judge", judge]
        command += ["--engine", ENGINE, "--quiet", "--no-report"]
        for _ in range(KILLS):
            at = server.stats()["api_requests"] + chance.randint(1, 9)
            server.change(hold_at=at, hold_where=chance.choice(("before", "after")))
            with started(command) as process:
                wait_for(lambda: server.stats()["held"], process, what="the request that is held")
                time.sleep(chance.uniform(0, 0.05))
                stats = server.stats()
                moments.append((stats["uploads"], len(stats["batches"]), stats["downloads"]))
            server.change(hold_at=0)
            wait_for(lambda: not server.stats()["held"], what="the end of what was held")
        with Store(tmp_path / "e.isr" / "isr.db") as store:  # opening recovers the journal
            received = store.count()
            assert not list(store.verify())
        assert 0 < received < REQUESTS  # the run was really cut short
        server.change(looks_of={})
        run(command, check=True)
        stats = server.stats()
        server.reset()
        direct = isr.score(tmp_path / "whole", judge=judge)
    print(f"\n(uploads, batches, downloads) at each kill: {moments}")
    (result,) = (tmp_path / "e.isr" / "runs").glob("*/result.json")
    assert result.read_text("utf-8") == direct.to_json()
    assert kept(tmp_path / "e.isr" / "isr.db") == kept(tmp_path / "whole.isr" / "isr.db")
    assert len(moments) == KILLS
    assert len(set(moments)) > 5  # at different moments
    assert set(stats["shards"].values()) == {1}  # no shard was created twice
    assert len(stats["in_batches"]) == REQUESTS
    assert set(stats["in_batches"].values()) == {1}  # and no answer paid for twice
    assert [b["status"] for b in stats["batches"]].count("expired") == 1
