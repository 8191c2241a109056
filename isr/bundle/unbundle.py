"""An edit directory out of a bundle, with the run and its answers beside it: whole, or not at all."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from isr.bundle.opened import file_state
from isr.errors import InputError, Problem, UsageError
from isr.judging.store import Store
from isr.reading import json_of, read_bytes
from isr.scoring.bundle_file import ANSWERS, Bundle
from isr.scoring.bundled import image_paths, put, unpack_images, unpack_run, unpack_table
from isr.scoring.own_numbers import require_own_numbers
from isr.scoring.places import RECORD, STORE, folder_beside, run_folder

log = logging.getLogger("isr")
_SHOWN = 3  # images that are missing, by name


@dataclass(frozen=True, kw_only=True)
class Unbundled:
    """What was written: the edit directory, the folder of its run, and the numbers of images and answers."""

    directory: Path
    run: Path
    images: int
    answers: int


def unbundle(bundle: Bundle, directory: Path, data: Path | None = None) -> Unbundled:
    """Writes the edit directory of a bundle, and beside it ``DIR.isr`` with its run and its answer store.

    data: a folder of the images, where they are not in the bundle. Raises ``UsageError`` where something lies there
    already, ``InputError`` for a hostile bundle, for files that are not those of its own list, or for images that are
    nowhere.
    """
    home = folder_beside(directory)
    for place in (directory, home):
        if os.path.lexists(place):
            raise UsageError(f"{place}: expected nothing there; found something; choose another folder")
    if not bundle.images and data is None:
        raise UsageError(
            f"{bundle.path}: this bundle holds no images; give their folder with --data EDIT_DIR, or look into the bundle "
            f"as it is: isr report {bundle.path}"
        )
    require_own_numbers(bundle)
    log.warning("%s: read as its author wrote it; isr verify %s checks it", bundle.path, bundle.path)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".isr-unbundle-", dir=directory.parent) as name:
        edits, results = Path(name) / "edits", Path(name) / "results"
        unpack_table(bundle, edits)
        images = unpack_images(bundle, edits) + _from_folder(bundle, edits, data)
        run = _run_folder(bundle, results)
        unpack_run(bundle, run)
        with Store(results / STORE) as store:
            bundle.listed(ANSWERS)
            answers = store.import_rows(bundle.lines(ANSWERS))
        results.rename(home)
        try:
            edits.rename(directory)
        except OSError:
            home.rename(results)
            raise
    return Unbundled(directory=directory, run=home / run.relative_to(results), images=images, answers=answers)


def _from_folder(bundle: Bundle, edits: Path, data: Path | None) -> int:
    """Copies the images that the bundle does not hold out of a folder; returns their number."""
    missing = [ref for ref in image_paths(bundle) if ref.sha256 not in bundle.images]
    why = {ref.path: file_state(data, ref) if data else "is missing" for ref in missing}
    if wrong := [f"{path} {said}" for path, said in why.items() if said]:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        found = f"{'; '.join(wrong[:_SHOWN])}{more}"
        expected = f"its {len(missing)} images that are not in the bundle, as they were judged"
        fix = "give their folder with --data EDIT_DIR"
        raise InputError(
            "an edit directory cannot be made", [Problem(str(data or bundle.path), "", expected, found, fix)]
        )
    for ref in missing:
        if data is not None:
            put(edits / ref.path, read_bytes(data / ref.path))
    return len(missing)


def _run_folder(bundle: Bundle, home: Path) -> Path:
    """Where ``isr score`` of the same question writes its run; the home itself for a run of isr 0.1.0."""
    record = json_of(bundle.listed(RECORD)) if RECORD in bundle.names else {}
    question = record.get("question") if isinstance(record, dict) else None
    panel = bundle.manifest.get("panel")
    if not isinstance(question, str) or not isinstance(panel, dict):
        return home
    kind, _, digits = question.partition(":")
    whole = kind == "sha256" and len(digits) == 64 and set(digits) <= set("0123456789abcdef")
    return run_folder(home, str(panel.get("name")), question) if whole else home
