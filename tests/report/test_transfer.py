"""The transfer matrix and the curves: each cell is the rate of exactly its edits; the control stands as a line."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import numpy as np
import pytest
from PIL import Image

from isr.report.curve_figures import curve_figures
from isr.report.page import Options, write_report
from isr.report.runs import ReportRun, read_report_run
from isr.report.transfer import address, matrices, transfer_csv
from isr.scoring.shown import shown_in
from tests.runs import recorded_run

ODD = "flux/1 & <b>~%"


def say(number: int) -> dict[str, Any]:
    fails = number * 5 % 13 < 4
    verdict = "???" if number % 31 == 3 else "fails" if fails else "fine"
    return {"reasoning": "seen", "score": 0 if fails else 4, "verdict": verdict}


def make(root: Path, **more: Any) -> Path:
    """Two budgets of a method and one of another, in two editors (one with a hostile name); half of the prompts are purified."""

    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            number = int(row["prompt"][-1])
            row["editor"] = ("painter", ODD)[number % 2]
            row["purifier"] = "jpeg75" if number // 2 else ""
            if row["method"] == "strong":
                row |= {"method": "sifm", "eps": 0.0627}
            seed = int(row["image_id"][-1])
            row["protected_file_name"] = f"edits/protected-{row['eps']}-{seed}.png"
            pixels = np.asarray(Image.open(root / "edits" / row["source_file_name"])).astype(int)
            near = np.clip(pixels + int(255 * row["eps"]) - 4 + seed, 0, 255).astype(np.uint8)
            Image.fromarray(near).save(root / "edits" / row["protected_file_name"])

    return recorded_run(
        root, images=6, prompts=4, say=say, change=change, methods=("sifm", "strong", "noise"), **more
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    return read_report_run(make(tmp_path_factory.mktemp("transfer"), by=("editor", "purifier")))


def test_each_cell_is_the_rate_of_its_edits(run: ReportRun) -> None:
    (matrix,) = matrices([run])
    assert matrix.attacks == ((ODD, ""), (ODD, "jpeg75"), ("painter", ""), ("painter", "jpeg75"))
    assert matrix.editors == [(ODD, 2), ("painter", 2)]
    assert matrix.purifiers == ["none", "jpeg75"] * 2
    assert [label for label, _, _ in matrix.lines] == [
        "noise, eps 0.03",
        "sifm, eps 0.03",
        "sifm, eps 16/255",
        "control edits",
    ]
    parts = [*run.result.treatments, *([run.result.control] if run.result.control else [])]
    checked = 0
    for (_, control, cells), part in zip(matrix.lines, parts, strict=True):
        asked = {(str(g.by["editor"]), str(g.by["purifier"])): shown_in(run.result, g) for g in part.groups}
        for attack, cell in zip(matrix.attacks, cells, strict=True):
            assert cell is not None
            wanted = asked[attack]["control" if control else "isr"]
            assert (cell.shown.kind, cell.shown.value, cell.shown.span, cell.shown.size) == (
                wanted.kind, wanted.value, wanted.span, wanted.size,
            )  # fmt: skip
            assert cell.edits == 6
            checked += 1
    assert checked == 16


def test_an_address_can_be_read_again() -> None:
    href = address(3, (ODD, ""), ["a/b", "", "0.03", "#&=;"])
    (argument,) = parse_qs(href.removeprefix("#"))["set"]
    assert [unquote(part) for part in argument.removeprefix("cell:").split("/")] == [
        "3",
        ODD,
        "",
        "a/b",
        "",
        "0.03",
        "#&=;",
    ]
    assert re.fullmatch(r"#set=[\w%.~-]+", href)


def test_the_csv_has_every_cell(run: ReportRun) -> None:
    rows = list(csv.DictReader(io.StringIO(transfer_csv(matrices([run])))))
    assert len(rows) == 16
    assert {r["editor"] for r in rows} == {ODD, "painter"}
    assert {r["shown"] for r in rows} == {"point", "range"}  # a sixth of some cells is undecided


def test_one_editor_and_one_budget_have_no_section(tmp_path: Path) -> None:
    plain = read_report_run(recorded_run(tmp_path, images=3, prompts=2))
    assert matrices([plain]) == []
    assert curve_figures([plain]) == []
    assert 'id="transfer"' not in write_report(
        [plain], tmp_path / "r.html", Options(assets="none")
    ).read_text("utf-8")


def test_curves_stand_at_their_budgets_and_distortions(run: ReportRun) -> None:
    found = {f.name: f for f in curve_figures([run])}
    assert set(found) == {"budget-1", "distortion-1"}
    for name, places in (("budget-1", {0.03, 0.0627}), ("distortion-1", None)):
        rows = list(csv.DictReader(io.StringIO(found[name].csv)))
        axis = list(rows[0])[2]
        assert [r["method"] for r in rows] == ["noise", "sifm", "sifm", "control edits"]
        assert rows[-1][axis] == ""
        if places:
            assert {float(r[axis]) for r in rows[:-1]} == places
        values = [p.estimates["isr"].value for p in run.result.treatments]
        assert [float(r["value"]) for r in rows[:-1]] == values if places else len(rows) == 4
        marks = found[name].svg.count("<circle") + found[name].svg.count("<path") - 2  # two in the key
        assert marks == sum(r["shown"] in ("point", "range") for r in rows[:-1])  # colour is not alone
        assert found[name].svg.count("r='2.5' fill='#fff'") + found[name].svg.count("scale(2.25)") == sum(
            r["shown"] == "range" for r in rows[:-1]
        )  # small and hollow, above its band
        assert (
            found[name].svg.count("stroke-dasharray='5 3'") >= 2
        )  # the control over the whole width, and in the key


def test_a_curve_stands_where_its_numbers_say(run: ReportRun) -> None:
    """Higher rates stand higher: the rectangle of a range, or the mark of a point, against the axis of 0% and 100%."""
    svg = next(f.svg for f in curve_figures([run]) if f.name == "budget-1")
    zero, one = (
        float(re.search(rf"y='([\d.]+)'[^>]*text-anchor='end'[^>]*>{word}<", svg)[1]) - 4
        for word in ("0%", "100%")
    )  # type: ignore[index]
    control = run.result.control
    assert control is not None
    held = shown_in(run.result, control)["control"]
    wanted = held.ends or (held.point,)
    lines = re.findall(
        r"<line x1='[\d.]+' x2='[\d.]+' y1='([\d.]+)' y2='\1' stroke='#6b6a66' stroke-dasharray='5 3'/>", svg
    )
    places = [(zero - float(y)) / (zero - one) for y in lines[: len(wanted)]]
    assert places == pytest.approx(wanted, abs=0.005)
