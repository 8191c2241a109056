"""Pictures by actors are the pictures of this process. The actors are objects here, and all that they get is pickled."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.actors.hands import Outcome, Task  # noqa: E402
from isr.errors import InputError, TransportError  # noqa: E402
from sifm_ref import editing, immunizing  # noqa: E402
from sifm_ref.editor import Settings  # noqa: E402
from sifm_ref.far import editor_there, edits_there, method_there, protect_there  # noqa: E402
from sifm_ref.loading import load, threads_here  # noqa: E402
from sifm_ref.pictures import Resize  # noqa: E402
from sifm_ref.registry import purifier  # noqa: E402
from sifm_ref.units import Prompt  # noqa: E402
from tests.sifm_ref.checkpoints import quick_settings  # noqa: E402
from tests.sifm_ref.photographs import write  # noqa: E402
from tests.sifm_ref.scenes import quick  # noqa: E402

PROMPTS = (Prompt("*", "make the circle red", "red"), Prompt("grey", "turn day into night"))


class Here:
    """Hands whose one actor is an object of this process; the task of ``losing`` is never done."""

    def __init__(self, losing: object = None) -> None:
        self.losing, self.held, self.seen = losing, None, list[object]()

    def begin(self, make: Callable[[], Any], name: str) -> Any:
        self.held = pickle.loads(pickle.dumps(make))()
        return pickle.loads(pickle.dumps(self.held.facts()))

    def call(self, method: str, *args: Any) -> Any:
        return getattr(self.held, method)(*pickle.loads(pickle.dumps(args)))

    def map(self, tasks: Iterator[Task[Any]]) -> Iterator[Outcome[Any]]:
        for task in tasks:
            self.seen.append(task.key)
            if task.key == self.losing:
                lost = TransportError("server_error", "its actors ended", retryable=False)
                yield Outcome(task.about, lost=lost)
            else:
                yield Outcome(task.about, pickle.loads(pickle.dumps(self.call(task.method, *task.args))))


def files(folder: Path) -> dict[str, Any]:
    """The pictures of a directory, and its rows without the seconds that they took."""
    found: dict[str, Any] = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    return found | {"rows": [{k: v for k, v in row.items() if k != "immunize_seconds"} for row in rows]}


@pytest.fixture
def opens(checkpoint: Callable[[str], Path]) -> Callable[[], Any]:
    """What opens a tiny editor, here as in an actor."""
    spec = f"instruct_pix2pix={checkpoint('instruct_pix2pix')}"
    return partial(load, spec, Settings(settings=quick_settings("instruct_pix2pix")))


def test_protected_pictures_and_edits(opens: Callable[[], Any], tmp_path: Path) -> None:
    write(tmp_path / "photos")
    editor = opens()

    def immunize(where: str, **more: Any) -> immunizing.Job:
        method = quick("photoguard_encoder")
        return immunizing.Job(
            images=tmp_path / "photos",
            out=tmp_path / where / "p",
            method=method,
            resize=Resize(16),
            batch=2,
            **more,
        )

    here, there = immunize("here"), immunize("there")
    immunizing.immunize(here, editor)
    hands: Any = Here()
    far = method_there(hands, opens, partial(quick, "photoguard_encoder"), there, "tiny", threads_here())
    immunizing.immunize(there, far, make=protect_there(hands))  # type: ignore[arg-type]
    assert len(hands.seen) == len(set(hands.seen)) < 5  # a task for each batch
    assert files(here.out) == files(there.out)

    def edit(where: str, **more: Any) -> editing.Job:
        return editing.Job(
            directories=(here.out,), out=tmp_path / where / "e", prompts=PROMPTS,
            purifiers=(None, purifier("jpeg:quality=60")), **more,
        )  # fmt: skip

    assert editing.edit(edit("here"), editor) == 12
    hands = Here()
    far = editor_there(hands, opens, "tiny", threads_here())
    assert editing.edit(edit("there"), far, make=edits_there(hands)) == 12  # type: ignore[arg-type]
    assert files(tmp_path / "here" / "e") == files(tmp_path / "there" / "e")
    # what is gone is made again; the control edit that is there is not
    gone = min((tmp_path / "there" / "e" / "edits").iterdir())
    gone.unlink()
    control = tmp_path / "there" / "e" / "controls" / gone.name
    before = {p: p.stat().st_mtime_ns for p in control.parent.iterdir()}
    hands.seen.clear()
    editing.edit(edit("there", resume=True), far, make=edits_there(hands))  # type: ignore[arg-type]
    assert len(hands.seen) == 1
    assert {p: p.stat().st_mtime_ns for p in control.parent.iterdir()} == before
    assert files(tmp_path / "here" / "e") == files(tmp_path / "there" / "e")


def test_a_picture_that_no_actor_can_do_is_named_and_the_others_are_done(
    opens: Callable[[], Any], tmp_path: Path
) -> None:
    write(tmp_path / "photos")
    job = immunizing.Job(
        images=tmp_path / "photos", out=tmp_path / "p", method=quick("noise"), resize=Resize(16)
    )
    hands: Any = Here(losing=("grey",))
    far = method_there(hands, opens, partial(quick, "noise"), job, "tiny", threads_here())
    with pytest.raises(InputError, match=r"1 picture\(s\) could not be protected") as error:
        immunizing.immunize(job, far, make=protect_there(hands))  # type: ignore[arg-type]
    assert [Path(p.where).name for p in error.value.problems] == ["grey.tif"]
    assert "none (server_error: its actors ended)" in error.value.problems[0].found
    assert len(files(tmp_path / "p")["rows"]) == 4
    hands.losing = None
    resumed = immunizing.Job(**{**vars(job), "resume": True})
    assert immunizing.immunize(resumed, far, make=protect_there(hands)) == 5  # type: ignore[arg-type]
    assert hands.seen[-1] == ("grey",)
    assert len(hands.seen) == 6
