"""Thoughts of local models on a tiny random checkpoint whose template opens them: real templates, real generation."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")

import torch

import isr
from isr.errors import JudgeError
from isr.judges._logits import Grammars, Masking, Thoughts
from isr.judges._thoughts import Marks, thought_marks
from isr.types import Answer
from tests import local_judges
from tests.checkpoints import OPENS_THOUGHTS, THOUGHTS, make, tokenizer
from tests.directories import make_directory
from tests.local_judges import SHORT, answers_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SCHEMA = {"type": "object", "properties": {"v": {"enum": ["a", "b"]}}, "required": ["v"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("qwen3_vl_thinking", tmp_path_factory.mktemp("checkpoint") / "model")


def with_template(model: Path, folder: Path, template: str) -> Path:
    """The same checkpoint with another end of its chat template."""
    shutil.copytree(model, folder)
    file = folder / "chat_template.jinja"
    text = file.read_text("utf-8")
    assert OPENS_THOUGHTS in text
    file.write_text(text.replace(OPENS_THOUGHTS, template), "utf-8")
    return folder


def answered(
    folder: Path, model: Path, decoding: str, batch_size: int = 4, out: str = "out"
) -> list[tuple[str, Answer]]:
    """What the transformers backend answers about two images with two prompts."""
    if not (folder / "edits").exists():
        make_directory(folder / "edits", images=2, prompts=2, controls=False)
    card = local_judges.write_card(
        folder / "judge.toml", "hf_transformers", model, decoding=decoding, dtype="float32", batch_size=batch_size
    )  # fmt: skip
    isr.score(folder / "edits", judge=str(card), rubrics=SHORT, out=folder / out)
    return answers_of(folder / out)


def test_the_schema_is_held_behind_the_thoughts(model: Path, tmp_path: Path) -> None:
    budget = 12
    said = answered(tmp_path, model, f"max_tokens = 300\nthinking = {budget}\nlogprobs = 5")
    assert len(said) == 8
    for _, answer in said:
        assert answer.reasoning
        assert answer.usage["reasoning_tokens"] == budget - 1  # the template's own line's end counts
        assert list(json.loads(answer.text, strict=False)) == ["reasoning", "verdict"]
        assert answer.finish_reason == "stop"
        assert answer.p_yes is not None
    alone = answered(tmp_path, model, f"max_tokens = 300\nthinking = {budget}\nlogprobs = 5", 1, "alone")
    texts = [sorted((a.reasoning, a.text) for _, a in answers) for answers in (said, alone)]
    assert texts[0] == texts[1]


def test_without_thinking_the_template_closes_the_thoughts(model: Path, tmp_path: Path) -> None:
    for _, answer in answered(tmp_path, model, "max_tokens = 300\nthinking = false"):
        assert list(json.loads(answer.text, strict=False)) == ["reasoning", "verdict"]
        assert not answer.reasoning
        assert "reasoning_tokens" not in answer.usage


def test_thoughts_count_against_max_tokens(model: Path, tmp_path: Path) -> None:
    for _, answer in answered(tmp_path, model, "max_tokens = 20\nthinking = true"):
        assert answer.finish_reason == "length"
        assert answer.text == ""
        assert answer.reasoning
        assert answer.usage["completion_tokens"] == 20


def test_a_budget_ends_the_thoughts_where_no_schema_is_enforced(model: Path, tmp_path: Path) -> None:
    said = answered(tmp_path, model, 'max_tokens = 40\nthinking = 5\nstructured = "words"')
    assert {a.usage["reasoning_tokens"] for _, a in said} == {4}
    assert all(a.text for _, a in said)


@pytest.mark.parametrize(
    ("template", "thinking", "words"),
    [
        ("", "true", "expected a chat template that knows enable_thinking"),
        ("{% if add_generation_prompt %}<think>\n{% endif %}", "false", "opens them all the same"),
    ],
)
def test_a_template_that_cannot_do_what_the_card_says(
    model: Path, tmp_path: Path, template: str, thinking: str, words: str
) -> None:
    other = with_template(model, tmp_path / "model", template)
    with pytest.raises(JudgeError, match=words):
        answered(tmp_path, other, f"max_tokens = 20\nthinking = {thinking}")


def test_a_template_that_always_opens_thoughts_is_one_that_thinks(model: Path, tmp_path: Path) -> None:
    other = with_template(model, tmp_path / "model", "{% if add_generation_prompt %}<think>\n{% endif %}")
    said = answered(tmp_path, other, "max_tokens = 300\nthinking = 6")
    assert {a.usage["reasoning_tokens"] for _, a in said} == {5}


def test_a_tokenizer_without_marks_cannot_think(tmp_path: Path) -> None:
    plain = make("qwen3_vl", tmp_path / "model")
    with (plain / "chat_template.jinja").open("a", encoding="utf-8") as file:
        file.write("{% if enable_thinking %} {% endif %}")
    with pytest.raises(JudgeError, match="a tokenizer with none of these"):
        answered(tmp_path, plain, "max_tokens = 20\nthinking = true")


def test_a_card_that_says_nothing_of_a_template_that_thinks_is_warned_of(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "isr"):
        answered(tmp_path, model, "max_tokens = 20")
    assert "knows enable_thinking, and the card does not say decoding.thinking" in caplog.text


MARKS = Marks(start=1, end=2)


@pytest.mark.parametrize(
    ("prompt", "within"),
    [
        ([7, 1], 0),
        ([7, 1, 8, 9], 2),
        ([7, 1, 8, 2], None),
        ([7, 1, 2, 7, 1, 8], 1),
        ([7, 2], None),
        ([], None),
    ],
)
def test_thoughts_that_a_prompt_leaves_open(prompt: list[int], within: int | None) -> None:
    assert MARKS.within(prompt) == within


@pytest.mark.parametrize(
    ("ids", "opened", "thoughts", "answer"),
    [
        ([5, 6, 2, 7, 8], True, [5, 6], [7, 8]),
        ([1, 5, 2, 7], False, [5], [7]),
        ([5, 6], True, [5, 6], []),  # cut off
        ([7, 8], False, [], [7, 8]),  # it did without
        ([7, 2, 8], False, [], [7, 2, 8]),  # a mark inside the answer's own text
        ([2, 7], True, [], [7]),
        ([], True, [], []),
    ],
)
def test_thoughts_apart_by_their_tokens(
    ids: list[int], opened: bool, thoughts: list[int], answer: list[int]
) -> None:
    assert MARKS.apart(ids, opened) == (thoughts, answer)


class Writing:
    """Rows of a batch that each want to write certain tokens; what they may write is what the processors leave."""

    def __init__(self, wanted: Sequence[str], within: Sequence[int | None], budget: int | None) -> None:
        self.tok = tokenizer()
        self.tok.add_tokens(list(THOUGHTS))
        self.marks = thought_marks(self.tok)
        assert self.marks is not None
        self.wanted = [self.tok.encode(text, add_special_tokens=False) for text in wanted]
        self.thoughts = Thoughts(self.marks, within, budget)
        grammars = Grammars(self.tok, len(self.tok), [self.tok.eos_token_id])
        self.masking: Masking = grammars.masking([SCHEMA] * len(wanted), self.thoughts)

    def written(self, steps: int) -> list[str]:
        rows = torch.zeros((len(self.wanted), 1), dtype=torch.long)
        asked = [list(ids) for ids in self.wanted]
        for _ in range(steps):
            scores = torch.zeros((len(asked), len(self.tok)))
            scores[:, self.tok.eos_token_id] = 0.5
            for row, ids in enumerate(asked):
                if ids:
                    scores[row, ids[0]] = 1.0
            left = self.masking(rows, self.thoughts(rows, scores))
            chosen = left.argmax(-1)
            for row, ids in enumerate(asked):
                if ids and ids[0] == int(chosen[row]):
                    ids.pop(0)
            rows = torch.cat([rows, chosen[:, None]], 1)
        return [self.tok.decode(ids, skip_special_tokens=True) for ids in rows[:, 1:].tolist()]


def test_each_row_of_a_batch_has_its_own_thoughts() -> None:
    answer = '{"v":"a"}'
    writing = Writing(
        [
            f"red</think>{answer}",  # its thoughts are open, and it ends them
            f"<think>red</think>{answer}",  # it opens them itself
            answer,  # it does without
            "red" * 50 + answer,  # it never ends them: the budget does
        ],
        within=[1, None, None, 0],
        budget=9,
    )
    said = writing.written(60)
    assert said[0] == f"red</think>{answer}"
    assert said[1] == f"<think>red</think>{answer}"
    assert said[2] == answer
    thoughts, end, rest = said[3].partition("</think>")
    assert end
    assert len(writing.tok.encode(thoughts, add_special_tokens=False)) == 9
    assert json.loads(rest)["v"] in ("a", "b")


def test_thoughts_are_opened_at_the_first_place_only() -> None:
    writing = Writing(['{<think>"v":"a"}', "no JSON"], within=[None, None], budget=None)
    said = writing.written(60)
    assert all(json.loads(text)["v"] in ("a", "b") for text in said)
