"""Published figures are read, checked and never mixed with ours."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from isr.bench.paper_tables import LAYOUTS, table_ii
from isr.bench.published import Published, same_name
from isr.errors import InputError
from isr.tables import Table
from tests.bench.paper_tables_samples import control, row, splits


def cells(table: Table) -> dict[str, dict[str, str]]:
    return {line.label: {k: c.value for k, c in line.cells.items()} for line in table.rows}


def test_table_ii_is_the_papers(published: Published) -> None:
    ours = splits(
        row("SIFM", value=0.6, role="ours"),
        row("noise"),
        control(),
        row("SIFM, norm only", role="ablation"),
        row("SIFM", purifier="jpeg:quality=75", value=0.1),
        row("SIFM", surrogate="HQ-Edit", value=0.2),
    )
    lacking = published.model_copy(update={"not_implemented": {"ACE": "no code of it"}})
    table = table_ii(ours, lacking)
    assert list(table.columns.values()) == [
        "method", "PSNR↓", "SSIM↓", "VIFp↓", "FSIM↓", "LPIPS↑", "ISR orig. prompt", "ISR unseen",
    ]  # fmt: skip
    assert [ln.label for ln in table.rows] == [
        "no protection", "PhotoGuard-E", "PhotoGuard-D", "EditShield", "ACE", "SDS", "Mist", "SA", "SIFM", "noise",
    ]  # fmt: skip
    assert {ln.section for ln in table.rows} == {"SD3, judged by j"}
    found = cells(table)
    assert found["SIFM"]["isr_seen"] == "60.0%"
    assert found["SIFM"]["psnr"] == "15.79"
    assert found["ACE"]["psnr"] == "not implemented"
    assert found["SA"]["psnr"] == "not run"
    by = {ln.label: ln for ln in table.rows}
    assert by["SIFM"].known["isr_unseen"].lines == ("65%", "[60.7, 69.1]*", "n 500")
    assert by["PhotoGuard-E"].known["ssim"].lines == ("0.5940",)
    assert by["Mist"].known["isr_seen"].lines == ("not known",)
    assert all(k.value is None for k in by["noise"].known.values())
    assert not by["no protection"].known
    text = table.text()
    assert "[55.0, 65.0]" in text
    assert "n 100, 50 im." in text
    assert "computed by us: Wilson's 95% interval" in text
    assert "ACE: not implemented" in text
    assert "LPIPS↑: no edit has a value" in text
    assert "SSIM↓: SSIM was not measured" in text


def test_another_budget_has_no_published_figure_beside_it(published: Published) -> None:
    table = table_ii(splits(row("SIFM"), row("SIFM", eps="0.06")), published)
    by = {ln.label: ln for ln in table.rows}
    assert by["SIFM, eps 0.03"].known["isr_seen"].value == 0.79
    assert by["SIFM, eps 0.06"].known["isr_seen"].value is None
    assert "SIFM" not in by


def test_published_figures_are_nobodys_but_the_papers(published: Published) -> None:
    ours = splits(row("SIFM"), row("SIFM", judge="k"), row("noise"))
    table = table_ii(ours, published)
    assert {ln.section for ln in table.rows} == {"SD3, judged by j", "SD3, judged by k"}
    for judge in "jk":  # each section has all of the paper's lines, once
        labels = [ln.label for ln in table.rows if ln.section.endswith(judge)]
        assert labels[:8] == [
            "PhotoGuard-E",
            "PhotoGuard-D",
            "EditShield",
            "ACE",
            "SDS",
            "Mist",
            "SA",
            "SIFM",
        ]
    for text in (table.text(), table.markdown(), table.latex()):
        assert "paper, by its panel" in text
        assert "judged by k" in text
    assert any("by the paper's own panel" in n for n in table.notes)


def test_published_intervals_have_the_level_of_ours(published: Published) -> None:
    one = row("SIFM", split="seen")
    ours = [replace(one, estimates={k: replace(e, level=0.9) for k, e in one.estimates.items()}, metrics={})]
    table = table_ii(ours, published)
    (line,) = (ln for ln in table.rows if ln.label == "SIFM")
    low, high = line.known["isr_seen"].span or (0, 0)
    assert 0.71 < low < 0.79 < high < 0.85  # z = 1.645: 0.716 to 0.850, within that of 95%
    assert any("Wilson's 90% interval" in n for n in table.notes)
    assert any(n.startswith("[low, high]: 90% intervals") for n in table.notes)


def test_without_any_row_a_table_says_so(published: Published) -> None:
    for layout in LAYOUTS.values():
        assert "no edit of this study belongs in this table" in layout([], published).text()
        assert layout([], None).latex().count("tabular") == 2


def test_the_csv_is_unrounded_and_signed(published: Published) -> None:
    table = table_ii(splits(row("SIFM", value=2 / 3), control()), published)
    found = list(csv.DictReader(io.StringIO(table.csv())))
    one = next(r for r in found if (r["row"], r["column"]) == ("SIFM", "isr_seen"))
    assert float(one["value"]) == 2 / 3
    assert (one["n"], one["images"], one["signature"]) == ("100", "50", "isr=0")
    assert (float(one["published"]), one["published_n"]) == (0.79, "100")
    assert {r["table"] for r in found} == {"II"}


def test_names_differ_only_in_letters_and_digits() -> None:
    assert same_name("HQ-Edit", "hq_edit")
    assert same_name("SD3", "sd3")
    assert not same_name("SD3", "SD1")


def test_what_is_wrong_in_published_figures_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text('paper = "p"\nsource = "s"\n[[tables.II.row]]\neditor = "e"\nisr_seen = 79\ncolour = 1\n')
    with pytest.raises(InputError) as error:
        Published.load(file)
    assert "isr_seen" in str(error.value)
    assert "colour" in str(error.value)
    with pytest.raises(InputError, match="cannot be read"):
        Published.load(tmp_path / "none.toml")
