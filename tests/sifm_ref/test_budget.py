"""Budgets hold for every pixel of what is saved."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isr.errors import UsageError
from sifm_ref.budget import Budget, measure, number_of, obeying, ssim, to_8bit

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")

from sifm_ref.budget import project  # noqa: E402

SOURCES = hnp.arrays(np.uint8, (4, 5, 3))
DELTAS = hnp.arrays(np.float64, (4, 5, 3), elements=st.floats(-1, 1))
EPS = st.floats(1 / 255, 0.5)


@given(SOURCES, DELTAS, EPS)
def test_a_projected_image_still_obeys_once_it_is_saved(
    source: np.ndarray, delta: np.ndarray, eps: float
) -> None:
    for norm in ("linf", "l2"):
        budget = Budget(eps, norm)  # type: ignore[arg-type]
        inside = project(torch.from_numpy(delta)[None].permute(0, 3, 1, 2), budget)
        image = (torch.from_numpy(source / 255)[None].permute(0, 3, 1, 2) + inside).clamp(0, 1)
        saved = to_8bit(source, image[0].permute(1, 2, 0).numpy())
        if norm == "linf":
            assert measure(source, saved).within(budget)
        else:
            # toward the source but for 1/1000 of a level a sample, so the length of n samples grows by sqrt(n) / 1000
            # levels at most (triangle inequality); rounding to the nearest level would allow sqrt(n) / 2
            assert measure(source, saved).l2 <= eps * (1 + 1e-9) + math.sqrt(source.size) * 1e-3 / 255
        saved = obeying(source, image[0].permute(1, 2, 0).numpy(), budget)
        assert measure(source, saved).within(budget)


@given(SOURCES, DELTAS, EPS, st.sampled_from(["linf", "l2"]))
def test_what_was_never_projected_is_brought_back(
    source: np.ndarray, delta: np.ndarray, eps: float, norm: str
) -> None:
    budget = Budget(eps, norm)  # type: ignore[arg-type]
    saved = obeying(source, np.clip(source / 255 + delta, 0, 1), budget)
    assert measure(source, saved).within(budget)
    towards = (
        np.abs(saved.astype(int) - source)
        <= np.abs(np.clip(source / 255 + delta, 0, 1) * 255 - source) + 1e-2
    )
    assert towards.all()


def test_three_hundredths_allow_seven_levels() -> None:
    assert Budget(0.03).levels == 7
    assert Budget(8 / 255).levels == 8
    source = np.full((2, 2, 3), 100, np.uint8)
    assert (obeying(source, (source + 7.65) / 255, Budget(0.03)) == 107).all()
    assert (obeying(source, (source - 7.65) / 255, Budget(0.03)) == 93).all()


def test_whole_levels_survive_floating_point() -> None:
    """k / 255 in float32 is not k / 255; no level may be lost to that."""
    source = np.arange(240, dtype=np.uint8).reshape(10, 8, 3)
    moved = (torch.from_numpy(source).float() / 255 + 7 / 255).double().numpy()
    assert (to_8bit(source, moved).astype(int) - source == 7).all()


@given(hnp.arrays(np.float64, (2, 3, 4, 4), elements=st.floats(-2, 2)), EPS, st.sampled_from(["linf", "l2"]))
def test_projection_is_inside_and_idempotent(delta: np.ndarray, eps: float, norm: str) -> None:
    budget = Budget(eps, norm)  # type: ignore[arg-type]
    once = project(torch.from_numpy(delta), budget)
    length = once.abs().amax((1, 2, 3)) if norm == "linf" else once.flatten(1).norm(dim=1)
    assert (length <= eps * (1 + 1e-12)).all()
    torch.testing.assert_close(project(once, budget), once, rtol=1e-12, atol=1e-15)


def test_measured_values() -> None:
    a = np.zeros((10, 10, 3), np.uint8)
    b = a.copy()
    b[0, 0, 0] = 51  # a fifth
    found = measure(a, b)
    assert found.linf == 0.2
    assert found.l2 == pytest.approx(0.2)
    assert found.psnr == pytest.approx(-10 * math.log10(0.04 / 300))
    assert found.changed == pytest.approx(1 / 300)
    assert measure(a, a).psnr == math.inf


def test_ssim_of_flat_images_is_its_luminance_term() -> None:
    a, b = np.full((20, 20, 3), 51, np.uint8), np.full((20, 20, 3), 102, np.uint8)
    x, y, c1 = 0.2, 0.4, 0.01**2
    assert ssim(a, b) == pytest.approx((2 * x * y + c1) / (x * x + y * y + c1), rel=1e-6)
    assert ssim(a, a) == 1.0


def test_ssim_has_no_borders() -> None:
    """By the window's sums at one place, and the same whatever lies beyond the picture."""
    draw = np.random.default_rng(0)
    a, b = (draw.integers(0, 256, (11, 11, 3)).astype(np.uint8) for _ in range(2))
    place = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    w = np.outer(place, place)[..., None] / place.sum() ** 2
    x, y = a / 255, b / 255
    mx, my = ((w * v).sum((0, 1)) for v in (x, y))
    vx, vy, vxy = (
        (w * x * x).sum((0, 1)) - mx**2,
        (w * y * y).sum((0, 1)) - my**2,
        (w * x * y).sum((0, 1)) - mx * my,
    )
    c1, c2 = 0.01**2, 0.03**2
    one = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(a, b) == pytest.approx(one.mean(), rel=1e-9)
    assert ssim(a[:8, :8], a[:8, :8]) == 1.0


@pytest.mark.parametrize("eps", [0.0, -1.0, math.nan, 8.0])
def test_a_budget_in_other_units_is_refused(eps: float) -> None:
    with pytest.raises(UsageError, match=r"\[0, 1\] pixel units"):
        Budget(eps)
    with pytest.raises(UsageError, match="linf or l2"):
        Budget(0.1, "l1")  # type: ignore[arg-type]


@pytest.mark.parametrize("levels", range(1, 256))
def test_a_fraction_of_levels_allows_as_many_levels(levels: int) -> None:
    assert Budget(number_of(f"{levels}/255")).levels == levels


def test_levels_are_told_how_they_are_written() -> None:
    with pytest.raises(UsageError, match="found 16; 16 levels of 255 are written 16/255"):
        Budget(16)
    with pytest.raises(UsageError, match="8 levels of 255 are written 8/255"):
        Budget(0)
