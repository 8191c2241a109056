"""Outputs of named layers of a network, with right gradients, at no more than the cost of reaching the deepest."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from isr.errors import UsageError
from isr.text import nearest

HALF_SCALE = 1024.0

Pick = Callable[[Any, Any], Tensor]


class _Reached(Exception):
    """All wanted layers have answered: the rest of the network need not run."""


def accumulating(x: Tensor) -> Tensor:
    """``x`` in a type in which sums do not overflow: float32, or float64 where it is that already."""
    return x if x.dtype is torch.float64 else x.float()


def loss_scale(editor: Any) -> float:
    """By how much a loss is multiplied before it is differentiated: in fp16, small gradients would vanish."""
    return HALF_SCALE if getattr(editor, "dtype", None) is torch.float16 else 1.0


def layer_names(network: Any, patterns: Sequence[str]) -> tuple[str, ...]:
    """The layers of a network that names or patterns (``up_blocks.*.attentions.*``) mean, in the network's order.

    Raises ``UsageError`` that lists every pattern without a layer, with the nearest names there are.
    """
    known = [name for name, _ in network.named_modules() if name]
    faults = []
    wanted: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(known, pattern)
        found = [f for f in found if f.count(".") == pattern.count(".")]
        wanted.update(found)
        if not found:
            near = nearest(pattern, known) or known[:3]
            faults.append(f"  {pattern!r}: no such layer; near it: {', '.join(near)}")
    if faults or not wanted:
        raise UsageError(
            "\n".join(["layers: expected names of layers of the noise predictor; found", *faults])
        )
    return tuple(name for name in known if name in wanted)


def outputs(
    network: Any, layers: Sequence[str], pick: Pick, run: Callable[[], object], *, whole: bool = False
) -> list[Tensor]:
    """The outputs of ``layers`` in their order while ``run()`` calls the network, which stops once all are there.

    ``pick`` takes the tensor out of what a layer returns, given both. ``whole`` runs the network to its end (for comparison).
    """
    found: dict[str, Tensor] = {}
    handles = []

    def keep(name: str, module: Any, inputs: Any, output: Any) -> None:
        found[name] = pick(module, output)
        if len(found) == len(layers) and not whole:
            raise _Reached

    for name in layers:
        handles.append(network.get_submodule(name).register_forward_hook(partial(keep, name)))
    try:
        run()
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    silent = [name for name in layers if name not in found]
    if silent:
        raise UsageError(
            f"layers: expected layers that the noise predictor runs; found {', '.join(silent)}, which it never "
            f"calls; name what is inside ({silent[0]}.*)"
        )
    return [found[name] for name in layers]


@contextmanager
def checkpointed(units: Iterable[tuple[str, Any]], hooked: Sequence[str] = ()) -> Iterator[None]:
    """Inside the block, the named modules keep their inputs only and run again in the backward pass.

    A unit that has a hooked layer inside it is left alone: a hook must see the tensor that the loss is made of, not
    one of a second run. Hooks on a unit itself stand outside of what is run again.
    """
    wrapped = []
    for name, module in units:
        if any(layer.startswith(name + ".") for layer in hooked):
            continue
        module.forward = partial(checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False)
        wrapped.append(module)
    try:
        yield
    finally:
        for module in wrapped:
            del module.forward


def split_gradient(
    inputs: Tensor,
    parts: Sequence[Tensor],
    losses: Iterable[Callable[[Sequence[Tensor]], Tensor]],
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The sum of losses (B,) that see ``inputs`` only through ``parts``, and its gradient with respect to ``inputs``.

    Each loss is run and differentiated by itself down to the parts, so that memory holds one of them at a time, and
    what lies between ``inputs`` and the parts (the VAE's encoder) is run and differentiated once for all. ``scale``: see
    ``loss_scale``.
    """
    leaves = [part.detach().requires_grad_(part.requires_grad) for part in parts]
    live = [leaf for leaf in leaves if leaf.requires_grad]
    sums = [torch.zeros_like(leaf) for leaf in live]
    total: Tensor | None = None
    for loss in losses:
        value = loss(leaves)
        found = torch.autograd.grad(scale * value.sum(), live, allow_unused=True)
        for kept, one in zip(sums, found, strict=True):
            if one is not None:
                kept += one
        total = value.detach() if total is None else total + value.detach()
    if total is None:
        raise ValueError("expected at least one loss; found none")
    (gradient,) = torch.autograd.grad([p for p in parts if p.requires_grad], inputs, sums)
    return total, gradient / scale if scale != 1 else gradient
