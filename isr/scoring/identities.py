"""Which editor made an edit: by the checkpoint that is recorded with it, else by the editor's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from isr.canonical import short
from isr.scoring.surrogates import EDITOR_CHECKPOINT, checkpoint_in
from sifm_ref.checkpoints import is_sampled

EDITOR = "editor"
UNKNOWN = "checkpoint not recorded"


@dataclass(frozen=True)
class Editors:
    """Editors told apart by content. ``of``: (name, checkpoint as recorded) -> what is shown of its editor.

    ``notes``: what was joined or parted. ``by_name``: which editors only their names could tell, in words; ``""`` where none.
    """

    of: Mapping[tuple[str, str], str]
    notes: tuple[str, ...] = ()
    by_name: str = ""

    def __getitem__(self, columns: Mapping[str, str]) -> str:
        return self.of[columns[EDITOR], columns.get(EDITOR_CHECKPOINT, "")]


def editors(rows: Iterable[Mapping[str, str]]) -> Editors:
    """Two names of one checkpoint are one editor, one name with two checkpoints is two; what was joined or parted is told.

    rows: the columns of edits. A name without a checkpoint, or with one of a sample of its files, is the editor of that name's one
    known checkpoint; where it has none, names decide (:func:`isr.scoring.surrogates.checkpoint_in`), and where it has several it
    stands for itself.
    """
    seen = sorted({(r[EDITOR], r.get(EDITOR_CHECKPOINT, "")) for r in rows})
    known: dict[str, list[str]] = {}
    for name, checkpoint in seen:
        known.setdefault(name, []).extend([checkpoint] if checkpoint and not is_sampled(checkpoint) else [])
    key = {(name, checkpoint): _key(name, checkpoint, known[name]) for name, checkpoint in seen}
    names: dict[tuple[str, str], list[str]] = {}
    for (name, _), one in key.items():
        names.setdefault(one, [])
        names[one] += [name] if name not in names[one] else []
    parted = {name for name, _ in seen if len({one for (n, _), one in key.items() if n == name}) > 1}
    digests = [value for _, value in names if value.startswith("sha256:")]
    alone = Counter(map(short, digests))
    brief = {v: short(v) for v in digests if alone[short(v)] == 1}
    shown = {
        (kind, value): " = ".join(n or "(empty)" for n in held)
        + (
            ""
            if parted.isdisjoint(held)
            else f" ({UNKNOWN if kind == 'unknown' else brief.get(value, value)})"
        )
        for (kind, value), held in names.items()
    }
    unknown = ", ".join(sorted(n or "(empty)" for n, found in known.items() if not found))
    return Editors(
        {pair: shown[one] for pair, one in key.items()},
        tuple(_notes(names, parted, key)),
        unknown
        and f"editors told by names, not by checkpoints: {unknown}; these edits have no whole editor_checkpoint",
    )


def _key(name: str, checkpoint: str, known: list[str]) -> tuple[str, str]:
    if checkpoint and not is_sampled(checkpoint):
        return ("checkpoint", checkpoint)
    if len(known) == 1:
        return ("checkpoint", known[0])
    return ("unknown", name) if known else ("name", checkpoint_in(name))


def _notes(
    names: Mapping[tuple[str, str], list[str]],
    parted: Iterable[str],
    key: Mapping[tuple[str, str], tuple[str, str]],
) -> Iterable[str]:
    for (kind, _), held in names.items():
        if len(held) > 1:
            what = "one checkpoint" if kind == "checkpoint" else "one checkpoint by their names"
            yield f"editors {', '.join(held)} are {what}: they count as one editor"
    for name in sorted(parted):
        count = len({one for (n, _), one in key.items() if n == name})
        yield f"editor {name or '(empty)'} is {count} checkpoints: it counts as {count} editors"
