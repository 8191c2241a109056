"""Whether an edit was made with the very checkpoint that its protection was optimised on: the white box.

Names are for people. What decides is the value of two columns that ``isr immunize`` and ``isr edit`` write,
``surrogate_checkpoint`` and ``editor_checkpoint``: a local folder's fingerprint (``sha256:...``), or a hub's id and commit.
Settings such as ``steps`` stand in columns of their own and change nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

EDITOR, SURROGATE = "editor_checkpoint", "surrogate_checkpoint"
_SETTINGS = re.compile(r"\[[^\[\]]*\]$")
_FINGERPRINT = re.compile(r"@([0-9a-f]{6})$")


class Relation(NamedTuple):
    """``white_box``: the same checkpoint, another (``False``), or not known. ``by_name``: no checkpoint is on record."""

    white_box: bool | None
    by_name: bool = False


def relation(columns: Mapping[str, str]) -> Relation:
    """How the editor and the surrogate of a row of ``edits.csv`` are related."""
    editor, surrogate = columns.get(EDITOR, ""), columns.get(SURROGATE, "")
    if editor and surrogate:
        comparable = editor.startswith("sha256:") == surrogate.startswith("sha256:")
        return Relation(editor == surrogate if comparable else None)
    names = columns.get("editor", ""), columns.get("surrogate", "")
    return Relation(_same_name(*names) if all(names) else None, by_name=True)


def _same_name(editor: str, surrogate: str) -> bool:
    """The reading of 0.1.0's rows, whose names end in ``@fingerprint[settings]``: by the digits, else by the name."""
    one, other = (_SETTINGS.sub("", name) for name in (editor, surrogate))
    digits = [_FINGERPRINT.search(name) for name in (one, other)]
    if digits[0] and digits[1]:
        return digits[0][1] == digits[1][1]
    return one == other
