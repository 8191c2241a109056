"""A question before it is asked is the one that its result answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import isr
from isr.judging.cards import load_panel
from isr.scoring.options import Options
from isr.scoring.question import answered, asked
from isr.scoring.run import prepare
from isr.scoring.tally import Tally
from isr.signature import Signature

SHAPES = Path(__file__).resolve().parents[2] / "examples" / "shapes"
OLD = Path(__file__).resolve().parents[1] / "golden" / "0.1.0"


@pytest.mark.parametrize(
    "more",
    [{}, {"by": ("split", "eps")}, {"limit": 5}, {"level": 0.9, "interval": "wilson"}, {"repeats": 3}],
)
def test_asked_and_answered(tmp_path: Path, more: dict[str, object]) -> None:
    options = Options(directory=SHAPES, judge="shapes-oracle", out=tmp_path, **{"limit": 6, **more})
    panel = load_panel(options.judge)
    before = asked(Tally(*prepare(options, panel)))
    result = isr.score(SHAPES, judge="shapes-oracle", out=tmp_path, **{"limit": 6, **more})
    assert answered(result) == before
    assert answered(isr.Result.load(tmp_path)).digest == before.digest


def test_a_result_of_another_version_answers_the_same_question(tmp_path: Path) -> None:
    old = isr.Result.load(OLD / "oracle")
    new = isr.score(OLD / "edits", judge="shapes-oracle", out=tmp_path)
    assert list(answered(old).differences(answered(new))) == ["parser: 1 and 2", "estimates: - and 2"]
    later = replace(new, signature=str(Signature.parse(new.signature).without("isr").plus(("isr", "9.0"))))
    assert answered(later).digest == answered(new).digest
    assert list(answered(later).differences(answered(new))) == []
    other = isr.score(OLD / "edits", judge="shapes-oracle", out=tmp_path / "o", by="split", level=0.9)
    assert list(answered(old).differences(answered(other))) == [
        "parser: 1 and 2", "level: 0.95 and 0.9", "estimates: - and 2", "by: - and split",
    ]  # fmt: skip
