"""The house: what is imported, where things lie, that the public names exist."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import isr
from tests.imports import BANNED, SNIPPETS, loaded_by

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("snippet", SNIPPETS.values(), ids=SNIPPETS)
def test_light_imports(snippet: str) -> None:
    assert loaded_by(snippet) == []


def test_the_check_of_imports_can_fail() -> None:
    assert "openai" in BANNED
    assert loaded_by("import isr.judges.openai_chat") == ["openai"]


@pytest.mark.parametrize("name", ["judges", "prompts", "calibration"])
def test_the_folders_at_the_root_are_linked_into_the_package(name: str) -> None:
    link = ROOT / "isr" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"


def test_public_names() -> None:
    """What a type checker sees, what is there at run time and what the list promises are the same names."""
    tree = ast.parse(Path(isr.__file__).read_text("utf-8"))
    (typed,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    seen = {
        alias.name: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert len(isr.__all__) == len(set(isr.__all__))
    assert set(isr.__all__) == {*seen, "__version__"}
    for name, module in seen.items():
        assert getattr(isr, name) is getattr(import_module(str(module)), name)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = isr.nonsense
    assert not hasattr(isr.Estimate, "__float__")


def test_every_judge_card_names_a_backend_that_is_there() -> None:
    from isr.judging.backends import backend_of
    from isr.judging.cards import builtin_names, load_card

    for name in builtin_names():
        card = load_card(name)
        assert card.needs, f"{name} does not say what it needs"
        if card.backend != "panel":
            assert callable(backend_of(card))


ASKED_FOR = {"pandas"}  # by a MissingExtraError that names it
# of modules that are not called as their package
NAMES = {"PIL": "pillow", "huggingface_hub": "huggingface-hub", "isr": "isr-eval", "sifm_ref": "isr-eval"}


def third_party(folder: str) -> set[str]:
    """The packages that a folder's modules import, wherever in them."""
    found = set()
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {a.name.partition(".")[0] for a in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return {NAMES.get(name, name) for name in found - set(sys.stdlib_module_names)}


def test_what_is_imported_is_declared() -> None:
    """What comes along with another package today may stay away tomorrow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for e in project["optional-dependencies"].values() for d in e)]
    declared = {re.split(r"[\[<>=! ]", d)[0] for d in wanted} | {"isr-eval"}
    found = set().union(*map(third_party, ("isr", "judges", "calibration", "sifm_ref")))
    assert {"aiohttp", "httpx2"} <= found
    assert found - declared == ASKED_FOR
