"""The parser: strict, total, pure; every reason by name, and nothing salvaged from prose."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.errors import TransportReason
from isr.judging.parsing import disagrees, parse
from isr.judging.rubrics import load_rubric
from isr.types import Answer, AnswerReason, Finish, Verdict
from tests.samples import GOOD, an_answer, good, summary

SEMANTIC, PERCEPTUAL = load_rubric("semantic/v1"), load_rubric("perceptual/v1")


def said(text: str, **fields: Any) -> tuple[str, str]:
    return summary(parse(an_answer(text, **fields), SEMANTIC))


def undecided(reason: str) -> tuple[str, str]:
    return "undecided", reason


def test_a_sound_answer() -> None:
    verdict = parse(an_answer(), SEMANTIC)
    assert verdict == Verdict(
        value="fine", reason="", score=4, grades={"source_kept": 3}, reasoning="The car is red."
    )
    fails = parse(an_answer(good("perceptual", score=1, verdict="fails")), PERCEPTUAL)
    assert fails == Verdict(value="fails", reason="", score=1, grades={}, reasoning="Clean.")


@pytest.mark.parametrize(
    ("score", "verdict", "reason"),
    [
        (0, "fails", ""),
        (1, "fails", ""),
        (1, "fine", ""),  # the verdict decides; only the extremes contradict it
        (2, "fails", ""),
        (2, "fine", ""),
        (3, "fails", ""),
        (4, "fine", ""),
        (0, "fine", "contradiction"),
        (4, "fails", "contradiction"),
    ],
)
def test_score_and_verdict(score: int, verdict: str, reason: str) -> None:
    assert said(good(score=score, verdict=verdict)) == (("undecided", reason) if reason else (verdict, ""))


@pytest.mark.parametrize(
    ("text", "fields", "reason"),
    [
        ("", {}, "empty"),
        (" \n\t", {}, "empty"),
        (good(), {"finish_reason": "content_filter"}, "content_filter"),
        ("", {"finish_reason": "content_filter"}, "content_filter"),
        ("", {"refusal": "I cannot look at this."}, "refusal"),
        (good(), {"refusal": "no"}, "refusal"),
        ("I'm sorry, but I can't help with that.", {}, "refusal"),
        ("I’m sorry, I can’t assist with images of people.", {}, "refusal"),
        ("I cannot evaluate this image.", {}, "refusal"),
        ("Sorry. I am unable to analyze it.", {}, "refusal"),
        ("This violates our policy.", {}, "refusal"),
        (good(), {"finish_reason": "length"}, "truncated"),  # even if what is there happens to parse
        (good()[:-5], {"finish_reason": "length"}, "truncated"),
        (good()[:-5], {}, "not_json"),
        (good(score=None), {}, "missing_field"),
        (good(reasoning=None), {}, "missing_field"),
        (good(verdict=None), {}, "missing_field"),
        (good(source_kept=None), {}, "missing_field"),
        ("{}", {}, "missing_field"),
        (good(score=5), {}, "off_scale"),
        (good(score=-1), {}, "off_scale"),
        (good(source_kept=9), {}, "off_scale"),
        (good(verdict="immunized"), {}, "off_scale"),
        (good(verdict="FINE"), {}, "off_scale"),
        (good(verdict="fails "), {}, "off_scale"),
        (good(verdict=True), {}, "off_scale"),
        (good(verdict=["fine"]), {}, "off_scale"),
        (good(reasoning=7), {}, "off_scale"),
        (good(score=0), {}, "contradiction"),
    ],
)
def test_every_reason(text: str, fields: dict[str, str], reason: str) -> None:
    assert AnswerReason(reason)
    assert said(text, **fields) == undecided(reason)


def test_reasons_of_answers_and_of_transport_are_apart() -> None:
    assert not set(AnswerReason) & set(TransportReason)


@pytest.mark.parametrize(
    "text",
    [
        "2 of 10 people would accept this.",
        "score: 3",
        "Score: 4/4, verdict: fine",
        "fails",
        "The verdict is fine.",
        f"Here is my answer: {good()}",
        f"{good()}\nI hope this helps!",
        f"Sure!\n```json\n{good()}\n```",
        f"```json\n{good()}\n```\nDone.",
        f"{good()}{good()}",
        f"[{good()}]",
        json.dumps(good()),
        '{"score": 3,',
        "{'reasoning': 'x', 'score': 3, 'source_kept': 4, 'verdict': 'fine'}",
        "null",
        "3",
        '"fine"',
        good()[:-1] + ",}",
        good().replace('"score": 4', '"score": 04'),
    ],
)
def test_nothing_is_salvaged(text: str) -> None:
    assert said(text) == undecided("not_json")


@pytest.mark.parametrize(
    "fence",
    [
        "```json\n{}\n```", "```\n{}\n```", "```json  \n{}\n```", "\n```json\n{}\n```\n", "```JSON\r\n{}\r\n```",
        "```json {}```", "```{}```", "```Json\n{}```",
    ],
)  # fmt: skip
def test_a_fence_around_the_whole_is_allowed(fence: str) -> None:
    assert said(fence.replace("{}", good())) == ("fine", "")


@pytest.mark.parametrize(
    "around",
    [
        "\ufeff{}", "<think></think>{}", "<think>\n\n</think>\n\n{}", "<think>Is it {{red}}? fine.</think>```json\n{}\n```",
        "{}<|im_end|>", "```json\n{}\n```\n<|im_end|>\n<|endoftext|>", "\ufeff <think>x</think> {} <|im_end|>\r\n",
        "<think>a</think>\n<think>b</think>\ufeff{}</s>",
    ],
)  # fmt: skip
def test_marks_of_a_protocol_are_no_prose(around: str) -> None:
    text = around.replace("{}", good())
    assert said(text) == ("fine", "")
    assert summary(parse(an_answer(text), SEMANTIC, version=1)) == undecided("not_json")


@pytest.mark.parametrize(
    "text",
    [
        "<think>{}", "x<think></think>{}", "{}</think>", "<|im_end|>{}", "{}<|im_end|>.", "<|im_start|>assistant {}",
        "<think>{}</think>", "```python\n{}\n```", "`{}`", "````json\n{}\n````",
    ],
)  # fmt: skip
def test_marks_elsewhere_are_prose(text: str) -> None:
    assert said(text.replace("{}", good())) == undecided("not_json")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("error", "aborted"), ("abort", "aborted"), ("tool_calls", "aborted"), ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"), ("", ""), ("pause_turn", "aborted"), ("network_error", "aborted"),
        ("sensitive", "content_filter"), ("of_my_own", ""),
    ],
)  # fmt: skip
def test_a_reply_that_its_host_ended_is_undecided_though_it_is_complete(word: str, reason: str) -> None:
    answer = Answer(text=good(), finish_reason=Finish.OTHER, served={"finish_reason": word} if word else {})
    assert summary(parse(answer, SEMANTIC)) == (undecided(reason) if reason else ("fine", ""))
    assert summary(parse(answer, SEMANTIC, version=1)) == ("fine", "")
    if word:  # as a store of 0.1.0 has it
        recorded = Answer.recorded({"text": good(), "finish_reason": word})
        assert summary(parse(recorded, SEMANTIC)) == summary(parse(answer, SEMANTIC))


@pytest.mark.parametrize(
    "text",
    [
        "Es tut mir leid, ich kann dieses Bild nicht beurteilen.", "Je suis désolé, mais je ne peux pas évaluer cette image.",
        "Lo siento, no puedo ayudar con eso.", "Desculpe, não posso avaliar esta imagem.", "Mi dispiace, non posso.",
        "Извините, я не могу оценить это изображение.", "抱歉，我无法评估这张图片。", "申し訳ありませんが、評価できません。",
        "죄송하지만 이 이미지를 평가할 수 없습니다.", "عذراً، لا يمكنني تقييم هذه الصورة.", "क्षमा करें, मैं यह नहीं कर सकता।",
        "Het spijt me, maar dat beoordeel ik hier niet.", "Przykro mi, tego nie ocenię.", "Üzgünüm, bunu değerlendiremem.",
    ],
)  # fmt: skip
def test_refusals_in_other_languages(text: str) -> None:
    assert said(text) == undecided("refusal")
    assert summary(parse(an_answer(text), SEMANTIC, version=1)) == undecided("not_json")


def test_a_refusal_after_a_sentence_of_politeness_is_one_and_far_behind_it_is_none() -> None:
    polite = "Thank you for sharing these two pictures with me; what a lovely idea to compare them! " * 3
    assert 100 < len(polite) < 300
    assert said(f"{polite} However, I cannot evaluate them.") == undecided("refusal")
    assert said("x" * 400 + " I cannot evaluate them.") == undecided("not_json")


@pytest.mark.parametrize(
    ("score", "verdict", "expected"),
    [
        (1, "fine", True),
        (3, "fails", True),
        (2, "fine", False),
        (2, "fails", False),
        (1, "fails", False),
        (4, "fine", False),
    ],
)
def test_verdict_and_score_that_speak_for_different_sides(score: int, verdict: str, expected: bool) -> None:
    assert disagrees(parse(an_answer(good(score=score, verdict=verdict)), SEMANTIC), SEMANTIC) is expected


def test_an_undecided_answer_and_a_rubric_without_a_verdict_disagree_with_nothing() -> None:
    assert not disagrees(parse(an_answer(good(score=0, verdict="fine")), SEMANTIC), SEMANTIC)
    grades = load_rubric("viescore-sc/v1")
    names = {f.name: 1 for f in grades.fields if f.type == "integer"}
    read = parse(an_answer(json.dumps({"reasoning": "x", **names})), grades)
    assert read.value == "fails"
    assert not disagrees(read, grades)


@pytest.mark.parametrize(
    "text",
    ["图片无法辨认出变化。", "違いは判別できません。", "차이를 알아볼 수 없습니다.", "On ne peut pas voir."],
)
def test_prose_that_is_no_refusal(text: str) -> None:
    assert said(text) == undecided("not_json")


@pytest.mark.parametrize(
    "text",
    [
        "```json" + "\n" * 90_000 + "x", '{"a":1,' + " " * 90_000 + '"b":2}', "<|a|>" * 18_000 + "x", "x" + "<|a|>" * 18_000,
        "<think>" * 14_000, "<think></think>" * 6_000, "```" * 30_000, "x" + " \n" * 45_000, "\ufeff" * 90_000, "</s>" * 25_000,
        "<|" * 45_000 + "|>", "i am sorry" * 9_000, '"verdict"' + " " * 90_000,
    ],
    ids=lambda text: repr(text[:9]),
)  # fmt: skip
@pytest.mark.parametrize("version", [1, 2])
def test_no_answer_takes_time_without_end(text: str, version: int) -> None:
    """Each of them is read in a few passes; a pattern that tries every pair of places would take minutes."""
    assert parse(an_answer(text), SEMANTIC, version).reason in (
        "not_json",
        "refusal",
        "empty",
        "missing_field",
    )


def test_a_fence_inside_a_fence_is_not_json() -> None:
    assert said(f"```json\n```json\n{good()}\n```\n```") == undecided("not_json")


@pytest.mark.parametrize(
    "number", ["3.0", "3.5", "true", "false", "null", '"3"', "[3]", "1e0", "9" * 400, "-" + "9" * 400]
)
def test_only_whole_numbers_on_the_scale_are_scores(number: str) -> None:
    assert said(good().replace('"score": 4', f'"score": {number}')) == undecided("off_scale")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "9" * 5000])
def test_numbers_that_json_lacks(number: str) -> None:
    assert said(good().replace('"score": 4', f'"score": {number}')) == undecided("not_json")


def test_a_field_that_stands_twice() -> None:
    assert said(good()[:-1] + ', "verdict": "fails"}') == undecided("not_json")
    assert said(good()[:-1] + ', "more": {"a": 1, "a": 2}}') == undecided("not_json")


def test_extra_fields_are_ignored() -> None:
    assert said(good(confidence=0.3, nested={"verdict": "fails"})) == ("fine", "")


def test_deep_nesting() -> None:
    assert said("[" * 100_000) == undecided("not_json")
    assert said('{"a":' * 100_000) == undecided("not_json")


def test_the_words_of_an_undecided_answer_are_kept_but_not_all_of_them() -> None:
    verdict = parse(an_answer("x" * 10_000), SEMANTIC)
    assert verdict.reasoning == "x" * 600


@pytest.mark.parametrize(
    "text", [good(reasoning="a\ud800b 🚗"), "prose \ud800", good(reasoning="\udfff", score=9)]
)
def test_what_is_kept_can_be_written_to_a_file(text: str) -> None:
    verdict = parse(an_answer(text), SEMANTIC)
    assert verdict.reasoning
    verdict.reasoning.encode()
    if verdict.value == "fine":
        assert verdict.reasoning == "a\ufffdb 🚗"


def test_a_refusal_inside_a_sound_answer_is_no_refusal() -> None:
    assert said(good(reasoning="I cannot see any change.", score=0, verdict="fails")) == ("fails", "")


def sound(answer: Answer) -> bool:
    """What the parser must hold for any answer: a decided verdict only out of one strict JSON object."""
    verdict = parse(answer, SEMANTIC)
    assert parse(answer, SEMANTIC) == verdict
    if verdict.value == "undecided":
        assert isinstance(verdict.reason, AnswerReason)
        assert verdict.score is None
        return False
    assert verdict.reason == ""
    assert verdict.value in ("fails", "fine")
    assert type(verdict.score) is int
    assert 0 <= verdict.score <= 4
    text = answer.text[answer.text.index("{") : answer.text.rindex("}") + 1]
    assert json.loads(text)["verdict"] == verdict.value
    return True


@given(st.text(), st.sampled_from(Finish), st.text(max_size=3))
def test_the_parser_is_total_for_text(text: str, finish: Finish, refusal: str) -> None:
    sound(Answer(text=text, finish_reason=finish, refusal=refusal))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_the_parser_is_total_for_json(value: Any) -> None:
    sound(an_answer(json.dumps(value)))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "reasoning": st.text(max_size=5) | JSON,
            "score": st.integers(-1, 5) | JSON,
            "source_kept": st.integers(-1, 5) | JSON,
            "verdict": st.sampled_from(["fails", "fine", "Fine"]) | JSON,
        },
    ),
    st.booleans(),
)
def test_the_parser_decides_exactly_the_sound_ones(fields: dict[str, Any], fenced: bool) -> None:
    text = json.dumps(fields)
    decided = sound(an_answer(f"```json\n{text}\n```" if fenced else text))

    def on_scale(name: str) -> bool:
        return type(fields.get(name)) is int and 0 <= fields[name] <= 4

    finite = "NaN" not in text and "Infinity" not in text
    sane = (
        isinstance(fields.get("reasoning"), str) and on_scale("score") and on_scale("source_kept")
        and fields.get("verdict") in ("fails", "fine")
        and (fields["score"], fields["verdict"]) not in ((0, "fine"), (4, "fails"))
    )  # fmt: skip
    if finite or not sane:
        assert decided == sane


def test_the_sample_is_what_the_rubrics_ask_for() -> None:
    assert {q: sorted(f.name for f in load_rubric(f"{q}/v1").fields) for q in GOOD} == {
        q: sorted(GOOD[q]) for q in GOOD
    }
