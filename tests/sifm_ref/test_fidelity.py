"""The table of docs/immunize.md that says how near every method is to its released code."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from tests.sifm_ref.released.table import HEAD, result, rows

DOCS = Path(__file__).parents[2] / "docs" / "immunize.md"


def test_the_table_in_the_docs_is_of_the_code_that_was_run() -> None:
    """Every method that has a loss has its row, with the commit whose numbers are kept; none is not measured."""
    lines = DOCS.read_text("utf-8").splitlines()
    at = lines.index(HEAD)
    table = [[c.strip() for c in line.strip("|").split("|")] for line in lines[at + 2 : at + 2 + len(rows())]]
    assert [tuple(row[:3]) for row in table] == [(f"`{name}`", code, what) for name, code, what in rows()]
    assert all("not measured" not in row[3] for row in table)


def test_a_method_that_was_not_compared_says_so() -> None:
    assert result("nobody") == "not measured"
