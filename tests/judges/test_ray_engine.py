"""The engine ``ray``: what it refuses, and one run on this machine alone where Ray is installed."""

from __future__ import annotations

import asyncio
import builtins
import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from isr.actors.cluster import LOCAL, Settings, settings_of
from isr.edits.images import read_checked
from isr.errors import MissingExtraError, UsageError
from isr.judges.ray_engine import HeldJudge, open_hands, open_workers
from isr.judging.backends import open_judge
from isr.judging.cards import Card, load_card, load_panel
from isr.judging.edits import load_edits, rubrics_of
from isr.judging.plan import Plan, arms_of
from isr.judging.requests import Request
from isr.judging.sending import Encoder, Prepared
from isr.types import Answer
from isr.version import __version__
from tests.processes import run

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="needs ray (pip install 'isr-eval[ray]')")


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert settings_of(()) == Settings()
    assert Settings().where == LOCAL
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert Settings().where == "10.0.0.1:6379"
    found = settings_of(["address=auto", "actors=2,8", "gpus=0.5", "cpus=2", "room_s=9", "silent_s=60"])
    assert found == Settings(address="auto", least=2, most=8, gpus=0.5, cpus=2.0, room_s=9.0, silent_s=60.0)
    assert settings_of(["actors=3"]).most == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("actor=2", "found 'actor'; did you mean actors"),
        ("actors", "expected KEY=VALUE"),
        ("actors=0", "expected N, or MIN,MAX"),
        ("actors=3,2", "expected N, or MIN,MAX"),
        ("gpus=-1", "expected a number of at least 0"),
        ("cpus=0", "expected a number above 0"),
        ("room_s=inf", "expected seconds above 0"),
        ("silent_s=nan", "expected seconds above 0"),
    ],
)
def test_settings_that_are_none(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settings_of([text])


def test_a_judge_behind_a_server_needs_no_cluster() -> None:
    with pytest.raises(
        UsageError, match=r"expected a judge that runs in a process; found gpt-4\.1, which a server"
    ):
        open_workers(load_card("gpt-4.1"), ())


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, *args: Any, **more: Any) -> Any:
        if name == "ray":
            raise ImportError("No module named 'ray'")
        return real(name, *args, **more)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", absent)
    for opens in (lambda: open_workers(load_card("replay"), ()), lambda: open_hands(())):
        with pytest.raises(MissingExtraError, match=r"pip install 'isr-eval\[ray\]', here and on every node"):
            opens()


def test_what_an_actor_holds_answers_as_the_judge_does() -> None:
    """Card and requests are pickled, pictures come as bytes; identity, keys and answers stay what they are."""
    root = Path("examples/shapes")
    panel = load_panel("shapes-oracle")
    card = panel.members[0]
    plan = Plan(root=root, edits=load_edits(root).edits[:6], rubrics=rubrics_of(root, ()), panel=panel)
    requests = list(plan.requests(card, arms_of(plan.edits)))
    assert len(requests) > 12
    encoder = Encoder(root, card.policy)

    async def work() -> None:
        fields = {name: getattr(card, name) for name in Card.model_fields}
        held = HeldJudge(pickle.loads(pickle.dumps(fields)))
        assert held.facts() == (__version__, card.digest)
        judge = open_judge(card)

        async def both(request: Request) -> tuple[Answer, Answer]:
            images = Prepared(encoder, {r: (i.path, i.sha256) for r, i in request.images.items()})
            shipped = {digest: read_checked(root, path, digest) for path, digest in images.files.values()}
            there = pickle.loads(pickle.dumps(request))
            assert there.key == request.key
            return await judge.ask(request, images), await held.ask(
                there, dict(images.files), list(shipped), *shipped.values()
            )

        for here, there in await asyncio.gather(*map(both, requests)):
            assert here == there
        assert not held._pictures._files  # nothing is kept once nobody needs it

    asyncio.run(work())


@needs_ray
def test_addresses_where_there_is_no_cluster(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "isr", "score", "examples/shapes", "--judge", "shapes-oracle", "--out"]
    command += [tmp_path / "out", "--engine", "ray", "--engine-set"]
    done = run([*command, "address=127.0.0.1:1"])
    assert done.returncode == 2
    assert "Ray at 127.0.0.1:1: expected the head node of a cluster; found nobody who listens" in done.stderr


@needs_ray
@pytest.mark.slow
def test_one_machine_alone(tmp_path: Path) -> None:
    """The oracle in actors gives what it gives here; a cluster without room is an error in time; stdout is the result."""
    score = [
        sys.executable,
        "-m",
        "isr",
        "score",
        "examples/shapes",
        "--judge",
        "shapes-oracle",
        "--no-report",
        "--json",
    ]
    score += ["--limit", 8, "--out"]
    here = run([*score, tmp_path / "here"], check=True)
    on_ray = ["--engine", "ray", "--engine-set", "address=local"]
    there = run([*score, tmp_path / "there", *on_ray], check=True)
    assert there.stdout == here.stdout
    for name in ("result.json", "edits.csv"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    full = [*score, tmp_path / "none", *on_ray, "--engine-set", "gpus=64", "--engine-set", "room_s=1"]
    done = run(full)
    assert done.returncode == 2
    assert (
        "expected room for 1 actor(s) within 1 s; found room for 0 (each asks for CPU 1, GPU 64"
        in done.stderr
    )
