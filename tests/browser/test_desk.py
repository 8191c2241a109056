"""The disagreement desk in a real browser: its numbers, its edits, and labels that leave it and arrive in a study."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import read_labels, write_labels
from isr.report.page import write_report
from isr.report.runs import ReportRun, named_runs, read_report_run
from tests.browser.conftest import until
from tests.runs import HOSTILE, answer, recorded_run

pytestmark = pytest.mark.slow
QUESTIONS = ("semantic", "perceptual")
NOTE = 'she said "no", twice;\n=1+1, not a formula 🎨 \u202e שלום\n-- <b>end</b>'
Code = int | None
"""0 fails or immunized, 1 fine or not immunized, 2 undecided, None where nothing was said."""


def said(shift: int) -> Callable[[int], dict[str, Any]]:
    def say(number: int) -> dict[str, Any]:
        fails = (number * 37 + shift) % 11 < 4
        verdict = "perhaps" if (number + shift) % 13 == 5 else "fails" if fails else "fine"
        more = {"reasoning": HOSTILE} if number == 0 else {}
        return answer(number) | {"score": 0 if fails else 3, "verdict": verdict} | more

    return say


def second_judge(root: Path) -> Path:
    """The same edits judged by another card, whose answers are those of the other edits in turn."""
    lines = [json.loads(x) for x in (root / "answers.jsonl").read_text("utf-8").splitlines()]
    for one, other in zip(lines, [*lines[5:], *lines[:5]], strict=True):
        text = json.loads(other["answer"]["text"]) | {"source_kept": 3}
        one["said"] = json.dumps(text)
    for one in lines:
        one["answer"] = {"text": one.pop("said"), "finish_reason": "stop"}
    (root / "other.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", "utf-8")
    card = root / "other.toml"
    card.write_text(
        f'backend = "replay"\n[engine]\nanswers = {json.dumps(str(root / "other.jsonl"))}\n', "utf-8"
    )
    isr.score(root / "edits", judge=str(card), out=root / "other.isr")
    return root / "other.isr"


def labels_of(rows: Sequence[Mapping[str, str]]) -> Labels:
    """Two raters, who differ, cannot tell, and leave a question open."""
    words = ("fails", "fine", "cannot_tell", "fine")
    return Labels(
        tuple(
            Label(
                edit_id=r["edit_id"],
                rater=rater,
                semantic=Mark(words[(i + n) % 4]),
                perceptual=Mark("" if i % 7 == 6 else words[(i // 2 + n) % 3]),
                edit_sha256=r["edit_sha256"],
                image_id=r["image_id"],
                extra={"note": NOTE} if (i, n) == (0, 1) else {},
            )
            for i, r in enumerate(rows[:20])
            for n, rater in enumerate(("ann", "bo"))
        )
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[ReportRun]:
    root = tmp_path_factory.mktemp("desk")
    homes = [
        recorded_run(root, images=6, prompts=3, say=said(1), methods=("mist", "sifm")),
        second_judge(root),
    ]
    found = [read_report_run(h) for h in homes]
    write_labels(homes[0] / "labels.csv", labels_of(protected(found[0])))
    return named_runs(found)


@pytest.fixture(scope="module")
def report(runs: list[ReportRun], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(runs, tmp_path_factory.mktemp("page") / "report.html").as_uri()


def protected(run: ReportRun) -> list[Mapping[str, str]]:
    return [r for r in run.rows if r["arm"] == "protected"]


def either(codes: Sequence[Code]) -> Code:
    """The outcome of two answers of one judge or rater."""
    return None if None in codes else 2 if 2 in codes else 0 if 0 in codes else 1


def expected(runs: list[ReportRun]) -> dict[str, dict[str, list[Code]]]:
    """Who said what of each edit, from the tables and the labels alone."""
    out: dict[str, dict[str, list[Code]]] = {}
    for run in runs:
        (judge,) = run.judges
        said = {q: [["fails", "fine", "undecided"].index(r[f"{judge}:{q}"] or "undecided") for r in protected(run)] for q in QUESTIONS}  # fmt: skip
        out[judge] = {**said, "outcome": [either(x) for x in zip(*said.values(), strict=True)]}
    labels = read_labels(runs[0].folder / "labels.csv")
    held = {(x.edit_id, x.rater): x for x in labels.rows}
    codes: dict[str, Code] = {"fails": 0, "fine": 1, "cannot_tell": 2, "": None}
    for rater in labels.raters:
        marks = {q: [codes[x.mark(q).value] if (x := held.get((r["edit_id"], rater))) else None for r in protected(runs[0])] for q in QUESTIONS}  # fmt: skip
        out[f"rater {rater}"] = {**marks, "outcome": [either(x) for x in zip(*marks.values(), strict=True)]}

    def crowd(votes: Sequence[Code]) -> Code:
        n = Counter(votes)
        if set(votes) == {None}:
            return None
        return 0 if n[0] > n[1] else 1 if n[1] > n[0] else 2

    raters = [out[f"rater {r}"] for r in labels.raters]
    out["majority"] = {t: [crowd(v) for v in zip(*(r[t] for r in raters), strict=True)] for t in raters[0]}
    return out


def ready(page: Any) -> Any:
    page.wait_for_selector("html[data-ready]")
    return page


def place(page: Any) -> list[str]:
    return str(page.inner_text("#desk-place")).split(" \N{MIDDLE DOT} ")


def test_every_two_are_crossed_by_question_and_a_cell_opens_its_edits(
    runs: list[ReportRun], report: str, opened: Callable[..., Any]
) -> None:
    page = ready(opened(report))
    names = page.locator("#desk-first option").evaluate_all("(x) => x.map((o) => o.textContent)")
    assert names == [
        "recorded (the program replay)", "other (the program replay)", "majority of 2 raters", "rater ann", "rater bo",
    ]  # fmt: skip
    codes = expected(runs)
    keys = ["recorded", "other", "majority", "rater ann", "rater bo"]
    for a, b in [*combinations(range(5), 2), (4, 0)]:
        page.evaluate("(x) => { location.hash = x; }", f"desk={a}.{b}")
        until(page, "([a, b]) => document.getElementById('desk-first').value === a && document.getElementById('desk-second').value === b", [str(a), str(b)])  # fmt: skip
        shown = page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('#desk-tables a')].map((x) => [x.hash.slice(10), Number(x.textContent)]))"
        )
        want = {
            f"{a}.{b}.{title}.{x}{y}": n
            for title in (*QUESTIONS, "outcome")
            for (x, y), n in Counter(zip(codes[keys[a]][title], codes[keys[b]][title], strict=True)).items()
            if x is not None and y is not None
        }
        assert shown == want, (keys[a], keys[b])
        assert sum(n for k, n in want.items() if ".outcome." in k) > 10
    page.evaluate("location.hash = 'desk=0.1'")
    table = page.locator("caption:has-text('Judges with each other') + thead + tbody tr td.num")
    told = [
        int(t) for t in table.all_inner_texts()[2:]
    ]  # both fail, only the first, only the second, neither
    until(page, "document.getElementById('desk-second').value === '1'")
    cells = [f'a[href="#set=desk:0.1.outcome.{c}"]' for c in ("00", "01", "10", "11")]
    assert [int(page.inner_text(c)) for c in cells] == told
    ids = [r["edit_id"] for r in protected(runs[0])]
    for cell, title in (("01", "semantic"), ("20", "outcome"), ("11", "perceptual")):
        page.click(f'a[href="#set=desk:0.1.{title}.{cell}"]')
        both = zip(ids, codes["recorded"][title], codes["other"][title], strict=True)
        edits = [e for e, x, y in both if f"{x}{y}" == cell]
        until(page, "(n) => document.getElementById('count').textContent.startsWith(n + ' of ')", len(edits))
        assert place(page)[:2] == [f"1 of {len(edits)}", edits[0]]
        seen = []
        for _ in edits:
            seen.append(place(page)[1])
            page.click("#desk-after")
        assert seen == edits
        assert page.inner_text("#desk-list").startswith(f"{len(edits)} edits: ")
    page.reload()  # the address says which cell, and which edit of it
    assert place(ready(page))[:2] == [f"1 of {len(edits)}", edits[0]]


def test_a_reader_sees_what_everybody_said_and_keys_answer(
    runs: list[ReportRun], report: str, opened: Callable[..., Any], violations: Callable[[Any], list[str]]
) -> None:
    page = ready(opened(f"{report}#set=desk:3.4.semantic.01"))
    first = protected(runs[0])[0]
    assert place(page)[1] == first["edit_id"]
    text = page.inner_text("#desk-said")
    assert HOSTILE[:60] in text  # the first judge's reasoning, as text
    assert "bo: semantic fine" in text
    assert NOTE.split("\n")[0] in text
    assert page.evaluate("window.pwned") is None
    assert page.locator("#desk-said .verdict h3").all_inner_texts() == ["recorded", "other", "People"]
    for width in (390, 768, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.getElementById('desk').scrollWidth") <= width
    assert violations(page) == []
    page.focus("#desk-one")
    for key in "2wfn":
        page.keyboard.press(key)
    page.keyboard.insert_text(NOTE)
    page.keyboard.press("Escape")
    pressed = "[...document.querySelectorAll('#desk [aria-pressed=true]')].map((b) => b.textContent.trim())"
    assert page.evaluate(pressed) == ["2 fails", "W fine", "F Flag"]
    assert page.inner_text("#desk-counts") == "By you: 1 flagged, 1 labelled, 1 noted"
    page.keyboard.press("ArrowRight")
    assert place(page)[1] != first["edit_id"]
    assert page.evaluate(pressed) == []
    assert page.input_value("#desk-note") == ""
    page.keyboard.press("e")
    assert page.inner_text("#desk-answered") == "one question is open"
    page.keyboard.press("e")  # the same key takes it back
    assert page.inner_text("#desk-counts") == "By you: 1 flagged, 1 labelled, 1 noted"
    page.click("#desk-counts a >> nth=0")
    assert page.inner_text("#count").startswith("1 of ")
    assert place(page)[:2] == ["1 of 1", first["edit_id"]]
    page.keyboard.press("Escape")
    page.click("#desk-open")
    assert first["edit_id"] in page.inner_text("#viewer-title")
    page.keyboard.press("Escape")
    assert "Kept in this browser only" in page.inner_text("#desk-kept")
    page.reload()
    assert ready(page).inner_text("#desk-counts") == "By you: 1 flagged, 1 labelled, 1 noted"
    for bad in ("0.0.outcome.00", "0.9.outcome.00", "0.1.outcome.03", "0.1.toString.00", "0.1"):
        page.evaluate("(x) => { location.hash = `set=desk:${x}`; }", bad)
        assert " of " not in page.inner_text("#count")


def answered(page: Any, edits: Iterator[str], keys: str, notes: str = "") -> list[str]:
    """Answers so many edits by keys; returns their names."""
    found = []
    for _ in edits:
        page.focus("#desk-one")
        for key in keys:
            page.keyboard.press(key)
        if notes:
            page.fill("#desk-note", notes)
        found.append(place(page)[1])
        page.click("#desk-after")
    return found


def saved(page: Any, button: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click(button)
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


def run_isr(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)


def test_labels_leave_the_page_and_arrive_in_a_study(
    runs: list[ReportRun], report: str, opened: Callable[..., Any], tmp_path: Path
) -> None:
    page = ready(opened(f"{report}#desk=0.1", accept_downloads=True))
    names = answered(page, iter("abc"), "1q", NOTE)
    (half,) = answered(page, iter("d"), "3")
    (flagged,) = answered(page, iter("e"), "f")
    page.fill("#desk-rater", "=reader")
    page.click("#desk-saves button")
    assert "beginning with a letter" in page.inner_text("#desk-trouble")
    page.fill("#desk-rater", "Łucja R.")
    file = saved(page, "#desk-saves button", tmp_path)
    assert file.name == "labels-Łucja_R..csv"
    everything = saved(page, "#desk-notes", tmp_path)
    with everything.open(encoding="utf-8", newline="") as held:
        rows = {r["edit_id"]: r for r in csv.DictReader(held)}
    assert set(rows) == {*names, half, flagged}
    assert rows[flagged]["flag"] == "flagged"
    assert rows[names[0]]["note"] == NOTE

    labels = read_labels(file)
    assert {r.edit_id for r in labels.rows} == {*names, half}
    digests = {r["edit_id"]: r["edit_sha256"] for r in protected(runs[0])}
    assert all(r.edit_sha256 == digests[r.edit_id] for r in labels.rows)
    assert all(r.extra["seen"] == "verdicts" for r in labels.rows)
    edits, out = runs[0].root, tmp_path / "study"
    done = run_isr("label", edits, "--out", out, "--edits", 500, "--import", file)
    assert done.exit_code == 0, done.output
    assert "Łucja R.: 3 labels taken in" in done.stdout
    assert "not taken in: 1 rows with one question answered" in done.stdout
    assert "verdicts in view" in done.stdout
    arrived = read_labels(out / "labels.csv")
    assert {(r.edit_id, r.rater, r.semantic.value, r.perceptual.value, r.extra["note"], r.extra["seen"]) for r in arrived.rows} == {
        (name, "Łucja R.", "fine", "fails", NOTE, "verdicts") for name in names
    }  # fmt: skip
    # what was chosen with the verdicts in view calibrates no judge
    done = CliRunner().invoke(
        cli, ["calibrate", str(runs[0].folder), "--labels", str(out / "labels.csv"), "--design", "random"]
    )
    assert done.exit_code != 0
    assert "judges' verdicts in view" in str(done.exception) + done.output
    done = run_isr("agree", "--labels", out / "labels.csv", "--judge", runs[0].folder)
    assert "flatters a judge" in done.output


def test_two_directories_have_a_file_each(tmp_path: Path, opened: Callable[..., Any]) -> None:
    homes = []
    for name in ("ours", "theirs"):
        root = tmp_path / name
        root.mkdir()

        def change(rows: list[dict[str, Any]], root: Path = root) -> None:
            (root / "edits").rename(root / root.name)  # ids are alike, pixels are not
            (root / "edits").symlink_to(root / root.name)
            for row in rows:
                file = root / "edits" / row["file_name"]
                file.write_bytes(file.read_bytes() + root.name.encode())

        homes.append(recorded_run(root, images=2, prompts=1, say=said(1), methods=(name,), change=change))
    runs = named_runs([read_report_run(h) for h in homes])
    page = ready(opened(write_report(runs, tmp_path / "report.html").as_uri(), accept_downloads=True))
    assert answered(page, iter("abcd"), "2w") == [r["edit_id"] for run in runs for r in protected(run)]
    for number, run in enumerate(runs):
        name = ("ours", "theirs")[number]
        assert f"2 labels of {name}" in page.inner_text(f"#desk-saves button >> nth={number}")
        file = saved(page, f"#desk-saves button >> nth={number}", tmp_path)
        assert file.name == f"labels-{name}-reader.csv"
        done = run_isr("label", run.root, "--out", tmp_path / f"{name}.study", "--import", file)
        assert "reader: 2 labels taken in" in done.stdout


def test_a_browser_that_keeps_nothing_says_so_and_what_it_holds_is_no_more_than_text(
    report: str, opened: Callable[..., Any], tmp_path: Path
) -> None:
    page = opened("about:blank", accept_downloads=True)
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})")  # fmt: skip
    page.goto(report)
    ready(page)
    assert "refuses to keep" in page.inner_text("#desk-kept")
    answered(page, iter("a"), "1w")
    assert "refuses to keep" in page.inner_text("#desk-kept")
    assert len(read_labels(saved(page, "#desk-saves button", tmp_path)).rows) == 1

    page = ready(opened(report))
    page.focus("#desk-one")
    page.keyboard.press("f")
    until(page, "localStorage.length === 1")
    key = page.evaluate("localStorage.key(0)")
    assert "judge=" in key  # the signature
    own = page.evaluate("Object.keys(JSON.parse(localStorage.getItem(localStorage.key(0))).edits)[0]")
    hostile = {
        "semantic": "<b>",
        "perceptual": {},
        "flag": "yes",
        "note": "<img src=x onerror='window.pwned=1'>",
        "time": [],
    }
    for text in (
        "no JSON", "null", "[]", '{"edits": 7}', '{"edits": {"a": null, "__proto__": {"flag": true}}}',
        json.dumps({"rater": {}, "edits": {own: hostile}}),
    ):  # fmt: skip
        page.evaluate("([key, text]) => localStorage.setItem(key, text)", [key, text])
        page.reload()
        ready(page)
        assert page.input_value("#desk-rater") == "reader"
    assert page.input_value("#desk-note") == hostile["note"]
    assert page.inner_text("#desk-counts") == "By you: 0 flagged, 0 labelled, 1 noted"
    assert page.evaluate("window.pwned") is None


def test_one_judge_alone_has_a_desk_without_a_table(tmp_path: Path, opened: Callable[..., Any]) -> None:
    run = recorded_run(tmp_path, images=2, prompts=1)
    page = ready(opened(write_report([read_report_run(run)], run / "report.html").as_uri()))
    assert "nothing to cross" in page.inner_text("#desk")
    assert not page.is_visible("#desk-cross")
    assert place(page)[0] == "1 of 2"
