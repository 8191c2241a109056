"""Whose a band is: each hollow band of several judges has its judge's mark, those of control edits are dashed."""

from __future__ import annotations

import html
import json
import re

import pytest

from isr.report.forest import Line, blocks
from isr.report.page import Options, write_report
from isr.report.runs import ReportRun, read_report_run
from tests.gallery_runs import judged_runs, undecided_often
from tests.runs import answer

LABEL = "jpeg:quality=75,sd15-a/<b>inpaint"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[ReportRun]:
    says = {"one": [undecided_often], "two": [lambda n: answer(n) | undecided_often(n + 1)]}
    methods = (LABEL, "beta")
    found = judged_runs(tmp_path_factory.mktemp("placed"), says, images=3, prompts=2, methods=methods)
    return [read_report_run(folder) for folder in found]


@pytest.fixture(scope="module")
def page(runs: list[ReportRun], tmp_path_factory: pytest.TempPathFactory) -> str:
    file = write_report(runs, tmp_path_factory.mktemp("page") / "r.html", Options(assets="none"))
    return file.read_text("utf-8")


def lines(runs: list[ReportRun], *, control: bool) -> list[Line]:
    return [line for b in blocks(runs) for line in b.lines if line.kind.startswith("control") == control]


def test_a_hollow_band_has_the_mark_of_its_judge_and_dashes_for_control_edits(
    runs: list[ReportRun], page: str
) -> None:
    of = {c: [row for line in lines(runs, control=c) for row in line.rows] for c in (True, False)}
    ranges = {c: sum(row.shown.is_range for row in rows) for c, rows in of.items()}
    assert min(ranges.values()) > 0
    assert len({row.series for rows in of.values() for row in rows}) == 2
    rates = page[page.index('id="rates"') : page.index("</section>", page.index('id="rates"'))]
    assert rates.count('class="whose"') == sum(ranges.values())
    assert ".control .band.hollow { stroke-dasharray:" in page
    downloads = re.search(r'id="downloads">([^<]*)<', page)
    assert downloads is not None
    svg = json.loads(downloads[1])["forest"]["svg"]
    assert svg.count("stroke-dasharray='4 3'") == ranges[True]
    small = re.findall(r"<circle[^>]* r='2.5' fill='([^']*)'|scale\(2.25\)[^>]*fill='([^']*)'", svg)
    fills = [a or b for a, b in small]
    assert fills.count("#fff") == ranges[True]
    assert len(fills) == sum(ranges.values())


def test_labels_break_after_their_signs_and_are_escaped_first(page: str) -> None:
    broken = html.escape(LABEL)
    for sign in ":=,/-":
        broken = broken.replace(sign, f"{sign}<wbr>")
    heads = re.findall(r'<th scope="row">(.*?)</th>', page)
    assert any(head == broken for head in heads)
    assert any(f" − {broken}" in head or f"{broken} − " in head for head in heads)
    assert "<b>inpaint" not in page


def test_all_numbers_have_a_column_of_bounds_only_where_some_are(page: str) -> None:
    numbers = page[page.index('id="numbers"') :]
    numbers = numbers[: numbers.index("</section>")]
    tables = re.findall(r'<table class="data">.*?</table>', numbers, re.DOTALL)
    seen = set()
    for table in tables:
        columns = table.count('scope="col"')
        rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", table, re.DOTALL)
        cells = [re.findall(r'<td[^>]*?(?: colspan="(\d)")?[^>]*>([^<]*)</td>', row) for row in rows]
        for row in rows:
            spans = [int(n) for n in re.findall(r'<td colspan="(\d)"', row)]
            assert 1 + row.count("<td") - len(spans) + sum(spans) == columns
        last = [row[-1][1] for row in cells if len(row) == columns - 1 and columns == 6]
        assert columns == 5 or any(last)
        seen.add(columns)
    assert seen == {5, 6}
