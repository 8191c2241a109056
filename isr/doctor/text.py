"""What was found, in the words of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from isr.doctor.machine import Machine, Package
from isr.doctor.verdicts import Verdict

WIDTH = 27  # of the column of names, as in isr judges


def render(machine: Machine, found: Sequence[Verdict]) -> str:
    """The machine, then the judges that can run, then those that cannot, and why."""
    return "\n".join([*_machine(machine), "", *_judges(found)]) + "\n"


def _machine(m: Machine) -> Iterator[str]:
    yield f"isr {m.isr}, Python {m.python}, {m.system}"
    yield f"default judge: {m.default_judge or 'none (--judge names one)'}"
    yield from ("", "extras")
    for extra, packages in m.extras.items():
        yield f"  {extra:{WIDTH - 2}} {_extra(packages)}"
    if not m.extras:
        yield "  not known: isr is not installed as a package"
    yield from ("", "GPUs")
    for gpu in m.gpus:
        yield f"  {gpu.name}: {gpu.free_gib:.1f} of {gpu.total_gib:.1f} GiB free"
    if not m.gpus:
        yield f"  none is seen: {m.gpu_fault}"
    yield from ("", "keys, by the names of their variables")
    for name, there in m.keys.items():
        yield f"  {name:{WIDTH - 2}} {'set' if there else 'not set'}"
    yield from ("", "servers on this machine")
    for address, listens in m.listening.items():
        yield f"  {address:{WIDTH - 2}} {'something listens' if listens else 'nothing listens'}"
    yield from ("", "answers")
    yield f"  {m.place.path}: {_place(m)}"


def _extra(packages: Sequence[Package]) -> str:
    missing = [p.name for p in packages if p.installed is None]
    wrong = [f"{p.name} {p.installed} (needed: {p.wanted})" for p in packages if p.installed and not p.fits]
    if missing:
        return f"missing: {', '.join(missing)}"
    if wrong:
        return f"of another version: {', '.join(wrong)}"
    return ", ".join(f"{p.name} {p.installed}" for p in packages)


def _place(m: Machine) -> str:
    kind = m.place.file_system or "a file system that is not known"
    if not m.place.writable:
        return f"{kind}; this folder cannot be written to: give --out another"
    if m.place.shared:
        return f"{kind}, which several machines may share: safe, and slower; give --store a local path if only one writes"
    return f"{kind}, local"


def _judges(found: Sequence[Verdict]) -> Iterator[str]:
    yield "judges that can run here"
    for v in found:
        if v.can:
            yield f"  {v.name:{WIDTH - 2}} {'; '.join(v.notes) or 'ready'}"
    if not any(v.can for v in found):
        yield "  none"
    yield from ("", "judges that cannot, by what is missing")
    together: dict[tuple[str, ...], list[str]] = {}
    for v in found:
        if not v.can:
            together.setdefault(v.why, []).append(v.name)
    for why, names in together.items():
        yield from textwrap.wrap(
            ", ".join(names), 116, initial_indent="  ", subsequent_indent="  ", break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
        yield from (f"      {reason}" for reason in why)
    if not together:
        yield "  none"
