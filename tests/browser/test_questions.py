"""The questions that people bring to a report: each is answered in three clicks at most, and docs/report.md lists the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import write_labels
from isr.report.page import write_report
from isr.report.runs import named_runs, read_report_run
from tests.browser.conftest import until
from tests.gallery_runs import contrary, judged_runs, several_editors
from tests.runs import answer

pytestmark = pytest.mark.slow

DOCS = Path(__file__).resolve().parents[2] / "docs" / "report.md"
MOST_CLICKS = 3


def changed(edits: Path, rows: list[dict[str, Any]]) -> None:
    several_editors(edits, rows, ["other"])
    for number, row in enumerate(rows):
        row["protected_file_name"] = row["source_file_name"]
        if number // 2 % 2:
            row["purifier"] = "jpeg:quality=75"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("questions")
    panels = {"one": [answer], "two": [contrary]}
    folders = judged_runs(root, panels, images=5, prompts=2, change=changed, accept=("protected-is-source",))
    runs = [read_report_run(folder) for folder in folders]
    labels = [
        Label(edit_id=r["edit_id"], rater="ann", semantic=Mark("fails"), perceptual=Mark("fine"), image_id=r["image_id"])
        for r in runs[0].rows
        if r["arm"] == "protected"
    ]  # fmt: skip
    write_labels(folders[0] / "labels.csv", Labels(tuple(labels)))
    runs = named_runs([read_report_run(folder) for folder in folders])
    return write_report(runs, root / "report.html")


def seen(selector: str, words: str = "") -> str:
    """Whether an element that holds these words is on the screen."""
    return (
        f"[...document.querySelectorAll({selector!r})].some((x) => {{ const box = x.getBoundingClientRect(); "
        f"return box.height > 0 && box.top < innerHeight && box.bottom > 0 && x.textContent.includes({words!r}); }})"
    )


# what a link promises is what the gallery says: "4 of 40" of a cell of 2 units in two edits each, "5 of 40" of a rate of n 5
QUESTIONS: dict[str, tuple[list[str], str]] = {
    "Is A really better than B?": (["nav a[href='#comparison']"], seen("#comparison .forest", "p (Holm)")),
    "On which edits is A better?": (
        ["nav a[href='#comparison']", "#comparison a[href^='#set=pair:'] >> nth=1"],
        seen("#set-said", "unit") + " && shownOf(2 * linked(1, '#comparison a[href*=pair]'))",
    ),
    "Does it survive JPEG?": (["nav a[href='#transfer']"], seen("#transfer th", "jpeg:quality=75")),
    "Which edits survive JPEG under this editor?": (
        ["nav a[href='#transfer']", "#transfer a[href^='#set=cell'] >> nth=1"],
        seen("#set-said") + " && shownOf(5)",
    ),
    "Show me the unit of Fig. 4": (
        ["nav a[href='#gallery']", "#f-image_id -> image-0003", ".card >> nth=0"],
        "document.getElementById('viewer').open && location.hash.includes('edit=')",
    ),
    "Where does it fail?": (
        ["nav a[href='#gallery']", "#f-editor -> other"],
        seen("#slice-rows tr", "%") + " && shownOf(20)",
    ),
    "Does it hold without the easy prompts?": (
        ["nav a[href='#gallery']", "#f-prompt_id -> *"],
        seen("#slice-rows tr", "%") + " && shownOf(20)",
    ),
    "Is this edit degraded, at its true pixels?": (
        ["nav a[href='#gallery']", ".card >> nth=0", "#zoom"],
        "document.getElementById('stage').classList.contains('zoomed')",
    ),
    "What does each method do to the same photograph?": (["nav a[href='#sources']"], seen("#sources td img")),
    "Do I believe the judge?": (
        ["nav a[href='#desk']", "#desk a[href^='#set=desk:'] >> nth=1"],
        seen("#desk-one") + " && location.hash.includes('set=desk')",
    ),
    "Do judges and people agree?": (
        ["nav a[href='#agreement']"],
        seen("#agreement p", "40 labels by 1 rater"),
    ),
    "Who judged, and when?": (["nav a[href='#judges']"], seen("#judges h3", "judge-one")),
}
HELPERS = """
window.shownOf = (n) => document.getElementById("count").textContent === `${n} of 40`;
window.linked = (at, selector) => Number(document.querySelectorAll(selector)[at]?.textContent);
"""


def test_each_question_is_answered_in_three_clicks(report: Path, opened: Callable[..., Any]) -> None:
    for question, (steps, answered) in QUESTIONS.items():
        assert len(steps) <= MOST_CLICKS, question
        page = opened(report.as_uri())
        page.wait_for_selector("html[data-ready]")
        page.evaluate(HELPERS)
        assert not page.evaluate(answered), question
        for step in steps:
            selector, _, value = step.partition(" -> ")
            if not value:
                page.click(selector)
            elif page.evaluate("(s) => document.querySelector(s).tagName", selector) == "SELECT":
                chosen = {"index": 1} if value == "*" else {"value": value}
                page.select_option(selector, **chosen)
            else:
                page.fill(selector, value)
                page.keyboard.press("Tab")
        until(page, answered)
        page.context.close()


def test_the_docs_list_the_same_questions() -> None:
    listed = re.findall(r"^\| (.+\?|Show me .+?) \|", DOCS.read_text("utf-8"), re.MULTILINE)
    assert listed == list(QUESTIONS)
