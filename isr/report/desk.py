"""The disagreement desk: who said what of each edit, by judge, people's majority and rater, and what labels need to be taken in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isr.canonical import short
from isr.people.label_store import MAX_NOTE
from isr.people.labels import QUESTIONS as ASKED
from isr.people.labels import SEEN, VERDICTS, Labels, consensus, saw_verdicts
from isr.report.gallery import OUTCOMES, Key, key_of, places
from isr.report.gallery import VERDICTS as ORDER
from isr.report.runs import ReportRun, judge_codes, told_apart, verdict
from isr.scoring.judge_words import model_words
from isr.types import Ints

TITLES = (*ASKED, "outcome")
NONE = -1
FAILS, FINE, UNDECIDED = range(len(ORDER))
"""Of a question; of an outcome the same places are immunized, not immunized, undecided (``OUTCOMES``)."""
DIGITS = {NONE: "-", FAILS: "0", FINE: "1", UNDECIDED: "2"}
DEFAULTS = {
    "semantic": "Does the edit show what the instruction asks for?",
    "perceptual": "Is the edit substantially degraded in a way that was not asked for?",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Somebody who judged: a judge, the people's majority or one rater. ``kind``: ``judge``, ``majority`` or ``rater``.

    ``codes``: by question and outcome, for each edit of the gallery 0 fails, 1 fine, 2 undecided, -1 nothing was said.
    """

    name: str
    kind: str
    codes: Mapping[str, Ints]


def sources(runs: Sequence[ReportRun], labels: Labels | None) -> list[Source]:
    """Judges in the order of the runs, then the majority where there are two raters or more, then each rater.

    The majority is of raters who did not see the judges' verdicts. A judge of several runs that share no edit is one source.
    """
    place = places(runs)
    return [*_judges(runs, place), *_people(labels, list(place))]


def _judges(runs: Sequence[ReportRun], place: Mapping[Key, int]) -> Iterator[Source]:
    found: dict[tuple[str, str], list[Source]] = {}
    for run, names in zip(runs, told_apart(runs, [run.judges for run in runs]), strict=True):
        rows = [r for r in run.rows if r["arm"] == "protected"]
        at = np.array([place[key_of(r)] for r in rows], np.int64)
        for judge, name in zip(run.result.judges, names, strict=True):
            called = str(judge["name"])
            codes = {t: np.full(len(place), NONE, np.int64) for t in TITLES}
            for question in ASKED:
                said = [ORDER.index(verdict(r.get(f"{called}:{question}", ""))) for r in rows]
                codes[question][at] = said
            codes["outcome"][at] = [_place(c) for c in judge_codes(rows, called)]
            made = Source(name=f"{name} ({model_words(judge)})", kind="judge", codes=codes)
            found.setdefault((called, str(judge["digest"])), []).append(made)
    for (called, digest), same in found.items():
        told = np.sum([s.codes["outcome"] != NONE for s in same], axis=0)
        if len(same) == 1 or told.max(initial=0) > 1:
            yield from same
            continue
        words = next(model_words(j) for run in runs for j in run.result.judges if str(j["digest"]) == digest)
        joined = {t: np.max([s.codes[t] for s in same], axis=0) for t in TITLES}
        yield Source(name=f"{called} ({words})", kind="judge", codes=joined)


def _place(code: int | None) -> int:
    """The place of a code of :mod:`isr.people.labels` or of ``judge_codes``: 1 fails, 0 fine, else undecided."""
    return UNDECIDED if code is None or code < 0 else FAILS if code else FINE


def _people(labels: Labels | None, keys: Sequence[Key]) -> Iterator[Source]:
    if labels is None:
        return
    own = labels.of_arm(control=False)
    raters = own.raters
    given = {(r.edit_id, r.edit_sha256, r.rater): r for r in own.rows}
    said = [[given.get((*k, r)) or given.get((k[0], "", r)) for r in raters] for k in keys]
    table: dict[str, tuple[Ints, Any]] = {}  # votes, and who was asked
    for title in TITLES:
        asked = [[x is not None and _asked(x, title) for x in some] for some in said]
        votes = [
            [
                UNDECIDED_VOTE if x is None else x.outcome if title == "outcome" else x.mark(title).code
                for x in some
            ]
            for some in said
        ]
        shape = (len(keys), len(raters))
        table[title] = (np.array(votes, np.int64).reshape(shape), np.array(asked, bool).reshape(shape))
    biased = {r.rater for r in own.rows if saw_verdicts(r)}
    crowd = [i for i, rater in enumerate(raters) if rater not in biased]
    if len(crowd) > 1:
        codes = {
            t: np.where(asked[:, crowd].any(axis=1), _places(consensus(votes[:, crowd])), NONE)
            for t, (votes, asked) in table.items()
        }
        yield Source(name=f"majority of {len(crowd)} raters", kind="majority", codes=codes)
    for number, rater in enumerate(raters):
        codes = {
            t: np.where(asked[:, number], _places(votes[:, number]), NONE)
            for t, (votes, asked) in table.items()
        }
        saw = ", who saw the verdicts" if rater in biased else ""
        yield Source(name=f"rater {rater}{saw}", kind="rater", codes=codes)


UNDECIDED_VOTE = -1


def _asked(label: Any, title: str) -> bool:
    """Whether a rater answered a question, also with "cannot tell"; the outcome needs both."""
    return all(label.mark(q).value for q in (ASKED if title == "outcome" else (title,)))


def _places(codes: Ints) -> Ints:
    return np.array([_place(int(c)) for c in codes], np.int64)


def desk_data(runs: Sequence[ReportRun], labels: Labels | None, titles: Mapping[str, str]) -> dict[str, Any]:
    """What the page's script needs, all by the numbers of the gallery's edits.

    titles: of the rubrics, by question. ``said``: for each source and each of ``titles`` and outcome one digit an edit.
    ``digests``: of the edits' files. ``homes``: which runs are of one edit directory, into whose labels an export is taken in.
    ``notes``: what raters wrote, as (edit, rater, note). ``key``: under which a browser keeps what a reader says.
    """
    place = places(runs)
    found = sources(runs, labels)
    return {
        "sources": [{"name": s.name, "kind": s.kind, "said": ["".join(DIGITS[int(c)] for c in s.codes[t]) for t in TITLES]} for s in found],
        "digests": [digest.removeprefix("sha256:") for _, digest in place],
        "notes": list(_notes(labels, place)),
        "homes": _homes(runs),
        "titles": {q: titles.get(q) or DEFAULTS[q] for q in ASKED},
        "guideline": guideline(runs),
        "mark": {"column": SEEN, "value": VERDICTS, "note": MAX_NOTE},
        "key": "isr desk " + " ; ".join(dict.fromkeys(r.result.signature for r in runs)),
        "outcomes": OUTCOMES,
    }  # fmt: skip


def _notes(labels: Labels | None, place: Mapping[Key, int]) -> Iterator[tuple[int, str, str]]:
    held: dict[str, list[tuple[str, int]]] = {}
    for (edit, digest), number in place.items():
        held.setdefault(edit, []).append((digest, number))
    for row in labels.of_arm(control=False).rows if labels else ():
        if note := row.extra.get("note", ""):
            for digest, number in held.get(row.edit_id, ()):
                if row.edit_sha256 in ("", digest):
                    yield number, row.rater, note


def _homes(runs: Sequence[ReportRun]) -> list[dict[str, Any]]:
    """The edit directories of the runs, each by a name and the numbers of its runs."""
    found: dict[str, dict[str, Any]] = {}
    for number, run in enumerate(runs):
        key = f"run {number}" if run.root is None else f"folder {run.root.resolve()}"
        name = run.name if run.root is None else run.root.resolve().name
        found.setdefault(key, {"name": name, "runs": []})["runs"].append(number)
    return list(found.values())


def guideline(runs: Sequence[ReportRun]) -> str:
    """The version of the questions as ``isr label`` writes it, where all runs ask by the same rubrics; else ``""``."""
    said = {"+".join(f"{r['name']}:{short(str(r['digest']))}" for r in run.result.rubrics) for run in runs}
    return said.pop() if len(said) == 1 else ""
