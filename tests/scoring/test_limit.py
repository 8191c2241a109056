"""A limited run takes images in turn: few edits, of as many images as there can be."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import isr
from isr.cli import cli
from isr.scoring.limit import chosen, in_turn
from isr.signature import Signature
from isr.types import Edit, ImageRef, Treatment, Unit
from tests.runs import recorded_run

PICTURE = ImageRef("e.png", "sha256:0")


def edits_of(images: int, prompts: int, methods: int) -> list[Edit]:
    return [
        Edit(edit_id=f"{i}-{p}-{m}", prompt=f"p{p}", unit=Unit(f"i{i}", f"p{p}", "", "", ""),
             treatment=Treatment(f"m{m}", "", "", ""), edited=PICTURE)
        for i in range(images) for p in range(prompts) for m in range(methods)
    ]  # fmt: skip


def test_one_unit_of_each_image_then_another() -> None:
    edits = edits_of(3, 2, 2)
    # six edits: three units of two methods, one of each image; image 1 begins at its second prompt
    assert [e.edit_id for e in in_turn(edits, 6)] == ["0-0-0", "0-0-1", "1-1-0", "1-1-1", "2-0-0", "2-0-1"]
    # two more: the second unit of image 0
    assert [e.edit_id for e in in_turn(edits, 8)][:4] == ["0-0-0", "0-0-1", "0-1-0", "0-1-1"]
    assert [e.edit_id for e in in_turn(edits, 7)] == [e.edit_id for e in in_turn(edits, 6)]  # whole units
    assert [e.edit_id for e in in_turn(edits, 1)] == ["0-0-0"]  # not even one fits
    assert in_turn([], 5) == ()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 3), st.integers(1, 100), st.data())
def test_what_is_taken_is_balanced_and_grows(
    images: int, prompts: int, methods: int, most: int, data: st.DataObject
) -> None:
    edits = edits_of(images, prompts, methods)
    edits = [e for e in edits if data.draw(st.booleans()) or e.treatment.method == "m0"]
    taken = in_turn(edits, most)
    assert len(taken) <= most
    assert list(taken) == [e for e in edits if e in taken]  # in their order
    assert {e.edit_id for e in taken} <= {e.edit_id for e in in_turn(edits, most + 1)} or most < methods
    if most >= methods:
        units = {e.unit for e in taken}
        assert [e for e in edits if e.unit in units] == list(taken)  # every unit with all its treatments
        counts = Counter(u.image_id for u in units)
        assert max(counts.values()) - min(counts.get(f"i{i}", 0) for i in range(images)) <= 1
    if most >= len(edits):
        assert list(taken) == edits


def test_a_signature_says_by_which_rule() -> None:
    edits = edits_of(4, 2, 1)
    now, before = Signature.parse("a=1|limit=4:in-turn"), Signature.parse("a=1|limit=4")
    assert chosen(edits, now) == in_turn(edits, 4)
    assert chosen(edits, before) == tuple(edits[:4])  # a run of 0.1.0 is read by its own rule
    assert chosen(edits, Signature.parse("a=1")) == tuple(edits)
    with pytest.raises(ValueError, match="invalid literal"):
        chosen(edits, Signature.parse("limit=4:at-random"))


def test_a_limited_run_is_scored_compared_bundled_and_verified(tmp_path: Path) -> None:
    run = recorded_run(tmp_path, images=4, prompts=3, methods=("sifm", "noise"), limit=8)
    result = isr.Result.load(run)
    assert "limit=8:in-turn" in result.signature
    assert (result.data["edits"], result.data["images"]) == (8, 4)
    assert [t.counts["edits"] for t in result.treatments] == [4, 4]
    assert any("only 8 of 24 edits were scored, images in turn" in note for note in result.notes)
    (pair,) = isr.compare(run).family
    assert pair.difference.n == 4  # the same units of both
    bundle = tmp_path / "b.zip"
    made = CliRunner().invoke(cli, ["bundle", str(run), "--out", str(bundle), "--images"])
    assert made.exit_code == 0, made.output
    shutil.rmtree(tmp_path / "edits")
    done = CliRunner().invoke(cli, ["verify", str(bundle)])
    assert done.exit_code == 0, done.output
