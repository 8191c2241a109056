"""The disagreement desk in a real browser: its numbers, its edits, and labels that leave it and arrive in a study."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.edits.pictures import MEANINGS
from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import read_labels, write_labels
from isr.report import page as module
from isr.report.assets import Assets
from isr.report.page import write_report
from isr.report.runs import ReportRun, named_runs, read_report_run
from tests.browser.conftest import until
from tests.browser.test_viewer import SIZES, file_of, paint, part_in, shot
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
        until(page, "document.activeElement.id === 'desk-one'")  # where its keys work
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
    page.click("#desk-after")
    page.click('a[href="#set=desk:0.1.perceptual.11"]')  # the same again: from its first edit
    assert place(page)[:2] == [f"1 of {len(edits)}", edits[0]]
    assert page.evaluate("document.activeElement.id") == "desk-one"
    page.click("text=these edits in the gallery")
    assert page.evaluate("document.activeElement.id") == "gallery"
    assert page.inner_text("#count").startswith(f"{len(edits)} of ")
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
    assert page.evaluate(pressed) == [
        "2 No",
        "W No",
        "F Flag",
    ]  # to the question as written, as the labelling page has it
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
    (flagged,) = answered(page, iter("e"), "f", "=1+1")
    (formula,) = answered(page, iter("g"), "1q", "=2+2")
    page.fill("#desk-rater", "=reader")
    page.click("#desk-saves button")
    assert "beginning with a letter" in page.inner_text("#desk-trouble")
    page.fill("#desk-rater", "Łucja R.")
    file = saved(page, "#desk-saves button", tmp_path)
    assert file.name == "labels-Łucja_R..csv"
    everything = saved(page, "#desk-notes", tmp_path)
    with everything.open(encoding="utf-8", newline="") as held:
        rows = {r["edit_id"]: r for r in csv.DictReader(held)}
    assert set(rows) == {*names, half, flagged, formula}
    assert rows[flagged]["note"] == "'=1+1"  # inert in a spreadsheet
    assert rows[flagged]["flag"] == "flagged"
    assert rows[names[0]]["note"] == NOTE

    labels = read_labels(file)
    assert {r.edit_id: r.extra.get("note", "") for r in labels.rows} == {
        **dict.fromkeys(names, NOTE),
        half: "",
        formula: "=2+2",
    }
    digests = {r["edit_id"]: r["edit_sha256"] for r in protected(runs[0])}
    assert all(r.edit_sha256 == digests[r.edit_id] for r in labels.rows)
    assert all(r.extra["seen"] == "verdicts" for r in labels.rows)
    edits, out = runs[0].root, tmp_path / "study"
    done = run_isr("label", edits, "--out", out, "--edits", 500, "--import", file)
    assert done.exit_code == 0, done.output
    assert "Łucja R.: 4 labels taken in" in done.stdout
    assert "not taken in: 1 rows with one question answered" in done.stdout
    assert "verdicts in view" in done.stdout
    arrived = read_labels(out / "labels.csv")
    assert {(r.edit_id, r.rater, r.semantic.value, r.perceptual.value, r.extra["note"], r.extra["seen"]) for r in arrived.rows} == {
        (name, "Łucja R.", "fine", "fails", note, "verdicts") for name, note in [*((n, NOTE) for n in names), (formula, "=2+2")]
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


def in_address(page: Any) -> dict[str, str]:
    return {
        k: v for k, (v,) in parse_qs(page.evaluate("location.hash.slice(1)"), keep_blank_values=True).items()
    }


def test_the_address_holds_the_edit_of_the_desk_and_what_is_not_here_is_told(
    report: str, opened: Callable[..., Any]
) -> None:
    page = ready(opened(f"{report}#desk=0.1"))
    first, second = [page.click("#desk-after") or in_address(page)["look"] for _ in range(2)]
    page.goto("about:blank")
    page.goto(f"{report}#look={first}&desk=0.1")
    ready(page)
    assert place(page)[1] == first
    entries = page.evaluate("history.length")
    page.click("#desk-after")
    assert page.evaluate("history.length") == entries
    page.click("#desk-open")
    at = in_address(page)
    assert at["look"] == at["edit"] == second
    page.keyboard.press("Escape")
    until(page, "!location.hash.includes('edit=')")
    page.select_option("#f-method", index=1)
    assert in_address(page)["look"] == second
    assert place(page)[1] == second
    for key, value, words in (
        ("look", "no/such.png", "no edit “no/such.png” for the desk"),
        ("desk", "0.77", "no two judges or people “0.77”"),
        ("desk", "1.1", "no two judges or people “1.1”"),
        ("baseline", "<b>nobody", "no baseline “<b>nobody”"),
    ):
        page.evaluate("([k, v]) => { location.hash = new URLSearchParams({[k]: v}); }", [key, value])
        until(page, "(w) => document.getElementById('astray-said').textContent.includes(w)", words)
    page.click("#astray-drop")
    assert in_address(page) == {}
    # an edit that the list of the desk lacks is the list of one
    page.click('a[href="#set=desk:0.1.outcome.11"]')
    third = place(page)[1]
    page.evaluate(
        "(look) => { location.hash = new URLSearchParams({set: 'desk:0.1.outcome.00', look}); }", third
    )
    until(
        page,
        "location.hash.includes('look') && document.getElementById('desk-place').textContent.startsWith('1 of 1 ')",
    )
    assert place(page)[1] == third
    assert "the one edit that the address names; it is none of these:" in page.inner_text("#desk-list")
    page.click('a[href="#set=desk:0.1.outcome.00"]')
    until(page, "!document.getElementById('desk-list').textContent.includes('names')")
    assert place(page)[1] != third


def test_the_desk_fits_its_names_and_words(report: str, opened: Callable[..., Any]) -> None:
    page = ready(opened(f"{report}#desk=0.1", viewport={"width": 1440, "height": 900}))
    page.focus("#desk-one")
    page.keyboard.press("1")
    assert page.locator("#desk [data-value]").all_inner_texts() == [
        "1 Yes", "2 No", "3 Cannot tell", "Q Yes", "W No", "E Cannot tell",
    ]  # fmt: skip
    assert page.locator("#desk [data-value]").evaluate_all("(x) => x.map((b) => b.dataset.value)") == [
        "fine", "fails", "cannot_tell", "fails", "fine", "cannot_tell",
    ]  # fmt: skip
    tops = page.locator("#desk-tables caption").evaluate_all(
        "(x) => x.map((e) => e.getBoundingClientRect().top)"
    )
    assert len(tops) == 3
    assert len(set(tops)) == 1
    boxes = page.locator("#desk-saves button, #desk-notes").evaluate_all(
        "(x) => x.map((b) => { const all = document.createRange(); all.selectNodeContents(b); return [all.getClientRects().length, b.getBoundingClientRect().bottom]; })"
    )
    assert [lines for lines, _ in boxes] == [1, 1]
    assert abs(boxes[0][1] - boxes[1][1]) < 20
    # as wide as the longest name asks for
    for select in ("#desk-first", "#desk-second"):
        wide, asked = page.locator(select).evaluate("(s) => { const had = s.offsetWidth, c = s.cloneNode(true); c.style.cssText = 'position: absolute; width: max-content; max-width: none'; s.after(c); const n = c.offsetWidth; c.remove(); return [had, n]; }")  # fmt: skip
        assert wide >= asked


def test_pictures_of_the_desk_have_their_own_pixels_and_say_how_many(
    tmp_path: Path, opened: Callable[..., Any]
) -> None:
    change = partial(paint, tmp_path / "edits")
    run = recorded_run(tmp_path, images=len(SIZES), prompts=1, change=change, accept=tuple(MEANINGS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Assets", partial(Assets, most=500_000))
        report = write_report([read_report_run(run)], run / "parts.html").as_uri()
    page = ready(opened(report, viewport={"width": 1440, "height": 900}))
    for _ in range(4 if "edits/0-" not in place(page)[1] else 0):
        page.click("#desk-after")
    until(
        page,
        "[...document.querySelectorAll('#desk-pictures img')].every((x) => x.complete && x.naturalWidth)",
    )
    shown = page.locator("#desk-pictures .cell:visible")
    words = shown.locator(".size").all_inner_texts()
    widths = shown.locator("img").evaluate_all("(x) => x.map((i) => [i.offsetWidth, i.naturalWidth])")
    assert len(words) == len(widths) == 4
    assert all(w <= natural for w, natural in widths), widths
    for role, (whole, part), at in (("source", words[:2], 0), ("edit", words[2:], 2)):
        assert whole == f"{role}, shown at {widths[at][0]} of 400 px"
        assert part.startswith("part at full size, ")
        x, y, w, h = part_in(part.removeprefix("part at full size, "))
        seen = shot(page, f".desk-picture:nth-child({1 + at // 2}) .desk-part .stack")
        assert seen.shape[:2] == (h, w)
        assert abs(seen - file_of(run, 0, role)[y : y + h, x : x + w]).mean() < 1
    for _ in SIZES:
        page.click("#desk-after")
        sizes = page.locator("#desk-pictures img").evaluate_all(
            "(x) => x.map((i) => i.offsetWidth - i.naturalWidth)"
        )
        assert max(sizes) <= 0
    page.click("#desk-pictures img >> nth=0")
    assert page.evaluate("document.getElementById('viewer').open")
