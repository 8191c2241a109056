"""What the answers themselves say about who gave them, where it is not what the card says or not one and the same.

Everything here follows from the answers, the cards and the names of the editors: the same answers give the same text on
every day and every machine, and a bundle shows it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from isr.judging.cards import Card
from isr.judging.plan import Plan
from isr.judging.progress import Served
from isr.judging.retirement import is_past
from isr.judging.served import family, is_among, is_same_model, plain
from isr.scoring.records import AnsweredRemark
from isr.types import Edit

_SHOWN = 4  # names in one sentence


def told(plan: Plan, served: Mapping[Served, int]) -> tuple[AnsweredRemark, ...]:
    """One remark for each kind of thing that was seen of each judge. served: counts of answers."""
    out: list[AnsweredRemark] = []
    for card in plan.panel.members:
        own = Counter({s: n for s, n in served.items() if s.judge == card.name})
        for level, text in (
            *_other_models(card, own),
            *_retired(card, own),
            *_hosts(own),
            *_thoughts(card, own),
            *_family(card, own, plan.edits),
        ):
            out.append({"level": level, "judge": card.name, "text": f"{card.name}: {text}"})
    return tuple(out)


def _other_models(card: Card, own: Counter[Served]) -> Iterator[tuple[str, str]]:
    """Answers of models that are not named as the one that was asked for."""
    if not card.model:  # recorded answers of whatever judge
        return
    asked, total = card.served_name, own.total()
    models: Counter[str] = Counter()
    for seen, n in own.items():
        models[plain(seen.model)] += n
    unnamed = models.pop("", 0)
    if unnamed and card.serves:
        yield (
            "warning",
            f"{unnamed} of {total} answers name no model; whether {asked!r} gave them is not known",
        )

    def known(model: str) -> bool:
        return is_same_model(asked, model) or is_among(card.serves, model)

    for same in (True, False):
        others = {m: n for m, n in models.items() if m != asked and known(m) is same}
        if others:
            said = f"{asked!r} was asked, and of {total} answers the host names others: {_counted(others)}"
            yield ("note", said) if same else ("warning", f"{said}; another model is another judge")


def _retired(card: Card, own: Counter[Served]) -> Iterator[tuple[str, str]]:
    late = {s.day: n for s, n in own.items() if is_past(card, s.day)}
    if late:
        yield (
            "warning",
            (
                f"{sum(n for s, n in own.items() if is_past(card, s.day))} of {own.total()} answers were received from "
                f"{min(late)} to {max(late)}, when {card.model} was retired ({card.retires_on} by its card): another model may "
                "have given them under its name"
            ),
        )


def _hosts(own: Counter[Served]) -> Iterator[tuple[str, str]]:
    """Several hosts under one judge: the same weights are not the same answers everywhere."""
    hosts: Counter[str] = Counter()
    for seen, n in own.items():
        hosts[" by ".join(filter(None, (seen.host, seen.provider)))] += n
    hosts.pop("", None)
    if len(hosts) > 1:
        yield (
            "note",
            (
                f"several hosts answered: {_counted(hosts)}; hosts differ in quantisation and settings: if theirs do, give each "
                "a card with its own 'deployment'"
            ),
        )


def _thoughts(card: Card, own: Counter[Served]) -> Iterator[tuple[str, str]]:
    """A judge that thinks by its card and does not always show it, or the other way round: two instruments in one."""
    wanted, total = card.decoding.thinking, own.total()
    thought = sum(n for s, n in own.items() if s.thought)
    against = total - thought if wanted else thought
    if wanted is None or not against:
        return
    said = (
        f"thinking is {'on' if wanted else 'off'} by the card, and {thought} of {total} answers show thoughts"
    )
    if wanted and thought:
        yield (
            "note",
            f"{said}: a model may skip them where a question is easy, or a server did not ask for them",
        )
    else:
        yield "warning", f"{said}: a judge that thinks and one that does not are two instruments"


def _family(card: Card, own: Counter[Served], edits: Iterable[Edit]) -> Iterator[tuple[str, str]]:
    """A judge that judges edits of its own family of models."""
    names = [card.model, *sorted({s.model for s in own})]
    families = {f for name in names if (f := family(name))}
    editors = Counter(e.unit.editor for e in edits if family(e.unit.editor) in families)
    if editors:
        shared = ", ".join(sorted({family(e) for e in editors}))
        yield (
            "warning",
            (
                f"judge and editor are of one family, {shared}: it judged {_counted(editors)} edits of it, and models have been "
                "found to favour their own; judge them with a model of another family as well"
            ),
        )


def _counted(names: Mapping[str, int]) -> str:
    """``a (12), b (14)``, most first."""
    most = sorted(names.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(most) - _SHOWN} more" if len(most) > _SHOWN else ""
    return ", ".join(f"{name} ({n})" for name, n in most[:_SHOWN]) + more
