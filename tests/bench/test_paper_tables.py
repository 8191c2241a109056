"""The paper's layouts: what stands in which cell, what is not known, and that hostile names break no rendering."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isr.bench.general_table import general
from isr.bench.paper_tables import LAYOUTS, table_ii, table_vi, table_vii
from isr.bench.published import Published, same_name
from isr.bench.rows import Row
from isr.errors import InputError
from isr.scoring.surrogates import Sight
from isr.tables import Cell, Known, Line, Table
from isr.types import Estimate

STUDIES = Path(__file__).resolve().parents[2] / "studies"
TEXT = st.text(max_size=20)


def estimate(value: float | None, n: int = 100, *notes: str) -> Estimate:
    low, high = (None, None) if value is None else (value - 0.05, value + 0.05)
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=0.95,
        method="logit-t",
        n=n,
        clusters=50,
        bounds=None,
        notes=notes,
    )


def row(
    method: str,
    editor: str = "SD3",
    *,
    eps: str = "0.03",
    split: str = "",
    purifier: str = "",
    surrogate: str = "SD3",
    sight: Sight | None = None,
    judge: str = "j",
    value: float = 0.7,
    role: str = "baseline",
    ablation: str = "",
    lam: float | None = None,
) -> Row:
    names = ("uplift", "isr_conditional", "isr_worst")
    estimates = {"isr": estimate(value)} | {n: estimate(0.2) for n in names}
    metrics = {"edit:psnr": estimate(15.79), "edit:lpips": estimate(None, 0, "no edit has a value")}
    return Row(
        editor=editor, surrogate=surrogate, method=method.lower(), config="c", eps=eps, purifier=purifier, split=split, judge=judge, label=method,
        sight=sight or Sight(surrogate == editor if surrogate else None), estimates=estimates, metrics=metrics, edits=100, decided=100,
        signature="isr=0", role=role, ablation=ablation, lam=lam,
    )  # fmt: skip


def control(editor: str = "SD3", split: str = "") -> Row:
    one = row("none", editor, split=split, surrogate="", eps="")
    return replace(one, method="", config="", estimates={"control": estimate(0.1)}, metrics={})


def splits(*rows: Row) -> list[Row]:
    return [replace(r, split=s) for r in rows for s in ("", "seen", "unseen")]


@pytest.fixture(scope="module")
def published() -> Published:
    return Published.load(STUDIES / "2512.14320-published.toml")


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
    table = table_ii(ours, published)
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


def test_the_surrogates_edits_are_told_by_checkpoint_whatever_it_is_called() -> None:
    """Two entries of one checkpoint are both a white box; one name on other weights is none."""
    rows = splits(
        row("SIFM", surrogate="SD3"),
        row("SIFM", surrogate="SD3, 50 steps", sight=Sight(True)),
        row("noise", surrogate="SD3", sight=Sight(False)),
        control(),
    )
    table = table_ii(rows)
    assert [ln.label for ln in table.rows] == ["no protection", "SIFM, on SD3", "SIFM, on SD3, 50 steps"]
    assert not any("told by names" in note for note in table.notes)
    old = table_ii(splits(row("SIFM", sight=Sight(True, by_name=True)), control()))
    assert [("told by names" in note) for note in old.notes].count(True) == 1


def test_the_published_interval_is_wilsons() -> None:
    # Wilson (1927) at 79 of 100, as in any table of it: 0.700 to 0.858
    low, high = Known(value=0.79, rate=True, n=100).span or (0, 0)
    assert (round(low, 3), round(high, 3)) == (0.700, 0.858)
    assert Known(value=15.79).span is None
    assert Known(value=None, rate=True, n=100).lines == ("not known",)
    assert Known(value=0.5, rate=True, n=None).lines == ("50%", "n not known")
    assert Known(value=0.71, rate=True, n=500, unverified=True).lines[0] == "71%?"


def test_another_budget_has_no_published_figure_beside_it(published: Published) -> None:
    table = table_ii(splits(row("SIFM"), row("SIFM", eps="0.06")), published)
    by = {ln.label: ln for ln in table.rows}
    assert by["SIFM, eps 0.03"].known["isr_seen"].value == 0.79
    assert by["SIFM, eps 0.06"].known["isr_seen"].value is None
    assert "SIFM" not in by


def test_ablations_and_lambda_stand_in_vi_and_vii(published: Published) -> None:
    ours = splits(
        row("SIFM", role="ours", ablation="both", lam=0.1),
        row("a", role="ablation", ablation="norm only", value=0.5),
        row("b", role="ablation", lam=0.01, value=0.4),
        row("SIFM", "HQ-Edit", surrogate="HQ-Edit", role="ours", ablation="both", lam=0.1),
    )
    vi, vii = table_vi(ours, published), table_vii(ours, published)
    assert [(ln.label, ln.cells["isr_seen"].value) for ln in vi.rows] == [
        ("divergence only", "not run"), ("norm only", "50.0%"), ("both", "70.0%"),
    ]  # fmt: skip
    assert [(ln.label, ln.known["isr_seen"].value) for ln in vii.rows] == [
        ("0.001", 0.73), ("0.01", 0.76), ("0.1", 0.79), ("1", 0.71),
    ]  # fmt: skip
    assert {ln.section for ln in (*vi.rows, *vii.rows)} == {
        "SD3, judged by j"
    }  # no ablation was run on HQ-Edit
    assert "PSNR 15.77 to 15.85" in vii.text()
    assert list(vii.columns) == ["", "psnr", "ssim", "lpips", "isr_seen"]


def test_vi_and_vii_show_the_budgets_that_have_ablations(published: Published) -> None:
    sweep = [
        row("SIFM", eps=e, role="ours", ablation="both", lam=0.1, value=v)
        for e, v in (("0.03", 0.3), ("0.06", 0.6), ("0.12", 0.9))
    ]
    norm = row("a", eps="0.06", role="ablation", ablation="norm only", lam=0.01, value=0.5)
    for layout, names in ((table_vi, ("norm only", "both")), (table_vii, ("0.01", "0.1"))):
        table = layout(splits(*sweep, norm))
        shown = {ln.label: ln.cells["isr_seen"].value for ln in table.rows}
        assert shown == dict(zip(names, ("50.0%", "60.0%"), strict=True))
        assert "only budgets (eps) at which an ablation was run: SD3 0.06" in table.notes
        assert "no ablation was run at eps 0.03, 0.12: see the general table" in table.notes
        beside = layout(splits(*sweep, norm), published).rows
        (ours,) = (ln for ln in beside if ln.label == names[1] and ln.cells.get("isr_seen", Cell()).estimate)
        assert all(k.value is None for k in ours.known.values())  # the paper's are at 0.03
    table = table_vi(splits(*sweep, norm, replace(norm, eps="0.12")))
    assert [ln.label for ln in table.rows] == [
        "both, eps 0.06", "both, eps 0.12", "norm only, eps 0.06", "norm only, eps 0.12",
    ]  # fmt: skip
    twice = table_vi(splits(norm, replace(norm, label="b", config="d")))
    assert len({ln.label for ln in twice.rows}) == 2


def test_undecided_edits_show_bounds_and_two_judges_two_sections() -> None:
    half = replace(estimate(0.7), bounds=(0.4, 0.9))
    shy = replace(row("SIFM", split="seen"), estimates={"isr": half}, edits=100, decided=50)
    table = table_ii([shy, row("SIFM", split="seen", judge="k")])
    assert [ln.section for ln in table.rows] == ["SD3, judged by j", "SD3, judged by k"]
    cell = table.rows[0].cells["isr_seen"]
    assert (cell.value, cell.interval) == ("40.0% to 90.0%", "bounds")
    assert table.rows[0].cells["isr_unseen"].reason == "no edit is of the split unseen"


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


def test_the_worst_over_purifiers_is_a_line_of_the_general_table() -> None:
    every = replace(
        row("SIFM", purifier="*"), estimates={"isr": estimate(0.7), "isr_worst": estimate(0.2, 50)}
    )
    table = general([every, replace(control(), purifier="*"), row("SIFM"), row("SIFM", purifier="jpeg")])
    worst = table.rows[-1]
    shown = {k: c.value for k, c in worst.cells.items()}
    assert (shown["purifier"], shown["isr"], shown["n"]) == ("all, worst", "20.0%", "50")
    assert "uplift" not in shown
    assert len(table.rows) == 3
    assert any(n.startswith("all, worst: immunized under every purifier") for n in table.notes)


def test_without_any_row_a_table_says_so(published: Published) -> None:
    for layout in LAYOUTS.values():
        assert "no edit of this study belongs in this table" in layout([], published).text()
        assert layout([], None).latex().count("tabular") == 2


def test_the_general_table_has_every_arm() -> None:
    table = general(
        [control(), row("SIFM"), row("SIFM", purifier="jpeg", surrogate="X"), row("SIFM", purifier="*")]
    )
    assert [(ln.label, ln.cells["purifier"].value, ln.cells["surrogate"].value) for ln in table.rows] == [
        ("no protection", "none", "-"), ("SIFM", "none", "SD3"), ("SIFM", "jpeg", "X"),
        ("SIFM", "all, worst", "SD3"),
    ]  # fmt: skip
    text = table.text()
    assert "70.0% [65.0, 75.0]" in text
    assert "+20.0 pp [+15.0, +25.0]" in text
    assert "judged by j" in text


def test_the_csv_is_unrounded_and_signed(published: Published) -> None:
    table = table_ii(splits(row("SIFM", value=2 / 3), control()), published)
    found = list(csv.DictReader(io.StringIO(table.csv())))
    one = next(r for r in found if (r["row"], r["column"]) == ("SIFM", "isr_seen"))
    assert float(one["value"]) == 2 / 3
    assert (one["n"], one["images"], one["signature"]) == ("100", "50", "isr=0")
    assert (float(one["published"]), one["published_n"]) == (0.79, "100")
    assert {r["table"] for r in found} == {"II"}


LINES = st.lists(
    st.builds(
        lambda label, section, text: Line(
            label, {"a": Cell(text=text), "b": Cell(estimate(0.5), "rate")}, section, {"b": Known(value=0.5, rate=True, n=10)}
        ),
        TEXT, TEXT, TEXT,
    ),
    max_size=5,
)  # fmt: skip


@settings(max_examples=50)
@given(TEXT, LINES, st.lists(TEXT, max_size=3), st.booleans())
def test_no_name_breaks_a_rendering(
    title: str, lines: Sequence[Line], notes: Sequence[str], inline: bool
) -> None:
    table = Table(
        name="t",
        title=title,
        columns={"": "m", "a": "A", "b": "B"},
        rows=tuple(lines),
        notes=tuple(notes),
        inline=inline,
        paper="paper",
    )
    text = table.text()
    assert all(c.isprintable() or c == "\n" for c in text)
    body = text.split("\n")
    assert len(body) - 1 == 3 + len(list(_physical(table))) + (1 + len(notes) if notes else 0)
    markdown = table.markdown()
    assert "<" not in markdown.replace("<br>", "")
    rows = [ln for ln in markdown.split("\n") if ln.startswith("|")]
    assert all(ln.replace("\\\\", "").replace("\\|", "").count("|") == 4 for ln in rows)
    latex = table.latex().split("\\midrule\n", 1)[1].split("\\bottomrule")[0]
    for ln in latex.split("\n"):
        bare = (
            ln.replace("\\&", "").replace("\\%", "").replace("\\_", "").replace("\\#", "").replace("\\$", "")
        )
        if bare.endswith("\\\\") and "multicolumn" not in bare:
            assert bare.count("&") == 2
        assert "%" not in bare
    for record in csv.reader(io.StringIO(table.csv())):
        assert len(record) == 21
        assert not any(cell[:1] in "=+-@" and len(cell) > 1 for cell in record[:3])


def _physical(table: Table) -> Sequence[str]:
    out, last = [], ""
    for section, lines in table.physical():
        if section != last:
            out += ["", section]
            last = section
        out += [""] * len(lines)
    return out


@settings(max_examples=50)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=4))
def test_figures_stand_under_each_other(values: list[float]) -> None:
    lines = tuple(Line(f"m{i}", {"a": Cell(estimate(v), "signed", 3)}) for i, v in enumerate(values))
    text = (
        Table(name="t", title="title", columns={"": "method", "a": "A"}, rows=lines).text().split("\n")[2:-1]
    )
    assert len({len(ln) for ln in text if ln}) <= 1


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
