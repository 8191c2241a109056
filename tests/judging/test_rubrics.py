"""Rubrics: published versions never change, and each worked example is read as the verdict beside it."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from isr.errors import RubricError
from isr.judging.parsing import parse, recorded_answer
from isr.judging.rubrics import DEFAULTS, Rubric, builtin_names, load_pair, load_rubric, parse_rubric
from isr.types import Answer, Question
from tests.samples import a_request, summary

# A published version never changes: a corrected letter is the next version. Add lines here; never edit one.
PUBLISHED = {
    "perceptual/v1": "sha256:5fbbb00fd834885436760d3dbb73e623cf7eec961b27bf5e4a2f1b2f8fc66540",
    "scorer-perceptual/v1": "sha256:dbc712ed4558ace9f6adf5d7876f5720d0b7def8a1001b21d38ee22be7681072",
    "scorer-pq/v1": "sha256:d3c383e64bf75c151ab0e9d82b112b5b017f0ee9baadb8219af86e205f3c3aa2",
    "scorer-sc/v1": "sha256:6e94994adbdc312531dd195a7060aeb28ecc6d1da32fdf5dd5f992fb1a8cddac",
    "scorer-semantic/v1": "sha256:fb7c003153937e971b03264fb272a219b54eb6feff44a54801f8d5dd95279409",
    "semantic/v1": "sha256:9342596b6d966a5117dec0df6f8212acfebe921df367292a32a9317f64e8f1d3",
    "shapes-perceptual/v1": "sha256:028164fcd93b0970dbfabd26536b2d6a3445527586d2d323c0856d959f73b6e9",
    "shapes-semantic/v1": "sha256:f5bc0aabd48c0cd61164b85a7f04628580aa53cf36c663547f8f7e3d764b9dc4",
    "viescore-pq/v1": "sha256:a80788af495428d8c0d98ed328049cec6ec71bc3ca7e1f9c2c6cee7cd904635f",
    "viescore-sc/v1": "sha256:d3eaf984ee86310d06ce5d853df7a973d43fd7b61c5f549f6a5f8b74f5ef2940",
}
SPOKEN = ["perceptual/v1", "semantic/v1"]  # those that ask for a verdict; the others decide by grades
REWARDED = ["scorer-perceptual/v1", "scorer-semantic/v1"]  # a head answers, to which no form is told in words
EXAMPLES = [(name, example) for name in PUBLISHED for example in load_rubric(name).examples]
DIALECTS = ("json_schema", "json_schema_basic", "json_object", "words")

MINIMAL = """
question = "semantic"
title = "t"
images = ["edit"]
system = "s"
user = [{ image = "edit" }, { text = "Do: {{prompt}}" }]
[[fields]]
name = "verdict"
type = "string"
choices = ["fails", "fine"]
"""


def test_every_published_version_is_pinned() -> None:
    assert {name: load_rubric(name).digest for name in builtin_names()} == PUBLISHED


@pytest.mark.parametrize("name", SPOKEN)
def test_a_digest_knows_every_part(name: str) -> None:
    text = resources.files("isr.prompts").joinpath(f"{name}.toml").read_text("utf-8")
    assert parse_rubric(name, text).digest == PUBLISHED[name]
    changes = {
        'title = "': 'title = "9', "You evaluate": "You judge", "EDIT (after": "EDIT (afterwards", "maximum = 4": "maximum = 5",
        "max_length = 600": "max_length = 601", 'case = "unchanged"': 'case = "same"', '["fails", "fine"]': '["fine", "fails"]',
    }  # fmt: skip
    for old, new in changes.items():
        assert old in text
        assert parse_rubric(name, text.replace(old, new, 1)).digest != PUBLISHED[name], old
    assert parse_rubric("other/v1", text).digest != PUBLISHED[name]
    assert parse_rubric(name, text + "\n# a comment\n").digest == PUBLISHED[name]


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[f"{n}: {e.case}" for n, e in EXAMPLES])
def test_worked_examples(name: str, example: object) -> None:
    verdict = parse(Answer(text=example.answer, finish_reason="stop"), load_rubric(name))  # type: ignore[attr-defined]
    assert summary(verdict) == (example.verdict, example.reason)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", PUBLISHED)
def test_worked_examples_show_each_verdict(name: str) -> None:
    rubric = load_rubric(name)
    shown = {e.verdict for e in rubric.examples}
    if rubric.decision is not None and rubric.decision.fails_below is None:
        assert shown == {"undecided"}  # no threshold: no verdict
        assert "uncalibrated" in {e.reason for e in rubric.examples}
    else:
        assert shown == {"fails", "fine", "undecided"}


def test_the_defaults_ask_each_question_once() -> None:
    pair = load_pair()
    assert {q: r.name for q, r in pair.items()} == {
        Question.SEMANTIC: "semantic/v1",
        Question.PERCEPTUAL: "perceptual/v1",
    }
    assert list(pair) == list(Question)
    assert list(load_pair(tuple(reversed(DEFAULTS)))) == list(Question)


@pytest.mark.parametrize("name", SPOKEN)
def test_both_questions_show_the_source_first(name: str) -> None:
    assert load_rubric(name).images == ("source", "edit")


def test_the_schema_of_semantic_v1() -> None:
    grade = {"type": "integer", "minimum": 0, "maximum": 4}
    schema = {
        "type": "object",
        "properties": {
            "reasoning": {"type": "string", "maxLength": 600},
            "score": grade,
            "source_kept": grade,
            "verdict": {"type": "string", "enum": ["fails", "fine"]},
        },
        "required": ["reasoning", "score", "source_kept", "verdict"],
        "additionalProperties": False,
    }
    sent = load_rubric("semantic/v1").response_format("json_schema")
    assert sent == {
        "type": "json_schema",
        "json_schema": {"name": "semantic_v1", "strict": True, "schema": schema},
    }
    # the verdict stands last, after the reasoning that leads to it; hosts answer in the schema's order
    assert list(sent["json_schema"]["schema"]["properties"]) == schema["required"]


@pytest.mark.parametrize("name", SPOKEN)
def test_the_dialects(name: str) -> None:
    rubric = load_rubric(name)
    full, basic, plain, words = (rubric.response_format(d) for d in DIALECTS)
    assert full is not None
    assert basic is not None
    text = json.dumps(basic)
    assert "maxLength" not in text
    assert "minimum" not in text
    assert basic["json_schema"]["schema"]["required"] == full["json_schema"]["schema"]["required"]
    assert basic["json_schema"]["schema"]["properties"]["verdict"] == {
        "type": "string",
        "enum": ["fails", "fine"],
    }
    assert plain == {"type": "json_object"}
    assert words is None


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_schema_goes_in_words_exactly_where_none_is_sent(name: str) -> None:
    rubric = load_rubric(name)
    for dialect in DIALECTS:
        text = rubric.system_text(dialect)
        assert text.startswith(rubric.system.strip())
        in_words = text.removeprefix(rubric.system.strip()).strip()
        if dialect.startswith("json_schema"):
            assert in_words == ""
        else:
            assert json.loads(in_words.partition("\n")[2]) == rubric.schema_()


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - set(REWARDED)))
def test_the_words_name_every_field_and_its_limits(name: str) -> None:
    rubric = load_rubric(name)
    for field in rubric.fields:
        assert f'"{field.name}": ' in rubric.system
        if field.max_length is not None:
            assert f"at most {field.max_length} characters" in rubric.system
    if rubric.decision is None:
        assert '"fails"' in rubric.system
        assert '"fine"' in rubric.system


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_placeholder_is_left(name: str) -> None:
    request = a_request("make it red", rubric=name)
    words = [value for kind, value in request.user_parts() if kind == "text"]
    assert not any("{{" in w for w in [*words, request.template.body["system"]])
    assert sum('"make it red"' in w for w in words) == 1


# Decisions on grades

GRADED = MINIMAL.replace(
    'type = "string"\nchoices = ["fails", "fine"]', 'type = "integer"\nminimum = 0\nmaximum = 10'
)
GRADED = (
    GRADED.replace('name = "verdict"', 'name = "grade"') + '[decision]\nfields = ["grade"]\nfails_below = 5\n'
)


@pytest.mark.parametrize(
    ("grades", "verdict"), [((5, 5), "fine"), ((10, 4), "fails"), ((4, 10), "fails"), ((0, 0), "fails")]
)
def test_the_lowest_grade_decides(grades: tuple[int, int], verdict: str) -> None:
    rubric = load_rubric("viescore-sc/v1")
    text = json.dumps({"reasoning": "", "edit_success": grades[0], "restraint": grades[1]})
    found = parse(Answer(text=text, finish_reason="stop"), rubric)
    assert (found.value, found.score) == (verdict, min(grades))
    assert found.grades == {"edit_success": grades[0], "restraint": grades[1]}


@pytest.mark.parametrize(
    ("recorded", "reason"),
    [
        ({"scores": [2, 3], "reasoning": "r"}, ""),
        ({"scores": [2, 3], "reasoning": None}, ""),
        ({"scores": [5], "reasoning": "r"}, "missing_field"),
        ({"scores": [5, 6, 7], "reasoning": "r"}, "missing_field"),
        ({"scores": 8, "reasoning": "r"}, "missing_field"),
        ({"scores": [8, "9"], "reasoning": "r"}, "off_scale"),
        ({"scores": [8, 11], "reasoning": "r"}, "off_scale"),
        ({"scores": [7.5, 9], "reasoning": "r"}, "off_scale"),
        ({"scores": [True, 9], "reasoning": "r"}, "off_scale"),
        ("8, 9", "not_json"),
        (None, "empty"),
    ],
)
def test_recorded_scores_are_read_or_undecided_never_repaired(recorded: object, reason: str) -> None:
    rubric = load_rubric("viescore-pq/v1")
    found = parse(recorded_answer(recorded, rubric), rubric)
    assert summary(found) == (("undecided", reason) if reason else ("fails", ""))


def test_a_scale_without_a_threshold_decides_nothing() -> None:
    rubric = parse_rubric("x/v1", GRADED.replace("fails_below = 5\n", ""))
    for grade in (0, 5, 10):
        found = parse(Answer(text=json.dumps({"grade": grade}), finish_reason="stop"), rubric)
        assert summary(found) == ("undecided", "uncalibrated")
        assert found.score == grade  # and is kept for a threshold
    for wrong in (11, None, "5"):
        found = parse(Answer(text=json.dumps({"grade": wrong}), finish_reason="stop"), rubric)
        assert summary(found) == ("undecided", "off_scale")
    assert rubric.digest != parse_rubric("x/v1", GRADED).digest
    for scale in ("minimum = 0\n", "maximum = 10"):
        with pytest.raises(RubricError, match="integer fields whose scale has two ends"):
            parse_rubric("x/v1", GRADED.replace("fails_below = 5\n", "").replace(scale, ""))


def test_a_graded_rubric() -> None:
    rubric = parse_rubric("x/v1", GRADED)
    assert rubric.decision is not None
    other = GRADED.replace("fails_below = 5", "fails_below = 6")
    assert parse_rubric("x/v1", other).digest != rubric.digest


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('fields = ["grade"]', 'fields = ["other"]', "other"),
        ('fields = ["grade"]', "fields = []", "none"),
        ("fails_below = 5", "fails_below = 11", "integer fields whose scale"),
        ("fails_below = 5", "fails_below = 0", "integer fields whose scale"),
        (
            "[decision]",
            '[[fields]]\nname = "verdict"\ntype = "string"\nchoices = ["fails", "fine"]\n[decision]',
            "both",
        ),
    ],
)
def test_malformed_decisions(old: str, new: str, told: str) -> None:
    assert old in GRADED
    with pytest.raises(RubricError, match="decision") as caught:
        parse_rubric("x/v1", GRADED.replace(old, new))
    assert told in str(caught.value)


# Files


def test_a_minimal_file() -> None:
    rubric = parse_rubric("x/v1", MINIMAL)
    assert (rubric.name, rubric.question, rubric.images) == ("x/v1", Question.SEMANTIC, ("edit",))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('title = "t"\n', "", "'title'"),
        ('"semantic"', '"both"', "'question'"),
        ('["edit"]', '["edit", "control"]', "'images.1'"),
        ('["edit"]', '["source", "edit"]', "the images"),
        ("{{prompt}}", "{prompt}", "one text with {{prompt}}"),
        ('{ image = "edit" },', '{ image = "edit" }, { text = "{{prompt}}" },', "one text with {{prompt}}"),
        ('["fails", "fine"]', '["yes", "no"]', "fails or fine"),
        ('type = "string"', 'type = "float"', "'fields.0.type'"),
        ('title = "t"', 'title = "t"\njudge = "mine"', "'judge'"),
        ('title = "t"', 'title = "t"\nname = "semantic/v1"', "'name'"),
        ('title = "t"', "title = ", "expected TOML"),
    ],
)
def test_malformed_files(old: str, new: str, told: str) -> None:
    assert old in MINIMAL
    with pytest.raises(RubricError) as caught:
        parse_rubric("x/v1", MINIMAL.replace(old, new))
    assert "rubric x/v1" in str(caught.value)
    assert told in str(caught.value)


def test_a_malformed_file_is_told_of_all_at_once() -> None:
    text = (
        MINIMAL.replace('"semantic"', '"both"')
        .replace('title = "t"', "title = 3")
        .replace('"edit" }', '"x" }')
    )
    with pytest.raises(RubricError) as caught:
        parse_rubric("x/v1", text)
    assert {p.field for p in caught.value.problems} == {"question", "title", "user.0.image"}
    text = MINIMAL.replace("{{prompt}}", "").replace('["edit"]', "[]").replace('"fine"', '"good"')
    with pytest.raises(RubricError) as caught:
        parse_rubric("x/v1", text)
    assert len(caught.value.problems) == 3


# Names


def test_names_stand_by_rubric_and_version() -> None:
    assert builtin_names() == sorted(
        builtin_names(), key=lambda n: (n.partition("/v")[0], int(n.partition("/v")[2]))
    )
    assert set(DEFAULTS) <= set(builtin_names())


def test_versions_are_ordered_as_numbers(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    for name in (
        "b/v2.toml",
        "b/v10.toml",
        "a/v1.toml",
        "a/notes.txt",
        "a/v01.toml",
        "a/v0.toml",
        "A/v1.toml",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(MINIMAL)
    monkeypatch.setattr("isr.judging.rubrics.resources.files", lambda package: tmp_path)
    assert builtin_names() == ["a/v1", "b/v2", "b/v10"]


@pytest.mark.parametrize(
    "name",
    [
        "semantic/v99", "nobody/v1", "", "semantic", "semantic/1", "semantic/v0", "semantic/v01", "semantic/v1 ",
        "semantic/v1\n", "Semantic/v1", "../prompts/semantic/v1", "../x/v1", "semantic/../semantic/v1", "./semantic/v1",
        "/etc/v1", "semantic\\v1", "semantic/v1\0", "a/b/v1", "..%2fx/v1",
    ],
)  # fmt: skip
def test_unknown_names_and_paths_are_refused(name: str) -> None:
    with pytest.raises(RubricError, match="found no such version") as caught:
        load_rubric(name)
    assert "semantic/v1" in str(caught.value)


@pytest.mark.parametrize(
    "pair",
    [(), ("semantic/v1",), ("semantic/v1", "semantic/v1"), ("semantic/v1", "perceptual/v1", "semantic/v1")],
)
def test_a_pair_is_one_of_each(pair: tuple[str, ...]) -> None:
    with pytest.raises(RubricError, match="expected one for semantic and one for perceptual"):
        load_pair(pair)


def test_rubrics_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_rubric("semantic/v1").title = "another"  # type: ignore[misc]
    assert isinstance(load_rubric("semantic/v1"), Rubric)
