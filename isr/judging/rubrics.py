"""Rubrics: versioned judging prompts with their answer schema.

Published rubrics are those of ``prompts/<rubric>/v<N>.toml`` and those that installed packages register in the entry
point group ``isr.rubrics`` (``"<rubric>/v<N>"`` names an object whose text is the path of the file). A rubric of one's
own is given by its path: ``./<rubric>.toml`` is ``<rubric>/v0``, that is, not published.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as _ModelField

from isr.canonical import sha256_json, short
from isr.errors import Problem, RubricError
from isr.files import write_text
from isr.foreign import ForeignCodeError, loaded
from isr.judging.field_errors import field_errors
from isr.reading import MAX_TOML, Unreadable, read_text, toml_of
from isr.text import did_you_mean
from isr.types import Question

DEFAULTS = ("semantic/v1", "perceptual/v1")
PLACEHOLDER = "{{prompt}}"

ENTRY_POINTS = "isr.rubrics"
FOLDER = "rubrics"  # in a run's folder and in a bundle: the texts of its rubrics

_NAME = re.compile(r"([a-z0-9][a-z0-9-]*)/v([1-9][0-9]*)\Z")
_STEM = re.compile(r"[a-z0-9][a-z0-9-]*\Z")


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
    """The verdict of a rubric that asks for grades only: ``fails`` where the lowest of them is below a threshold.

    Without ``fails_below`` the scale has no meaning of its own: a threshold learnt from people decides, and nothing else.
    """

    fields: tuple[str, ...]
    fails_below: int | None = None


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
    text: str = _ModelField("", exclude=True, repr=False)  # of the file, as it was read

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


def builtin_names() -> list[str]:
    """The rubric versions of the package itself, oldest first within a rubric."""
    found: list[tuple[str, int]] = []
    for folder in resources.files("isr.prompts").iterdir():
        if folder.is_dir():
            for file in folder.iterdir():
                match = _NAME.match(f"{folder.name}/{file.name.removesuffix('.toml')}")
                if match and file.name.endswith(".toml"):
                    found.append((match[1], int(match[2])))
    return [f"{name}/v{version}" for name, version in sorted(found)]


def names() -> list[str]:
    """All published rubric versions: the package's own, then those of installed packages by name."""
    own = builtin_names()
    return own + sorted({p.name for p in metadata.entry_points(group=ENTRY_POINTS)} - set(own))


def is_path(rubric: str) -> bool:
    """Whether a rubric is given by the path of its file and not by the name of a published one."""
    return rubric.endswith(".toml")


def load_rubric(name_or_path: str, run: Path | None = None) -> Rubric:
    """The published rubric ``<rubric>/v<N>``, or the one of a ``.toml`` file.

    run: the folder of a run, whose own copy of that rubric is read where it has one. Raises ``RubricError`` if there
    is none, if the file is malformed, or if another rubric has the name of a published one.
    """
    if is_path(name_or_path):
        return _from_file(Path(name_or_path))
    kept = run / FOLDER / f"{name_or_path}.toml" if run else None
    if kept is not None and kept.is_file():
        return parse_rubric(name_or_path, _read(kept))
    return _published(name_or_path)


def rubric_parts(rubrics: Mapping[Question, Rubric]) -> list[tuple[str, str]]:
    """What a signature says of rubrics: by question, the version (with the name where it is another) and the digest."""
    return [
        (question.value, f"{rubric.name.removeprefix(f'{question}/')}:{short(rubric.digest)}")
        for question, rubric in rubrics.items()
    ]


def keep_rubrics(run: Path, rubrics: Iterable[Rubric]) -> None:
    """Puts the texts of rubrics that are not the package's own into a run's folder, for whoever reads it later."""
    own = builtin_names()
    for rubric in rubrics:
        if rubric.name not in own:
            file = run / FOLDER / f"{rubric.name}.toml"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, rubric.text)


@lru_cache(maxsize=64)
def _published(name: str) -> Rubric:
    match = _NAME.match(name)
    file = resources.files("isr.prompts").joinpath(match[1], f"v{match[2]}.toml") if match else None
    built_in = file is not None and file.is_file()
    points = {p.value: p for p in metadata.entry_points(group=ENTRY_POINTS, name=name)} if match else {}
    if built_in + len(points) > 1:
        owners = ["isr itself"] * built_in + sorted(
            f"{p.value} of the package {p.dist.name if p.dist else '?'}" for p in points.values()
        )
        raise RubricError(
            f"rubric {name!r}: expected one rubric of that name; found {len(owners)}: {', '.join(owners)}; "
            f"uninstall one, or rename it in its package"
        )
    if points:
        (point,) = points.values()
        try:
            path = Path(str(loaded(point.load)))
        except ForeignCodeError as error:
            raise RubricError(
                f"rubric {name!r}: expected the path of a file at {point.value}; found {error}; correct the package"
            ) from error
        return parse_rubric(name, _read(path))
    if file is None or not built_in:
        raise RubricError(
            f"rubric {name!r}: expected one of {', '.join(names())}, or the path of a .toml file; "
            f"found no such version; {did_you_mean(name, names(), 'isr prompts lists all')}"
        )
    return parse_rubric(name, file.read_text("utf-8"))


def _from_file(path: Path) -> Rubric:
    """The rubric of a file: ``<folder>/v<N>.toml`` has that name, any other is version 0 of its own name."""
    named = f"{path.resolve().parent.name}/{path.stem}"
    if not _NAME.match(named):
        if not _STEM.match(path.stem):
            raise RubricError(
                f"rubric {path}: expected a file name of lower-case letters, digits and hyphens; found "
                f"{path.stem!r}; rename the file"
            )
        named = f"{path.stem}/v0"
    rubric = parse_rubric(named, _read(path))
    if named in names() and _published(named).digest != rubric.digest:
        raise RubricError(
            f"rubric {path}: expected another name than that of the published {named}; found other content under "
            f"it; rename the file, e.g. {path.resolve().parent.name}-mine.toml"
        )
    return rubric


def _read(path: Path) -> str:
    try:
        return read_text(path, MAX_TOML)
    except Unreadable as error:
        raise RubricError(
            f"rubric {path}: expected a readable rubric file; found {error.found}; check the path"
        ) from error


def parse_rubric(name: str, text: str) -> Rubric:
    """A rubric from the text of its file. Raises ``RubricError`` with every problem at once."""
    try:
        raw = toml_of(text)
        rubric = Rubric.model_validate({**raw, "name": name, "text": text})
    except Unreadable as error:
        raise RubricError(f"rubric {name}: expected TOML; found {error.found}; correct the file") from error
    except ValidationError as error:
        whole = {**raw, "name": name, "text": text}
        problems = field_errors(error, whole, Rubric, f"rubric {name}", "edit the file", own=("name", "text"))
        raise RubricError(f"rubric {name}: {len(problems)} problem(s)", problems) from None
    problems = []
    for own, fix in (("name", "the file's place is its name"), ("text", "remove it")):
        if own in raw:
            problems.append(Problem(f"rubric {name}", own, "no such field", "one", fix))
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
        above = "two ends" if cut is None else f"{cut} above its minimum"
        expected = f"integer fields whose scale has {above}"
        return [Problem(where, "decision", expected, ", ".join(bad) or "none", "correct the decision")]
    return []


def _inside(cut: int | None, minimum: int | None, maximum: int | None) -> bool:
    if minimum is None or maximum is None:
        return False
    return minimum < maximum if cut is None else minimum < cut <= maximum


def load_pair(rubric_names: tuple[str, ...] = DEFAULTS) -> dict[Question, Rubric]:
    """One rubric for each question, by names or paths. Raises ``RubricError`` if a question is missing or asked twice."""
    rubrics = [load_rubric(name) for name in rubric_names]
    pair = {r.question: r for r in rubrics}
    if len(rubrics) != 2 or set(pair) != set(Question):
        asked = ", ".join(f"{r.name} asks {r.question}" for r in rubrics)
        raise RubricError(
            f"rubrics: expected one for semantic and one for perceptual; found {asked or 'none'}"
        )
    return {q: pair[q] for q in Question}
