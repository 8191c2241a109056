"""Images and prompts as the study names them: a folder with its table, or a data set; unseen prompts added."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from isr.bench import dataset, unseen
from isr.bench.images import Material, find, table
from isr.bench.study import ImagesPart
from isr.errors import UsageError

FOLDER = "gathered"


def gather(part: ImagesPart, root: Path, out: Path, say: Callable[[str], None]) -> Material:
    """The material of a study. What a data set or a writer gave is kept in ``out/gathered`` and is not asked for again."""
    from sifm_ref.pictures import write_whole

    folder, gathered = root / part.folder, out / FOLDER
    prompts = root / part.prompts
    if part.dataset is not None:
        say(f"images: looking through {part.dataset.id}")
        dataset.prepare(part.dataset, gathered, root=root)
        folder, prompts = gathered, gathered / dataset.PROMPTS
    if part.unseen is None:
        return find(folder, prompts, None if part.dataset else out)
    if part.dataset is None:
        seen = [
            p
            for p in find(folder, prompts, out).prompts
            if p.columns.get("split", unseen.SEEN) == unseen.SEEN
        ]
        if len({p.image_id for p in seen}) < len(seen):
            raise UsageError(
                f"{prompts}: expected one seen prompt for each image, to add unseen ones; found several"
            )
        prompts = gathered / dataset.PROMPTS
        write_whole(prompts, table(seen, split=unseen.SEEN).encode())
    found = unseen.extend(part.unseen, gathered, root)
    for name, reason in found.without.items():
        say(f"images: {name} has no unseen prompts: {reason}")
    return find(folder, prompts, None if part.dataset else out)
