"""The general table shows every treatment at every place."""

from __future__ import annotations

from dataclasses import replace

from isr.bench.general_table import general
from tests.bench.paper_tables_samples import control, estimate, row


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
