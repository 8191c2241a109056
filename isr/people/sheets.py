"""What raters of a planned study get: sheets, tasks and pictures under opaque names, in an order that says nothing.

As on the labelling page, nothing that a rater gets names the method, the arm, the stratum or a file of the edit. What
each name stands for is in the key, which stays with whoever planned the study.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isr.canonical import sha256_bytes
from isr.errors import InputError, Problem, UsageError
from isr.files import put_bytes, write_text
from isr.image_file import ImageProblem, decode, read_file
from isr.people.labels import Label
from isr.people.labelstudio import CONFIG, export_tasks
from isr.people.sampling import TABLE_I, Sample
from isr.people.sheet_key import NAME as KEY
from isr.people.sheet_key import write_key
from isr.spreadsheet import Writer, csv_safe

FOR_RATERS = "for-raters"
PICTURES = "pictures"
_COLUMNS = ("edit_id", "rater", "before", "after", "prompt", "semantic", "perceptual")
_README = """Each row of your sheet is one edit of a picture. Look at the two files that it names: the picture before
and after the edit. The prompt is what an editor was asked to do. Answer both questions in each row:

semantic     Does the edit show what the instruction asks for?
             Yes: a person who asked for it would say that it is there. No: it is not.
perceptual   Is the edit substantially degraded in a way that was not asked for?
             Yes: it is. No: it is not.

Write Yes, No or Cannot tell. Leave the other columns as they are.
"""


def write_sheets(sample: Sample, root: Path, out: Path, *, raters: int = TABLE_I[1]) -> list[Path]:
    """Writes ``for-raters`` (a sheet each, tasks for Label Studio, pictures), the plan and the key. Returns the files.

    root: the edit directory. Names and orders are random, and new each time. Raises ``UsageError`` where a key lies there
    already, ``InputError`` with the pictures that are not there as they were judged.
    """
    if (out / KEY).exists():
        raise UsageError(
            f"{out / KEY}: expected no sheets there; found the key of some, without which their labels are lost; choose "
            "another --out"
        )
    names = {row.edit_id: f"rated-{secrets.token_hex(10)}" for row in sample.rows}
    folder = out / FOR_RATERS
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    files = _pictures(sample, root, folder, names)
    write_key(out / KEY, {names[row.edit_id]: row for row in sample.rows})
    made = [out / KEY]
    texts = {
        folder / "README.txt": _README,
        folder / "labelstudio-config.xml": CONFIG,
        folder / "labelstudio-tasks.json": export_tasks(
            [_task(sample, row, names, files) for row in _shuffled(sample.rows)]
        ),
        out / "plan.json": json.dumps(
            {"plan": sample.plan, "design": sample.design, **sample.content}, indent=1
        )
        + "\n",
    }
    for number in range(1, raters + 1):
        sheet = io.StringIO(newline="")
        writer = Writer(sheet)
        writer.writerow(_COLUMNS)
        for row in _shuffled(sample.rows):
            task = _task(sample, row, names, files)
            shown = (task["source"], task["edit"], task["prompt"])
            writer.writerow((task["edit_id"], f"rater{number}", *shown, "", ""))
        texts[folder / f"labels-rater{number}.csv"] = csv_safe(sheet.getvalue())
    for file, text in texts.items():
        write_text(file, text)
        made.append(file)
    return made


def _shuffled(rows: Sequence[Label]) -> list[Label]:
    """The rows in an order that nobody can compute again: one by a known seed tells the strata."""
    return [rows[i] for i in np.random.default_rng(secrets.randbits(128)).permutation(len(rows))]


def _task(
    sample: Sample, row: Label, names: dict[str, str], files: dict[tuple[str, str], str]
) -> dict[str, str]:
    return {
        "edit_id": names[row.edit_id],
        "source": files.get((row.edit_id, "before"), ""),
        "edit": files[row.edit_id, "after"],
        "prompt": sample.shown[row.edit_id]["prompt"],
    }


def _pictures(sample: Sample, root: Path, folder: Path, names: dict[str, str]) -> dict[tuple[str, str], str]:
    """Copies the pictures, as pixels without metadata; returns their paths in the folder by edit and side."""
    places: dict[tuple[str, str], str] = {}
    problems: list[Problem] = []
    for row in _shuffled(sample.rows):  # dates of files are an order, too
        shown = sample.shown[row.edit_id]
        for side, path, digest in (
            ("before", shown["source_file_name"], ""),
            ("after", shown["file_name"], row.edit_sha256),
        ):
            if side == "before" and not path:
                continue
            place = f"{PICTURES}/{names[row.edit_id]}-{side}.png"
            try:
                put_bytes(folder / place, _pixels(root, path, digest))
            except ImageProblem as error:
                problems.append(Problem(f"{root}/{path}", "", error.expected, error.found, error.fix))
            places[row.edit_id, side] = place
    if problems:
        raise InputError(f"{len(problems)} pictures cannot be given to raters", problems)
    return places


def _pixels(root: Path, path: str, digest: str) -> bytes:
    """A picture of the edit directory as a PNG of its pixels, without a word of what its file says. Raises ``ImageProblem``."""
    real = root.resolve()
    file = (real / path).resolve()
    if not file.is_relative_to(real):
        raise ImageProblem("a path inside the directory", repr(path), "copy the file into the directory")
    data = read_file(file)
    if digest and sha256_bytes(data) != digest:
        raise ImageProblem("the picture that was judged", "other bytes", "restore it, or score again")
    made = io.BytesIO()
    image = decode(data)
    image.info.clear()
    image.save(made, "PNG")
    return made.getvalue()
