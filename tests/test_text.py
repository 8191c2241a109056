"""Numbers in words, with the edges: nothing there, no interval, a tiny p-value."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from isr import text


@dataclass(frozen=True)
class Limits:
    value: float | None
    low: float | None
    high: float | None


WHOLE, OPEN, NONE = Limits(0.625, 0.5286, 0.7124), Limits(0.5, None, None), Limits(None, None, None)


def test_rates() -> None:
    assert [text.rate(v) for v in (0.625, 0.0, None)] == ["62.5%", "0.0%", "-"]
    assert [text.rate_interval(e) for e in (WHOLE, OPEN)] == ["52.9% to 71.2%", "no interval"]
    assert [text.rate_with_interval(e) for e in (WHOLE, OPEN, NONE, None)] == [
        "62.5% (52.9%-71.2%)",
        "50.0%",
        "-",
        "-",
    ]
    assert text.rate_with_interval(OPEN, none="none") == "50.0% (none)"


def test_differences() -> None:
    assert [text.difference(v) for v in (0.5, -0.111, None)] == ["+50.0 pp", "-11.1 pp", "-"]
    e = Limits(0.5, -0.395, 0.605)
    assert text.difference_interval(e) == "-39.5 to +60.5 pp"
    assert text.difference_interval(e, unit=False) == "-39.5 to +60.5"
    assert text.difference_interval(OPEN) == "no interval"


@pytest.mark.parametrize(
    ("p", "said"), [(None, "-"), (0.00009, "<.0001"), (0.0001, "0.0001"), (1.0, "1.0000")]
)
def test_p_values(p: float | None, said: str) -> None:
    assert text.p_value(p) == said
