"""A judge whose model lies in a folder is the content of that folder's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isr.canonical import sha256_json
from isr.digests import file_sha256
from isr.errors import CardError
from isr.files import files_below
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
        files = {p.relative_to(folder).as_posix(): file_sha256(p) for p in found}
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
