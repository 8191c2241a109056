"""Which seeds of scenes are for what; no two ranges share one, nor one with the judge's (``../judge/seeds.py``)."""

from __future__ import annotations

SIDE = 64
"""Side of every scene, in pixels."""

TRAIN = range(2_000_000, 2_200_000)
"""What editors are trained on."""
VALIDATION = range(70_000, 71_000)
"""Edited while an editor is trained and its guidance chosen."""
TEST = range(71_000, 72_000)
"""Edited once, for the share of edits that succeed in the model card."""
TUNING = range(72_000, 73_000)
"""On which the settings of protections are chosen."""
HELD_OUT = range(73_000, 74_000)
"""Protected and edited once, for the study's tables."""
QUICK = range(74_000, 75_000)
"""For the quick study, which may be run as often as one likes."""
