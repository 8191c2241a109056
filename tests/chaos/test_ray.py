"""Two nodes of a cluster, one of which dies in mid-run, and a request that kills its actor: the result of one machine.

Needs Ray (``.venv-ray``); minutes long: ``make proof``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from isr.judging.store import Store
from tests.directories import make_directory
from tests.processes import finish, run, started, wait_for
from tests.ray_nodes import nodes

pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="needs ray (pip install 'isr-eval[ray]')"
    ),
]

POISON, SHORT = "make it colour 1", "make it colour 2"
JUDGE = """
import asyncio, json, os, sys
from isr.errors import TransportError
from isr.types import Answer, Finish

FREE = True
POISONED, SHORT = "sources/3.png", "sources/5.png"

def open_judge(card):
    return Judge()

class Judge:
    async def ask(self, request, images):
        on_ray = "ray" in sys.modules and sys.modules["ray"].is_initialized()
        pixels = images.pixels("edit")
        source = request.images["source"].path
        if on_ray:
            open(f"FOLDER/{os.getpid()}", "a").write("x")
            await asyncio.sleep(0.05)
        if source == SHORT and request.prompt.endswith("2"):
            raise TransportError("out_of_memory", "it does not fit", retryable=False)
        if source == POISONED and request.prompt.endswith("1"):
            if on_ray:
                os._exit(1)
            raise TransportError("server_error", "it fails for good", retryable=False)
        fails = sum(pixels.getpixel((3, 3))) % 3 == 0
        said = {"reasoning": "r", "score": 1 if fails else 4, "verdict": "fails" if fails else "fine"}
        said |= {"source_kept": 4} if request.question == "semantic" else {}
        return Answer(text=json.dumps(said), finish_reason=Finish.STOP, served={"model": "coin"})

    async def close(self):
        pass
"""


def card(folder: Path) -> Path:
    """A judge that is fine with most requests; one ends its process where it runs on Ray, and fails for good elsewhere."""
    (folder / "asked").mkdir()
    (folder / "judge.py").write_text(JUDGE.replace("FOLDER", str(folder / "asked")), "utf-8")
    path = folder / "coin.toml"
    path.write_text('backend = "./judge.py:open_judge"\nmodel = "coin"\n[limits]\nconcurrency = 4\n', "utf-8")
    return path


def test_a_node_dies_and_a_request_kills_its_actor(tmp_path: Path) -> None:
    for name in ("here", "there"):
        make_directory(tmp_path / name, images=40, prompts=3)
    judge = card(tmp_path)
    score = [sys.executable, "-m", "isr", "score", "--judge", judge, "--no-report", "--json"]
    here = run([*score, tmp_path / "here"])
    assert here.returncode == 3  # two requests fail for good
    with nodes() as cluster:
        settings = [f"address={cluster.address}", "actors=1,3", "room_s=300"]
        on_ray = [*score, tmp_path / "there", "--engine", "ray"]
        on_ray += [word for one in settings for word in ("--engine-set", one)]
        with started(on_ray) as process:
            wait_for(
                lambda: len(list((tmp_path / "asked").iterdir())) >= 3, process, what="work on both nodes"
            )
            wait_for(lambda: asked(tmp_path) > 100, process, what="answers")
            cluster.tell("kill")
            there = finish(process)
        print(there.stderr)
        assert there.returncode == 3, there.stderr
        assert json.loads(there.stdout) == json.loads(here.stdout)
        again = run(on_ray)
    for name in ("result.json", "edits.csv"):
        (a,), (b,) = ((tmp_path / f"{n}.isr" / "runs").glob(f"*/{name}") for n in ("here", "there"))
        assert a.read_bytes() == b.read_bytes(), name
    assert again.stdout == there.stdout


def asked(folder: Path) -> int:
    """How many requests actors were given."""
    return sum(p.stat().st_size for p in (folder / "asked").iterdir())


def test_a_driver_that_is_stopped_or_killed_goes_on(tmp_path: Path) -> None:
    for name in ("here", "there"):
        make_directory(tmp_path / name, images=20, prompts=3)
    judge = card(tmp_path)
    score = [sys.executable, "-m", "isr", "score", "--judge", judge, "--no-report", "--json"]
    here = run([*score, tmp_path / "here"])
    on_ray = [*score, tmp_path / "there", "--engine", "ray", "--engine-set", "address=local"]
    stops = ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL))
    stored = [0]
    for number, code in stops:
        with started(on_ray) as process:
            before = asked(tmp_path)
            wait_for(lambda before=before: asked(tmp_path) > before + 20, process, what="answers")
            if number is signal.SIGINT:
                os.killpg(process.pid, number)  # as a terminal does: to Ray's own processes too
            else:
                process.send_signal(number)
            done = finish(process)
        assert done.returncode == code, done.stderr
        with Store(tmp_path / "there.isr" / "isr.db") as store:
            stored.append(store.count())
            assert not list(store.verify())
    assert stored == sorted(set(stored))  # each of them kept what it was given
    there = run(on_ray)
    assert there.stdout == here.stdout
    for name in ("result.json", "edits.csv"):
        (a,), (b,) = ((tmp_path / f"{n}.isr" / "runs").glob(f"*/{name}") for n in ("here", "there"))
        assert a.read_bytes() == b.read_bytes(), name
    assert asked(tmp_path) < 240 + 3 * 8 * 4  # beside what was in flight nothing was asked again


ONE_THREAD = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
}  # of the driver, and so of the actors: more wait for each other


def files(folder: Path) -> dict[str, bytes]:
    """The pictures of a directory, and its rows without the seconds that they took."""
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    told = [{k: v for k, v in row.items() if k != "immunize_seconds"} for row in rows]
    return found | {"metadata.jsonl": json.dumps(told).encode()}


def test_pictures_are_the_same_files(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")
    from tests.sifm_ref.checkpoints import build
    from tests.sifm_ref.photographs import write

    write(tmp_path / "photos")
    for name in ("turned.jpg", "more/an image.webp"):
        (tmp_path / "photos" / name).unlink()
    prompts = tmp_path / "prompts.csv"
    prompts.write_text(
        "name,prompt,prompt_id\n*,make the circle red,red\ngrey,turn day into night,\n", "utf-8"
    )
    editor = f"instruct_pix2pix={build('instruct_pix2pix', tmp_path / 'editor')}"
    isr = [sys.executable, "-m", "isr"]

    def immunize(out: Path, method: str, *more: object) -> None:
        command = [
            *isr,
            "immunize",
            tmp_path / "photos",
            "--method",
            method,
            "--editor",
            editor,
            "--out",
            out,
        ]
        run([*command, "--resolution", 48, *more], check=True, env=ONE_THREAD)

    steps = ("--steps", 2, "--prompts", prompts, "--where", "prompt_id=red")
    immunize(tmp_path / "noise", "noise")
    with nodes() as cluster:
        engine = (
            "--engine",
            "ray",
            "--engine-set",
            f"address={cluster.address}",
            "--engine-set",
            "actors=1,3",
        )
        for where, how in (("here", ()), ("there", engine)):
            immunize(tmp_path / where / "sifm", "sifm", *steps, *how)
            command = [*isr, "edit", tmp_path / where / "sifm", tmp_path / "noise", "--editor", editor]
            command += ["--out", tmp_path / where / "edits", "--prompts", prompts, "--set", "steps=2"]
            edit = [*command, "--purifier", "none", "--purifier", "jpeg:quality=60", *how]
            run(edit, check=True, env=ONE_THREAD)
        for name in ("sifm", "edits"):
            assert files(tmp_path / "here" / name) == files(tmp_path / "there" / name), name
        # an edit and a control edit that are gone are made again, the others are left as they are
        edits = tmp_path / "there" / "edits"
        for folder in ("edits", "controls"):
            min((edits / folder).iterdir()).unlink()
        again = run([*edit, "--resume", "--json"], check=True, env=ONE_THREAD)
    assert json.loads(again.stdout)["new"] in (1, 2, 3)
    assert files(edits) == files(tmp_path / "here" / "edits")
