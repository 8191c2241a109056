"""Tables: what a cell says, as text, Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from isr.tables import Cell, Known, Line, Table
from tests.bench.paper_tables_samples import estimate

TEXT = st.text(max_size=20)


def test_the_published_interval_is_wilsons() -> None:
    # Wilson (1927) at 79 of 100, as in any table of it: 0.700 to 0.858
    low, high = Known(value=0.79, rate=True, n=100).span or (0, 0)
    assert (round(low, 3), round(high, 3)) == (0.700, 0.858)
    assert Known(value=15.79).span is None
    assert Known(value=None, rate=True, n=100).lines == ("not known",)
    assert Known(value=0.5, rate=True, n=None).lines == ("50%", "n not known")
    assert Known(value=0.71, rate=True, n=500, unverified=True).lines[0] == "71%?"


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
    latex = table.latex().split("\n\\midrule\n", 1)[1].split("\\bottomrule")[0]
    for ln in latex.split("\n"):
        bare = (
            ln.replace("\\&", "").replace("\\%", "").replace("\\_", "").replace("\\#", "").replace("\\$", "")
        )
        if bare.endswith("\\\\") and "multicolumn" not in bare:
            assert bare.count("&") == 2
        assert "%" not in bare
    for record in csv.reader(io.StringIO(table.csv())):
        assert len(record) == 23
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
