"""How an item was looked at, as text and back."""

from __future__ import annotations

import pytest

from isr.people.looks import NARROW_PX, RANGES, UNKNOWN, Look, look_of, wrong_cells


def test_what_is_known_is_written_and_read_again() -> None:
    look = Look(window_px=390, pixel_ratio=2.625, fit_scale=0.1699, largest_scale=1.0)
    cells = {"window_px": "390", "pixel_ratio": "2.625", "fit_scale": "0.1699", "largest_scale": "1"}
    assert look.cells() == cells
    assert look_of(cells) == look
    part = {"window_px": "1440", "note": "blurred"}
    assert look_of(part) == Look(window_px=1440)
    assert look_of(part).cells() == {"window_px": "1440"}
    assert list(wrong_cells(cells)) == list(wrong_cells(part)) == []
    assert (look_of({}), UNKNOWN.cells()) == (UNKNOWN, {})


@pytest.mark.parametrize("name", RANGES)
def test_what_is_no_number_of_its_range_is_wrong(name: str) -> None:
    low, high = RANGES[name]
    for text in ("inf", "nan", "-1", "0", "wide", repr(low / 2), repr(high * 2), "1e999"):
        assert [found for found, _ in wrong_cells({name: text})] == [name], text
        assert look_of({name: text}) == UNKNOWN
    for text in (repr(low), repr(high)):
        assert list(wrong_cells({name: text})) == []


def test_a_window_is_narrow_below_the_width_that_the_page_warns_of() -> None:
    widths: list[float | None] = [NARROW_PX - 1, NARROW_PX, None]
    assert [Look(window_px=w).narrow for w in widths] == [True, False, None]
