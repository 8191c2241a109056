"""The study expanded to cells: what is immunized, edited and scored, in which folders, and how much of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isr.bench.study import EditorPart, JudgePart, MethodPart, Study, pairs_of
from isr.canonical import sha256_json
from sifm_ref.pictures import slug

STEPS = ("images", "immunize", "edit", "score", "results")
QUESTIONS = 2  # asked of each edit by each judge


@dataclass(frozen=True)
class Immunization:
    """One treatment: a method at a budget on a surrogate. ``label`` is what tables call the method."""

    method: MethodPart
    eps: float
    surrogate: EditorPart
    folder: str

    @property
    def label(self) -> str:
        return self.method.name

    @property
    def title(self) -> str:
        return f"{self.label} {self.eps:g} on {self.surrogate.name}"


@dataclass(frozen=True)
class Editing:
    """All edits of one editor, and the treatments that they are made of."""

    editor: EditorPart
    purifiers: tuple[str, ...]
    treatments: tuple[Immunization, ...]
    folder: str


@dataclass(frozen=True)
class Scoring:
    """One judge on the edits of one editor."""

    editing: Editing
    judge: JudgePart
    name: str  # the judge's
    members: int
    folder: str

    @property
    def title(self) -> str:
        return f"{self.editing.editor.name} by {self.name}"


@dataclass(frozen=True)
class Plan:
    """Every cell of a study."""

    study: Study
    immunizations: tuple[Immunization, ...]
    editings: tuple[Editing, ...]
    scorings: tuple[Scoring, ...]

    def units(self, editing: Editing, pairs: int) -> int:
        """Units of an editor, ``pairs`` being those of image and prompt; each has one control edit."""
        return pairs * len(self.study.seeds) * len(editing.purifiers)

    def edits(self, editing: Editing, pairs: int) -> int:
        """Protected edits of an editor."""
        return self.units(editing, pairs) * len(editing.treatments)

    def questions(self, scoring: Scoring, pairs: int) -> int:
        """Requests of a judge: protected and control edits, every question, every member of a panel."""
        each = self.edits(scoring.editing, pairs) + self.units(scoring.editing, pairs)
        return each * QUESTIONS * scoring.members


@dataclass(frozen=True)
class Marks:
    """What a study's words mean on this disk, so that other files make other cells.

    ``editors``: fingerprint by name; ``code``: digest of a method's file, or of the files that its settings name, by the method's name; ``judges``: name,
    number of members and digest of each card, in the study's order.
    """

    editors: Mapping[str, str]
    code: Mapping[str, str]
    judges: Sequence[tuple[str, int, str]]


def plan(study: Study, marks: Marks) -> Plan:
    """The cells of a study. A changed setting makes another cell in another folder; what is added joins the others."""
    used = [
        (method, name, editor) for method in study.methods for name, editor in pairs_of(method, study.editors)
    ]
    found = {
        (method.name, eps, name): _immunization(method, eps, study.editor(name), marks)
        for method, name, _ in used
        for eps in method.eps
    }
    editings = []
    for editor in (e for e in study.editors if e.edits):
        some = [
            found[method.name, eps, name]
            for method, name, other in used
            if other == editor.name
            for eps in method.eps
        ]
        folder = f"edits/{named(editor.name)}-{_digest(_editing(editor, marks))}"
        if some:
            editings.append(Editing(editor, study.purifiers_of(editor), tuple(some), folder))
    scorings = [
        Scoring(editing, judge, name, members, _scores(editing, judge, name, digest))
        for judge, (name, members, digest) in zip(study.judges, marks.judges, strict=True)
        for editing in editings
    ]
    return Plan(study, tuple(found.values()), tuple(editings), tuple(scorings))


def _immunization(method: MethodPart, eps: float, surrogate: EditorPart, marks: Marks) -> Immunization:
    said = {
        "method": [method.method, marks.code.get(method.name, "")],
        "preset": method.preset,
        "set": method.model_dump(mode="json")["set"],
        "eps": [eps, method.norm],
        "seed": method.seed,
        "surrogate": _editing(surrogate, marks),
        "batch": surrogate.batch,
        **({"text": method.text} if method.text else {}),
    }
    folder = f"immunized/{named(method.name)}-{eps:g}-{named(surrogate.name)}-{_digest(said)}"
    return Immunization(method, eps, surrogate, folder)


def _editing(editor: EditorPart, marks: Marks) -> list[Any]:
    """What decides an editor's pixels; its device, memory and purifiers do not."""
    said = editor.model_dump(mode="json", include={"name", "editor", "set", "dtype", "revision"})
    said |= {"prompt": editor.prompt} if editor.prompt else {}
    return [said, marks.editors.get(editor.name, "")]


def _scores(editing: Editing, judge: JudgePart, name: str, digest: str) -> str:
    mark = _digest([editing.folder, digest, list(judge.rubrics)])
    return f"scores/{named(editing.editor.name)}-{named(name)}-{mark}"


def named(text: str) -> str:
    """A name as a piece of a file name: it can be read, and leads nowhere."""
    return slug("".join(c if c.isascii() else "-" for c in text)).strip("._-") or "x"


def _digest(said: Any) -> str:
    return sha256_json(said)[7:13]


def with_earlier(step: str) -> str:
    """A step and those after it that rest on it, as ``--only`` takes them."""
    return ",".join(STEPS[STEPS.index(step) : -1])
