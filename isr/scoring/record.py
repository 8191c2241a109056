"""``run.json``: what is true of one run only, and all that ``isr bundle`` needs to find again what was scored."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isr.judging.cards import Panel
from isr.judging.progress import Progress
from isr.judging.recorded_card import panel_record
from isr.judging.thresholds import calibration_text
from isr.scoring.judge_words import answered_by
from isr.scoring.options import Options, metric_options
from isr.version import __version__

SCHEMA = "isr.run/1"


def run_record(
    options: Options,
    panel: Panel,
    folder: Path,
    *,
    question: str,
    result: str,
    exit_code: int,
    stopped: str,
    seconds: Mapping[str, float],
    progress: Progress,
    unfinished: Mapping[str, int],
    qualification: Sequence[Mapping[str, Any]],
    unused: int | None = None,
) -> dict[str, Any]:
    """The record of a run in ``folder``: time, host, versions, usage, options, judges in full.

    ``question`` and ``result`` are digests: of what was asked, and of the ``result.json`` that the record belongs to.
    ``unused``: answers to images after those that count, where a run stops by a rule.
    Paths are as seen from the folder, so that data and results may be moved together. A card holds no key.
    """
    return {
        "schema": SCHEMA,
        "result": result,
        "question": question,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {stage: round(s, 3) for stage, s in seconds.items()},
        "exit_code": exit_code,
        "stopped": stopped,
        "requests": {
            "from_store": progress.stored,
            "answered": progress.answered,
            "retries": progress.retries,
            "given_up": progress.failures,
            **({} if unused is None else {"for_later_images": unused}),
        },
        "unfinished": dict(unfinished),
        "answered_by": [
            {k: v for k, v in a._asdict().items() if k != "engine" or v} for a in answered_by(progress.served)
        ],
        "usage": {
            "prompt_tokens": progress.prompt_tokens,
            "completion_tokens": progress.completion_tokens,
            "usd": round(progress.usd, 6) if progress.priced else None,
        },
        "qualification": list(qualification),
        "options": options_record(options, folder),
        "panel": panel_record(panel),
        "calibrations": [calibration_text(p) for p in options.calibrations],
        "versions": {"isr": __version__, "python": platform.python_version(), "platform": sys.platform},
    }


def options_record(o: Options, folder: Path) -> dict[str, Any]:
    """The options of a run, their paths as seen from a folder."""
    return {
        "directory": beside(o.directory, folder),
        "store": beside(o.store_path, folder),
        "judge": o.judge,
        "set": list(o.sets),
        "rubrics": list(o.rubrics),
        "by": list(o.by),
        "level": o.level,
        "interval": o.interval,
        "prompts": o.prompts,
        "estimand": o.estimand,
        "repeats": o.repeats,
        "reask": list(o.reask),
        "allow_retired": o.allow_retired,
        "limit": o.limit,
        **({"until": o.until, "order_seed": o.order_seed} if o.until else {}),
        "budget_usd": o.budget_usd,
        "skip_invalid": o.skip_invalid,
        "accept": list(o.accept),
        "calibrations": [beside(p, folder) for p in o.calibrations],
        "qualifications": [beside(p, folder) for p in o.qualifications],
        "metrics": o.metrics,
        **({"engine": o.engine} if o.engine else {}),
        **({"engine_set": list(o.engine_sets)} if o.engine_sets else {}),
        **{n: v if "caption" in n else _placed(v, folder) for n, v in metric_options(o).items()},
    }


def _placed(value: str | tuple[str, ...], folder: Path) -> Any:
    """Names as they are; of files and folders the place as seen from the run, after any ``NAME=``."""
    if not isinstance(value, str):
        return [_placed(one, folder) for one in value]
    name, equals, place = value.rpartition("=") if not Path(value).exists() else ("", "", value)
    return f"{name}{equals}{beside(Path(place), folder)}" if Path(place).exists() else value


def beside(path: Path, folder: Path) -> str:
    """A path as seen from the run; on another drive, as it is."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.absolute().as_posix()
