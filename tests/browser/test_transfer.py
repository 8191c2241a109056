"""The cells of the transfer matrix open exactly their edits; an address that is none opens nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isr.report.page import Options, write_report
from isr.report.runs import read_report_run
from isr.report.transfer import matrices
from tests.report.test_transfer import ODD, make

pytestmark = pytest.mark.slow


COLUMNS = """() => {
  const left = (cell) => cell.getBoundingClientRect().left + parseFloat(getComputedStyle(cell).paddingLeft);
  const [, heads] = document.querySelector("#transfer .matrix").tHead.rows;
  const cells = document.querySelector("#transfer .matrix").tBodies[0].rows[0].querySelectorAll("td");
  return [...heads.cells].map((head, i) => [left(head), left(cells[i])]);
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cells")
    return write_report([read_report_run(make(root))], root / "report.html", Options(assets="none"))


def test_cells_open_their_edits(
    report: Path, opened: Callable[..., Any], violations: Callable[[Any], list[str]]
) -> None:
    page = opened(report.as_uri())
    page.wait_for_selector("html[data-ready]")
    for media, width in (("screen", 1440), ("screen", 390), ("print", 718)):
        page.emulate_media(media=media)
        page.set_viewport_size({"width": width, "height": 900})
        for head, cell in page.evaluate(COLUMNS):
            assert abs(head - cell) < 0.5, (media, width)
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1440, "height": 900})
    run = read_report_run(report.parent / "edits.isr")
    (matrix,) = matrices([run])
    links = page.locator(".matrix a")
    assert links.count() == 16
    every = str(page.inner_text("#count"))
    for number, (label, control, cells) in enumerate(matrix.lines):
        for column, cell in enumerate(cells):
            assert cell is not None
            links.nth(4 * number + column).evaluate("(link) => link.click()")
            shown = str(page.inner_text("#count")).split()[0]
            assert int(shown) == (3 * cell.edits if control else cell.edits), (label, column)
    for bad in (
        "cell:",
        "cell:9/painter/",
        "cell:0/painter",
        "cell:0/%/%",
        "cell:x/painter/",
        "cell:0/a/b/c",
    ):
        page.evaluate("(hash) => { location.hash = hash; }", f"#set={bad.replace('%', '%25')}")
        assert page.inner_text("#count") == every, bad
    assert ODD in page.inner_text(".matrix thead")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []
