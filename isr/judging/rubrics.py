"""Rubrics: versioned judging prompts with their answer schema, read from ``prompts/<rubric>/v<N>.toml``."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from isr.canonical import sha256_json
from isr.errors import Problem, RubricError
from isr.types import Question

DEFAULTS = ("semantic/v1", "perceptual/v1")
PLACEHOLDER = "{{prompt}}"

_NAME = re.compile(r"([a-z0-9][a-z0-9-]*)/v([1-9][0-9]*)\Z")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UserPart(_Part):
    """One piece of the user's message: a text, or an image by its role."""

    text: str = ""
    image: Literal["", "source", "edit"] = ""


class Field(_Part):
    """One field of the answer."""

    name: str
    type: Literal["string", "integer"]
    minimum: int | None = None
    maximum: int | None = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()

    def schema_(self, bounds: bool) -> dict[str, Any]:
        """JSON schema of this field; without ``bounds`` only the type and the choices."""
        out: dict[str, Any] = {"type": self.type}
        if self.choices:
            out["enum"] = list(self.choices)
        if bounds:
            limits = {"minimum": self.minimum, "maximum": self.maximum, "maxLength": self.max_length}
            out.update({k: v for k, v in limits.items() if v is not None})
        return out


class Example(_Part):
    """A worked example that is also a test of the parser."""

    case: str
    prompt: str
    answer: str
    verdict: Literal["fails", "fine", "undecided"]
    reason: str = ""


class Decision(_Part):
    """The verdict of a rubric that asks for grades only: ``fails`` where the lowest of them is below a threshold."""

    fields: tuple[str, ...]
    fails_below: int


class Rubric(_Part):
    """One published version of a judging prompt. Its ``verdict`` field decides, or else its ``decision``."""

    name: str
    question: Question
    title: str
    images: tuple[Literal["source", "edit"], ...]
    system: str
    user: tuple[UserPart, ...]
    fields: tuple[Field, ...]
    decision: Decision | None = None
    examples: tuple[Example, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Digest of the whole file's content; a published version never changes it."""
        content = self.model_dump(mode="json")
        if self.decision is None:  # rubrics with a verdict field were published before there were decisions
            del content["decision"]
        return sha256_json(content)

    def schema_(self, bounds: bool = True) -> dict[str, Any]:
        """JSON schema of the answer, fields in the rubric's order."""
        return {
            "type": "object",
            "properties": {f.name: f.schema_(bounds) for f in self.fields},
            "required": [f.name for f in self.fields],
            "additionalProperties": False,
        }

    def response_format(self, structured: str) -> dict[str, Any] | None:
        """What is sent as ``response_format`` in a host's dialect; ``None`` where the schema goes in words."""
        if structured == "words":
            return None
        if structured == "json_object":
            return {"type": "json_object"}
        schema = self.schema_(bounds=structured == "json_schema")
        name = self.name.replace("/", "_").replace("-", "_")
        return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}

    def system_text(self, structured: str) -> str:
        """The rubric's text; with the schema in words where the host takes none."""
        if structured.startswith("json_schema"):
            return self.system.strip()
        schema = json.dumps(self.schema_(), ensure_ascii=False)
        return f"{self.system.strip()}\n\nThe JSON object must match this JSON schema:\n{schema}"


def names() -> list[str]:
    """All published rubric versions, oldest first within a rubric."""
    found: list[tuple[str, int]] = []
    for folder in resources.files("isr.prompts").iterdir():
        if folder.is_dir():
            for file in folder.iterdir():
                match = _NAME.match(f"{folder.name}/{file.name.removesuffix('.toml')}")
                if match and file.name.endswith(".toml"):
                    found.append((match[1], int(match[2])))
    return [f"{name}/v{version}" for name, version in sorted(found)]


@lru_cache(maxsize=64)
def load_rubric(name: str) -> Rubric:
    """The published rubric ``<rubric>/v<N>``. Raises ``RubricError`` if there is none."""
    match = _NAME.match(name)
    file = resources.files("isr.prompts").joinpath(match[1], f"v{match[2]}.toml") if match else None
    if file is None or not file.is_file():
        raise RubricError(f"rubric {name!r}: expected one of {', '.join(names())}; found no such version")
    return parse_rubric(name, file.read_text("utf-8"))


def parse_rubric(name: str, text: str) -> Rubric:
    """A rubric from the text of its file. Raises ``RubricError`` with every problem at once."""
    try:
        raw = tomllib.loads(text)
        rubric = Rubric.model_validate({**raw, "name": name})
    except tomllib.TOMLDecodeError as error:
        raise RubricError(f"rubric {name}: expected TOML; found {error}; correct the file") from error
    except ValidationError as error:
        problems = [
            Problem(
                f"rubric {name}",
                ".".join(map(str, e["loc"])),
                e["msg"],
                repr(e["input"])[:80],
                "edit the file",
            )
            for e in error.errors()
        ]
        raise RubricError(f"rubric {name}: {len(problems)} problem(s)", problems) from None
    problems = []
    if "name" in raw:
        problems.append(
            Problem(f"rubric {name}", "name", "no such field", "one", "the file's place is its name")
        )
    shown = tuple(p.image for p in rubric.user if p.image)
    if shown != rubric.images:
        problems.append(
            Problem(f"rubric {name}", "user", f"the images {rubric.images}", str(shown), "edit the file")
        )
    if sum(PLACEHOLDER in p.text for p in rubric.user) != 1:
        problems.append(
            Problem(f"rubric {name}", "user", f"one text with {PLACEHOLDER}", "none or several", "edit it")
        )
    problems += _decision_problems(rubric)
    if problems:
        raise RubricError(f"rubric {name}: {len(problems)} problem(s)", problems)
    return rubric


def _decision_problems(rubric: Rubric) -> list[Problem]:
    """Either a verdict field, or a decision on grades that are there and whose scale holds the threshold."""
    where = f"rubric {rubric.name}"
    spoken = any(f.name == "verdict" and set(f.choices) == {"fails", "fine"} for f in rubric.fields)
    if rubric.decision is None:
        fix = "add the field, or a decision"
        return [] if spoken else [Problem(where, "fields", "a verdict: fails or fine", "none", fix)]
    if any(f.name == "verdict" for f in rubric.fields):
        return [Problem(where, "decision", "a verdict field or a decision", "both", "remove one of them")]
    scales = {f.name: f for f in rubric.fields if f.type == "integer"}
    cut = rubric.decision.fails_below
    bad = [
        name
        for name in rubric.decision.fields
        if name not in scales or not _inside(cut, scales[name].minimum, scales[name].maximum)
    ]
    if bad or not rubric.decision.fields:
        expected = f"integer fields whose scale has {cut} above its minimum"
        return [Problem(where, "decision", expected, ", ".join(bad) or "none", "correct the decision")]
    return []


def _inside(cut: int, minimum: int | None, maximum: int | None) -> bool:
    return minimum is not None and maximum is not None and minimum < cut <= maximum


def load_pair(rubric_names: tuple[str, ...] = DEFAULTS) -> dict[Question, Rubric]:
    """One rubric for each question. Raises ``RubricError`` if a question is missing or asked twice."""
    rubrics = [load_rubric(name) for name in rubric_names]
    pair = {r.question: r for r in rubrics}
    if len(rubrics) != 2 or set(pair) != set(Question):
        asked = ", ".join(f"{r.name} asks {r.question}" for r in rubrics)
        raise RubricError(
            f"rubrics: expected one for semantic and one for perceptual; found {asked or 'none'}"
        )
    return {q: pair[q] for q in Question}
