"""What a study measures beside its judges: weights, checkpoints and captions, as ``isr score`` takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isr.bench.study_columns import own_columns
from isr.digests import file_sha256
from isr.errors import IsrError, UsageError
from isr.judging.card_secrets import shown
from isr.scoring.measures import DOWNLOAD
from isr.scoring.options import Options
from sifm_ref.checkpoints import fingerprint

if TYPE_CHECKING:
    from isr.bench.study import Study

FIELDS = ("lpips_weights", "dists_weights", "metric_models", "caption", "source_caption")


def metric_options(study: Study, root: Path) -> dict[str, Any]:
    """The options of ``isr score`` that say what is measured; paths are looked for beside the study file."""
    if not study.metrics:
        return {"metrics": False}
    return {
        "metrics": True,
        "lpips_weights": tuple(p if p == DOWNLOAD else str(root / p) for p in study.lpips_weights),
        "dists_weights": str(root / study.dists_weights) if study.dists_weights else "",
        "metric_models": tuple(_placed(spec, root) for spec in study.metric_models),
        "caption": study.caption,
        "source_caption": study.source_caption,
    }


def _placed(spec: str, root: Path) -> str:
    """``FOLDER`` or ``NAME=FOLDER`` with the folder beside the study file."""
    if (root / spec).is_dir():
        return str(root / spec)
    name, equals, place = spec.rpartition("=")
    return f"{name}{equals}{root / place}"


def options_of(study: Study, root: Path) -> Options:
    """Options that measure what the study measures, to be checked before anything is made."""
    return Options(directory=root, **metric_options(study, root))


def measured_with(study: Study, root: Path) -> list[Any]:
    """What values rest on beside the edits: digests of files and folders, and columns; ``[]`` where there is none.

    Raises ``UsageError`` where a file or a folder is not there any more.
    """
    options = metric_options(study, root)
    files = [
        *options.get("lpips_weights", ()),
        *([options["dists_weights"]] if options.get("dists_weights") else []),
    ]
    folders = [
        spec.rpartition("=") if not Path(spec).is_dir() else ("", "", spec)
        for spec in options.get("metric_models", ())
    ]
    try:
        found: list[Any] = [f if f == DOWNLOAD else file_sha256(Path(f)) for f in files]
        found += [[name, fingerprint(place)] for name, _, place in folders]
    except (OSError, IsrError) as error:
        raise UsageError(f"metrics: {error}; put back what was measured with, or change the study") from error
    return [*found, *(options[f] for f in ("caption", "source_caption") if options.get(f))]


def metric_problems(raw: Mapping[str, Any], root: Path) -> Iterator[tuple[str, str, str, str]]:
    """Fields that say how to measure where nothing is measured, and captions that are no column: field, expected, found, fix."""
    given = [f for f in FIELDS if raw.get(f)]
    if given and not raw.get("metrics"):
        yield given[0], "metrics = true beside it", "none", "add it, or drop this"
    own = own_columns(raw, root)
    for field in ("caption", "source_caption"):
        column = raw.get(field)
        if isinstance(column, str) and column and own is not None and column not in {*own, "prompt"}:
            known = f"a column of the prompts' table, out of {', '.join(sorted({*own, 'prompt'}))}"
            yield (
                field,
                known,
                shown(column),
                "add the column; an instruction is no caption, so none is taken in its place",
            )
    if raw.get("caption") and not raw.get("metric_models"):
        yield "caption", "metric_models beside it, which read it", "none", "add one, or drop this"
    if raw.get("source_caption") and not raw.get("caption"):
        yield "source_caption", "caption beside it", "none", "add it, or drop this"


def require_measures(study: Study, root: Path, *, fetch: bool) -> None:
    """Raises ``IsrError`` for weights and checkpoints that cannot be read. ``fetch``: what is to be downloaded is, now."""
    from isr.scoring.metrics import open_measures

    try:
        open_measures(options_of(study, root), fetch=fetch)
    except UsageError as error:
        raise UsageError(f"metrics: {error}") from error
