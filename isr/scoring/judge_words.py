"""Judges in print: by model, revision, decoding, and by the hosts and dates of their answers.

A card's name alone is nobody: the file may be called after one model and ask another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from isr.canonical import short
from isr.judging.cards import Card
from isr.judging.progress import Served
from isr.scoring.places import PEOPLE
from isr.scoring.records import JudgeRecord
from isr.text import plain

_WEIGHTS = re.compile(
    r"(?:checkpoint:)?(sha256:[0-9a-f]{64})"
)  # a model in a folder, as an identity names it
_REVISION = 12  # digits that are shown of one
_SHOWN = 4  # hosts in one sentence


class Answered(NamedTuple):
    """Answers under one judge's name: by which model, host and provider, from which day to which (UTC), how many.

    ``engine``: how they came, if not as one reply to one request.
    """

    judge: str
    model: str
    host: str
    provider: str
    first: str
    last: str
    n: int
    engine: str = ""


def answered_by(served: Mapping[Served, int]) -> list[Answered]:
    """Who gave the answers of a run, a line for each model and host of each judge, in the order of their names."""
    found: dict[tuple[str, str, str, str, str], list[tuple[str, int]]] = {}
    for seen, n in served.items():
        who = (seen.judge, seen.model, seen.host, seen.provider, seen.engine)
        found.setdefault(who, []).append((seen.day, n))
    return [
        Answered(
            judge,
            model,
            host,
            provider,
            engine=engine,
            first=min(d for d, _ in days),
            last=max(d for d, _ in days),
            n=sum(n for _, n in days),
        )
        for (judge, model, host, provider, engine), days in sorted(found.items())
    ]


def recorded(record: Mapping[str, Any]) -> list[Answered]:
    """Who gave the answers by a ``run.json``; nothing where it does not say."""
    try:
        return [
            Answered(
                judge=str(a["judge"]),
                model=str(a["model"]),
                host=str(a["host"]),
                provider=str(a["provider"]),
                first=str(a["first"]),
                last=str(a["last"]),
                n=int(a["n"]),
                engine=str(a.get("engine") or ""),
            )
            for a in record.get("answered_by") or ()
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        return []


def judge_record(card: Card, reported: Sequence[str] = ()) -> JudgeRecord:
    """A judge on record: its card's name, its identity in full, the models that answered in its name."""
    made = {"name": card.name, "digest": card.digest, **card.identity, "reported_models": list(reported)}
    return cast("JudgeRecord", made)


def model_words(judge: JudgeRecord) -> str:
    """A judge's model and revision: ``Qwen/Qwen2.5-VL-7B-Instruct, revision cc594898137f``, ``llava:13b, revision not pinned``.

    Weights in a folder are their content's digest. A backend without a model is a program, or repeats what others said.
    """
    model, revision = plain(judge["model"]), plain(judge["revision"])
    if judge["backend"] == PEOPLE:
        return model
    pinned = f", revision {revision[:_REVISION]}" if revision else ""
    if weights := _WEIGHTS.fullmatch(model):
        return f"weights {short(weights[1])}{pinned}"
    if model:
        return f"{model}{pinned or ', revision not pinned'}"
    said = [plain(m) for m in judge["reported_models"] if m != judge["name"]]
    return f"the program {judge['backend']}{pinned}" + (f", answers of {', '.join(said)}" if said else "")


def named(judge: JudgeRecord) -> str:
    """A judge for a table: the name of its card and its model."""
    return f"{plain(judge['name'])} ({model_words(judge)})"


def panel_words(judges: Sequence[str], rule: str) -> str:
    """Judges in words as one: joined, with the rule of a panel."""
    return judges[0] if len(judges) == 1 else f"{' + '.join(judges)} ({rule})"


def described(judge: JudgeRecord, answers: Sequence[Answered] = ()) -> str:
    """A judge for a paper: its card's name, model, revision, decoding, and who answered when."""
    return f"{plain(judge['name'])} ({'; '.join(details(judge, answers))})"


def judges_told(judges: Sequence[JudgeRecord], rule: str, answers: Sequence[Answered] = ()) -> Iterator[str]:
    """A line for each judge of a table: in full where it is known who answered, else by name and model."""
    for judge in judges:
        yield f"judge: {described(judge, answers) if answers else named(judge)}"
    if len(judges) > 1:
        yield f"joined by the rule '{rule}'"


def details(judge: JudgeRecord, answers: Sequence[Answered] = ()) -> Iterator[str]:
    """What a judge was, part by part: model and revision, what answered in its name, decoding, hosts and dates."""
    yield model_words(judge)
    if judge["model"] and not _WEIGHTS.fullmatch(judge["model"]):
        others = [plain(m) for m in judge["reported_models"] if m != judge["model"]]
        if others:
            yield f"answered as {', '.join(others)}"
    if judge["backend"] == PEOPLE:
        return
    if judge["model"]:
        yield f"backend {judge['backend']}"
        yield decoding_words(judge["decoding"])
    own = [a for a in answers if a.judge == judge["name"]]
    if judge["model"] or any(a.first for a in own):  # a program says the same on every day
        yield when_and_where(own)


def decoding_words(decoding: Mapping[str, Any]) -> str:
    """How a judge decodes: ``temperature 0, seed 0, at most 512 tokens``; what a card omits is the host's default."""
    omitted = frozenset(decoding.get("omit") or ())
    said = []
    for field, word in (("temperature", "temperature"), ("seed", "seed")):
        if field in omitted:
            said.append(f"{word} left to the host")
        elif decoding.get(field) is not None:
            said.append(f"{word} {decoding[field]:g}")
    if decoding.get("max_tokens"):
        said.append(f"at most {decoding['max_tokens']} tokens")
    if decoding.get("reasoning_effort"):
        said.append(f"reasoning effort {plain(str(decoding['reasoning_effort']))}")
    if (thinking := decoding.get("thinking")) is not None:
        said.append(
            "thinking "
            + ({True: "on", False: "off"}[thinking] if isinstance(thinking, bool) else f"budget {thinking}")
        )
    extra = ", ".join(sorted(decoding.get("extra") or ()))
    return ", ".join([*said, *([f"also set: {plain(extra)}"] if extra else [])])


def when_and_where(answers: Iterable[Answered]) -> str:
    """``answers of 2026-11-02 to 2026-11-04 from api.example.com``; that it is not recorded, where it is not."""
    given = list(answers)
    days = sorted({plain(day) for a in given for day in (a.first, a.last) if day})
    if not days:
        return "hosts and dates of the answers not recorded"
    hosts = sorted({" by ".join(filter(None, (plain(a.host), plain(a.provider)))) for a in given} - {""})
    more = f" and {len(hosts) - _SHOWN} more" if len(hosts) > _SHOWN else ""
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"answers of {span}" + (f" from {', '.join(hosts[:_SHOWN])}{more}" if hosts else "")
