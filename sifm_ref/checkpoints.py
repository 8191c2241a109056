"""What a checkpoint is: a fingerprint of its weights, and the name that is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ENDS = 1 << 16


def shown_place(place: str) -> str:
    """A local folder as its name and the first digits of its fingerprint (``final@3fa2c1``); else the hub id."""
    if not Path(place).is_dir():
        return place
    found = fingerprint(place)
    return f"{found['checkpoint']}@{found['fingerprint'].removeprefix('sha256:')[:6]}"


def fingerprint(place: str, pipe: Any = None) -> dict[str, str]:
    """What tells checkpoints apart: a local folder's by its files (small ones whole, of large ones size and both
    ends); a hub's by its id and commit."""
    folder = Path(place)
    if not folder.is_dir():
        commit = str(getattr(getattr(pipe, "config", None), "_commit_hash", "") or "")
        return {"checkpoint": place, "commit": commit}
    total = hashlib.sha256()
    for file in sorted(
        p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors", ".txt", ".model")
    ):
        size = file.stat().st_size
        total.update(f"{file.relative_to(folder).as_posix()}\0{size}\0".encode())
        with file.open("rb") as opened:
            total.update(opened.read(_ENDS))
            if size > _ENDS:
                opened.seek(max(_ENDS, size - _ENDS))
                total.update(opened.read(_ENDS))
    return {"checkpoint": folder.absolute().name, "fingerprint": f"sha256:{total.hexdigest()[:16]}"}


def checkpoint_of(identity: Mapping[str, Any]) -> str:
    """The checkpoint of an editor by value: a folder's fingerprint, a hub's ``id@commit``; empty where it is not known.

    Equal values are equal weights, whatever the editor is called and with whatever settings it edits.
    """
    if found := identity.get("fingerprint"):
        return str(found)
    place, commit = identity.get("checkpoint"), identity.get("commit")
    return f"{place}@{commit}" if place and commit else ""
