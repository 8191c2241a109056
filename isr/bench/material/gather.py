"""Images and prompts as the study names them: a folder with its table, or a data set; unseen prompts added."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from isr.bench.material import unseen
from isr.bench.material.dataset import prepare
from isr.bench.material.folder import Instruction, Material, find, table
from isr.bench.material.source import PROMPTS
from isr.bench.study import ImagesPart
from isr.edits.prompt_tables import PromptRow
from isr.errors import UsageError
from sifm_ref.pictures import write_whole

FOLDER = "gathered"


def gather(
    part: ImagesPart, root: Path, out: Path, say: Callable[[str], None], read: Collection[str] = ()
) -> Material:
    """The material of a study. What a data set or a writer gave is kept in ``out/gathered`` and is not asked for again.

    ``read``: columns that editors read, which an unseen prompt never takes from the seen one.

    Images that a writer left without unseen prompts are said, and are in the material's ``notes``.
    """
    folder, gathered = root / part.folder, out / FOLDER
    prompts = root / part.prompts
    if part.dataset is not None:
        say(f"images: looking through {part.dataset.id}")
        prepare(part.dataset, gathered, root=root)
        folder, prompts = gathered, gathered / PROMPTS
    if part.unseen is None:
        return find(folder, prompts, None if part.dataset else out)
    others: list[PromptRow] = []
    if part.dataset is None:
        seen, others = _split(find(folder, prompts, out).prompts, prompts)
        prompts = gathered / PROMPTS
        write_whole(prompts, table(seen, split=unseen.SEEN).encode())
    found = unseen.extend(part.unseen, gathered, root, others=others, own=read)
    notes = tuple(f"{name} has no unseen prompts: {reason}" for name, reason in found.without.items())
    for note in notes:
        say(f"images: {note}")
    return replace(find(folder, prompts, None if part.dataset else out), notes=notes)


def _split(prompts: Sequence[Instruction], where: Path) -> tuple[list[Instruction], list[PromptRow]]:
    """The seen prompts of a table, one of each image; its others, which stay beside the unseen ones to come."""
    seen = [p for p in prompts if p.columns.get("split", unseen.SEEN) == unseen.SEEN]
    if len({p.image_id for p in seen}) < len(seen):
        raise UsageError(
            f"{where}: expected one seen prompt for each image, to add unseen ones; found several; "
            f"mark the others in a column split"
        )
    others = [
        PromptRow(p.image_id, p.prompt, {**p.columns, "prompt_id": p.prompt_id})
        for p in prompts
        if p.columns.get("split", unseen.SEEN) != unseen.SEEN
    ]
    return seen, others
