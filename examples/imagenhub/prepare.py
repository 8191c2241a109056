"""Makes the labels and answers of this example from clones of the two public repositories they come from.

    git clone --depth 1 https://github.com/TIGER-AI-Lab/ImagenHub
    git clone --depth 1 https://github.com/TIGER-AI-Lab/VIEScore
    python examples/imagenhub/prepare.py ImagenHub VIEScore --out examples/imagenhub/data

Reads ``eval/human_ratings/Text-Guided_IE/*_rater*.tsv`` of the first (three raters, one column per editor,
cells such as ``[0.5, 1]``: semantic, perceptual) and ``paper_implementation/_answers`` of the second (JSON by
image, in folders by judge). Nothing is repaired: an answer that is not two scores is written as it is recorded.
Standard library only. Both repositories are under the MIT licence; their files are not part of this one.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RATINGS = Path("eval/human_ratings/Text-Guided_IE")
ANSWERS = Path("paper_implementation/_answers")
TASK = "ImagenHub_Text-Guided_IE"
RATERS = (1, 2, 3)
JUDGES = ("gpt4o_0shot", "llava_0shot", "qwenvl_0shot")
QUESTIONS = {"semantic": "SC.json", "perceptual": "PQ.json"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("imagenhub", type=Path, help="clone of TIGER-AI-Lab/ImagenHub")
    parser.add_argument("viescore", type=Path, help="clone of TIGER-AI-Lab/VIEScore")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("data"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    labels = sorted(read_ratings(options.imagenhub / RATINGS))
    with (options.out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("edit_id", "editor", "image_id", "rater", "semantic", "perceptual"))
        writer.writerows(labels)
    print(f"{len(labels)} labels: {options.out / 'labels.csv'}")
    for judge in JUDGES:
        path = options.out / f"answers_{judge}.jsonl"
        rows = list(read_answers(options.viescore / ANSWERS / f"results_{judge}" / TASK, judge))
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        print(f"{len(rows)} answers: {path}")


def read_ratings(folder: Path) -> Iterator[tuple[str, str, str, str, str, str]]:
    """One label per rater, editor and item. ``sample_100081_1.jpg`` is item 1 of image 100081."""
    for rater in RATERS:
        path = folder / f"{folder.name}_rater{rater}.tsv"
        if not path.is_file():
            raise SystemExit(
                f"{path}: expected the ratings of ImagenHub; found no file; give the path of its clone"
            )
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                item = row.pop("uid")
                for editor, cell in row.items():
                    grades = json.loads(cell)
                    if len(grades) != 2:
                        raise SystemExit(
                            f"{path}: {item}, {editor}: expected two grades; found {cell}; check the file"
                        )
                    semantic, perceptual = (f"{g:g}" for g in grades)
                    yield (
                        f"{editor}/{item}",
                        editor,
                        item.split("_")[1],
                        f"rater{rater}",
                        semantic,
                        perceptual,
                    )


def read_answers(folder: Path, judge: str) -> Iterator[dict[str, Any]]:
    """One row per edit of an editor, with the answers to both questions as they are recorded."""
    editors = sorted(f.name for f in folder.iterdir()) if folder.is_dir() else []
    if not editors:
        raise SystemExit(
            f"{folder}: expected recorded answers; found none; give the path of VIEScore's clone"
        )
    for editor in editors:
        found = {q: json.loads((folder / editor / name).read_text("utf-8")) for q, name in QUESTIONS.items()}
        for item in sorted({i for answers in found.values() for i in answers}):
            row: dict[str, Any] = {"edit_id": f"{editor}/{item}", "judge": judge}
            for question, answers in found.items():
                row[question] = _answer(answers.get(item))
            yield row


def _answer(raw: Any) -> dict[str, Any] | None:
    """Scores and reasoning as recorded, without the prompt; nothing where nothing is recorded."""
    if not isinstance(raw, dict) or "score" not in raw:
        return None
    return {"scores": raw["score"], "reasoning": raw.get("reasoning")}


if __name__ == "__main__":
    main()
