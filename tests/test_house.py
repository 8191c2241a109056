"""The house: no circle of imports, no module that is too long, no call that tells its arguments apart by place alone.

The layers themselves are a contract in ``pyproject.toml`` (``lint-imports``).
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("isr", "sifm_ref")
FOLDERS = ("isr", "judges", "calibration", "prompts", "sifm_ref", "examples/isr_shapes")
LONGEST = 450
LONG: dict[str, tuple[int, str]] = {
    "examples/isr_shapes/isr_shapes/vision.py": (
        620,
        "one algorithm that measures two shapes, read from top to bottom",
    ),
}
"""Modules that stay longer: up to how many lines, and why."""
MOST_BY_PLACE = 7
MOST_FIELDS = 5


def modules() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            built = "build" in path.relative_to(ROOT).parts  # what a build left beside the sources
            if not built and not any(part.is_symlink() for part in path.parents if part != ROOT):
                yield path


def circles(graph: grimp.ImportGraph) -> list[tuple[str, str]]:
    """Pairs (a, b) where a imports b, and b reaches a again; ``[]`` where there is no circle."""
    return sorted(
        (a, b)
        for a in graph.modules
        for b in graph.find_modules_directly_imported_by(a) & graph.find_downstream_modules(a)
    )


def test_no_circle_of_imports() -> None:
    """Also through imports inside functions; imports for type checkers alone do not count."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)
    assert circles(graph) == []
    graph.add_import(importer="isr.types", imported="isr.scoring.run")
    assert ("isr.types", "isr.scoring.run") in circles(graph)


def test_no_module_is_too_long() -> None:
    lengths = {p.relative_to(ROOT).as_posix(): len(p.read_text("utf-8").splitlines()) for p in modules()}
    assert len(lengths) > 200
    assert {name for name, n in lengths.items() if n > LONG.get(name, (LONGEST, ""))[0]} == set()


def wide_calls(source: str) -> Iterator[int]:
    """Lines of constructor calls with more than seven arguments told by their places."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name[:1].isupper() and len(node.args) > MOST_BY_PLACE:
                yield node.lineno


def test_no_constructor_is_called_with_more_than_seven_arguments_by_place() -> None:
    found = [f"{p.relative_to(ROOT)}:{n}" for p in modules() for n in wide_calls(p.read_text("utf-8"))]
    assert found == []
    assert list(
        wide_calls("Row(1, 2, 3, 4, 5, 6, 7)\nm.Row(1, 2, 3, 4, 5, 6, 7, 8)\nrow(1, 2, 3, 4, 5, 6, 7, 8)")
    ) == [2]


def narrow(source: str) -> Iterator[str]:
    """Dataclasses of more than five fields that can be told by their places all through."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            made = [ast.unparse(d) for d in node.decorator_list if ast.unparse(d).startswith("dataclass")]
            fields = [
                f
                for f in node.body
                if isinstance(f, ast.AnnAssign) and "ClassVar" not in ast.unparse(f.annotation)
            ]
            by_name = any("KW_ONLY" in ast.unparse(f.annotation) for f in fields) or any(
                "kw_only=True" in d for d in made
            )
            if made and len(fields) > MOST_FIELDS and not by_name:
                yield node.name


def test_wide_dataclasses_name_their_fields() -> None:
    assert [f"{p.name}: {n}" for p in modules() for n in narrow(p.read_text("utf-8"))] == []
    assert list(narrow("@dataclass\nclass A:\n" + "".join(f"    f{i}: int\n" for i in range(6)))) == ["A"]


def test_the_contract_of_the_layers_knows_every_backend() -> None:
    """Nobody imports a judge's backend: the list in pyproject is that of the folder."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (listed,) = (
        set(c["forbidden_modules"]) for c in contracts if c["name"].startswith("nobody but discovery")
    )
    there = {p.stem for p in (ROOT / "judges").glob("*.py") if not p.stem.startswith("_")}
    assert listed == {f"isr.judges.{name}" for name in there}
