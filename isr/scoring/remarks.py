"""What the metadata say that an ISR should not be read without; no estimate rests on it.

It stands in ``result.json`` beside the notes, under a key of its own that is absent where there is nothing to say:
a bundle need not hold pictures, so none of it can be computed again from a bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isr.edits.columns import look_alikes
from isr.types import Edit

TRUNCATED = "prompt_truncated"  # the column in which isr edit keeps what was cut off

_FILES = {
    "edit_sha256": "edited",
    "source_sha256": "source",
    "control_sha256": "control",
    "protected_sha256": "protected",
}  # by the column of a digest: the file of an edit


def remarks(edits: Sequence[Edit]) -> tuple[str, ...]:
    """One sentence for each kind of thing that was seen in the columns of ``edits``; none where all is well."""
    return (*_makers(edits), *_cut(edits), *_unknown(edits), *look_alikes(edits))


def _unknown(edits: Sequence[Edit]) -> Iterator[str]:
    """Rows that keep no digest of a file where others do: what was dropped, or is of an earlier version."""
    kept: dict[str, list[bool]] = {}
    for edit in edits:
        for column, name in _FILES.items():
            if getattr(edit, name) is not None:
                kept.setdefault(column, []).append(bool(edit.extra.get(column)))
    mixed = [column for column, said in kept.items() if any(said) and not all(said)]
    bare = sum(any(getattr(e, _FILES[c]) and not e.extra.get(c) for c in mixed) for e in edits)
    if bare:
        yield (
            f"{bare} of {len(edits)} rows keep no digest of their files ({', '.join(mixed)}), while the others do: whether "
            "those files are the ones that were made is not known"
        )


def _makers(edits: Sequence[Edit]) -> Iterator[str]:
    """Columns of what made the edits in which they differ: a control edit may be made by another than its edit."""
    said = []
    for column in ("edit_device", "edit_versions"):
        values = sorted({v for e in edits if (v := e.extra.get(column))})
        if len(values) > 1:
            shown = "; ".join(values[:2]) + ("; ..." if len(values) > 2 else "")
            said.append(f"{column}: {len(values)} values ({shown})")
    if said:
        yield f"edits are not all made alike: {'; '.join(said)}"


def _cut(edits: Sequence[Edit]) -> Iterator[str]:
    """Prompts that the editor did not read to their ends; what it left off is in ``prompt_truncated``."""
    cut = [e for e in edits if e.extra.get(TRUNCATED)]
    if cut:
        ends = {e.unit.prompt_id: e.extra[TRUNCATED] for e in cut}
        some = ", ".join(f"{name}: ...{end[:60]!r}" for name, end in sorted(ends.items())[:3])
        more = f" and {len(ends) - 3} more" if len(ends) > 3 else ""
        yield (
            f"{len(cut)} of {len(edits)} edits have prompts that their editor did not read to the end, while the judge "
            f"did: a change that it never read counts as not made ({some}{more})"
        )
