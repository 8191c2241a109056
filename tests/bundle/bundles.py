"""Bundles changed for tests, and what is found in them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from isr.bundle.opened import Verification
from isr.bundle.verify import verify
from isr.canonical import sha256_bytes
from isr.scoring.bundle_file import MANIFEST, Bundle


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None], *, relist: bool = False) -> Path:
    """A copy of a bundle with files changed (``None``: dropped); ``relist`` corrects its list of digests, too."""
    out = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        files = {n: d for n in old.namelist() if (d := change(n, old.read(n))) is not None}
        if relist:
            manifest = json.loads(files[MANIFEST])
            manifest["files"] = {n: sha256_bytes(d) for n, d in files.items() if n != MANIFEST}
            files[MANIFEST] = json.dumps(manifest).encode()
        for name, data in files.items():
            new.writestr(name, data)
    return out


def found(path: Path, data: Path | None = None) -> Verification:
    with Bundle(path) as opened:
        return verify(opened, data)[0]
