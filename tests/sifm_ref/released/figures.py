"""How near ours is to the numbers of released code, or to finite differences: asserted, and kept for the table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.sifm_ref.released.record import HERE

SAME = 1 - 1e-6
FIGURES: dict[str, dict[str, float]] = {}
"""Of each method that was compared in this process: the worst of each kind of difference."""


class Theirs(dict[str, Any]):
    """Numbers that released code gave for a method; what is inside of it is of that method as well."""

    def __init__(self, method: str, said: Mapping[str, Any]) -> None:
        super().__init__(said)
        self.method = method

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        return Theirs(self.method, value) if isinstance(value, dict) else value

    def tensor(self, key: str, like: Tensor) -> Tensor:
        return torch.tensor(self[key], dtype=torch.float64).view_as(like)


def released(method: str) -> Theirs:
    """What ``record.py`` wrote of a method."""
    return Theirs(method, json.loads((HERE / f"{method}.json").read_text("utf-8")))


def keep(method: str, kind: str, difference: float) -> None:
    """Keeps a difference for the table, if it is the worst of its kind."""
    found = FIGURES.setdefault(method, {})
    found[kind] = max(found.get(kind, 0.0), difference)


def cosine(mine: Tensor, theirs: Tensor | list[float]) -> float:
    """Of the angle between two tensors; a list is of the first one's shape."""
    other = torch.as_tensor(theirs, dtype=torch.float64).view_as(mine)
    return float((mine * other).sum() / (mine.norm() * other.norm()))


def same(loss: Tensor, gradient: Tensor, theirs: Theirs) -> None:
    """Equal loss, direction and length."""
    keep(theirs.method, "loss", abs(loss.item() / theirs["loss"] - 1))
    assert loss.item() == pytest.approx(theirs["loss"], rel=1e-6)
    same_direction(gradient, theirs)
    length = theirs.tensor("gradient", gradient).norm().item()
    assert gradient.norm().item() == pytest.approx(length, rel=1e-5)


def same_direction(mine: Tensor, theirs: Theirs, key: str = "gradient") -> None:
    """A cosine above 1 - 1e-6."""
    found = cosine(mine, theirs.tensor(key, mine))
    keep(theirs.method, "1 - cosine", 1 - found)
    assert found > SAME


def same_change(change: Tensor, theirs: Theirs, atol: float = 1e-8) -> None:
    """Every pixel went where the released loop took it."""
    other = theirs.tensor("change", change)
    keep(theirs.method, "change", float((change - other).abs().max()))
    torch.testing.assert_close(change, other, atol=atol, rtol=0)


def written() -> dict[str, Path]:
    """The methods of which released code was run, with their files."""
    return {path.stem: path for path in sorted(HERE.glob("*.json"))}
