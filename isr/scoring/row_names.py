"""Short names for the rows of a table of treatments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from isr.text import plain
from isr.types import Treatment

NO_METHOD = "(no method named)"
LEAST_DECIMALS = 4  # of a written budget: with fewer, most numbers are near some n/255
SINGLE = 1e-8  # how far a budget that was written from single precision may be from n/255
LEAST_DIGITS = 4  # of a shortened digest

_NUMBER = re.compile(r"0?\.(\d+)\Z")
_DIGEST = re.compile(r"(.*?)([0-9a-f]{8,64})\Z", re.DOTALL)


def short_names(treatments: Sequence[Treatment]) -> list[str]:
    """A row name for each treatment: its method, and of the rest only what tells the treatments of this table apart.

    A budget or a surrogate is named where the table has several, a configuration where the rest does not tell two rows
    apart, and its digest is cut. Distinct treatments have distinct names; equal ones have the same.

    >>> short_names([Treatment("sifm", "own-58cb12f2fa23", "0.0314", "ip2p"), Treatment("noise", "", "0.06", "")])
    ['sifm, eps 8/255', 'noise, eps 0.06']
    >>> short_names([Treatment("sifm", "own-58cb12f2fa23", "0.03", ""), Treatment("sifm", "own-58cd00aa1122", "0.03", "")])
    ['sifm, config own-58cb', 'sifm, config own-58cd']
    """
    distinct = list(dict.fromkeys(treatments))
    several = [len({t[i] for t in distinct if t[i]}) > 1 for i in range(len(Treatment._fields))]
    eps, surrogate = (several[Treatment._fields.index(f)] for f in ("eps", "surrogate"))
    names = {
        t: _joined(t, f"eps {eps_in_words(t.eps)}" if eps and t.eps else "", f"on {t.surrogate}" if surrogate and t.surrogate else "")
        for t in distinct
    }  # fmt: skip
    steps: tuple[Callable[[list[Treatment]], dict[Treatment, str]], ...] = (_where_they_differ, _in_full)
    for step in steps:
        for group in _alike(names):
            names |= step(group)
    taken: set[str] = set()
    for treatment in distinct:
        name, number = names[treatment], 1
        while name in taken or (number > 1 and name in names.values()):
            number += 1
            name = f"{names[treatment]} ({number})"
        taken.add(name)
        names[treatment] = name
    return [names[t] for t in treatments]


def full_name(treatment: Treatment) -> str:
    """``sifm, eps 0.03, config own-58cb12f2fa23, surrogate ip2p``: the method and whatever else the directory says of it."""
    t = treatment
    said = (("eps", t.eps), ("config", t.config), ("surrogate", t.surrogate))
    return _joined(t, *(f"{name} {value}" for name, value in said if value))


def eps_in_words(eps: str) -> str:
    """A budget as it was written; as ``8/255`` where its four or more decimals are those of one, rounded.

    >>> [eps_in_words(e) for e in ("0.0314", "0.03137", "0.03", "0.0320")]
    ['8/255', '8/255', '0.03', '0.0320']
    """
    found = _NUMBER.match(eps)
    if found is None or len(found[1]) < LEAST_DECIMALS:
        return eps
    value = float(eps)
    n = round(value * 255)
    apart = abs(value - n / 255)
    return f"{n}/255" if n and apart <= max(0.5001 * 10.0 ** -len(found[1]), SINGLE) else eps


def _joined(treatment: Treatment, *parts: str) -> str:
    return plain(", ".join([treatment.method or NO_METHOD, *filter(None, parts)]))


def _alike(names: dict[Treatment, str]) -> Iterator[list[Treatment]]:
    """The treatments that have one name so far."""
    groups: dict[str, list[Treatment]] = {}
    for treatment, name in names.items():
        groups.setdefault(name, []).append(treatment)
    yield from (group for group in groups.values() if len(group) > 1)


def _where_they_differ(group: list[Treatment]) -> dict[Treatment, str]:
    """Names by all in which treatments of one name differ, as it was written; a digest is cut as far as it can be."""
    configs = _cut([t.config for t in group])
    eps, surrogate, config = (
        len({getattr(t, field) for t in group}) > 1 for field in ("eps", "surrogate", "config")
    )
    return {
        t: _joined(
            t,
            (f"eps {t.eps}" if t.eps else "no eps") if eps else "",
            (f"on {t.surrogate}" if t.surrogate else "no surrogate") if surrogate else "",
            (f"config {configs[t.config]}" if t.config else "no config") if config else "",
        )
        for t in group
    }


def _in_full(group: list[Treatment]) -> dict[Treatment, str]:
    return {t: full_name(t) for t in group}


def _cut(configs: Sequence[str]) -> dict[str, str]:
    """Each configuration with its digest as short as these configurations allow."""
    parts = {c: _DIGEST.match(c) for c in configs}
    longest = max((len(m[2]) for m in parts.values() if m), default=0)
    for digits in range(LEAST_DIGITS, longest + 1):
        cut = {c: f"{m[1]}{m[2][:digits]}" if m else c for c, m in parts.items()}
        if len(set(cut.values())) == len(parts):
            return cut
    return {c: c for c in configs}
