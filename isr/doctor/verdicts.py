"""Which judges can run on a machine, and why others cannot: a pure function of the cards and of what there is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from isr.doctor.machine import Machine, addresses_here
from isr.errors import CardError
from isr.judging.backends import extra_of
from isr.judging.cards import Card, Panel

ROOM = 1.25  # memory that a model takes beside its weights: activations and a small cache, as a share of them
ON_CPU_GIB = 3.0  # weights of which a CPU answers in seconds
BYTES = {"float32": 4}  # of a parameter; of every other type 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a card can run here. ``why``: what is missing, with what to do; ``notes``: what else to know."""

    name: str
    can: bool
    why: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def verdicts(panels: Iterable[Panel], machine: Machine, today: date) -> tuple[Verdict, ...]:
    """One verdict for each, in their order; a panel of several can run where all of its members can."""
    return tuple(_panel(p, [verdict(c, machine, today) for c in p.members]) for p in panels)


def verdict(card: Card, machine: Machine, today: date) -> Verdict:
    """Whether one judge can run here."""
    try:
        extra = "" if card.endpoint.base_url else extra_of(card.backend, card.folder)
    except CardError as error:
        return Verdict(card.name, False, (str(error),))
    if card.endpoint.base_url:
        why, notes = _host(card, machine)
    elif extra:
        why, notes = _local(card, machine, extra)
    else:
        why, notes = [], [f"needs {card.needs}"] if card.needs else []
    if card.retires_on and card.retires_on <= today.isoformat():
        why.insert(0, f"retired on {card.retires_on}: recorded answers can be scored, nothing new is asked")
    elif card.retires_on:
        notes.append(f"retires on {card.retires_on}")
    return Verdict(card.name, not why, tuple(why), tuple(notes))


def _panel(panel: Panel, members: list[Verdict]) -> Verdict:
    if len(members) == 1:
        return members[0]
    cannot = tuple(f"its member {v.name} cannot run: {'; '.join(v.why)}" for v in members if not v.can)
    return Verdict(panel.name, not cannot, cannot)


def _host(card: Card, machine: Machine) -> tuple[list[str], list[str]]:
    why, notes = [], []
    places = addresses_here(card)
    variable, address = card.endpoint.api_key_env, ", ".join(places)
    heard = [place for place in places if machine.listening.get(place)]
    if places and not heard:
        served = card.revision and _fit(machine, "vllm")
        start = "isr judges serve NAME --run" if served else "start its server, here or behind ssh -L"
        why.append(f"nothing listens at {address}: {start}, or --set endpoint.base_url=...")
    elif heard:
        notes.append(f"something listens at {', '.join(heard)}; isr judges check asks it")
    elif variable and not machine.keys.get(variable):
        why.append(f"{variable} is not set: export {variable}=...")
    if not card.model:
        named = re.search(rf"--judge {re.escape(card.name)}:\S+", card.needs)
        notes.append(f"name the model: {named[0] if named else f'--judge {card.name}:MODEL'}")
    return why, notes


def _local(card: Card, machine: Machine, extra: str) -> tuple[list[str], list[str]]:
    why, notes = [], []
    install = f"pip install 'isr-eval[{extra}]'"
    packages = machine.extras.get(extra, ())
    if not packages:
        notes.append(f"the extra {extra} is not described here (isr is not installed as a package)")
    if missing := [p.name for p in packages if p.installed is None]:
        why.append(f"not installed: {', '.join(missing)}; {install}")
    for package in packages:
        if package.installed is not None and not package.fits:
            why.append(
                f"{package.name} {package.installed} is installed, {package.wanted} is needed; {install}"
            )
    weights = _weights_gib(card)
    if not machine.gpus and weights is not None and weights > ON_CPU_GIB:
        why.append(f"no GPU is seen ({machine.gpu_fault}): an answer would take minutes")
    elif not machine.gpus:
        notes.append(f"on the CPU: no GPU is seen ({machine.gpu_fault})")
    elif weights is not None:
        need, parts = weights * ROOM, int(card.engine.get("tensor_parallel_size", 1))
        free = sorted((g.free_gib for g in machine.gpus), reverse=True)[:parts]
        if len(free) < parts:
            why.append(f"{len(machine.gpus)} GPU(s) are seen, engine.tensor_parallel_size asks for {parts}")
        elif min(free) < need / parts:
            why.append(
                f"about {need:.0f} GiB of GPU memory are needed (weights of {weights:.0f} GiB), {min(free):.0f} GiB are free"
                f"{f' on the fullest of {parts} GPUs' if parts > 1 else ''}; a smaller judge, or a server elsewhere"
            )
    if card.checkpoint is None and card.revision:
        if f"{card.model}@{card.revision}" in machine.weights:
            notes.append("its weights are in this machine's cache of the hub")
        else:
            size = f", about {weights:.0f} GiB" if weights is not None else ""
            notes.append(f"its weights are not here yet: the hub sends them at the first run{size}")
    return why, notes


def _fit(machine: Machine, extra: str) -> bool:
    """Whether everything of an extra is installed in versions that isr takes."""
    packages = machine.extras.get(extra, ())
    return bool(packages) and all(p.fits for p in packages)


def _weights_gib(card: Card) -> float | None:
    """The size of a model's weights by the billions of parameters in its name; ``None`` without such a number."""
    found = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)B(?![a-zA-Z])", card.model.replace("-", " "), re.IGNORECASE)
    return (
        None if found is None else float(found[1]) * 1e9 * BYTES.get(str(card.engine.get("dtype")), 2) / 2**30
    )
