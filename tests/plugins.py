"""Judge backends as other people's packages bring them: a module and its metadata on the import path."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

HEAD = """
import json
from pathlib import Path
from isr.errors import TransportError
from isr.types import Answer

HERE = Path(__file__).parent
GOOD = json.dumps({"reasoning": "r", "score": 4, "source_kept": 4, "verdict": "fine"})


class Judge:
    def __init__(self, card):
        self.card = card

    async def ask(self, request, images):
        with (HERE / "asked").open("a") as file:
            file.write("x")
        return self.said(request)

    def said(self, request):
        return Answer(GOOD, "stop", served={"model": "theirs"})

    async def close(self):
        pass


def open_judge(card):
    return Judge(card)
"""


def install(folder: Path, more: str = "", *, name: str = "theirs", module: str = "") -> Path:
    """Installs a package in ``folder``, which must be on the import path, with one backend. Returns a card of it.

    more: code after ``HEAD``; the functions and constants in it stand in the place of those of ``HEAD``. module: the
    name of the package, by default that of the backend with ``_judge``.
    """
    module = module or f"{name}_judge"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(HEAD + textwrap.dedent(more), "utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[isr.judge_backends]\n{name} = {module}:open_judge\n")
    card = folder / f"{name}.toml"
    card.write_text(f'backend = "{name}"\nmodel = "m"\n[limits]\nmax_attempts = 1\n', "utf-8")
    return card


def asked(card: Path) -> int:
    """How many requests the judge of ``install`` was asked."""
    file = card.parent / "asked"
    return len(file.read_text()) if file.exists() else 0


def register(
    folder: Path, group: str, *points: str, code: str, package: str = "others", version: str = "1.0"
) -> None:
    """Installs a package in ``folder``, which must be on the import path, with entry points of one group.

    points: ``name = object`` each, for an object of ``code``.
    """
    sys.modules.pop(package, None)  # that of another test
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{package}.py").write_text(textwrap.dedent(code), "utf-8")
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [f"{name} = {package}:{value}" for name, value in (p.split(" = ") for p in points)]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")
