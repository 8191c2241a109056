"""``isr immunize`` and ``isr edit`` by actors: pictures go out as bytes, files come back and are written here.

One picture (a batch of ``isr immunize``, a unit of ``isr edit``) is one task; what the run records of it is the same as of work
done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import partial
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from isr.actors.hands import Hands, Task
from isr.errors import InputError, Problem, TransportError
from isr.reading import Unreadable, read_bytes
from sifm_ref import editing, immunizing
from sifm_ref.in_actors import Facts, Files, HeldEditor, HeldMethod, Shipped
from sifm_ref.pictures import Picture, write_whole

if TYPE_CHECKING:
    from sifm_ref.editor import Editor
    from sifm_ref.registry import Method

ADVICE = "what was made before stays; look into it, then the same command with --resume makes the others"
_OF_THE_RUN = ("images", "out", "method", "masks", "pictures", "shard", "resume", "growing", "wait_s")


class FarEditor(SimpleNamespace):
    """What a run asks of an editor that its actors hold."""

    told: Callable[[Mapping[str, str]], tuple[dict[str, str], str]]
    name: str
    multiple: int
    masked: bool
    reads: str


def editor_there(hands: Hands, open_editor: Callable[[], Editor], spec: str, threads: int = 0) -> FarEditor:
    """The editor in the actors of ``hands``, which begin with it. Raises ``IsrError`` where it cannot be opened there."""
    return _told_by(hands, hands.begin(partial(HeldEditor, open_editor, threads), f"editor {spec}"))


def method_there(
    hands: Hands,
    open_editor: Callable[[], Editor],
    open_method: Callable[[], Method],
    job: immunizing.Job,
    spec: str,
    threads: int = 0,
) -> FarEditor:
    """The editor in the actors of ``hands``, with a method beside it. Raises ``IsrError``."""
    plain = {f.name: getattr(job, f.name) for f in fields(job) if f.name not in _OF_THE_RUN}
    make = partial(HeldMethod, open_editor, open_method, plain, threads)
    return _told_by(hands, hands.begin(make, f"editor {spec}"))


def _told_by(hands: Hands, facts: Facts) -> FarEditor:
    said = {f.name: getattr(facts, f.name) for f in fields(facts)}
    return FarEditor(**said, told=partial(hands.call, "told"))


def protect_there(hands: Hands) -> immunizing.Make:
    """Protects batches by the actors that ``method_there`` began.

    Raises ``InputError`` at the end with every picture that none of them could do.
    """

    def make(
        work: Iterator[immunizing.Batch], by: immunizing.Protecting, on_step: Callable[[Any], None]
    ) -> Iterator[immunizing.Made]:
        def tasks() -> Iterator[Task[Sequence[Picture]]]:
            for batch, waiting in work:
                shipped = [_shipped(p, by.masks.get(p.image_id)) for p in batch]
                names = [p.image_id for p in waiting]
                yield Task(tuple(names), waiting, "protect", (shipped, names))

        lost: list[Problem] = []
        for outcome in hands.map(tasks()):
            if outcome.lost is not None:
                lost += [_lost(str(p.path), "a protected picture", outcome.lost) for p in outcome.about]
                continue
            made, files = outcome.reply
            for name, data in files.items():
                write_whole(by.job.out / name, data)
            yield from made
        _require_all(lost, by.job.out, "protected")

    return make


def edits_there(hands: Hands) -> editing.Make:
    """Makes edits by the actors that ``editor_there`` began.

    Raises ``InputError`` at the end with every picture that none of them could do.
    """

    def make(
        work: Iterator[editing.Waiting], making: editing.Making
    ) -> Iterator[tuple[editing.Waiting, dict[str, Any], float]]:
        def tasks() -> Iterator[Task[list[editing.Waiting]]]:
            for _, group in groupby(work, key=lambda one: id(one.unit)):
                some = list(group)
                unit = some[0].unit
                yield Task(
                    unit.name,
                    some,
                    "edit",
                    (
                        unit,
                        read_bytes(unit.source),
                        read_bytes(unit.mask) if unit.mask else None,
                        [(one.path.name, read_bytes(one.path), one.before) for one in some],
                        _control(making.out, unit.name),
                        {unit.prompt.read: making.ends[unit.prompt.read]},
                    ),
                )

        lost: list[Problem] = []
        for outcome in hands.map(tasks()):
            if outcome.lost is not None:
                lost += [_lost(str(one.path), f"the edit {one.key}", outcome.lost) for one in outcome.about]
                continue
            made, files = outcome.reply
            _write(making.out, files)
            for one, (row, seconds) in zip(outcome.about, made, strict=True):
                yield one, row, seconds
        _require_all(lost, making.out, "edited")

    return make


def _shipped(picture: Picture, mask: Path | None) -> Shipped:
    drawn = read_bytes(mask) if mask is not None else None
    return Shipped(picture.image_id, picture.path.name, picture.size, read_bytes(picture.path), drawn)


def _control(out: Path, name: str) -> Files:
    """The control edit of a unit with its mark, where both are there."""
    files = (f"controls/{name}.png", editing.mark_of(name))
    found: dict[str, bytes] = {}
    with suppress(Unreadable):
        found = {file: read_bytes(out / file) for file in files}
    return found


def _write(out: Path, files: Files) -> None:
    """Writes what an actor made. The mark of a control edit goes before it is written, and comes after it."""
    marks = [name for name in files if name.startswith(".")]
    for name in marks:
        (out / name).unlink(missing_ok=True)
    for name in [*(n for n in files if n not in marks), *marks]:
        write_whole(out / name, files[name])


def _lost(where: str, expected: str, error: TransportError) -> Problem:
    return Problem(where, "", expected, f"none ({error.reason}: {error})", "look into this picture")


def _require_all(lost: Sequence[Problem], out: Path, what: str) -> None:
    if lost:
        raise InputError(f"{out}: {len(lost)} picture(s) could not be {what}; {ADVICE}", lost)
