"""The paper's layouts: what stands in which cell, what is not known, and that hostile names break no rendering."""

from __future__ import annotations

from dataclasses import replace

from isr.bench.paper_tables import table_ii, table_vi, table_vii
from isr.bench.published import Published
from isr.scoring.surrogates import Sight
from isr.tables import Cell
from tests.bench.paper_tables_samples import control, estimate, row, splits


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
    sampled = table_ii(splits(row("SIFM", sight=Sight(True, by_name=True, sampled=True)), control()))
    assert [n.endswith("same weights is not known") for n in sampled.notes if "told by names" in n] == [True]


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
