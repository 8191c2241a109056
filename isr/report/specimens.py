"""A specimen sheet for paper: a few units drawn by a stated seed, with their pictures, prompts, outcomes and verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isr.canonical import sha256_json
from isr.report.gallery import COLUMNS, FIELDS, OUTCOMES, QUESTIONS, VERDICTS
from isr.text import value_in_words
from isr.types import Unit

SEED = 0
MOST = 12
PROMPT = 240  # characters that are printed of one
Key = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A picture by its number in the report (0: none), with what stands under it."""

    role: str
    number: int
    outcome: str = ""
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """One unit: its names, its prompt, and its pictures: source, control edit, then those of each treatment."""

    name: str
    prompt: str
    about: str
    shots: tuple[Shot, ...]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The units of a sheet in the order of the data, and how they were drawn, in words."""

    specimens: tuple[Specimen, ...]
    drawn: str


def specimens(strata: Mapping[Key, frozenset[Key]], seed: int, n: int) -> list[Key]:
    """At most ``n`` units by a draw that any language can repeat. strata: of each unit, in the order of the data.

    Units are ordered by SHA-256 of ``[seed, unit]`` as JSON. First comes, for each stratum in the order of names, the first unit
    with it, where none of those taken has it; the rest of the places go to the first that are left. Returned in the order of the data.
    """
    order = sorted(strata, key=lambda unit: sha256_json([seed, *unit]))
    taken: list[Key] = []
    for stratum in sorted(set().union(*strata.values())):
        if len(taken) < n and not any(stratum in strata[unit] for unit in taken):
            taken.append(next(unit for unit in order if stratum in strata[unit]))
    taken += [unit for unit in order if unit not in taken][: n - len(taken)]
    return [unit for unit in strata if unit in taken]


def sheet(data: Mapping[str, Any], *, seed: int = SEED, n: int = MOST) -> Sheet:
    """The specimen sheet of a gallery's data (``gallery.gallery``)."""
    units: dict[Key, list[dict[str, Any]]] = {}
    for row in data["entries"]:
        entry = dict(zip(FIELDS, row, strict=True))
        entry["at"] = dict(zip(COLUMNS, (data["texts"][i] for i in entry["n"]), strict=True))
        units.setdefault(tuple(entry["at"][c] for c in Unit._fields), []).append(entry)
    strata = {unit: frozenset(_strata(data, entries)) for unit, entries in units.items()}
    taken = specimens(strata, seed, n)
    every = frozenset[Key]().union(*strata.values())
    met = frozenset[Key]().union(*(strata[unit] for unit in taken))
    return Sheet(
        specimens=tuple(_specimen(data, unit, units[unit]) for unit in taken),
        drawn=_drawn(len(taken), len(units), seed, len(met), len(every)),
    )


def without_shown(urls: Sequence[str], made: Sheet) -> list[str]:
    """The pictures of a report by number, but nothing for those that the sheet itself holds embedded."""
    held = {shot.number for unit in made.specimens for shot in unit.shots}
    return ["" if i in held and url.startswith("data:") else url for i, url in enumerate(urls)]


def _strata(data: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> Iterator[Key]:
    """Treatment and outcome of each edit, in each run."""
    for entry in entries:
        for run, outcome in zip(data["runs"], entry["o"], strict=True):
            if outcome is not None:
                yield (run, data["texts"][entry["m"]], OUTCOMES[outcome])


def _drawn(taken: int, of: int, seed: int, met: int, every: int) -> str:
    if taken == of:
        return f"All {of} units."
    said = f"{taken} of {of:,} units, drawn with seed {seed} in the order of SHA-256 of the seed and the unit"
    shown = "every outcome that a method has" if met == every else f"{met} of the {every} outcomes of methods"
    return f"{said}, so that {shown} is shown. They are examples: no rate can be read from them."


def _specimen(data: Mapping[str, Any], unit: Key, entries: Sequence[Mapping[str, Any]]) -> Specimen:
    texts = data["texts"]
    at = dict(zip(Unit._fields, unit, strict=True))
    first = entries[0]
    shots = [Shot(role="source", number=first["img"][0])]
    controls: dict[int, list[int | None]] = {}  # of each picture of a control edit: its outcome in each run
    for entry in entries:
        if any(c is not None for c in entry["c"]):
            known = controls.get(entry["img"][2], entry["c"])
            controls[entry["img"][2]] = [
                b if a is None else a for a, b in zip(known, entry["c"], strict=True)
            ]
    for number, outcomes in controls.items():
        shots.append(Shot(role="control edit", number=number, outcome=_by_run(data, outcomes)))
    for entry in entries:
        method = texts[entry["m"]]
        if entry["img"][1]:
            shots.append(Shot(role=f"{method}: protected", number=entry["img"][1]))
        shots.append(
            Shot(
                role=f"{method}: edit",
                number=entry["img"][3],
                outcome=_by_run(data, entry["o"]),
                verdicts=tuple(_verdicts(data, entry)),
            )
        )
    prompt = texts[first["p"]]
    about = [f"{c} {value_in_words(c, v)}" for c, v in at.items() if v and c not in ("image_id", "prompt_id")]
    return Specimen(
        name=" · ".join(v for v in (at["image_id"], at["prompt_id"]) if v),
        prompt=prompt if len(prompt) <= PROMPT else prompt[: PROMPT - 1] + "…",
        about=", ".join(about),
        shots=tuple(shots),
    )


def _by_run(data: Mapping[str, Any], outcomes: Sequence[int | None]) -> str:
    """The outcome; by run where runs differ. outcomes: of each run, None where it has none."""
    said = {
        run: OUTCOMES[o].replace("_", " ")
        for run, o in zip(data["runs"], outcomes, strict=True)
        if o is not None
    }
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return ", ".join(f"{outcome} ({run})" for run, outcome in said.items())


def _verdicts(data: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[str]:
    """``semantic fails (0), perceptual fine (4)`` for each judge, with its name where there are several."""
    texts = data["texts"]
    for judge, cells in zip(data["judges"], entry["v"], strict=True):
        if cells is None:
            continue
        parts = []
        for q, question in enumerate(QUESTIONS):
            value, reason, score = (cells[4 * q + i] for i in range(3))
            why = (texts[reason] or texts[score]).replace("_", " ").replace("|", ", ")
            parts.append(f"{question} {VERDICTS[value].value}{f' ({why})' if why else ''}")
        name = f"{judge}: " if len(data["judges"]) > 1 else ""
        yield name + ", ".join(parts)
