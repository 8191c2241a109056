"""The commands whose results were recorded with 0.1.0 (3f9dc66), and must be the same ever after.

Each runs in a folder that holds ``edits/`` (18 edits of the painted world by two "methods"), ``labels.csv``,
``answers.jsonl`` and the card ``recorded.toml`` that repeats them. What they print is recorded in ``printed/``.
"""

from __future__ import annotations

ORACLE = ("score", "edits", "--judge", "shapes-oracle", "--quiet", "--no-report", "--json")
RECORDED = ("score", "edits", "--judge", "recorded.toml", "--quiet", "--no-report", "--json")
SHAPES_RUBRICS = ("--rubric", "shapes-semantic/v1", "--rubric", "shapes-perceptual/v1")

SCORES: dict[str, tuple[str, ...]] = {
    "oracle": (*ORACLE, "--out", "oracle"),
    "recorded": (*RECORDED, "--out", "recorded"),
    "repeats": (*ORACLE, "--out", "repeats", "--repeats", "3", "--by", "split,method", "--interval", "korn-graubard"),
    "random": (*ORACLE, "--out", "random", "--prompts", "random", "--level", "0.9", "--limit", "20"),
    "images": (*ORACLE, "--out", "images", "--estimand", "image-mean"),
    "wilson": (*ORACLE, "--out", "wilson", "--interval", "wilson"),
    "rubrics": (*ORACLE, "--out", "rubrics", *SHAPES_RUBRICS),
    "panel": (*ORACLE[:3], "panel.toml", *ORACLE[4:], "--out", "panel"),
}  # fmt: skip

LATER: dict[str, tuple[str, ...]] = {
    "compare": ("compare", "oracle", "--json"),
    "compare-by": ("compare", "recorded", "--by", "split", "--choose", "--json"),
    "agree": ("agree", "--labels", "labels.csv", "--judge", "oracle", "--judge", "recorded", "--by", "kind", "--json"),
    "calibrate": ("calibrate", "oracle", "--labels", "labels.csv", "--design", "random", "--where", "method=simulated",
                  "--json"),
    "plan": ("plan", "--half-width", "0.1", "--pilot", "oracle", "--json"),
    "latex": ("report", "oracle", "--latex"),
    "csv": ("report", "recorded", "--csv"),
    "methods": ("report", "oracle", "--methods"),
    "verify": ("verify", "oracle.bundle.zip", "--json"),
    "store-verify": ("store", "verify", "oracle/isr.db"),
}  # fmt: skip
"""They read what ``SCORES`` left; ``verify`` reads the bundle that ``isr bundle oracle --images`` makes."""
