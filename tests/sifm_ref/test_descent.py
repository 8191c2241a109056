"""The shared loop against paths that can be computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")

from isr.errors import UsageError  # noqa: E402
from sifm_ref.budget import Budget  # noqa: E402
from sifm_ref.descent import TINY, Descent, gradient_of, projected_gradient  # noqa: E402
from sifm_ref.noise import Noise  # noqa: E402
from sifm_ref.scene import Scene  # noqa: E402

SOURCE = torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64)
WEIGHTS = torch.linspace(-1, 1, 48, dtype=torch.float64).reshape(3, 4, 4)


def linear(x: Any, noise: Any) -> Any:
    """A loss whose gradient is the same everywhere."""
    return (x * WEIGHTS).flatten(1).sum(dim=1)


def run(descent: Descent, budget: Budget, **more: Any) -> Any:
    return projected_gradient(
        gradient_of(linear), SOURCE, budget=budget, descent=descent, noise=Noise([1, 2]), **more
    )


def test_linf_takes_the_sign_and_stops_at_the_corner() -> None:
    found = run(Descent(steps=2, step_size=0.01), Budget(0.1))
    torch.testing.assert_close(found.image, SOURCE - 0.02 * WEIGHTS.sign())
    found = run(Descent(steps=50, step_size=0.01), Budget(0.1))
    torch.testing.assert_close(found.image, SOURCE - 0.1 * WEIGHTS.sign())


def test_l2_takes_the_direction_and_stops_at_the_sphere() -> None:
    way = WEIGHTS / WEIGHTS.norm()
    found = run(Descent(steps=3, step_size=0.1), Budget(0.5, "l2"))
    torch.testing.assert_close(found.image, SOURCE - 0.3 * way)
    found = run(Descent(steps=30, step_size=0.1), Budget(0.5, "l2"))
    torch.testing.assert_close(found.image, SOURCE - 0.5 * way)


def test_the_linear_schedule_ends_near_a_hundredth() -> None:
    descent = Descent(steps=4, step_size=0.04, schedule="linear")
    sizes = [0.04 * (1 - 0.99 * i / 4) for i in range(4)]
    assert [descent.step(i) for i in range(4)] == pytest.approx(sizes)
    found = run(descent, Budget(0.5))
    torch.testing.assert_close(found.image, SOURCE - sum(sizes) * WEIGHTS.sign())


def test_images_stay_in_range_and_the_trace_has_every_iterate() -> None:
    calls = []
    found = projected_gradient(
        gradient_of(linear), SOURCE * 0.02, budget=Budget(0.3), descent=Descent(steps=5, step_size=0.1),
        noise=Noise([1, 2]), callback=lambda step, loss: calls.append((step, tuple(loss.shape))),
    )  # fmt: skip
    assert found.image.min() == 0
    assert calls == [(n, (2,)) for n in range(1, 6)]
    assert len(found.losses) == 6
    assert (found.losses[-1] < found.losses[0]).all()
    first, last = found.ends()
    torch.testing.assert_close(first, found.losses[0])
    torch.testing.assert_close(last, found.losses[-1])


def test_starts() -> None:
    still = gradient_of(lambda x, noise: 0 * x.flatten(1).sum(dim=1))

    def begin(start: Any, norm: Any = "linf") -> Any:
        descent = Descent(steps=1, step_size=1e-12, start=start)
        found = projected_gradient(
            still, SOURCE, budget=Budget(0.1, norm), descent=descent, noise=Noise([1, 2])
        )
        return (found.image - SOURCE).abs()

    assert begin("zero").max() == 0
    assert 0.09 < begin("uniform").max() <= 0.1
    assert 0 < begin("tiny").max() <= TINY
    torch.testing.assert_close(begin("uniform", "l2").flatten(1).norm(dim=1), torch.full((2,), 0.1).double())
    assert begin("uniform")[0].ne(begin("uniform")[1]).any()


def test_gradients_are_averaged_over_fresh_noise() -> None:
    drawn = []

    def noisy(x: Any, noise: Noise) -> Any:
        draw = noise.normal(x.shape[1:], x)
        drawn.append(draw)
        return (x * draw).flatten(1).sum(dim=1)

    found = projected_gradient(
        gradient_of(noisy), SOURCE, budget=Budget(0.5, "l2"), descent=Descent(1, 0.1, repeats=3),
        noise=Noise([1, 2]),
    )  # fmt: skip
    mean = sum(drawn[:3]) / 3
    torch.testing.assert_close(
        found.image, SOURCE - 0.1 * mean / mean.flatten(1).norm(dim=1)[:, None, None, None]
    )


def test_where_keeps_the_rest_clean() -> None:
    where = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    where[..., :2] = 1
    found = run(Descent(5, 0.1, start="uniform"), Budget(0.2), where=where)
    assert ((found.image - SOURCE) * (1 - where)).abs().max() == 0
    assert ((found.image - SOURCE) * where).abs().max() > 0


def test_noise_belongs_to_the_image_and_not_to_the_batch() -> None:
    together = Noise([1, 2]).fork("a").normal((3,), SOURCE)
    alone = Noise([2]).fork("a").normal((3,), SOURCE)
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=0)
    assert Noise([1]).fork("a").normal((3,), SOURCE).ne(Noise([1]).fork("b").normal((3,), SOURCE)).any()


def test_overflow_is_an_error() -> None:
    with pytest.raises(UsageError, match="bf16 or fp32"):
        projected_gradient(
            gradient_of(lambda x, noise: (x * float("inf")).flatten(1).sum(dim=1)), SOURCE,
            budget=Budget(), descent=Descent(2), noise=Noise([1, 2]),
        )  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"step_size": 0.0}, {"repeats": 0}, {"start": "one"}, {"schedule": "cosine"}]
)
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="descent: expected"):
        Descent(**wrong)


class LinearEncoder:
    """An editor whose encoder is one matrix: latents ``A x``."""

    masked = False

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.matrix = torch.randn(6, 48, generator=draw, dtype=torch.float64)

    def encode(self, images: Any, noise: Any = None) -> Any:
        return images.flatten(1) @ self.matrix.T


@pytest.mark.parametrize("loss", ["norm", "square"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_photoguard_encoder_on_a_linear_encoder_follows_the_path_in_closed_form(loss: Any, norm: Any) -> None:
    """The gradient of ``||A x||`` is ``A^T A x / ||A x||``, that of the square ``2 A^T A x``: one direction."""
    from sifm_ref.methods.photoguard_encoder import Config, photoguard_encoder

    box, budget = LinearEncoder(), Budget(0.2, norm)
    steps, size = 7, 0.05
    config = Config(loss=loss, descent=Descent(steps, size, "linear"))
    seen = []
    found = photoguard_encoder(
        box, Scene(SOURCE, ("", "")), budget=budget, config=config, noise=Noise([1, 2]),
        callback=lambda step, value: seen.append(value),
    )  # fmt: skip
    x, delta = SOURCE.flatten(1), torch.zeros(2, 48, dtype=torch.float64)
    for number in range(steps):
        latent = (x + delta) @ box.matrix.T
        length = latent.norm(dim=1)
        torch.testing.assert_close(seen[number], length if loss == "norm" else length**2)
        way = latent @ box.matrix
        step = size * (1 - 0.99 * number / steps)
        if norm == "linf":
            delta = (delta - step * way.sign()).clamp(-0.2, 0.2)
        else:
            delta = delta - step * way / way.norm(dim=1, keepdim=True)
            delta = delta * (0.2 / delta.norm(dim=1, keepdim=True)).clamp(max=1)
        delta = (x + delta).clamp(0, 1) - x
    torch.testing.assert_close(found.image.flatten(1), x + delta)
