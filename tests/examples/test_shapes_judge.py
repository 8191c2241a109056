"""The trained judge of the painted scenes: its seeds, its texts, its files, and some of its answers."""

from __future__ import annotations

import copy
import importlib
import itertools
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from isr.judging.parsing import parse
from isr.judging.rubrics import load_rubric
from isr.types import Answer
from tests.samples import a_request

JUDGE = Path(__file__).resolve().parents[2] / "examples" / "shapes" / "judge"
MODEL = JUDGE / "model"
NAMES = ("seeds", "data", "texts")


@pytest.fixture(scope="module")
def judge() -> Iterator[SimpleNamespace]:
    """The modules of the judge that need no torch, imported from their folder."""
    sys.path.insert(0, str(JUDGE))
    painted = {
        name: importlib.import_module(f"isr_shapes.{module}")
        for name, module in (("generate", "painting"), ("world", "world"))
    }
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES}, **painted)
    sys.path.remove(str(JUDGE))


@pytest.fixture(scope="module")
def batches(judge: SimpleNamespace) -> ModuleType:
    pytest.importorskip("torch", reason="packing conversations needs torch")
    pytest.importorskip("transformers", reason="the tokenizer needs transformers")
    return importlib.import_module("batches")


@pytest.fixture(scope="module")
def processor(batches: ModuleType) -> object:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(MODEL, backend="pil")


def painted(judge: SimpleNamespace, plan: str) -> Iterator[SimpleNamespace]:
    """Edits of one plan with their prompts, rows and truths, from both ranges of looks."""
    for seed in range(4):
        spread = (judge.world.TUNING, judge.world.JITTERED)[seed % 2]
        rng = np.random.default_rng([judge.seeds.TRAIN.start + seed, 9])
        scene = judge.world.draw_scene(rng, spread)
        before = np.array([judge.data.scene_row(scene)], dtype=judge.data.SCENE)[0]
        for task in judge.generate.draw_tasks(scene, spread, rng):
            pixels, row = judge.data.paint_edit(scene, task, plan, spread, copy.deepcopy(rng))
            again, truth = judge.generate.paint(scene, task, plan, spread, rng)
            assert np.array_equal(pixels, judge.data.squash(again))
            edit = np.array([(0, *row)], dtype=judge.data.EDIT)[0]
            yield SimpleNamespace(task=task, truth=truth, before=before, edit=edit)


def test_no_two_ranges_of_seeds_share_one(judge: SimpleNamespace) -> None:
    ranges = [judge.seeds.ELSEWHERE, judge.seeds.TEST, judge.seeds.VALIDATION, judge.seeds.TRAIN]
    for a, b in itertools.combinations(ranges, 2):
        assert a.stop <= b.start or b.stop <= a.start


@pytest.mark.parametrize(
    "plan",
    [
        "done", "done_mild", "done_substantial", "not_done", "not_done_mild", "not_done_substantial", "half_done",
        "wrong_object", "wrong_result",
    ],
)  # fmt: skip
def test_the_answers_that_are_trained_on_are_read_as_the_truth(judge: SimpleNamespace, plan: str) -> None:
    assert plan in judge.data.PLANS
    for case in painted(judge, plan):
        asked = judge.texts.Asked.of(case.edit)
        assert asked.prompt(case.before) == case.task.prompt
        said = {
            "semantic": judge.texts.semantic_answer(asked, case.before, case.edit),
            "perceptual": judge.texts.perceptual_answer(case.edit),
        }
        for question, text in said.items():
            rubric = load_rubric(judge.texts.RUBRICS[question])
            assert parse(Answer(text=text, finish_reason="stop"), rubric).value == getattr(
                case.truth, question
            )
            fields = json.loads(text)
            assert list(fields) == [f.name for f in rubric.fields]
            assert len(fields["reasoning"]) <= 200
            # the separators of schema decoding without free whitespace
            assert text == json.dumps(fields, separators=(",", ":"))


def test_every_prompt_is_known_to_the_tokenizer(judge: SimpleNamespace) -> None:
    known = {prompt for _, prompt in judge.texts.every_prompt()}
    assert {e.task.prompt for image in judge.generate.paint_images(0, 60) for e in image.edits} <= known


def test_a_second_prompt_is_never_about_what_the_edit_changes(judge: SimpleNamespace) -> None:
    for case in painted(judge, "half_done"):
        rows = np.array([case.edit] * 3)
        rows["index"] = [-1, 0, 1]
        places = {asked.index for asked in judge.texts.others(case.edit, rows)}
        assert places == {-1, 0, 1} - {int(case.edit["index"])}


@pytest.mark.parametrize("question", ["semantic", "perceptual"])
def test_training_asks_what_isr_asks(judge: SimpleNamespace, question: str) -> None:
    rubric = load_rubric(judge.texts.RUBRICS[question])
    prompt = 'make the "circle" green'
    system, user = judge.texts.messages(rubric, prompt)
    request = a_request(prompt, rubric=rubric.name)
    assert system["content"] == request.template.body["system"]
    sent = [("text", p["text"]) if p["type"] == "text" else ("image", "") for p in user["content"]]
    assert sent == [(kind, text if kind == "text" else "") for kind, text in request.user_parts()]


def test_both_rubrics_are_the_same_up_to_the_last_image(judge: SimpleNamespace) -> None:
    a, b = (load_rubric(name) for name in judge.texts.RUBRICS.values())
    assert (a.system, a.user[:-1]) == (b.system, b.user[:-1])


def test_patches_are_labelled_with_what_covers_them(judge: SimpleNamespace) -> None:
    for case in painted(judge, "done"):
        cover = case.edit["cover"].astype(float) / 255
        kinds = case.edit["shown"]["kinds"]
        assert (
            (cover.sum(axis=(1, 2)) > 1) == (kinds >= 0)
        ).all()  # of 64 patches; a shape covers some of them
        assert cover.sum() < 32


# The committed files


def test_the_weights_are_small_and_whole_numbers_of_heads() -> None:
    file = MODEL / "model.safetensors"
    assert file.stat().st_size < 20e6
    with file.open("rb") as stream:
        header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
    header.pop("__metadata__")
    assert {entry["dtype"] for entry in header.values()} == {"F32"}
    assert any(".vision_tower.vision_model." in f".{name}" for name in header)  # as vLLM reads it
    config = json.loads((MODEL / "config.json").read_text())
    for part in ("text_config", "vision_config"):
        width, heads = (config[part][key] for key in ("hidden_size", "num_attention_heads"))
        assert width / heads in (32, 64, 80, 96, 112, 128)  # sizes that vLLM has kernels for


def test_the_files_hold_nothing_to_run() -> None:
    assert {p.suffix for p in MODEL.iterdir()} <= {".json", ".jinja", ".safetensors"}


def test_the_processor_sees_what_was_trained_on(
    batches: ModuleType, processor: object, judge: SimpleNamespace
) -> None:
    import torch
    from PIL import Image

    for jitter in (False, True):
        image = judge.generate.paint_image(0, judge.seeds.VALIDATION.start, jitter)
        ready = processor.image_processor(Image.fromarray(image.source), return_tensors="pt")  # type: ignore[attr-defined]
        trained = batches.normalise(judge.data.squash(image.source)[None], processor)
        assert torch.allclose(ready["pixel_values"], trained, atol=1e-5)


def test_training_sees_the_tokens_of_the_whole_conversation(
    batches: ModuleType, processor: object, judge: SimpleNamespace
) -> None:
    talk = batches.Conversations(processor)
    for case in itertools.islice(painted(judge, "done"), 4):
        texts = judge.texts
        asked = texts.Asked.of(case.edit)
        said = texts.semantic_answer(asked, case.before, case.edit)
        turn = ("semantic", asked.prompt(case.before), said)
        tokens, labels = talk.pack([turn])
        chat = [
            *texts.messages(load_rubric(texts.RUBRICS["semantic"]), turn[1]),
            {"role": "assistant", "content": said},
        ]
        whole = processor.apply_chat_template(chat).removesuffix("\n")  # type: ignore[attr-defined]
        plain = talk.ids(whole.replace("<image>", "<image>" * talk.image_tokens))
        assert tokens[: len(plain)] == plain
        assert [t for t in labels if t != batches.IGNORED] == talk.answer(said)
        assert talk.tokenizer.decode(talk.ids(said)) == said


def test_some_answers_are_right(batches: ModuleType, processor: object, judge: SimpleNamespace) -> None:
    from transformers import AutoModelForImageTextToText

    evaluate = importlib.import_module("evaluate")
    model = AutoModelForImageTextToText.from_pretrained(MODEL).eval()
    some = evaluate.cases(judge.seeds.VALIDATION.start, 4, jitter=False)
    for question in ("semantic", "perceptual"):
        said = evaluate.verdicts(model, processor, some, question)
        assert sum(a == getattr(c.truth, question) for a, c in zip(said, some, strict=True)) >= len(some) - 3
