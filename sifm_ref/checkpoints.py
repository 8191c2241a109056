"""What a checkpoint is: a fingerprint of its weights, and the name that is shown."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isr.digests import file_sha256
from isr.errors import InputError
from isr.files import files_below

WEIGHTS = ".safetensors"
SUFFIXES = (".json", WEIGHTS, ".txt", ".model")
SAMPLE = (
    "an earlier version recorded the checkpoint by the ends of its files alone, which does not tell a merged LoRA from "
    "its base: whether these are the same weights is not known"
)
_SAMPLED = re.compile(r"sha256:[0-9a-f]{16}")


def shown_place(place: str) -> str:
    """A local folder as its name and the first digits of its fingerprint (``final@3fa2c1``); else the hub id."""
    if not Path(place).is_dir():
        return place
    found = fingerprint(place)
    return f"{found['checkpoint']}@{found['fingerprint'].removeprefix('sha256:')[:6]}"


def fingerprint(place: str, pipe: Any = None) -> dict[str, str]:
    """What tells checkpoints apart: a local folder's by the whole content of its files; a hub's by its id and commit.

    What a download client keeps beside the files (``.cache``) is no part of it; a linked folder is. Raises
    ``InputError`` where a file of the folder cannot be read, or none holds weights.
    """
    folder = Path(place)
    if not folder.is_dir():
        commit = str(getattr(getattr(pipe, "config", None), "_commit_hash", "") or "")
        return {"checkpoint": place, "commit": commit}
    total = hashlib.sha256()
    try:
        files = [p for p in files_below(folder, hidden=False) if p.suffix in SUFFIXES]
        for file in files:
            total.update(f"{file.relative_to(folder).as_posix()}\0{file_sha256(file)}\n".encode())
    except OSError as error:
        raise InputError(f"{folder}: expected a checkpoint whose files can be read; found {error}") from error
    if not any(p.suffix == WEIGHTS for p in files):  # it would be known by its settings alone
        raise InputError(
            f"{folder}: expected a checkpoint with its weights ({WEIGHTS}); found none in {len(files)} file(s); check the "
            "path, or save it as safetensors"
        )
    return {"checkpoint": folder.absolute().name, "fingerprint": f"sha256:{total.hexdigest()}"}


def is_sampled(fingerprint: str) -> bool:
    """Whether a fingerprint is one of before, of the ends of large files alone: 16 hex digits, where a whole one has 64.

    It is the same for a checkpoint and one with a merged LoRA. So it says neither that two are the same nor that they
    are not: compared with any other, and with its like, it is "not known".
    """
    return _SAMPLED.fullmatch(fingerprint) is not None


def compared(before: object, now: object) -> str:
    """What is to be said of the weights of two recorded editors: that they differ, or that it is not known; else ``""``."""
    then, found = (str(e.get("fingerprint", "")) if isinstance(e, Mapping) else "" for e in (before, now))
    if is_sampled(then) or is_sampled(found):
        return SAMPLE
    return (
        "the weights are others than those that it was begun with" if then and found and then != found else ""
    )


def checkpoint_value(found: Mapping[str, str], revision: str | None = None) -> str:
    """One text that is equal for equal weights: a folder's fingerprint, a hub's id with its commit or ``revision``.

    ``found``: what ``fingerprint`` gave. A folder and the hub's files of the same weights have two values.
    """
    if "fingerprint" in found:
        return found["fingerprint"]
    commit = found.get("commit") or revision
    return f"{found['checkpoint']}@{commit}" if commit else found["checkpoint"]
