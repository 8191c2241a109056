"""What every file of ``sifm_ref`` keeps to."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.imports import BANNED, loaded_by

ROOT = Path(__file__).resolve().parents[2] / "sifm_ref"
FILES = sorted(ROOT.rglob("*.py"))
TAKEN = (
    *(f"actors.{name}" for name in ("cluster", "hands", "held", "pool", "suspects", "wire")),
    "errors",
    "canonical",
    "digests",
    "files",
    "foreign",
    "image_file",
    "locks",
    "reading",
    "text",
    "version",
)  # modules of isr that know nothing of judges


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "isr":
            found.update(f"isr.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_it_knows_nothing_of_judges() -> None:
    for file in FILES:
        ours = {name for name in imported(file) if name.split(".")[0] in ("isr", "judges", "calibration")}
        assert ours <= {f"isr.{name}" for name in TAKEN}, file


def test_what_it_takes_from_isr_knows_nothing_of_judges_either() -> None:
    for name in TAKEN:
        ours = {
            m
            for m in imported(ROOT.parent / "isr" / f"{name.replace('.', '/')}.py")
            if m.split(".")[0] == "isr"
        }
        assert ours <= {f"isr.{n}" for n in (*TAKEN, "redaction")}, name


def test_it_is_light_until_it_is_used() -> None:
    assert "torch" in BANNED
    light = "import sifm_ref, sifm_ref.registry, sifm_ref.loading, sifm_ref.budget, sifm_ref.pictures, sifm_ref.editing"
    assert loaded_by(light) == []


def test_no_pickle_and_no_code_of_a_checkpoint() -> None:
    for file in FILES:
        text = file.read_text()
        assert not {"pickle", "torch.hub"} & imported(file), file
        assert "trust_remote_code" not in text, file
        assert "torch.load" not in text, file
        if "from_pretrained(" in text:
            assert "use_safetensors=True" in text, file


@pytest.mark.parametrize("kind", ["methods", "purifiers"])
def test_one_file_one_function_of_its_name(kind: str) -> None:
    for file in (ROOT / kind).glob("[a-z]*.py"):
        tree = ast.parse(file.read_text())
        functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        assert file.stem in functions, file
        arguments = {a.arg for a in functions[file.stem].args.kwonlyargs}
        if kind == "methods":
            assert arguments == {"budget", "config", "noise", "callback"}, file
        else:
            assert {"seed", "editor"} <= arguments, file


def test_public_names_say_what_they_return() -> None:
    for file in FILES:
        for node in ast.parse(file.read_text()).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            assert not public or ast.get_docstring(node), f"{file}: {node.name}"
