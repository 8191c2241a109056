"""Outcomes of two methods crossed on the units that both have."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from isr.report.crossed import Crossed, Edits, crossed, pair_data
from isr.scoring.finished import EditRow
from isr.types import Unit

NAN = math.nan


def edits(name: str, outcomes: Sequence[float | None]) -> Edits:
    """One edit for each unit that has an outcome."""
    units = [Unit(f"image-{i}", "p", "", "", "") for i in range(len(outcomes))]
    return {
        u: EditRow(u, o, {"edit_id": f"{name}-{u.image_id}", "edit_sha256": f"sha256:{name}"})
        for u, o in zip(units, outcomes, strict=True)
        if o is not None
    }


def test_every_shared_unit_is_in_one_cell_and_what_one_side_lacks_is_counted() -> None:
    table = crossed(
        edits("a", [1, 1, 0, 0, NAN, NAN, 1, 1, None, 0]),
        edits("b", [1, 0, 1, 0, 1, NAN, NAN, None, 1, 1]),
    )
    assert table.counts == ((1, 1, 1), (2, 1, 0), (1, 0, 1))
    assert (table.won, table.lost, table.shared, table.undecided) == (1, 2, 8, 3)
    assert (table.first_alone, table.second_alone) == (1, 1)
    assert crossed({}, edits("b", [1])).counts == ((0, 0, 0),) * 3


def test_words_name_who_is_immunized() -> None:
    table = crossed(edits("a", [1, 1, 0]), edits("b", [0, 0, 1]))
    assert table.cell(0, 1, "sifm", "mist").words == "2 units: immunized under sifm, not under mist"
    assert table.cell(1, 0, "sifm", "mist").words == "1 unit: immunized under mist, not under sifm"
    assert list(table.states) == [0, 1]  # no column for undecided where there is none
    table = crossed(edits("a", [1, 0, NAN, NAN, 1]), edits("b", [1, 0, NAN, 0, NAN]))
    said = {
        (a, b): table.cell(a, b, "sifm", "mist").words.partition(": ")[2]
        for a in table.states
        for b in table.states
    }
    assert said[0, 0] == "immunized under both sifm and mist"
    assert said[1, 1] == "immunized under neither sifm nor mist"
    assert said[2, 2] == "undecided under both sifm and mist"
    assert said[0, 2] == "immunized under sifm, undecided under mist"
    assert said[2, 1] == "undecided under sifm, not immunized under mist"
    assert len(set(said.values())) == 9


@pytest.mark.parametrize(
    ("won", "lost", "start"),
    [
        (14, 3, "sifm is immunized on 14 units where mist is not; the reverse on 3; "),
        (1, 3, "mist is immunized on 3 units where sifm is not; the reverse on 1; "),
        (1, 1, "sifm and mist are each immunized on 1 unit where the other is not; "),
        (0, 0, "no unit is immunized under only one of sifm and mist; "),
    ],
)
def test_the_reading_begins_with_who_wins(won: int, lost: int, start: str) -> None:
    table = Crossed(counts=((5, won, 2), (lost, 4, 0), (1, 0, 0)), first_alone=7)
    both = 9 + won + lost
    said = table.reading("sifm", "mist", 0.004)
    assert said == (
        f"{start}both are decided on {both} of {both + 3} shared units; 7 units of sifm only; p (Holm) 0.0040"
    )
    assert table.reading("sifm", "mist", None).endswith("; no test")


def test_the_script_gets_each_side_once() -> None:
    a, b, c = edits("a", [1, None]), edits("b", [0, NAN]), edits("c", [1, 1])
    places = {
        (r.columns["edit_id"], r.columns["edit_sha256"]): n
        for n, r in enumerate(row for side in (a, b, c) for row in side.values())
    }
    made = pair_data([[(a, b), (a, c)], [], [None, (b, c)]], places)
    assert made["sides"] == [
        {"entries": [0, -1], "said": "0-"},
        {"entries": [1, 2], "said": "12"},
        {"entries": [3, 4], "said": "00"},
    ]
    assert made["families"] == [[[0, 1], [0, 2]], [], [None, [1, 2]]]
