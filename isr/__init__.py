"""Immunization Success Rate (arXiv 2512.14320): is an image really protected against diffusion editing?

``isr.score("edits/", judge="qwen3.5-9b")`` scores an edit directory. Names are loaded when first used, so
that ``import isr`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from isr.version import __version__

if TYPE_CHECKING:
    from isr.api import agree, calibrate, compare, load_edits, plan, score_labels, write_figures, write_report
    from isr.edits.directory import EditDirectory
    from isr.errors import (
        AuthenticationError,
        CardError,
        DesignError,
        EditDirectoryError,
        InputError,
        IsrError,
        JudgeError,
        MissingExtraError,
        ModelNotFoundError,
        Problem,
        QuotaError,
        RejectedError,
        RubricError,
        SecretError,
        StatisticsError,
        StoreError,
        TransportError,
        UsageError,
    )
    from isr.scoring.from_python import ascore, score
    from isr.scoring.metric import ISR
    from isr.scoring.result import Result
    from isr.signature import Signature
    from isr.types import Answer, Arm, Edit, Estimate, Question, Treatment, Unit, Verdict

_HOME = {
    "isr.api": (
        "agree",
        "calibrate",
        "compare",
        "load_edits",
        "plan",
        "score_labels",
        "write_figures",
        "write_report",
    ),
    "isr.edits.directory": ("EditDirectory",),
    "isr.errors": (
        "AuthenticationError",
        "CardError",
        "DesignError",
        "EditDirectoryError",
        "InputError",
        "IsrError",
        "JudgeError",
        "MissingExtraError",
        "ModelNotFoundError",
        "Problem",
        "QuotaError",
        "RejectedError",
        "RubricError",
        "SecretError",
        "StatisticsError",
        "StoreError",
        "TransportError",
        "UsageError",
    ),
    "isr.scoring.metric": ("ISR",),
    "isr.scoring.result": ("Result",),
    "isr.scoring.from_python": ("ascore", "score"),
    "isr.signature": ("Signature",),
    "isr.types": ("Answer", "Arm", "Edit", "Estimate", "Question", "Treatment", "Unit", "Verdict"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "ISR",
    "Answer",
    "Arm",
    "AuthenticationError",
    "CardError",
    "DesignError",
    "Edit",
    "EditDirectory",
    "EditDirectoryError",
    "Estimate",
    "InputError",
    "IsrError",
    "JudgeError",
    "MissingExtraError",
    "ModelNotFoundError",
    "Problem",
    "Question",
    "QuotaError",
    "RejectedError",
    "Result",
    "RubricError",
    "SecretError",
    "Signature",
    "StatisticsError",
    "StoreError",
    "TransportError",
    "Treatment",
    "Unit",
    "UsageError",
    "Verdict",
    "__version__",
    "agree",
    "ascore",
    "calibrate",
    "compare",
    "load_edits",
    "plan",
    "score",
    "score_labels",
    "write_figures",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'isr' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
