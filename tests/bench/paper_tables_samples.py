"""Rows and published figures for the tests of tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from isr.bench.rows import Row
from isr.scoring.surrogates import Sight
from isr.types import Estimate

STUDIES = Path(__file__).resolve().parents[2] / "studies"


def estimate(value: float | None, n: int = 100, *notes: str) -> Estimate:
    low, high = (None, None) if value is None else (value - 0.05, value + 0.05)
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=0.95,
        method="logit-t",
        n=n,
        clusters=50,
        bounds=None,
        notes=notes,
    )


def row(
    method: str,
    editor: str = "SD3",
    *,
    eps: str = "0.03",
    split: str = "",
    purifier: str = "",
    surrogate: str = "SD3",
    sight: Sight | None = None,
    judge: str = "j",
    value: float = 0.7,
    role: str = "baseline",
    ablation: str = "",
    lam: float | None = None,
) -> Row:
    names = ("uplift", "isr_conditional", "isr_worst")
    estimates = {"isr": estimate(value)} | {n: estimate(0.2) for n in names}
    metrics = {"edit:psnr": estimate(15.79), "edit:lpips": estimate(None, 0, "no edit has a value")}
    return Row(
        editor=editor, surrogate=surrogate, method=method.lower(), config="c", eps=eps, purifier=purifier, split=split, judge=judge, label=method,
        sight=sight or Sight(surrogate == editor if surrogate else None), estimates=estimates, metrics=metrics, edits=100, decided=100,
        signature="isr=0", role=role, ablation=ablation, lam=lam,
    )  # fmt: skip


def control(editor: str = "SD3", split: str = "") -> Row:
    one = row("none", editor, split=split, surrogate="", eps="")
    return replace(one, method="", config="", estimates={"control": estimate(0.1)}, metrics={})


def splits(*rows: Row) -> list[Row]:
    return [replace(r, split=s) for r in rows for s in ("", "seen", "unseen")]
