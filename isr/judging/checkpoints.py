"""A judge whose model lies in a folder is the content of that folder's files."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from isr.canonical import sha256_json
from isr.errors import CardError
from isr.files import file_digest, files_below, is_settled
from isr.reading import Unreadable

if TYPE_CHECKING:
    from isr.judging.cards import Card

WEIGHTS = ".safetensors"
FILES = (".json", ".jinja", ".model", ".py", WEIGHTS, ".txt")


def checkpoint_digest(card: Card) -> str:
    """``checkpoint:sha256:<hex>`` over the names and bytes of a model folder's files; linked folders are entered.

    Raises ``CardError``, also where no file holds weights: the judge would be known by its settings alone.
    """
    folder = card.checkpoint
    try:
        found = [p for p in files_below(folder) if p.suffix in FILES] if folder and folder.is_dir() else []
        if (
            folder is None
            or not any(p.name == "config.json" for p in found)
            or not any(p.suffix == WEIGHTS for p in found)
        ):
            raise CardError(
                f"{card.name}: 'model' expected a folder with config.json and safetensors; found none at "
                f"{card.model!r} ({folder}); check the path"
            )
        files = {p.relative_to(folder).as_posix(): _digest_of(p) for p in found}
    except OSError as error:
        raise CardError(
            f"{card.name}: 'model' expected readable files in {card.model!r}; found {error.filename} "
            f"({error.strerror}); mend or remove it"
        ) from None
    except Unreadable as error:
        raise CardError(
            f"{card.name}: 'model' expected readable files in {card.model!r}; found: {error}"
        ) from None
    return "checkpoint:" + sha256_json(files)


def _digest_of(path: Path) -> str:
    now, state = time.time_ns(), path.stat()
    times = (state.st_mtime_ns, state.st_ctime_ns)
    if not is_settled(times, now):
        return file_digest(path)
    return _known_digest(str(path), (state.st_size, *times, state.st_ino))


@lru_cache(maxsize=4096)
def _known_digest(path: str, state: tuple[int, ...]) -> str:
    return file_digest(Path(path))
