"""Labelling in a real browser: two raters at once, a killed server, and the keys that come out again."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isr.people.label_store import LabelStore
from isr.people.labels_file import read_labels
from tests.browser.conftest import until
from tests.browser.label_pages import press, shown, sign_in
from tests.directories import make_directory, write_metadata
from tests.processes import run, wait_for
from tests.web.servers import free_port, labelling

pytestmark = pytest.mark.slow
ITEMS = 30
HOSTILE = (
    '<script>window.pwned = 1</script><img src=x onerror="window.pwned=1"> "quotes" & שלום עולם 🎨 '
    + "x" * 10_000
)
MEANS = {
    "1": ("semantic", "fine"),
    "2": ("semantic", "fails"),
    "3": ("semantic", "cannot_tell"),
    "q": ("perceptual", "fails"),
    "w": ("perceptual", "fine"),
    "e": ("perceptual", "cannot_tell"),
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    root = tmp_path / "edits"
    rows = make_directory(root, images=10, prompts=3, methods=("secretmethod",))
    rows[4]["prompt"] = HOSTILE
    write_metadata(root, rows)
    return root


def label_some(page: Any, rng: random.Random, count: int, pressed: dict[int, dict[str, str]]) -> None:
    """Labels items with keys, changing a mind now and then; ``pressed``: position -> the answers that stand."""
    for _ in range(count):
        position = int(page.evaluate("document.documentElement.dataset.position"))
        marks = {}
        for keys in ("123", "qwe"):
            key = rng.choice(keys)
            if rng.random() < 0.2:  # a slip, taken back
                press(page, rng.choice([k for k in keys if k != key]))
                press(page, "Backspace")
            press(page, key)
            question, value = MEANS[key]
            marks[question] = value
        press(page, "Space")
        assert page.inner_text("#status") == "", (position, marks)
        pressed[position] = marks


def test_two_raters_a_killed_server_and_the_keys_that_were_pressed(
    directory: Path, opened: Callable[..., Any]
) -> None:
    port = free_port()
    options = ("--edits", str(ITEMS), "--controls", "0.1", "--repeat", "0.1", "--attention", "2")
    pressed: dict[str, dict[int, dict[str, str]]] = {"ann": {}, "bo": {}}
    rng = random.Random(5)
    with labelling(directory, *options, port=port) as served:
        ann, bo = opened(served.address), opened(served.address)
        assert "token" not in ann.url
        sign_in(ann, "ann")
        sign_in(bo, "bo")
        for _ in range(7):
            label_some(ann, rng, 2, pressed["ann"])
            label_some(bo, rng, 2, pressed["bo"])
        shown(bo)
        press(ann, "1")  # half of an item, then the power goes
        served.kill()
        bo.keyboard.press("2")
        bo.wait_for_selector("#status.bad")
        assert "Not kept yet" in bo.inner_text("#status")
    with labelling(directory, port=port) as served:
        until(bo, "document.getElementById('status').textContent.includes('earlier start')")
        ann.goto(served.address)
        bo.goto(served.address)
        sign_in(ann, "ann")
        sign_in(bo, "bo")
        assert ann.get_attribute("[data-question=semantic] [data-value=fine]", "aria-pressed") == "true"
        total = int(ann.evaluate("document.getElementById('bar').max"))
        assert total == 30 + 3 + 3 + 2
        for page, name in ((ann, "ann"), (bo, "bo")):
            label_some(page, rng, total - 14, pressed[name])
            assert page.evaluate("document.documentElement.dataset.finished") == "true"
            assert "secretmethod" not in page.content()
        lost = (
            "net::ERR_",
            "status of 403",
        )  # while the server was dead, and before its new address was opened
        opened.troubles[:] = [t for t in opened.troubles if not any(word in t for word in lost)]  # type: ignore[attr-defined]
    folder = Path(f"{directory}.labels")
    labels = read_labels(folder / "labels.csv")
    with LabelStore(folder) as store:
        study = store.study()
        for name, by_position in pressed.items():
            assert len(by_position) == total
            said = store.said(name)
            assert {s.position: dict(s.marks) for s in said} == by_position
            first: dict[str, dict[str, str]] = {}
            for s in said:
                item = study.items[s.item]
                if item.kind == "edit":
                    first.setdefault(item.edit_id, dict(s.marks))
            exported = {
                r.edit_id: {"semantic": r.semantic.value, "perceptual": r.perceptual.value}
                for r in labels.rows
                if r.rater == name
            }
            assert exported == first
            assert len(exported) == ITEMS
    reports = json.loads((folder / "raters.json").read_text())
    assert [r["attention"]["of"] for r in reports] == [2, 2]
    assert reports[0]["self_consistency"]["semantic"]["n"] <= 3
    done = run(
        [
            sys.executable,
            "-m",
            "isr",
            "score",
            directory,
            "--judge",
            "shapes-oracle",
            "--quiet",
            "--no-report",
        ]
    )
    assert done.returncode == 3, done.stderr  # the judge refuses what is no painted scene
    agreed = run(
        [
            sys.executable,
            "-m",
            "isr",
            "agree",
            "--labels",
            folder / "labels.csv",
            "--judge",
            f"{directory}.isr",
        ]
    )
    assert agreed.returncode == 0, agreed.stderr
    assert "60 labels by 2 raters of 30 edits" in agreed.stdout


def test_the_page_is_accessible_and_shows_texts_as_texts(
    directory: Path, opened: Callable[..., Any], violations: Callable[[Any], list[str]]
) -> None:
    with labelling(directory, "--edits", "30", "--repeat", "0") as served:
        for scheme in ("light", "dark"):
            page = opened(served.address, color_scheme=scheme)
            assert violations(page) == []
            sign_in(page, f"rater {scheme}")
            assert violations(page) == []
            page.keyboard.press("h")
            page.wait_for_selector("#help[open]")
            assert "does EDIT show what INSTRUCTION asks for" in page.inner_text("#help")
            assert violations(page) == []
            page.keyboard.press("Escape")
            shown(page)
            for width, close in ((1440, "close"), (390, "covers")):
                page.set_viewport_size({"width": width, "height": 844})
                page.keyboard.press("z")
                until(page, f"document.querySelector('.look').classList.contains('{close}')")
                assert violations(page) == []
                page.keyboard.press("Escape")
            page.set_viewport_size({"width": 1280, "height": 720})
        for _ in range(40):
            if page.inner_text("#prompt").startswith("<script>"):
                break
            for key in ("1", "w", "Space"):
                press(page, key)
        assert page.text_content("#prompt") == HOSTILE
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_keys_pressed_while_the_server_is_away_never_count_for_another_item(
    directory: Path, opened: Callable[..., Any]
) -> None:
    with labelling(directory, "--edits", "8", "--repeat", "0", "--attention", "0") as served:
        page = opened(served.address)
        sign_in(page, "ann")
        shown(page)
        page.context.set_offline(True)
        for key in ("2", "w", "Space"):
            page.keyboard.press(key)
        until(page, "document.getElementById('undo').disabled")
        for key in ("1", "q", "Space"):
            page.keyboard.press(key)
        assert page.inner_text("#status") == "Not kept: the server does not answer. Wait."
        page.context.set_offline(False)
        until(page, "document.getElementById('status').textContent.includes('answers again')")
        until(page, "!document.getElementById('undo').disabled")
        page.wait_for_timeout(300)
        opened.troubles[:] = [t for t in opened.troubles if "net::ERR_" not in t]  # type: ignore[attr-defined]
    with LabelStore(Path(f"{directory}.labels")) as store:
        confirmed = [dict(s.marks) for s in store.said("ann")]
        assert confirmed in ([], [{"semantic": "fails", "perceptual": "fine"}])
        state = store.state("ann")
        if confirmed:
            assert (state.position, dict(state.marks)) == (1, {})
        else:  # what was pressed after the first failure was refused
            assert state.marks.get("semantic") == "fails"
            assert state.marks.get("perceptual") in (None, "fine")


def test_a_held_backspace_takes_one_key_back_and_notes_are_kept_while_written(
    directory: Path, opened: Callable[..., Any]
) -> None:
    with labelling(directory, "--edits", "8", "--repeat", "0", "--attention", "0") as served:
        page = opened(served.address)
        sign_in(page, "ann")
        for key in ("1", "w", "Space", "2", "q"):
            press(page, key)
        for _ in range(6):  # the same key again without a release is how a held key comes
            page.keyboard.down("Backspace")
        page.keyboard.up("Backspace")
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.dataset.position") == "1"
        page.keyboard.press("n")
        page.keyboard.type("blurred on the left")
        page.wait_for_timeout(900)
        page.keyboard.type(", and more")
        page.goto("about:blank")  # before the pause is over
        with LabelStore(Path(f"{directory}.labels")) as store:
            wait_for(lambda: store.state("ann").note.endswith(", and more"), what="the end of the note")
    with LabelStore(Path(f"{directory}.labels")) as store:
        state = store.state("ann")
        assert (state.position, dict(state.marks)) == (1, {"semantic": "fails"})
        assert state.note == "blurred on the left, and more"


def test_nobody_answers_about_a_picture_that_is_not_shown(
    directory: Path, opened: Callable[..., Any]
) -> None:
    with labelling(directory, "--edits", "8", "--repeat", "0", "--attention", "0") as served:
        for file in directory.rglob("*.png"):
            file.write_bytes(file.read_bytes() + b" ")
        page = opened(served.address)
        sign_in(page, "ann")
        until(page, "document.getElementById('status').textContent.includes('planned with')")
        for key in ("2", "w", "Space"):
            page.keyboard.press(key)
        until(page, "document.getElementById('status').textContent.includes('a picture cannot be shown')")
        opened.troubles[:] = [t for t in opened.troubles if "status of 409" not in t]  # type: ignore[attr-defined]
    with LabelStore(Path(f"{directory}.labels")) as store:
        assert (store.state("ann").position, dict(store.state("ann").marks)) == (0, {})
    for options, found in ((("--edits", "9"), "--edits: expected 8"), ((), "found others in their place")):
        again = run([sys.executable, "-m", "isr", "label", directory, *options])
        assert (again.returncode, found in again.stderr) == (2, True), again.stderr
