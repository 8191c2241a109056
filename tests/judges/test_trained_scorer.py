"""Trained scorers on a tiny random checkpoint with reward heads: from scores to a threshold to verdicts."""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")

import torch
from safetensors.torch import load_file, save_file

import isr
from isr.errors import CardError, JudgeError
from isr.judging.cards import load_card
from tests import local_judges
from tests.checkpoints import make
from tests.directories import make_directory
from tests.local_judges import SHORT, answers_of
from tests.processes import CompletedProcess, run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

QUESTIONS = ("semantic", "perceptual")
RUBRICS = ("scorer-semantic/v1", "scorer-perceptual/v1")
HEADS = {
    "semantic": "rm_heads.head_0", "perceptual": "rm_heads.head_1",
    "ending": "\nRate this edit: <|Reward|>\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("qwen2_5_vl_scorer", tmp_path_factory.mktemp("checkpoint") / "model")


def write_card(folder: Path, model: Path, **engine: Any) -> str:
    given = {"dtype": "float32", "batch_size": 4, **HEADS, **engine}
    given = {k: v for k, v in given.items() if v is not None}
    return str(local_judges.write_card(folder / "scorer.toml", "trained_scorer", model, decoding="", **given))


def command(*words: object) -> CompletedProcess[str]:
    return run([sys.executable, "-m", "isr", *words])


def scores_of(out: Path) -> dict[str, list[int]]:
    with (out / "edits.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {q: [int(row[f"scorer:{q}_score"]) for row in rows] for q in QUESTIONS}


def rewards(out: Path) -> dict[tuple[str, str], float]:
    """The rewards as they were, by rubric and by the digest of the edit as it was sent."""
    return {
        (rubric, answer.sent["edit"]): json.loads(answer.text)["reward"] for rubric, answer in answers_of(out)
    }


@pytest.mark.slow
def test_from_scores_to_verdicts(model: Path, tmp_path: Path) -> None:
    make_directory(tmp_path / "edits", images=8, prompts=3, size=40, controls=False)
    card = write_card(tmp_path, model)
    score = ["score", tmp_path / "edits", "--judge", card]
    score += [word for name in RUBRICS for word in ("--rubric", name)]
    first = command(*score, "--out", tmp_path / "first")
    assert "its scores have no meaning of their own" in first.stderr
    assert "isr calibrate RUN --labels LABELS --design random --out cal.toml" in first.stderr
    assert "no decided edit: there is no rate" in first.stdout
    scores = scores_of(tmp_path / "first")
    middle = {q: statistics.median(scores[q]) for q in QUESTIONS}
    for question in QUESTIONS:  # random weights still tell the edits from each other
        assert len(set(scores[question])) > 5
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["edit_id", "rater", *QUESTIONS])
        with (tmp_path / "first" / "edits.csv").open(encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table):
                bad = (int(row[f"scorer:{q}_score"]) < middle[q] for q in QUESTIONS)
                lines.writerow([row["edit_id"], "ann", *("fails" if b else "fine" for b in bad)])
    learnt = command(
        "calibrate", tmp_path / "first", "--labels", tmp_path / "labels.csv", "--design", "random",
        "--out", tmp_path / "cal.toml",
    )  # fmt: skip
    assert learnt.returncode == 0, learnt.stderr
    assert "learnt threshold" in learnt.stdout
    assert "the rubric's own" not in learnt.stdout  # it has none
    second = command(*score, "--out", tmp_path / "second", "--calibration", tmp_path / "cal.toml", "--json")
    assert second.returncode == 0, second.stderr
    assert "no meaning of their own" not in second.stderr
    counts = json.loads(second.stdout)["treatments"][0]["counts"]
    assert counts["decided"] == counts["edits"] == 24
    with (tmp_path / "second" / "edits.csv").open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            for question in QUESTIONS:
                bad = int(row[f"scorer:{question}_score"]) < middle[question]
                assert row[f"scorer:{question}"] == ("fails" if bad else "fine")
    again = command(*score, "--out", tmp_path / "second", "--calibration", tmp_path / "cal.toml", "--json")
    assert again.stdout == second.stdout


def test_the_reward_is_the_heads_output_at_its_token(model: Path, tmp_path: Path) -> None:
    """Against a plain forward pass of the model, whose heads are applied here by hand."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    make_directory(tmp_path / "edits", images=3, prompts=1, size=40, controls=False)
    card = write_card(tmp_path, model)
    isr.score(tmp_path / "edits", judge=card, rubrics=RUBRICS, out=tmp_path / "out")
    found = rewards(tmp_path / "out")
    assert len(found) == 6
    from PIL import Image

    from isr.judging.rubrics import load_rubric

    processor = AutoProcessor.from_pretrained(model)
    plain = AutoModelForImageTextToText.from_pretrained(model).eval()
    tensors = load_file(model / "model.safetensors")
    expected = []
    for line in (tmp_path / "edits" / "metadata.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        images = [
            Image.open(tmp_path / "edits" / row[name]).convert("RGB") for name in ("source_file_name", "file_name")
        ]  # fmt: skip
        for number, name in enumerate(RUBRICS):
            rubric = load_rubric(name)
            words = rubric.user[2].text.replace("{{prompt}}", json.dumps(row["prompt"])) + HEADS["ending"]
            content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": words}]
            system = [{"type": "text", "text": rubric.system.strip()}]
            text = processor.apply_chat_template(
                [{"role": "system", "content": system}, {"role": "user", "content": content}],
                add_generation_prompt=True,
            )
            inputs = processor(text=[text], images=images, return_tensors="pt")
            at = inputs["input_ids"][0].tolist().index(
                processor.tokenizer.convert_tokens_to_ids("<|Reward|>")
            )  # fmt: skip
            with torch.inference_mode():
                x = plain.model(**inputs).last_hidden_state[0, at]
                for layer in (0, 3, 5):
                    head = f"rm_heads.head_{number}.{layer}"
                    x = tensors[f"{head}.weight"] @ (x.relu() if layer else x) + tensors[f"{head}.bias"]
            expected.append(float(x[0]))
    assert sorted(found.values()) == pytest.approx(sorted(expected), abs=1e-4)
    for _, answer in answers_of(tmp_path / "out"):
        said = json.loads(answer.text)
        assert said["score"] == round(1000 * said["reward"])
        assert answer.usage["completion_tokens"] == 0


def test_a_score_does_not_depend_on_its_batch(model: Path, tmp_path: Path) -> None:
    make_directory(tmp_path / "edits", images=3, prompts=2, size=40, controls=False)
    found = []
    for size in (1, 6):
        card = write_card(tmp_path, model, batch_size=size)
        isr.score(tmp_path / "edits", judge=card, rubrics=RUBRICS, out=tmp_path / f"out{size}")
        found.append(rewards(tmp_path / f"out{size}"))
    assert found[0].keys() == found[1].keys()
    assert all(found[0][k] == pytest.approx(found[1][k], abs=1e-4) for k in found[0])


@pytest.mark.parametrize("output", [0, 1])
def test_a_single_layer_is_a_head_too(model: Path, tmp_path: Path, output: int) -> None:
    other = tmp_path / "model"
    shutil.copytree(model, other)
    weights = load_file(other / "model.safetensors")
    kept = {k: v for k, v in weights.items() if not k.startswith("rm_heads")}
    head = torch.zeros(2, 64)
    head[1] = float("nan")
    save_file({**kept, "rm_head.weight": head}, other / "model.safetensors", metadata={"format": "pt"})
    make_directory(tmp_path / "edits", images=1, prompts=1, size=40, controls=False)
    card = write_card(tmp_path, other, semantic=None, perceptual=None, output=output)
    result = isr.score(tmp_path / "edits", judge=card, rubrics=RUBRICS, out=tmp_path / "out")
    reasons = {u["reason"] for u in result.treatments[0].counts["undecided"]}
    assert reasons == (
        {"off_scale"} if output else {"uncalibrated"}
    )  # a reward that is no number is no score
    if not output:
        assert scores_of(tmp_path / "out") == {q: [0] for q in QUESTIONS}


def test_heads_in_another_shard(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "model"
    shutil.copytree(model, other)
    weights = load_file(other / "model.safetensors")
    (other / "model.safetensors").unlink()
    parts: dict[str, dict[str, Any]] = {"a.safetensors": {}, "b.safetensors": {}}
    for name, tensor in weights.items():
        parts["b.safetensors" if name.startswith("rm_heads") else "a.safetensors"][name] = tensor
    for file, tensors in parts.items():
        save_file(tensors, other / file, metadata={"format": "pt"})
    where = {name: file for file, tensors in parts.items() for name in tensors}
    (other / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    make_directory(tmp_path / "edits", images=1, prompts=1, size=40, controls=False)
    whole, sharded = (write_card(tmp_path, m) for m in (model, other))
    isr.score(tmp_path / "edits", judge=sharded, rubrics=RUBRICS, out=tmp_path / "sharded")
    whole = write_card(tmp_path, model)
    isr.score(tmp_path / "edits", judge=whole, rubrics=RUBRICS, out=tmp_path / "whole")
    assert rewards(tmp_path / "sharded") == rewards(tmp_path / "whole")


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ({"semantic": "rm_heads.head_7"}, "names that begin with 'rm_heads.head_7'; found none"),
        ({"semantic": "rm_heads"}, "linear layers one behind the other"),
        ({"output": 2}, "more than engine.output = 2 outputs"),
        ({"mark": "<score>", "ending": "<score>"}, "a tokenizer with the token '<score>'"),
    ],
)
def test_a_checkpoint_that_is_no_such_scorer(
    model: Path, tmp_path: Path, engine: Mapping[str, Any], words: str
) -> None:
    make_directory(tmp_path / "edits", images=1, prompts=1, size=40, controls=False)
    card = write_card(tmp_path, model, **engine)
    with pytest.raises(JudgeError) as caught:
        isr.score(tmp_path / "edits", judge=card, rubrics=RUBRICS, out=tmp_path / "out")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "rubrics", [("semantic/v1", "perceptual/v1"), ("viescore-sc/v1", "viescore-pq/v1"), SHORT]
)
def test_other_rubrics_are_refused(model: Path, tmp_path: Path, rubrics: tuple[str, str]) -> None:
    make_directory(tmp_path / "edits", images=1, prompts=1, size=40, controls=False)
    with pytest.raises(JudgeError, match="use rubrics=scorer-semantic/v1 rubrics=scorer-perceptual/v1"):
        isr.score(
            tmp_path / "edits", judge=write_card(tmp_path, model), rubrics=rubrics, out=tmp_path / "out"
        )


def test_what_a_scorer_has_no_use_for_is_refused(model: Path, tmp_path: Path) -> None:
    make_directory(tmp_path / "edits", images=1, prompts=1, size=40, controls=False)
    for decoding in ("thinking = true", "logprobs = 5", 'reasoning_effort = "low"'):
        card = local_judges.write_card(
            tmp_path / "scorer.toml", "trained_scorer", model, decoding=decoding, dtype="float32", **HEADS
        )
        with pytest.raises(CardError, match=r"decoding\."):
            isr.score(tmp_path / "edits", judge=str(card), rubrics=RUBRICS, out=tmp_path / "out")
    card = Path(write_card(tmp_path, model, ending="Rate it."))
    with pytest.raises(CardError, match=r"engine\.ending"):
        isr.score(tmp_path / "edits", judge=str(card), rubrics=RUBRICS, out=tmp_path / "out")


@pytest.mark.parametrize("name", ["editreward", "editscore"])
def test_the_cards_of_public_scorers_can_be_read(name: str) -> None:
    card = load_card(str(Path(__file__).resolve().parents[2] / "examples" / "scorers" / f"{name}.toml"))
    assert "Not confirmed" in card.notes
    assert "isr calibrate" in card.notes
    assert card.checkpoint is not None
