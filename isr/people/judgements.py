"""What judges said, edit by edit: from the folders of runs, from answer stores, and from recorded answers."""

from __future__ import annotations

import io
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes, short
from isr.errors import InputError, Problem, TransportReason
from isr.judging.parsing import parse, recorded_answer
from isr.judging.rubrics import load_pair, load_rubric
from isr.judging.store import Store
from isr.people.declared import ASKED, TARGETS, Columns, Words, views, word_of
from isr.people.label_rows import content_of, flat
from isr.people.labels import ARM_FIX, ARMS
from isr.people.meeting import plain_number
from isr.reading import Unreadable, byte_lines, json_lines, read_bytes
from isr.scoring.bundle_file import is_bundle
from isr.scoring.finished import EditRow, FinishedRun, of_stored
from isr.scoring.judge_words import model_words, named
from isr.scoring.outcomes import majority, repeats
from isr.scoring.places import FILES, PEOPLE
from isr.scoring.result import Result
from isr.scoring.stored import read_stored
from isr.signature import Signature
from isr.types import Answer, AnswerReason, Question, Reason, Tri, Unit, Value, Verdict, reason_of

DECIDING = ("calibration", "repeats", "reask")  # parts of a run's signature
QUESTIONS = tuple(q.value for q in Question)
OUTCOME = {1.0: Tri.YES, 0.0: Tri.NO}

log = logging.getLogger("isr")


@dataclass(frozen=True, slots=True)
class EditInfo:
    """What is known of a judged edit: its image, the digest of its file, its other columns."""

    image_id: str = ""
    sha256: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Judgements:
    """All that one judge said. ``verdicts``: question -> edit_id -> verdict; empty for a panel as a whole.

    ``controls``: the same of the control edits, each by the ``edit_id`` of the edit that it is a control of.
    ``judge`` is the digest of the judge's identity, ``rubrics`` the digest of the rubric of each question. ``model``: whose
    verdicts they are, in words.
    """

    name: str
    judge: str
    rubrics: Mapping[str, str]
    verdicts: Mapping[str, Mapping[str, Verdict]]
    outcomes: Mapping[str, Tri]
    edits: Mapping[str, EditInfo]
    rule: str = "single"
    signature: str = ""
    model: str = "model not recorded"
    is_people: bool = False  # the consensus of labels: it agrees with nobody but itself
    controls: Judgements | None = None

    @property
    def identity(self) -> str:
        """Judge, rubrics, rule and whatever else makes its verdicts, in one line, for a study's signature."""
        parts = [f"{self.name}={short(self.judge)}", *(f"{q}:{short(d)}" for q, d in self.rubrics.items())]
        rule = () if self.rule == "single" else (f"rule:{self.rule}",)
        return ",".join([*parts, *rule, *self.settings])

    @property
    def settings(self) -> tuple[str, ...]:
        """The run's settings that change verdicts: thresholds of a calibration, repeats, a second ask."""
        parts = Signature.parse(self.signature).only(DECIDING).parts
        return tuple(f"{k}:{v}" for k, v in parts if (k, v) != ("repeats", "1"))

    @property
    def instrument(self) -> dict[str, Any]:
        """By what the verdicts were made; strata and error rates hold for this and for nothing else."""
        made = {"judge": self.judge, "rubrics": dict(self.rubrics), "rule": self.rule}
        return made | ({"settings": list(self.settings)} if self.settings else {})

    def code(self, question: str, edit: str) -> int | None:
        """1 fails (immunized), 0 fine (not immunized), -1 undecided; ``None`` where the judge has no answer."""
        if question == "outcome":
            return int(self.outcomes[edit]) if edit in self.outcomes else None
        verdict = self.verdicts.get(question, {}).get(edit)
        return None if verdict is None else int(verdict.tri)

    def reasons(self, question: str, edits: Sequence[str]) -> dict[str, int]:
        """Why answers to a question are undecided, counted."""
        asked = QUESTIONS if question == "outcome" else (question,)
        found = (self.verdicts.get(q, {}).get(e) for e in edits for q in asked)
        return dict(sorted(Counter(v.reason for v in found if v is not None and v.reason).items()))


def _derived(verdicts: Mapping[str, Mapping[str, Verdict]]) -> dict[str, Tri]:
    """Immunized where either question fails; undecided unless both are decided."""
    out: dict[str, Tri] = {}
    for edit in sorted(set.union(*(set(v) for v in verdicts.values()))) if verdicts else ():
        both = [v[edit].tri if edit in v else Tri.UNKNOWN for v in (verdicts.get(q, {}) for q in QUESTIONS)]
        out[edit] = Tri.UNKNOWN if Tri.UNKNOWN in both else max(both)
    return out


def read_source(
    path: Path,
    *,
    name: str = "",
    rubrics: Sequence[str] = (),
    pixels: Mapping[str, str] | None = None,
    words: Words | None = None,
    columns: Columns | None = None,
) -> list[Judgements]:
    """The judges in a run's folder or bundle, an answer store (``.db``) or its export, recorded answers (``.jsonl``) or a
    table of verdicts.

    name: for a source of one judge. rubrics: by which recorded answers are read. pixels: digest of an edit's
    file -> edit_id, by which the answers of a store find their edits. words, columns: what a table says (see
    ``read_table``). Raises ``InputError``.
    """
    declared = bool(words or columns) and not rubrics
    packed = is_bundle(path)
    own = path.suffix == ".db" or path.name in FILES  # a store, or a file of a run, which means the run
    if path.is_file() and not own and not packed and (declared or path.suffix in (".csv", ".tsv", ".txt")):
        return [read_table(path, name=name or path.stem, words=words or {}, columns=columns or {})]
    if path.suffix == ".jsonl" and not packed and is_export(path):
        return read_export(path, pixels or {}, rubrics)
    if path.suffix == ".jsonl" and not packed:
        return [read_recorded(path, name=name or path.stem, rubrics=rubrics)]
    if path.suffix == ".db" and not packed:
        found = read_store(path, pixels or {}, rubrics)
    else:
        stored = read_stored(path)
        found = list(_of_run(of_stored(stored), stored.result))
        if stored.result.until is not None:
            log.warning(
                "%s: stops by a rule; intervals of agreement take its images as a fixed number", stored.folder
            )
    if name and len(found) == 1:
        one = found[0]
        return [replace(one, name=name)]
    return found


# --------------------------------------------------------------------------- runs


def _of_run(run: FinishedRun, result: Result) -> Iterator[Judgements]:
    """Every member of the run's panel, and the panel itself where it has several; each with its control edits."""
    protected = (row for _, rows in sorted(run.treatments.items()) for row in rows.values())
    found = list(_of_rows(run, result, {row.columns["edit_id"]: row for row in protected}))
    controls = {row.columns["edit_id"]: row for row in run.controls.values()}
    beside = list(_of_rows(run, result, controls)) if controls else [None] * len(found)
    yield from (replace(one, controls=other) for one, other in zip(found, beside, strict=True))


def _of_rows(run: FinishedRun, result: Result, rows: Mapping[str, EditRow]) -> Iterator[Judgements]:
    known = {*Unit._fields, "edit_id", "arm", "file_name", "prompt", "outcome"}
    edits = {
        e: EditInfo(
            row.unit.image_id,
            row.columns.get("edit_sha256", ""),
            {k: v for k, v in row.columns.items() if k not in known - {"editor", "prompt"}},
        )
        for e, row in rows.items()
    }
    digests = {r["question"]: r["digest"] for r in result.rubrics}
    several = len(result.judges) > 1
    for judge in result.judges:
        name = str(judge["name"])
        verdicts = {q: {e: _joined(row.columns, f"{name}:{q}") for e, row in rows.items()} for q in QUESTIONS}
        outcomes = _derived(verdicts) if several else _outcomes(rows)
        yield Judgements(
            name=name,
            judge=str(judge["digest"]),
            rubrics=digests,
            verdicts=verdicts,
            outcomes=outcomes,
            edits=edits,
            signature=run.signature,
            model=model_words(judge),
            is_people=judge["backend"] == PEOPLE,
        )
    if several:
        digest = sha256_bytes("+".join(sorted(str(j["digest"]) for j in result.judges)).encode())
        yield Judgements(
            name=f"panel ({result.rule})",
            judge=digest,
            rubrics=digests,
            verdicts={},
            outcomes=_outcomes(rows),
            edits=edits,
            rule=result.rule,
            signature=run.signature,
            model=" and ".join(map(named, result.judges)),
        )


def _outcomes(rows: Mapping[str, EditRow]) -> dict[str, Tri]:
    return {e: OUTCOME.get(row.outcome, Tri.UNKNOWN) for e, row in rows.items()}


def _joined(columns: Mapping[str, str], name: str) -> Verdict:
    """The repeats of one question as one verdict, with the mean of their scores."""
    values = repeats(columns.get(name, ""))
    joined = majority(values)
    scores = [s for s in columns.get(f"{name}_score", "").split("|") if s]
    score = round(sum(map(int, scores)) / len(scores)) if len(scores) == len(values) else None
    if joined is Value.UNDECIDED:
        reasons = [r for r in columns.get(f"{name}_reason", "").split("|") if r]
        reason = _reason(reasons[0] if reasons else "")
        waits = set(reasons) == {AnswerReason.UNCALIBRATED}  # a score that a threshold can be learnt for
        return Verdict(value=joined, reason=reason, score=score if waits else None)
    return Verdict(value=joined, score=score)


def _reason(word: str) -> Reason:
    """The reason in a table; a word that no version of this package writes is one of a plug-in that got no reply."""
    try:
        return reason_of(word)
    except ValueError:
        return TransportReason.NOT_ASKED


# --------------------------------------------------------------------------- stores


def read_store(path: Path, pixels: Mapping[str, str], rubrics: Sequence[str] = ()) -> list[Judgements]:
    """The judges whose answers are in a store; the first answer to the first repeat counts.

    rubrics: those that are not published, by their paths.

    An answer belongs to the label of the same pixels; others are left out. Raises ``InputError`` where a store
    holds answers of a judge to several rubrics of one question, or to several instructions about one edit.
    """
    with Store(path, read_only=True) as store:
        return _of_answers(path, store, pixels, rubrics)


def read_export(path: Path, pixels: Mapping[str, str], rubrics: Sequence[str] = ()) -> list[Judgements]:
    """As ``read_store``, from the rows of ``isr store export``, such as ``answers.jsonl`` of a bundle; digests are checked."""
    rows = ((f"{path.name}:{number}", row) for number, _, row in json_lines(io.BytesIO(_bytes(path))))
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "answers.db") as store:
        store.import_rows(rows)
        return _of_answers(path, store, pixels, rubrics)


def is_export(path: Path) -> bool:
    """Whether a file's first line is one of an answer store's export."""
    try:
        _, _, row = next(json_lines(byte_lines(path)), (0, 0, None))
    except Unreadable:
        return False  # its reader says why
    return isinstance(row, dict) and ("part" in row or {"key", "request", "answer"} <= set(row))


def _of_answers(
    path: Path, store: Store, pixels: Mapping[str, str], rubrics: Sequence[str]
) -> list[Judgements]:
    if not pixels:
        problem = Problem(
            str(path), "edit_sha256", "labels with the digest of each edit", "none", "give the run"
        )
        raise InputError("a store names edits by their pixels only", [problem])
    by_judge: dict[str, dict[str, dict[str, Verdict]]] = {}
    given = {r.name: r for r in map(load_rubric, rubrics)}
    digests: dict[str, dict[str, str]] = {}
    names: dict[str, str] = {}
    backends: dict[str, str] = {}
    prompts: dict[tuple[str, str, str], str] = {}
    problems: list[Problem] = []
    for row in store.export():
        if "part" in row:
            backends[row["part"]] = str(row["body"].get("backend", ""))
            continue
        body = row["request"]
        edit = pixels.get(body["images"].get("edit", ""))
        if edit is None or body["repeat"] or row["ask"]:
            continue
        rubric = given.get(row["rubric"]) or load_rubric(row["rubric"])
        question, judge = rubric.question.value, body["judge"]
        names[judge] = row["model"] or backends[judge]
        if digests.setdefault(judge, {}).setdefault(question, rubric.digest) != rubric.digest:
            problems.append(_several(path, f"rubrics of {question} by {names[judge]}"))
        if prompts.setdefault((judge, question, edit), body["prompt"]) != body["prompt"]:
            problems.append(_several(path, f"instructions about {edit} by {names[judge]}"))
        verdicts = by_judge.setdefault(judge, {}).setdefault(question, {})
        verdicts.setdefault(edit, parse(Answer.recorded(row["answer"]), rubric))
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s)", list(dict.fromkeys(problems)))
    return [
        Judgements(
            name=names[j],
            model=names[j],
            judge=j,
            rubrics=digests[j],
            verdicts=v,
            outcomes=_derived(v),
            edits={e: EditInfo() for q in v.values() for e in q},
        )
        for j, v in by_judge.items()
    ]


def _several(path: Path, found: str) -> Problem:
    return Problem(str(path), "", "one of each", f"several {found}", "give the run's folder instead")


# --------------------------------------------------------------------------- recorded answers


def read_recorded(path: Path, *, name: str, rubrics: Sequence[str]) -> Judgements:
    """Recorded VIEScore-style answers: one line per edit, two scores and a reasoning for each question.

    ``{"edit_id", "semantic": {"scores": [a, b], "reasoning"}, "perceptual": {...}, "image_id"?, "editor"?}``.
    Scores stand in the order of the grades in the rubric's decision. Other shapes are undecided, never repaired.
    """
    if not rubrics:
        raise InputError(
            f"{path}: expected the rubrics by which to read recorded answers; found none; name one for each question: "
            '--rubric NAME/vN --rubric NAME/vN (in a study file rubrics = ["NAME/vN", "NAME/vN"]); isr prompts lists them'
        )
    pair = load_pair(tuple(rubrics))
    verdicts: dict[str, dict[str, Verdict]] = {q: {} for q in QUESTIONS}
    edits: dict[str, EditInfo] = {}
    problems: list[Problem] = []
    data = _bytes(path)
    for number, offset, row in json_lines(io.BytesIO(data)):
        edit = row.get("edit_id") if isinstance(row, dict) else None
        if not isinstance(edit, str) or not edit or edit in edits:
            found = data[offset : offset + 60].partition(b"\n")[0].decode("utf-8", "replace")
            problems.append(
                Problem(f"{path.name}:{number}", "edit_id", "one object per edit", found, "correct the line")
            )
            continue
        columns = {k: v for k, v in row.items() if isinstance(v, str)}
        edits[edit] = EditInfo(columns.get("image_id", ""), columns.get("edit_sha256", ""), columns)
        for question, rubric in pair.items():
            if question.value in row:
                verdicts[question.value][edit] = parse(recorded_answer(row[question.value], rubric), rubric)
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s)", problems)
    digests = {q.value: r.digest for q, r in pair.items()}
    return Judgements(
        name=name,
        judge=sha256_bytes(data),
        rubrics=digests,
        verdicts=verdicts,
        outcomes=_derived(verdicts),
        edits=edits,
    )


# --------------------------------------------------------------------------- tables of verdicts

_OUTCOMES = {"immunized": "fails", "not_immunized": "fine", "undecided": "cannot_tell"}
_SAYS = {"fails": Tri.YES, "fine": Tri.NO, "cannot_tell": Tri.UNKNOWN}


def read_table(path: Path, *, name: str, words: Words, columns: Columns) -> Judgements:
    """Verdicts made elsewhere: a table of one row per edit, with a column for each question or for the outcome.

    words, columns: what they mean (``isr.people.declared``). An empty cell is undecided: a run that was resumed, or one
    that failed. The same row twice counts once; rows that contradict each other are problems. Raises ``InputError``.
    """
    content = content_of(path)
    rows = list(flat(content))
    present = tuple(dict.fromkeys((*content.columns, *(c for row in rows for c in row.cells))))
    (view, *more) = views({t: (t,) for t in TARGETS}, columns, present, path.name)
    asked = [q for q in ASKED if q in view.columns]
    if more or "edit_id" not in view.columns or not asked or ("outcome" in asked and len(asked) > 1):
        fix = '--judge-columns "edit_id=COLUMN, semantic=COLUMN, perceptual=COLUMN" (or outcome=COLUMN)'
        expected = "a column for edit_id, and one for each question or for the outcome"
        problem = Problem(path.name, "", expected, f"columns {', '.join(present[:12])}", f"name them: {fix}")
        raise InputError("a table of verdicts", [problem])
    problems = list(content.broken)
    found: dict[tuple[bool, str], tuple[str, dict[str, str], dict[str, str]]] = {}
    for row in rows:
        problems += row.problems
        cells = view.cells(row.cells)
        edit = plain_number(cells.get("edit_id", ""))
        said: dict[str, str] = {}
        for question in asked:
            text = cells.get(question, "")
            known = {**(_OUTCOMES if question == "outcome" else {}), **words.get(question, {})}
            said[question] = word_of(text, known) if text else ""
            if text and not said[question]:
                fix = (
                    f'declare what it means: --judge-words "{question}: {text}=fails" (or fine, cannot_tell)'
                )
                problems.append(Problem(row.where, question, "fails, fine or cannot_tell", repr(text), fix))
        arm = ARMS.get(cells.get("arm", "").casefold())
        if arm is None:
            problems.append(Problem(row.where, "arm", "protected or control", repr(cells["arm"]), ARM_FIX))
            continue
        key = (arm == "control", edit)
        first, other, _ = found.setdefault(key, (row.where, said, cells | dict(row.cells)))
        if not edit:
            problems.append(Problem(row.where, "edit_id", "a name", "none", "fill it in or drop the row"))
        elif other != said:
            twice = f"{edit} with other verdicts in {first}"
            problems.append(Problem(row.where, "edit_id", "one row per edit", twice, "drop one of them"))
    if problems:
        kinds = {(p.field, p.found): p for p in reversed(problems)}  # the first of each cause
        raise InputError(f"{path}: {len(problems)} problem(s)", list(reversed(kinds.values())))
    if not found:
        raise InputError(f"{path}: expected at least one verdict; found none; export it again")
    digest = sha256_bytes(_bytes(path) + repr((sorted(words.items()), sorted(columns.items()))).encode())
    arms = [{e: row for (c, e), row in found.items() if c is control} for control in (False, True)]
    made = [_of_table(name, digest, asked, rows_of_arm) for rows_of_arm in arms]
    return replace(made[0], controls=made[1] if arms[1] else None)


def _of_table(
    name: str, judge: str, asked: Sequence[str], rows: Mapping[str, tuple[str, dict[str, str], dict[str, str]]]
) -> Judgements:  # fmt: skip
    def verdict(word: str) -> Verdict:
        if word in ("fails", "fine"):
            return Verdict(value=Value(word))
        return Verdict(Value.UNDECIDED, AnswerReason.OFF_SCALE if word else TransportReason.NOT_ASKED)

    verdicts = {q: {e: verdict(said[q]) for e, (_, said, _) in rows.items()} for q in asked if q != "outcome"}
    outcomes = {e: _SAYS.get(said.get("outcome", ""), Tri.UNKNOWN) for e, (_, said, _) in rows.items()}
    return Judgements(
        name=name,
        judge=judge,
        rubrics={},
        verdicts=verdicts,
        outcomes=outcomes if "outcome" in asked else _derived(verdicts),
        edits={
            e: EditInfo(cells.get("image_id", ""), cells.get("edit_sha256", ""), cells)
            for e, (_, _, cells) in rows.items()
        },
    )


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except Unreadable as error:
        raise InputError(f"{path}: expected recorded answers; found {error.found}; check the path") from error
