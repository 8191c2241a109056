"""How sure a judge was: the probability of its verdict, from the logprobs of the verdict's tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isr.judging.rubrics import Rubric

_VERDICT = re.compile(r'(?<!\\)"verdict"\s*:\s*"')
FAILS, FINE = "fails", "fine"


@dataclass(frozen=True, slots=True)
class Step:
    """One generated token: its text, and the likeliest tokens at its place with their log-probabilities."""

    text: str
    likeliest: Mapping[str, float]


def p_yes(steps: Iterable[Step], rubric: Rubric) -> float | None:
    """P(``fails``) / (P(``fails``) + P(``fine``)) where the judge wrote its verdict, in [0, 1].

    The tokens at the first place at which the two words part are summed by the word that they begin or finish;
    a token that begins both (an ``f``) is followed. ``None`` where the rubric asks for no verdict, where none
    was written, or where one of the words is not among the likeliest tokens: how unlikely it is, is not known then.
    """
    if rubric.decision is not None:
        return None
    written = list(steps)
    found = list(_VERDICT.finditer("".join(s.text for s in written)))
    if not found:
        return None
    mass = {FAILS: 0.0, FINE: 0.0}
    path = 1.0
    for step, before in _from(written, found[-1].end()):
        for text, logprob in step.likeliest.items():
            words = _begun(before + text, found[-1].end())
            if len(words) == 1:
                mass[words[0]] += path * math.exp(min(logprob, 0.0))
        if len(_begun(before + step.text, found[-1].end())) != 2:
            break
        if step.text not in step.likeliest:
            return None
        path *= math.exp(min(step.likeliest[step.text], 0.0))
    if not (mass[FAILS] > 0 and mass[FINE] > 0):
        return None
    return mass[FAILS] / (mass[FAILS] + mass[FINE])


def _from(steps: list[Step], at: int) -> Iterator[tuple[Step, str]]:
    """(step, text before it) from the step on that reaches beyond the place ``at``."""
    before = ""
    for step in steps:
        if len(before) + len(step.text) > at:
            yield step, before
        before += step.text


def _begun(text: str, at: int) -> list[str]:
    """Which of the two words the text, from ``at`` on, begins or has finished."""
    said = text[at:]
    if not said:
        return []
    return [w for w in (FAILS, FINE) if f'{w}"'.startswith(said) or said.startswith(f'{w}"')]


def steps_of_completion(payload: Mapping[str, Any]) -> list[Step]:
    """The steps of a chat completion with logprobs; empty where a host sends none, or another shape."""
    try:
        content = payload["choices"][0]["logprobs"]["content"]
        return [
            Step(str(c["token"]), {str(t["token"]): float(t["logprob"]) for t in _places(c)}) for c in content
        ]
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        return []


def _places(written: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The likeliest tokens at a place, and the one that was written there."""
    return [written, *(written.get("top_logprobs") or ())]
