"""The files that ``docs/extending.md`` shows, and a plug-in distribution made of some of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "extending.md"
_BLOCK = re.compile(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """The text of every file on the page by its name; each stands there once. Distributions' ``pyproject.toml`` apart."""
    found = [
        (name, text) for name, text in _BLOCK.findall(PAGE.read_text("utf-8")) if name != "pyproject.toml"
    ]
    assert len(dict(found)) == len(found), "a file stands on the page twice"
    return dict(found)


def distributions() -> dict[str, dict[str, dict[str, str]]]:
    """The entry points of each ``pyproject.toml`` on the page, by the name of the distribution."""
    projects = [
        tomllib.loads(t)["project"]
        for n, t in _BLOCK.findall(PAGE.read_text("utf-8"))
        if n == "pyproject.toml"
    ]
    return {p["name"]: p["entry-points"] for p in projects}


def install(folder: Path, distribution: str) -> None:
    """Installs a distribution of the page in ``folder``, which must be on the import path, as pip would."""
    package = distribution.replace("-", "_")
    mine = {name: text for name, text in files().items() if name.startswith(f"{package}/")}
    assert mine, f"the page shows no file of {package}"
    for name, text in mine.items():
        write(folder, name, text)
    lines = []
    for group, points in distributions()[distribution].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", "utf-8")


def write(folder: Path, name: str, text: str | None = None) -> Path:
    """Writes a file of the page, or another one, into ``folder``; returns where it lies."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(files()[name] if text is None else text, "utf-8")
    return path
