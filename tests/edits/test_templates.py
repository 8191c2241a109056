"""Templates: every way to read a name, and no guess which is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from isr.edits.templates import is_template, template
from isr.errors import UsageError


def readings(text: str, name: str) -> list[dict[str, str]]:
    return template(text, "--edits").readings(name)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("out/{method}/seed{seed}/{image}.png", "out/sifm/seed42/a_b.png", [("sifm", "42", "a_b")]),
        ("out/{method}/seed{seed}/{image}.png", "out/sifm/seedx/a.png", []),  # a seed is a number
        ("{image}/{image}_{turn:d}.png", "139/139_2.png", [("139", "2")]),
        ("{image}/{image}_{turn:d}.png", "139/140_2.png", []),  # one column has one value
        ("{image}_{n}.png", "a_b_1.png", [("a", "b_1"), ("a_b", "1")]),
        ("{image}_{n:d}.png", "a_2_1.png", [("a_2", "1")]),
        ("{image}.png", ".png", []),  # no value is empty
        ("{image}.png", "a/b.png", []),  # nor does it cross a slash
        ("x/{source_file_name}", "x/a/b.png", [("a/b.png",)]),
        ("x/*/{image}.png", "x/any/a.png", [("a",)]),
        ("x/**/{image}.png", "x/a/b/c.png", [("c",)]),
        ("{image}.png", "e\u0301.png", [("\u00e9",)]),  # macOS takes letters apart
    ],
)
def test_readings(text: str, name: str, expected: list[tuple[str, ...]]) -> None:
    assert sorted(tuple(r.values()) for r in readings(text, name)) == sorted(
        tuple(v for _, v in sorted(zip(template(text, "").columns, values, strict=True)))
        for values in expected
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{a}{b}.png", "expected something between two places; found none between 'a' and 'b'"),
        ("{a.png", "single brace"),
        ("{}.png", "expected a column's name in braces"),
        ("{source_file_name}.png", "after a slash and at the end"),
    ],
)
def test_templates_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"--edits .*{said}"):
        template(text, "--edits")


def test_a_glob_is_no_template() -> None:
    assert not is_template("out/*.png")
    assert is_template("out/{image}.png")


def test_files(tmp_path: Path) -> None:
    for name in ("a_1.png", "b_2.png", "b.txt", "deep/c_3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    one = template(f"{tmp_path}/{{image}}_{{n:d}}.png", "--edits")
    assert [f.name for f in one.files()] == ["a_1.png", "b_2.png"]
    assert one.folder == str(tmp_path)
    assert (one.columns, one.literal) == (("image", "n"), len(f"{tmp_path}/_.png"))
