"""The example's prepare.py on a miniature of the two repositories."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.processes import run

ROOT = Path(__file__).resolve().parents[2]


def test_preparing_reads_the_two_repositories_as_they_are(tmp_path: Path) -> None:
    """A clone in miniature; malformed answers are written as recorded."""
    ratings = tmp_path / "I" / "eval" / "human_ratings" / "Text-Guided_IE"
    ratings.mkdir(parents=True)
    for rater in (1, 2, 3):
        (ratings / f"Text-Guided_IE_rater{rater}.tsv").write_text("uid\tSDEdit\nsample_7_1.jpg\t[0.5 , 1]\n")
    for judge in ("gpt4o", "llava", "qwenvl"):
        folder = (
            tmp_path
            / "V/paper_implementation/_answers"
            / f"results_{judge}_0shot"
            / "ImagenHub_Text-Guided_IE"
            / "SDEdit"
        )
        folder.mkdir(parents=True)
        (folder / "SC.json").write_text(
            json.dumps({"sample_7_1.jpg": {"score": [5], "reasoning": "r", "prompt_input": "p"}})
        )
        (folder / "PQ.json").write_text(json.dumps({"sample_7_1.jpg": {"reasoning": "r"}}))
    script = ROOT / "examples" / "imagenhub" / "prepare.py"
    args = [
        sys.executable,
        str(script),
        str(tmp_path / "I"),
        str(tmp_path / "V"),
        "--out",
        str(tmp_path / "o"),
    ]
    run(args, check=True)
    assert (tmp_path / "o" / "labels.csv").read_text().splitlines()[
        1
    ] == "SDEdit/sample_7_1.jpg,SDEdit,7,rater1,0.5,1"
    row = json.loads((tmp_path / "o" / "answers_gpt4o_0shot.jsonl").read_text())
    assert row == {
        "edit_id": "SDEdit/sample_7_1.jpg", "judge": "gpt4o_0shot", "semantic": {"scores": [5], "reasoning": "r"}, "perceptual": None,
    }  # fmt: skip
    missing = run([*args[:2], tmp_path, tmp_path])
    assert missing.returncode != 0
    assert "expected the ratings of ImagenHub" in missing.stderr
