"""Has a judge changed? Answers frozen at one time, compared with those to the same questions at another.

Hosts replace models under one name. An anchor holds what was asked (by content digest), the verdicts and the
scores; the check asks all of it anew, pairs the answers, and clusters on the image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from isr.errors import InputError, Problem, UsageError
from isr.files import write_text
from isr.qualify.checks import LEVEL, Answers, Given
from isr.qualify.record import Qualification
from isr.qualify.run import Request, open_card, qualify
from isr.reading import Unreadable, read_json
from isr.scoring.estimates import estimate_of
from isr.scoring.run import Watch
from isr.stats.multiplicity import holm_family
from isr.stats.rate import rate_interval
from isr.stats.sign_flip import sign_flip_test
from isr.types import Estimate

SCHEMA = "isr.anchor/1"
ALARM = 0.05  # adjusted p-value below which a shift is drift
RIGHT = {  # probes whose right answer is known, to tell a judge that became worse from one that became stricter
    ("unchanged", "semantic"): "fails",
    ("unchanged", "perceptual"): "fine",
    ("black", "perceptual"): "fails",
    ("unrelated", "semantic"): "fails",
    ("known", "semantic"): "fine",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """One answer of an anchor."""

    content: str
    probe: str
    image: str
    question: str
    repeat: int
    verdict: str
    reason: str
    score: int | None


@dataclass(frozen=True, slots=True)
class Anchor:
    """A set of frozen answers: whose, to what, and what they were."""

    judge: Mapping[str, Any]
    rubrics: tuple[Mapping[str, str], ...]
    made: Mapping[str, int]  # images, repeats, seed: how the probes are made again
    answers: tuple[Frozen, ...]

    def to_json(self) -> str:
        fields = {
            "schema": SCHEMA,
            "judge": dict(self.judge),
            "rubrics": [dict(r) for r in self.rubrics],
            "made": dict(self.made),
            "answers": [asdict(a) for a in self.answers],
        }
        return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"

    @property
    def deterministic(self) -> bool:
        """Whether no repeat of a request had another verdict when the answers were frozen."""
        seen: dict[tuple[str, str, str], set[str]] = {}
        for a in self.answers:
            if a.probe == "own":
                seen.setdefault((a.probe, a.image, a.question), set()).add(a.verdict)
        return bool(seen) and all(len(verdicts) == 1 for verdicts in seen.values())


def freeze(request: Request, done: Qualification, answers: Answers) -> Anchor:
    """The answers of a qualification as an anchor."""
    made = {"images": request.images, "repeats": request.repeats, "seed": request.seed}
    return Anchor(done.judge, done.rubrics, made, tuple(_frozen(answers.given)))


def _frozen(given: Sequence[Given]) -> list[Frozen]:
    return [
        Frozen(
            content=g.content, probe=g.probe, image=g.image, question=g.question.value, repeat=g.repeat, verdict=g.verdict.value, reason=g.verdict.reason, score=g.verdict.score
        )
        for g in given
    ]  # fmt: skip


def read_anchor(path: Path) -> Anchor:
    """The anchor in a file. Raises ``InputError`` if it is none."""
    try:
        raw = read_json(path)
        if raw["schema"] != SCHEMA:
            raise ValueError(f"schema {raw['schema']}")
        answers = tuple(Frozen(**a) for a in raw["answers"])
        made = {k: int(raw["made"][k]) for k in ("images", "repeats", "seed")}
        raw["judge"]["digest"], raw["judge"]["reported_models"]
        return Anchor(raw["judge"], tuple(raw["rubrics"]), made, answers)
    except (ValueError, KeyError, TypeError) as error:
        fix = "make one with isr qualify JUDGE EDIT_DIR --anchor FILE"
        found = error.found if isinstance(error, Unreadable) else str(error)
        problem = Problem(str(path), "", f"an anchor of version {SCHEMA}", found, fix)
        raise InputError("an anchor cannot be read", [problem]) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One way in which the answers may have moved: the mean change, and its p-value by image."""

    name: str
    change: float | None
    n: int
    p_value: float | None
    p_holm: float | None
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The comparison with an anchor. ``alarms`` says why the judge counts as changed; empty if it does not."""

    changed: Estimate
    shifts: tuple[Shift, ...]
    undecided: tuple[int, int]
    models: tuple[tuple[str, ...], tuple[str, ...]]
    alarms: tuple[str, ...]
    unmatched: int

    @property
    def alarm(self) -> bool:
        return bool(self.alarms)

    def as_dict(self) -> dict[str, Any]:
        return {
            "alarm": self.alarm,
            "alarms": list(self.alarms),
            "changed": self.changed.as_dict(),
            "shifts": [asdict(s) for s in self.shifts],
            "undecided": {"then": self.undecided[0], "now": self.undecided[1]},
            "reported_models": {"then": list(self.models[0]), "now": list(self.models[1])},
            "unmatched": self.unmatched,
        }

    def text(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"drift: {'ALARM' if self.alarm else 'none found'}"
        yield from (f"  {alarm}" for alarm in self.alarms)
        e = self.changed
        span = "no interval" if e.low is None or e.high is None else f"{e.low:.1%} to {e.high:.1%}"
        yield f"  verdicts that changed {e.value or 0:.1%} ({span}), {e.n} answers, {e.clusters} images"
        for s in self.shifts:
            p = "-" if s.p_value is None else f"{s.p_value:.4f}"
            adjusted = "-" if s.p_holm is None else f"{s.p_holm:.4f}"
            change = "-" if s.change is None else f"{s.change:+.3f}"
            yield f"  {s.name:28}{change:>8}  p {p}, Holm {adjusted} ({s.n} answers)"
        yield f"  undecided: {self.undecided[0]} then, {self.undecided[1]} now"
        if self.unmatched:
            yield (
                f"  {self.unmatched} frozen answers are about probes that were not made alike now, and are not "
                f"compared; check EDIT_DIR and the versions of isr and Pillow"
            )


def compare(anchor: Anchor, now: Sequence[Frozen], models: Sequence[str]) -> Drift:
    """The frozen answers beside new ones to the same requests.

    Three shifts are tested, each by flipping the signs of whole images, and adjusted by Holm: of verdicts
    towards ``fails``, of right answers where the right one is known, and of scores. An alarm is also raised if a
    judge whose repeats never differed changed any verdict, or answers under another model name.
    """
    new = {(a.content, a.question): a for a in now}
    pairs = [
        (old, new[old.content, old.question]) for old in anchor.answers if (old.content, old.question) in new
    ]
    if not pairs:
        raise UsageError(
            "--against: expected answers to the anchor's requests; found none; use the same EDIT_DIR"
        )
    changed = [a.verdict != b.verdict for a, b in pairs]
    images = [a.image for a, _ in pairs]
    share = estimate_of(rate_interval(changed, images, level=LEVEL), LEVEL)
    shifts = _adjusted([_shift(*family) for family in _families(pairs)])
    before = tuple(str(m) for m in anchor.judge["reported_models"])
    return Drift(
        changed=share,
        shifts=shifts,
        undecided=(
            sum(a.verdict == "undecided" for a, _ in pairs),
            sum(b.verdict == "undecided" for _, b in pairs),
        ),
        models=(before, tuple(models)),
        alarms=tuple(_alarms(anchor, sum(changed), shifts, before, tuple(models))),
        unmatched=len(anchor.answers) - len(pairs),
    )


Differences = list[tuple[str, float]]  # image, new minus old


def _families(pairs: Sequence[tuple[Frozen, Frozen]]) -> Iterator[tuple[str, Differences]]:
    decided = [(a, b) for a, b in pairs if "undecided" not in (a.verdict, b.verdict)]
    yield "verdicts towards fails", [(a.image, _is(b, "fails") - _is(a, "fails")) for a, b in decided]
    known = [(a, b, RIGHT[a.probe, a.question]) for a, b in pairs if (a.probe, a.question) in RIGHT]
    yield "right answers to probes", [(a.image, _is(b, right) - _is(a, right)) for a, b, right in known]
    scored = [
        (a.image, float(b.score - a.score)) for a, b in pairs if a.score is not None and b.score is not None
    ]
    yield "scores", scored


def _is(answer: Frozen, verdict: str) -> float:
    return float(answer.verdict == verdict)


def _shift(name: str, differences: Differences) -> Shift:
    test = sign_flip_test([d for _, d in differences], [i for i, _ in differences])
    mean = float(np.mean([d for _, d in differences])) if differences else None
    return Shift(
        name=name, change=mean, n=len(differences), p_value=test.p_value, p_holm=None, method=test.method
    )


def _adjusted(shifts: Sequence[Shift]) -> tuple[Shift, ...]:
    adjusted = holm_family([s.p_value for s in shifts])
    return tuple(replace(s, p_holm=p) for s, p in zip(shifts, adjusted, strict=True))


def _alarms(
    anchor: Anchor, changed: int, shifts: Sequence[Shift], before: tuple[str, ...], models: tuple[str, ...]
) -> Iterator[str]:
    for s in shifts:
        if s.p_holm is not None and s.p_holm < ALARM:
            yield f"{s.name} moved by {s.change:+.3f}: p {s.p_holm:.4f} after Holm"
    if anchor.deterministic and changed:
        yield f"{changed} verdicts changed, though no repeat of a request differed when the answers were frozen"
    if before != models:
        yield f"another model answers: {', '.join(models) or 'no name'}; it was {', '.join(before) or 'no name'}"


async def qualify_and_compare(
    request: Request, anchor: Path | None, against: Path | None, occasion: str, watch: Watch
) -> tuple[Qualification, Drift | None]:
    """Qualifies a judge; freezes the answers in ``anchor``; compares them with those frozen in ``against``.

    With ``against`` the probes are those of the anchor, and everything is asked anew, in a store of the
    occasion. Raises ``IsrError``.
    """
    if against is None:
        done, answers = await qualify(request, watch)
        if anchor is not None:
            write_text(anchor, freeze(request, done, answers).to_json())
        return done, None
    if anchor is not None:
        raise UsageError("--anchor: expected without --against; found both; freeze in a run of its own")
    frozen, card = read_anchor(against), open_card(request)
    if frozen.judge["digest"] != card.digest:
        raise UsageError(
            f"--against {against}: expected answers of the judge {card.signature}; found those of "
            f"{frozen.judge['name']} with another identity; freeze an anchor for this one"
        )
    folder = request.folder(card) / "occasions" / (occasion or datetime.now(UTC).date().isoformat())
    request = replace(
        request,
        rubrics=tuple(str(r["name"]) for r in frozen.rubrics),
        out=folder,
        store=request.store or folder / "isr.db",
        images=frozen.made["images"],
        repeats=frozen.made["repeats"],
        seed=frozen.made["seed"],
    )
    done, answers = await qualify(request, watch)
    drift = compare(frozen, _frozen(answers.given), done.judge["reported_models"])
    write_text(folder / "drift.json", json.dumps(drift.as_dict(), indent=1) + "\n")
    return done, drift
