"""BlurGuard (Kim et al. 2025): another method's perturbation, blurred region by region until its spectrum is natural."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from isr.canonical import canonical_json
from isr.errors import UsageError
from sifm_ref.attack import OWN_LOOP, attack
from sifm_ref.budget import Budget, project
from sifm_ref.descent import Descent, Gradient, Loss, averaged, direction_of, started, valid
from sifm_ref.editor import WhiteBox
from sifm_ref.features import accumulating
from sifm_ref.noise import Noise
from sifm_ref.registry import PLACE, Method, method, plain
from sifm_ref.scene import Callback, Immunized, Scene, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``over``: the method that is wrapped, ``NAME:preset=...,field=value,...``; empty: the release's own loss, the mean
    square of the latent. Its steps and start are replaced by those of ``descent``; what it is stands in ``wrapped``.

    ``regions``: what has a blur of its own, ``count`` ``clusters`` of colour and place, or the ``whole`` image. (The
    release has the segments of SAM.) ``width``: of the Gaussian window, in pixels. ``sigma_first``: the standard deviation of
    each blur, in pixels, before ``sigma_steps`` steps of Adam at ``sigma_rate`` fit them, until the spectrum of the source
    with blurred noise is within ``tolerance`` (in log10) of the source's. ``direction``: of a step, that of the ``budget``
    (L-inf: signs), or the ``sum`` of all gradients so far at length 1, as the release has it.
    """

    over: str = field(default="", metadata=PLACE)
    wrapped: str = field(default="", init=False)
    regions: Literal["clusters", "whole"] = "clusters"
    count: int = 5
    width: int = 33
    sigma_first: float = 1.0
    sigma_steps: int = 50
    sigma_rate: float = 0.06
    tolerance: float = 0.0
    direction: Literal["budget", "sum"] = "budget"
    descent: Descent = field(default_factory=lambda: Descent(start="tiny"))

    def __post_init__(self) -> None:
        if self.regions not in ("clusters", "whole") or self.direction not in ("budget", "sum"):
            raise UsageError(
                "blurguard: expected regions clusters or whole and direction budget or sum; found "
                f"{self.regions!r} and {self.direction!r}"
            )
        if self.count < 1 or self.sigma_steps < 0 or min(self.sigma_first, self.sigma_rate) <= 0:
            raise UsageError(
                "blurguard: expected count of at least 1, sigma_steps of at least 0, sigma_first and sigma_rate above 0; "
                f"found {self.count}, {self.sigma_steps}, {self.sigma_first} and {self.sigma_rate}"
            )
        if self.width < 1 or self.width % 2 == 0:
            raise UsageError(f"blurguard: width: expected an odd number of pixels; found {self.width}")
        inner = wrapped_by(self)
        object.__setattr__(self, "wrapped", content_of(inner) if inner else "")


def content_of(inner: Method) -> str:
    """What is wrapped, however it was named: its name, its file's digest, and its fields but the loop, which is replaced."""
    known = {k: v for k, v in plain(inner.config).items() if k != "descent"}
    return canonical_json({"method": inner.name, "code": inner.code, "fields": known}).decode()


def wrapped_by(config: Config) -> Method | None:
    """The method that ``config.over`` names, with its settings; ``None`` for the release's own loss."""
    if not config.over:
        return None
    name, sign, last = config.over.rpartition(":")
    if "=" not in last:
        name, sign, last = config.over, "", ""
    settings: dict[str, str] = {}
    for part in last.split(",") if sign else ():
        key, sign, value = part.partition("=")
        if sign:
            settings[key] = value
        elif settings:  # a list's further item
            settings[next(reversed(settings))] += f",{part}"
        else:
            raise UsageError(f"blurguard: over: expected field=value behind the colon; found {part!r}")
    inner = method(name, settings.pop("preset", ""), settings)
    if inner.name == "blurguard" or not isinstance(getattr(inner.config, "descent", None), Descent):
        raise UsageError(
            f"blurguard: over: expected a method that descends a loss; found {config.over!r}; isr immunize . --list prints them"
        )
    return inner


PRESETS = {
    "shared": Config(),
    # configs/attack/base.yaml and LF_PGD.pgd_freq: 150 steps, of which the first 50 fit the blurs; gradient steps of length 2 on
    # [-1, 1], linear decay, no start; its budget is --eps 0.0627 (16/255)
    "released": Config(
        direction="sum", descent=Descent(steps=100, step_size=1.0, schedule="linear", start="zero")
    ),
}


def adaptation(editor: WhiteBox, config: Config) -> str:
    """What is ours, on this editor, beside the released protection."""
    said = [
        "BlurGuard with "
        + (f"{config.count} clusters of colour and place" if config.regions == "clusters" else "one region")
        + ", released: segments of SAM"
    ]
    inner = wrapped_by(config)
    if inner is not None:
        said.append(
            f"over {inner.name}, preset {inner.preset or 'none'}, released: over the mean square of the latent"
        )
        said.append(inner.loss_adaptation(editor))
    elif not editor.stock:
        said.append("released for Stable Diffusion 1.4, here on this editor's VAE")
    if config.direction == "budget":
        said.append("steps in the direction of the budget, released: of the sum of all gradients at length 1")
    return "; ".join(s for s in said if s)


def blurguard(
    editor: WhiteBox,
    scene: Scene,
    *,
    budget: Budget,
    config: Config,
    noise: Noise,
    callback: Callback = silent,
) -> Immunized:
    """Images (B, 3, H, W) whose perturbation is blurred, with a standard deviation for each region, before the budget.

    Kim et al. 2025 and ``BlurGuard`` e1b2d5e: blurs are fitted first, to noise in the budget, so that the power spectrum of the
    source with it, in rings, is the source's; then the loss of the wrapped method is descended through them.
    """
    regions = regions_of(scene.source, config)
    loop = BlurredDescent(
        steps=config.descent.steps,
        step_size=config.descent.step_size,
        schedule=config.descent.schedule,
        start=config.descent.start,
        repeats=config.descent.repeats,
        config=config,
        regions=regions,
    )
    inner = wrapped_by(config)
    if inner is None:
        loss = latent_loss(editor, scene)
        return attack(editor, scene, loss, budget=budget, descent=loop, noise=noise, callback=callback)

    def told(step: int, loss: Tensor | None) -> None:
        if not loop.ran:  # it goes its own way, and nothing would be blurred
            raise UsageError(f"blurguard: over: {config.over}: {OWN_LOOP}")
        callback(step, loss)

    inner_config = replace(inner.config, descent=loop)
    found: Immunized = inner.function(
        editor, scene, budget=budget, config=inner_config, noise=noise, callback=told
    )
    return found


def latent_loss(editor: WhiteBox, scene: Scene) -> Loss:
    """The release's loss ``(x, noise) -> (B,)``: the mean square of a scaled sample of the VAE's posterior."""

    def loss(x: Tensor, noise: Noise) -> Tensor:
        return accumulating(editor.look(x, scene.mask, noise).latents).square().flatten(1).mean(dim=1)

    return loss


@dataclass(frozen=True, slots=True, kw_only=True)
class BlurredDescent(Descent):
    """A descent of the perturbation before its blurs, ``regions`` (B, R, H, W) of ``config``."""

    config: Config
    regions: Tensor
    ran: list[bool] = field(default_factory=list)

    def run(
        self,
        gradient: Gradient,
        source: Tensor,
        *,
        budget: Budget,
        noise: Noise,
        callback: Callback = silent,
        where: Tensor | None = None,
    ) -> Immunized:
        """As ``projected_gradient``; what is projected on the budget is the blurred perturbation."""
        self.ran.append(True)
        sigmas = fitted(source, self.regions, self.config, budget, noise.fork("sigmas"))
        long = replace(self.config.descent, steps=self.steps + self.config.sigma_steps)
        draws = noise.fork("draws")
        before = started(source, budget, self, noise.fork("start"))
        total, losses = torch.zeros_like(source), []

        def image(before: Tensor) -> Tensor:
            delta = project(blurred(before, sigmas, self.regions, self.config.width), budget)
            return valid(source, delta, where)

        for number in range(self.steps):
            with torch.enable_grad():
                before = before.detach().requires_grad_()
                x = image(before)
            loss, found = averaged(gradient, x.detach(), draws, self.repeats)
            losses.append(loss)
            (back,) = torch.autograd.grad(x, before, found)
            total = total + back
            step = (
                direction_of(total, replace(budget, norm="l2"))
                if self.config.direction == "sum"
                else direction_of(back, budget)
            )
            before = before.detach() - long.step(number + self.config.sigma_steps) * step
            callback(number + 1, loss)
        x = image(before).detach()
        losses.append(gradient(x, draws)[0])
        return Immunized(x, tuple(losses))


def fitted(source: Tensor, regions: Tensor, config: Config, budget: Budget, noise: Noise) -> Tensor:
    """Standard deviations (B, R), in pixels, with which blurred noise leaves the source's spectrum nearest to itself."""
    logs = torch.full(regions.shape[:2], float(np.log(config.sigma_first))).to(source).requires_grad_()
    adam = torch.optim.Adam([logs], lr=config.sigma_rate)
    radius = budget.eps if budget.norm == "linf" else budget.eps / source[0].numel() ** 0.5
    goal = spectrum(source).log10()
    for _ in range(config.sigma_steps):
        with torch.enable_grad():
            drawn = (noise.normal(source.shape[1:], source) / 2).clamp(-radius, radius)  # 1 on [-1, 1]
            delta = project(blurred(drawn, logs.exp(), regions, config.width), budget)
            away = (spectrum((source + delta).clamp(0, 1)).log10() - goal).abs().amax(dim=1)
            (away - config.tolerance).relu().sum().backward()
        adam.step()
        adam.zero_grad()
    return logs.detach().exp()


def spectrum(images: Tensor) -> Tensor:
    """Power of images (B, 3, H, W), summed over channels and over rings of one rounded radius: (B, rings).

    Radii are counted from the middle of the transform as it comes, its highest frequency, as the release has it.
    """
    power = torch.fft.fft2(images).abs().square().sum(dim=1).flatten(1)
    y, x = (torch.arange(n, device=images.device) - (n - 1) / 2 for n in images.shape[-2:])
    ring = (y[:, None].square() + x.square()).sqrt().round().long().flatten()
    rings = torch.zeros(len(images), int(ring.max()) + 1, dtype=power.dtype, device=images.device)
    return rings.index_add(1, ring, power) + 1e-8


def blurred(x: Tensor, sigmas: Tensor, regions: Tensor, width: int) -> Tensor:
    """``x`` (B, 3, H, W) blurred with each of ``sigmas`` (B, R), each kept in its region: (B, 3, H, W).

    The window is cut where an image is smaller than it; borders are reflected.
    """
    count, channels, height, wide = x.shape
    half = min(width // 2, height - 1, wide - 1)
    reach = torch.arange(-half, half + 1, device=x.device, dtype=x.dtype)
    window = torch.exp(-reach.square() / (2 * sigmas.to(x.dtype)[..., None].square()))
    window = (window / window.sum(dim=-1, keepdim=True)).unsqueeze(2).expand(-1, -1, channels, -1)
    rows = window.reshape(-1, 1, 1, 2 * half + 1)
    many = (
        pad(x, (half, half, half, half), mode="reflect").unsqueeze(1).expand(-1, sigmas.shape[1], -1, -1, -1)
    )
    flat = many.reshape(1, len(rows), height + 2 * half, wide + 2 * half)
    flat = conv2d(conv2d(flat, rows, groups=len(rows)), rows.transpose(2, 3), groups=len(rows))
    parts = flat.view(count, -1, channels, height, wide)
    return (parts * regions.to(x.dtype).unsqueeze(2)).sum(dim=1)


def regions_of(source: Tensor, config: Config) -> Tensor:
    """Regions (B, R, H, W) of images, each pixel 1 in one of them: the whole, or k-means of colour and place."""
    if config.regions == "whole":
        return torch.ones_like(source[:, :1])
    found = [_clusters(image, config.count) for image in source.double().cpu().numpy()]
    return torch.from_numpy(np.stack(found)).to(source)


def _clusters(image: Any, count: int) -> Any:
    """One image's clusters (count, H, W); they begin at equal shares of the pixels by brightness."""
    from scipy.cluster.vq import kmeans2

    _, height, width = image.shape
    place = np.mgrid[0:height, 0:width] / max(height, width)
    points = np.concatenate([image, place]).reshape(5, -1).T
    order = np.argsort(image.sum(axis=0).ravel(), kind="stable")
    first = points[order[((np.arange(count) + 0.5) / count * len(order)).astype(int)]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster is a region without pixels
        _, label = kmeans2(points, first, minit="matrix")
    return (label.reshape(height, width) == np.arange(count)[:, None, None]).astype(np.float64)
