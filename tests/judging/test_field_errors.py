"""No sentence of pydantic's reaches a user: every error that a model of ours can raise is in words of ours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from pydantic import BaseModel, Field, ValidationError
from pydantic_core.core_schema import ErrorType

import isr.bench.published
import isr.bench.study
import isr.judges.hf_transformers
import isr.judges.vllm_engine
import isr.people.study_file
import isr.web.label
from isr.bench.study import read_study
from isr.errors import CardError, InputError
from isr.judging.cards import Card, load_card
from isr.judging.field_errors import EXPECTED, field_errors, fields_of
from isr.judging.recorded_card import recorded_panel
from isr.judging.rubrics import parse_rubric
from isr.judging.thresholds import parse_recalibration

HOSTILE: list[Any] = [
    None, True, 3, -1, 10**30, 10**4000, 1.5, -0.5, math.nan, math.inf, "", "x", "x" * 100_000, "a\x00", "\ud800", b"\xff",
    [], [1], [None], ["a", "a"], [{}], [{"zzz": 1}], {}, {"zzz": 1}, {"a": "b"}, {3: 3}, {"text": 3}, object(),
]  # fmt: skip


def models(root: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for kind in root.__subclasses__():
        if kind.__module__.startswith("isr."):
            yield kind
        yield from models(kind)


def errors(model: type[BaseModel], sound: dict[str, Any]) -> Iterator[tuple[ValidationError, Any]]:
    """What comes of hostile values in every field, strict and not, and of whole ones that are none."""
    names = [f.alias or n for n, f in model.model_fields.items()]
    tries = [{**sound, n: value} for n in (*names, "no_such_field") for value in HOSTILE]
    for raw in [*tries, *HOSTILE]:
        for strict in (True, False):
            try:
                model.model_validate(raw, strict=strict)
            except ValidationError as error:
                yield error, raw


def test_every_error_of_every_model_has_words_of_ours() -> None:
    seen: set[str] = set()
    found = set(models())
    assert len(found) > 20
    for model in sorted(found, key=str):
        for error, raw in errors(model, {}):
            seen |= {e["type"] for e in error.errors(include_url=False)}
            problems = field_errors(error, raw, model, "file.toml")
            text = "\n".join(map(str, problems))
            assert problems
            assert "another value" not in text, (model, raw, error)
            for e in error.errors(include_url=False):
                if e["type"] != "value_error":
                    assert e["msg"] not in text, (model, raw, error)
    assert seen <= set(EXPECTED)
    assert len(seen) > 15


def test_words_are_of_types_that_pydantic_has() -> None:
    assert set(EXPECTED) <= set(get_args(ErrorType))


class Inner(BaseModel, extra="forbid"):
    number: bool | int | float = 1
    kind: Literal["linf", "l2"] = "linf"


class Outer(BaseModel, extra="forbid"):
    rows: tuple[Inner, ...] = ()
    set: dict[str, bool | int | tuple[int, ...]] = {}
    needed: str
    lam: float = Field(1, alias="lambda", gt=0)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, ["f: 'needed': expected a value; found none; add it"]),
        (
            {"needed": "x", "rows": [{}, {"number": "?"}]},  # three kinds were tried: one problem
            ["f: 'rows.1.number': expected true or false, a whole number or a number; found '?'; correct it"],
        ),
        (
            {"needed": "x", "rows": [{"knid": "l2", "kind": "l3"}]},
            [
                "f: 'rows.0.kind': expected 'linf' or 'l2'; found 'l3'; correct it",
                "f: 'rows.0.knid': expected a field out of number, kind; found no such field; did you mean kind?",
            ],
        ),
        (
            {"needed": "x", "lamda": 3, "lambda": 0},
            [
                "f: 'lambda': expected a number above 0.0; found 0; correct it",
                "f: 'lamda': expected a field out of rows, set, lambda; found no such field; did you mean lambda?",
            ],
        ),
        (
            {"needed": "x", "set": {"a": [1, "sk-abcdefghijklmnop"]}},  # a value of set is never shown
            ["f: 'set.a.1': expected a whole number; found ...; correct it"],
        ),
        ({"needed": "x", "rows": 3}, ["f: 'rows': expected a list; found 3; correct it"]),
    ],
)
def test_a_problem_for_each_place(raw: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(raw)
    assert list(map(str, field_errors(caught.value, raw, Outer, "f", own=("needed",)))) == expected


def test_what_set_gives_is_told_of_set() -> None:
    wrong = ["limit.concurrency=3", "limits.concurrency=many", "decoding.temperature=3"]
    with pytest.raises(CardError) as caught:
        load_card("gpt-4.1", wrong)
    assert sorted(map(str, caught.value.problems)) == [
        "--set: 'decoding.temperature': expected a number of at most 2.0; found 3; correct the option",
        "--set: 'limit.concurrency': expected a field of a card; found no such field; did you mean limits.concurrency?",
        "--set: 'limits.concurrency': expected a whole number; found 'many'; correct the option",
    ]


def test_fields_of_a_card() -> None:
    assert {"model", "limits", "limits.concurrency", "decoding.temperature"} <= set(fields_of(Card))


def test_what_is_ours_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('backend = "replay"\nfoldr = 1\n', "utf-8")
    with pytest.raises(CardError, match="expected a field out of backend, model") as caught:
        load_card(str(tmp_path / "c.toml"))
    assert "folder" not in str(caught.value)


def told(reads: Any, *arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        reads(*arguments)
    return str(caught.value)


def test_every_reader_of_files_speaks_so(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("nmae = 3\nseeds = ['a']\n", "utf-8")
    for said in (
        told(read_study, tmp_path / "s.toml"),
        told(isr.people.study_file.read_study, tmp_path / "s.toml"),
        told(isr.bench.published.Published.load, tmp_path / "s.toml"),
        told(parse_rubric, "a/v1", "nmae = 3"),
        told(parse_recalibration, "nmae = 3", "cal.toml"),
    ):
        assert "'nmae': expected a field out of " in said
        assert "expected a value; found none; add it" in said
    member = {"card": {"name": "a", "backend": 3}, "identity": {}}
    said = told(recorded_panel, {"name": "a", "rule": "strict", "members": [member]}, "run.json")
    assert "'backend': expected a text; found 3" in said
