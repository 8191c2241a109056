"""Study files: every input and every choice of a judge-agreement study, so that one command re-runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from isr.canonical import sha256_json
from isr.errors import InputError, Problem
from isr.judging.field_errors import field_errors
from isr.judging.rubrics import load_rubric, names
from isr.people.declared import parse_columns, parse_words
from isr.people.judgements import Judgements, read_source
from isr.people.label_files import Reading, load_labels
from isr.people.labels import Consensus, Labels, Scale, one_guideline, parse_scale, text_guideline
from isr.reading import Unreadable, read_toml


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelsPart(_Part):
    """Where labels come from. ``guideline_file``: the text that raters read, in place of a version's name. ``key``: of
    blinded sheets that it does not lie beside.

    file: one or several. words, columns, prefixes: what the files mean, as in ``--words``, ``--columns`` and
    ``--rater-prefix`` (by file).
    """

    file: str | tuple[str, ...]
    words: str = ""
    columns: str = ""
    prefixes: dict[str, str] = {}
    guideline: str = ""
    guideline_file: str = ""
    key: str = ""
    pool_guidelines: bool = False
    consensus: Consensus = "majority"
    semantic: dict[str, Any] | None = None
    perceptual: dict[str, Any] | None = None


class JudgePart(_Part):
    """One source of judges: exactly one of a run's folder, a store, recorded answers with their rubrics, or a table.

    words, columns: what a table of verdicts means, as in ``--judge-words`` and ``--judge-columns``.
    """

    name: str = ""
    run: str = ""
    store: str = ""
    recorded: str = ""
    table: str = ""
    words: str = ""
    columns: str = ""
    rubrics: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return self.run or self.store or self.recorded or self.table


class AnalysisPart(_Part):
    """``by``: column for confusion tables. ``primary``: the coefficient by which judges are compared."""

    by: str = "editor"
    primary: Literal["kappa", "ac1", "mcc"] = "kappa"
    most_disputed: int = Field(default=10, ge=0)


class Study(_Part):
    """The content of a study file."""

    title: str = ""
    seed: int = 0
    level: float = Field(default=0.95, ge=0.5, lt=1)
    labels: LabelsPart
    judges: tuple[JudgePart, ...] = Field(min_length=1)
    analysis: AnalysisPart = AnalysisPart()

    @property
    def digest(self) -> str:
        """Digest of the choices; comments and layout have no part in it."""
        content = self.model_dump(mode="json")
        for part in (content["labels"], *content["judges"]):
            for name in (
                "words",
                "columns",
                "prefixes",
                "key",
                "table",
            ):  # of later versions: not said, no part in it
                if not part.get(name, True):
                    del part[name]
        return sha256_json(content)


def read_study(path: Path) -> Study:
    """The study in a file. Raises ``InputError`` with every problem at once."""
    try:
        raw = read_toml(path)
        study = Study.model_validate(raw)
    except Unreadable as error:
        raise InputError(
            f"{path}: expected a study file in TOML; found {error.found}; correct the file"
        ) from error
    except ValidationError as error:
        problems = field_errors(error, raw, Study, path.name, "edit the file")
        raise InputError(f"{path}: {len(problems)} problem(s)", problems) from None
    problems = [
        Problem(
            path.name, f"judges.{i}", "one of run, store, recorded, table", "none or several", "edit the file"
        )
        for i, j in enumerate(study.judges)
        if sum(map(bool, (j.run, j.store, j.recorded, j.table))) != 1
    ]
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s)", problems)
    return study


def study_labels(part: LabelsPart, root: Path) -> Labels:
    """The labels of a study, of one guideline unless it pools them. Raises ``InputError``."""
    guideline = (
        text_guideline(root / part.guideline_file)
        if part.guideline_file
        else guideline_version(part.guideline)
    )
    scales: dict[str, Scale] = {}
    for question, raw in (("semantic", part.semantic), ("perceptual", part.perceptual)):
        if raw is not None:
            scales[question] = parse_scale(f"labels.{question}", raw)
    how = Reading(
        scales=scales,
        words=parse_words([part.words] if part.words else []),
        columns=parse_columns([part.columns] if part.columns else []),
        guideline=guideline,
        prefixes={str(root / name): prefix for name, prefix in part.prefixes.items()},
        key=root / part.key if part.key else None,
    )
    files = [part.file] if isinstance(part.file, str) else part.file
    labels = load_labels([root / name for name in files], how)
    one_guideline(labels, pool=part.pool_guidelines)
    return labels


def guideline_version(said: str) -> str:
    """What raters read, with its digest where it is a published rubric or a text file; else the name as given."""
    if said in names():
        return f"{said}:{load_rubric(said).digest}"
    path = Path(said)
    return text_guideline(path) if said and path.is_file() else said


def study_judges(study: Study, root: Path, labels: Labels) -> list[Judgements]:
    """The judges of a study under names that differ. Raises ``InputError``."""
    pixels = pixels_of(labels)
    found = [
        j
        for part in study.judges
        for j in read_source(
            root / part.path,
            name=part.name,
            rubrics=part.rubrics,
            pixels=pixels,
            words=parse_words([part.words]),
            columns=parse_columns([part.columns]),
        )
    ]
    return named_apart(found)


def pixels_of(labels: Labels) -> dict[str, str]:
    """Digest of an edit's file -> edit_id, from the labels that name it."""
    return {r.edit_sha256: r.edit_id for r in labels.rows if r.edit_sha256}


def check_pixels(labels: Labels, judgements: Judgements) -> None:
    """Raises ``InputError`` where a label was given to another image than the one that was judged."""
    problems = []
    for digest, edit in sorted(pixels_of(labels).items()):
        info = judgements.edits.get(edit)
        if info and info.sha256 and info.sha256 != digest:
            found = f"{digest[:19]}, judged {info.sha256[:19]}"
            fix = "labels belong to pixels: label this image, or judge the labelled one"
            problems.append(Problem(edit, "edit_sha256", "the digest of the judged image", found, fix))
    if problems:
        raise InputError(f"{judgements.name}: {len(problems)} label(s) of other images", problems)


def named_apart(found: list[Judgements]) -> list[Judgements]:
    """The judges, if their names differ; one that was given twice is one. Raises ``InputError``."""
    found = [j for n, j in enumerate(found) if j not in found[:n]]
    called = [j.name for j in found]
    if twice := sorted({n for n in called if called.count(n) > 1}):
        problem = Problem(
            "judges", "name", "names that differ", f"{', '.join(twice)} twice", "name them in a study file"
        )
        raise InputError("judges of the same name", [problem])
    return found


def option_scales(texts: Sequence[str]) -> dict[str, Scale]:
    """Scales from ``QUESTION=A,B,..:fails_below=X``. Raises ``InputError``."""
    out: dict[str, Scale] = {}
    for text in texts:
        question, _, rest = text.partition("=")
        anchors, _, side = rest.partition(":")
        name, _, cut = side.partition("=")
        try:
            raw = {"anchors": [float(a) for a in anchors.split(",")], name: float(cut)}
        except ValueError:
            raw = {}
        if question not in ("semantic", "perceptual"):
            raw = {}
        out[question] = parse_scale(f"--scale {text}", raw)
    return out
