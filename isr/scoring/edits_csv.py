"""The table of edits, ``edits.csv``: one row per edit and arm."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from isr.edits.distortion import measure
from isr.edits.images import read_checked
from isr.image_file import decode
from isr.judging.judged import Judged
from isr.judging.plan import CHUNK, Plan
from isr.scoring.outcomes import Ballot, outcomes
from isr.spreadsheet import MOST_CELL, Writer
from isr.types import Arm, Question, Treatment, Unit

OWN_COLUMNS = ("arm", "edit_sha256", "protected_linf", "protected_psnr", "outcome")


class EditsTable:
    """Writes ``edits.csv``: one row per edit and arm, with every verdict, the measured distortion, the outcome."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._plan = plan
        extra = sorted({name for edit in plan.edits for name in edit.extra})
        self._columns = [
            "edit_id",
            "arm",
            "file_name",
            "source_file_name",
            "prompt",
            *Unit._fields,
            *Treatment._fields,
            "split",
            *(f"metadata:{name}" if name in OWN_COLUMNS or ":" in name else name for name in extra),
            *OWN_COLUMNS[1:],
        ]
        for card in plan.panel.members:
            for question in Question:
                names = (
                    "",
                    "_reason",
                    "_score",
                    "_reasoning",
                    *(["_p_yes"] if card.decoding.logprobs else []),
                )
                self._columns += [f"{card.name}:{question}{n}" for n in names]
            self._columns.append(f"{card.name}:source_kept")
        self._extra = extra
        self._waiting: list[Judged] = []
        self._measured: dict[tuple[str, str], tuple[str, str]] = {}
        self._writer = Writer(self._file)
        self._writer.writerow(self._columns)

    def add(self, judged: Judged) -> None:
        """Enters one edit in one arm; its row is written with those of others, since outcomes are cheap together."""
        self._waiting.append(judged)
        if len(self._waiting) >= CHUNK:
            self._write()

    def _write(self) -> None:
        some, self._waiting = self._waiting, []
        ballot = Ballot.empty(len(self._plan.panel.members), len(some))
        for number, judged in enumerate(some):
            for (judge, question), verdicts in judged.verdicts.items():
                ballot.cast(judge, question, number, verdicts)
        found = outcomes(ballot, self._plan.panel.rule)
        for number, judged in enumerate(some):
            self._writer.writerow(self._row(judged, found.word(number)))

    def _row(self, judged: Judged, outcome: str) -> list[str]:
        edit = judged.edit
        shown = edit.edited if judged.arm is Arm.PROTECTED else edit.control
        source = edit.source.path if edit.source else ""
        row = [
            edit.edit_id,
            judged.arm.value,
            shown.path if shown else "",
            source,
            edit.prompt,
            *edit.unit,
        ]
        row += list(edit.treatment) if judged.arm is Arm.PROTECTED else [""] * len(Treatment._fields)
        row += [edit.split, *(edit.extra.get(n, "") for n in self._extra)]
        row += [shown.sha256 if shown else "", *self._distortion(judged)]
        row.append(outcome)
        for number, card in enumerate(self._plan.panel.members):
            for question in Question:
                verdicts = judged.verdicts[number, question]
                row += [
                    "|".join(v.value for v in verdicts),
                    "|".join(v.reason for v in verdicts if v.reason),
                    "|".join(str(v.score) for v in verdicts if v.score is not None),
                    " | ".join(v.reasoning for v in verdicts),
                ]
                if card.decoding.logprobs:
                    row.append("|".join(f"{v.p_yes:.6f}" for v in verdicts if v.p_yes is not None))
            kept = [
                str(v.grades["source_kept"])
                for v in judged.verdicts[number, Question.SEMANTIC]
                if "source_kept" in v.grades
            ]
            row.append("|".join(kept))
        return row

    def _distortion(self, judged: Judged) -> tuple[str, str]:
        """L-inf in [0, 1] units and PSNR in dB of the protected image, where both images are there."""
        source, protected = judged.edit.source, judged.edit.protected
        if judged.arm is not Arm.PROTECTED or source is None or protected is None:
            return "", ""
        key = (source.sha256, protected.sha256)
        if key not in self._measured:
            a, b = (decode(read_checked(self._plan.root, r.path, r.sha256)) for r in (source, protected))
            found = measure(a, b)
            self._measured[key] = ("", "") if found is None else (f"{found.linf:.6f}", f"{found.psnr:.4f}")
        return self._measured[key]

    def close(self) -> None:
        """Closes the file once it lies on the disk."""
        if not self._file.closed:
            try:
                self._write()
                self._file.flush()
                os.fsync(self._file.fileno())
            finally:
                self._file.close()


def rows_of(table: bytes) -> Iterator[dict[str, str]]:
    """The rows of an ``edits.csv`` by column. Raises ``ValueError`` or ``csv.Error`` where it is none."""
    csv.field_size_limit(MOST_CELL)
    reader = csv.DictReader(io.TextIOWrapper(io.BytesIO(table), "utf-8", newline=""))
    needed = {"edit_id", "arm", "file_name", "prompt", "outcome", *Unit._fields, *Treatment._fields}
    if missing := sorted(needed - set(reader.fieldnames or ())):
        raise ValueError(f"no column {', '.join(missing)}")
    yield from reader
