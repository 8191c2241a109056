"""Unseen prompts of each image: from a CSV, or written by a language model through the project's own client.

Every completed reply is a line of ``unseen.jsonl`` beside the images, with the model, the date and the digest of the
request, and is never asked for again. A reply that is not what was asked for is counted and named; nothing takes
its place.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from isr.bench.material.dataset import REPLIES, captions, unprintable
from isr.bench.material.source import PROMPTS, SELECTION
from isr.bench.material.writing import SCHEMA, Asked, instructions, question, writer
from isr.edits.prompt_tables import PromptRow, read_prompts
from isr.errors import InputError, Problem, TransportError
from isr.files import naming, write_bytes
from isr.judging.backends import open_writer
from isr.judging.cards import Card
from isr.judging.retry import Throttle, with_retries
from isr.reading import Unreadable, byte_lines, json_lines, json_of
from isr.spreadsheet import Writer
from isr.types import Answer, Finish

SEEN, UNSEEN = "seen", "unseen"


class UnseenPart(BaseModel):
    """``[images.unseen]``: ``file`` (name,prompt[,prompt_id]) or ``writer`` (a judge card), and how many per image.

    ``unusable``: what a reply that is not as asked means: ``stop``, or ``leave`` its image without unseen prompts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = ""
    writer: str = ""
    count: int = Field(default=5, ge=1, le=50)
    unusable: Literal["stop", "leave"] = "stop"
    captions: str = (
        ""  # a column: the writer also writes the caption of each edited picture, for editors that read it
    )

    @model_validator(mode="after")
    def _one(self) -> UnseenPart:
        if bool(self.file) == bool(self.writer):
            raise ValueError("file or writer, and not both")
        return self


@dataclass(frozen=True, slots=True)
class Unseen:
    """One unseen prompt of one image."""

    name: str
    prompt: str
    prompt_id: str
    columns: Mapping[str, str] = field(default_factory=dict)  # its own texts for editors


@dataclass(frozen=True)
class Found:
    """The unseen prompts of a study, and why some images have none."""

    prompts: tuple[Unseen, ...]
    without: Mapping[str, str]  # image -> reason


def find(
    spec: UnseenPart,
    seen: Mapping[str, str],
    described: Mapping[str, str],
    out: Path,
    root: Path = Path(),
    on_reply: Callable[[int], None] = lambda number: None,
) -> Found:
    """The unseen prompts of the images in ``seen`` (name -> the prompt that methods are given).

    described: captions by name, for the writer; may lack images. out: where ``unseen.jsonl`` is kept. root: the study
    file's folder. Raises ``InputError`` with all that is wrong in the CSV, or in what was written;
    ``TransportError`` where images got no reply.
    """
    if spec.file:
        return Found(tuple(_from_file(root / spec.file, spec.count, seen)), {})
    card = writer(spec.writer, root)
    replies = asyncio.run(_ask_all(spec, card, seen, described, out / REPLIES, on_reply))
    prompts: list[Unseen] = []
    without: dict[str, str] = {}
    for name, answer in replies.items():
        said = read(answer, spec.count, seen[name])
        told = read_captions(answer, spec.count) if spec.captions and not isinstance(said, str) else []
        if isinstance(said, str) or isinstance(told, str):
            without[name] = said if isinstance(said, str) else str(told)
            continue
        for i, text in enumerate(said, 1):
            columns = {spec.captions: told[i - 1]} if spec.captions else {}
            prompts.append(Unseen(name, text, f"{UNSEEN}-{i}", columns))
    if without and spec.unusable == "stop":
        fix = 'write prompts for all images into a CSV (file = ...), or set unusable = "leave"'
        problems = [
            Problem(str(out / REPLIES), n, f"{spec.count} prompts", why, fix) for n, why in without.items()
        ]
        raise InputError(f"{len(without)} of {len(seen)} images got no usable unseen prompts", problems)
    return Found(tuple(prompts), without)


def extend(
    spec: UnseenPart,
    out: Path,
    root: Path = Path(),
    on_reply: Callable[[int], None] = lambda number: None,
    others: Sequence[PromptRow] = (),
    own: Collection[str] = (),
) -> Found:
    """Adds the unseen prompts to ``out/prompts.csv``, whose rows of the split ``seen`` stay; the same again each time.

    Other columns of an image's seen row are given to its unseen ones, but for those of ``own``: texts that an editor
    reads, which are the seen prompt's. others: rows of other splits, which the study's
    own table has; they stand there too. Raises ``InputError`` where one of them is an unseen prompt, or has its id.
    """
    rows = [r for r in read_prompts(out / PROMPTS) if r.columns.get("split", SEEN) == SEEN]
    described = captions(out) if (out / SELECTION).is_file() else {}
    found = find(spec, {r.name: r.prompt for r in rows}, described, out, root, on_reply)
    by_name: dict[str, list[Unseen]] = {}
    for one in found.prompts:
        by_name.setdefault(one.name, []).append(one)
    problems = list(_again(found.prompts, others))
    if problems:
        raise InputError(f"{len(problems)} unseen prompt(s) are in the table of prompts already", problems)
    write_bytes(out / PROMPTS, _table(rows, by_name, others, own))
    return found


def _again(unseen: Sequence[Unseen], others: Sequence[PromptRow]) -> Iterator[Problem]:
    texts = {(o.name, plain(o.prompt)) for o in others}
    ids = {(o.name, o.columns.get("prompt_id", "")) for o in others}
    for one in unseen:
        if (one.name, plain(one.prompt)) in texts:
            yield Problem(
                "images.prompts", one.name, "each prompt once", f"{one.prompt!r} twice", "drop the row there"
            )
        if (one.name, one.prompt_id) in ids:
            yield Problem(
                "images.prompts", one.name, "a prompt_id of its own", repr(one.prompt_id), "rename it there"
            )


# ------------------------------------------------------------------------------------------ from a file


def _from_file(path: Path, count: int, seen: Mapping[str, str]) -> Iterator[Unseen]:
    rows = read_prompts(path)
    problems = list(_problems(path, rows, count, seen))
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s) with unseen prompts", problems)
    number: dict[str, int] = {}
    for row in rows:
        number[row.name] = number.get(row.name, 0) + 1
        rest = {k: v for k, v in row.columns.items() if k not in ("prompt_id", "split")}
        yield Unseen(
            row.name, row.prompt, row.columns.get("prompt_id") or f"{UNSEEN}-{number[row.name]}", rest
        )


def _problems(
    path: Path, rows: Sequence[PromptRow], count: int, seen: Mapping[str, str]
) -> Iterator[Problem]:
    where = str(path)
    number = dict.fromkeys(seen, 0)
    texts: set[tuple[str, str]] = set()
    ids: set[tuple[str, str]] = set()
    for row in rows:
        if unprintable(row.prompt):
            yield Problem(
                where, row.name, "a prompt on one line", f"{unprintable(row.prompt)} in it", "remove it"
            )
        if row.name not in seen:
            yield Problem(
                where, row.name, "the name of an image of the study", "none of that name", "drop the row"
            )
            continue
        number[row.name] += 1
        text, prompt_id = plain(row.prompt), row.columns.get("prompt_id", "")
        if text == plain(seen[row.name]):
            yield Problem(
                where, row.name, "another prompt than the seen one", repr(row.prompt), "write another"
            )
        if (row.name, text) in texts:
            yield Problem(where, row.name, "each prompt once", f"{row.prompt!r} twice", "write another")
        if prompt_id and ((row.name, prompt_id) in ids or prompt_id == SEEN):
            yield Problem(where, row.name, "a prompt_id of its own", repr(prompt_id), "rename it")
        texts.add((row.name, text))
        ids.add((row.name, prompt_id))
    for name, n in number.items():
        if n != count:
            yield Problem(where, name, f"{count} unseen prompts", str(n), "add or drop some, or change count")


def plain(text: str) -> str:
    """A prompt without what makes no other prompt of it: case, spaces, a full stop."""
    return " ".join(text.casefold().split()).rstrip(".! ")


# ------------------------------------------------------------------------------------------ from a language model


async def _ask_all(
    spec: UnseenPart,
    card: Card,
    seen: Mapping[str, str],
    described: Mapping[str, str],
    record: Path,
    on_reply: Callable[[int], None],
) -> dict[str, Answer]:
    """A completed reply for every image, from the record or from the model; each is recorded as it comes."""
    asked = {
        n: question(n, text, described.get(n, ""), card, spec.count, bool(spec.captions))
        for n, text in seen.items()
    }
    known = _recorded(record)
    found = {n: known[q.digest] for n, q in asked.items() if q.digest in known}
    missing = [q for n, q in asked.items() if n not in found]
    if missing:
        judge, throttle = open_writer(card), Throttle(card.limits)
        failed: list[TransportError] = []

        async def one(q: Asked) -> None:
            try:
                answer = await with_retries(
                    lambda: judge.write(q.system, q.text, q.response_format), card.limits, throttle
                )
            except TransportError as error:
                failed.append(error)
                return
            _append(record, q, answer)
            found[q.name] = answer
            on_reply(len(found))

        try:
            async with asyncio.TaskGroup() as group:
                for q in missing:
                    group.create_task(one(q))
        except* Exception as errors:
            raise _first(errors) from None  # the card's endpoint cannot go on: the first one says why
        finally:
            await judge.close()
        if failed:
            raise TransportError(
                failed[0].reason,
                f"{len(failed)} of {len(asked)} images got no reply of {card.name} ({failed[0]}); what was received "
                f"is kept; run the same command again",
            )
    return {n: found[n] for n in asked}


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def read(answer: Answer, count: int, seen: str) -> list[str] | str:
    """The prompts in a reply; a text that says why it is of no use."""
    if answer.refusal or answer.finish_reason is Finish.CONTENT_FILTER:
        return "a refusal"
    if answer.finish_reason is Finish.LENGTH:
        return "a truncated reply"
    try:
        said = json_of(answer.text)
    except Unreadable:
        return "a reply that is no JSON" if answer.text.strip() else "an empty reply"
    prompts = said.get("prompts") if isinstance(said, dict) else None
    if not isinstance(prompts, list) or not all(isinstance(p, str) for p in prompts):
        return "a reply without a list of prompts"
    texts = [" ".join(p.split()) for p in prompts]
    if len(texts) != count:
        return f"{len(texts)} prompts where {count} were asked"
    if not all(t and t.isprintable() and len(t) <= instructions()["longest"] for t in texts):
        return (
            f"a prompt that is empty, above {instructions()['longest']} characters, or has control characters"
        )
    if len({plain(t) for t in texts}) != count:
        return "a prompt twice"
    return "the seen prompt again" if plain(seen) in {plain(t) for t in texts} else texts


def read_captions(answer: Answer, count: int) -> list[str] | str:
    """The captions in a reply whose prompts are of use; a text that says why these are not."""
    found = json_of(answer.text).get("captions")
    texts = [" ".join(c.split()) for c in found if isinstance(c, str)] if isinstance(found, list) else []
    if len(texts) != count:
        return f"{len(texts)} captions where {count} were asked"
    longest = instructions(True)["longest"]
    fine = all(t and t.isprintable() and len(t) <= longest for t in texts)
    return (
        texts if fine else f"a caption that is empty, above {longest} characters, or has control characters"
    )


def _recorded(record: Path) -> dict[str, Answer]:
    """The replies of a record by the digest of their request; the first of each counts."""
    found: dict[str, Answer] = {}
    if not record.is_file():
        return found
    for _, _, said in json_lines(byte_lines(record)):
        if isinstance(said, Unreadable):
            continue  # a line that was being written when the run was killed
        try:
            names = ("text", "finish_reason", "refusal", "served", "usage")
            answer = Answer.recorded({name: said[name] for name in names})
            if said["schema"] == SCHEMA:
                found.setdefault(str(said["request"]), answer)
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _append(record: Path, asked: Asked, answer: Answer) -> None:
    """One line, on disk before anything else is done: a reply is paid for."""
    line = {
        "schema": SCHEMA,
        "request": asked.digest,
        "image": asked.name,
        "instructions": instructions(asked.captioned)["digest"],
        "writer": asked.card.signature,
        "model": asked.card.model,
        "count": asked.count,
        "asked": asked.text,
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "refusal": answer.refusal,
        "served": dict(answer.served),
        "usage": dict(answer.usage),
        "received_at": answer.received_at,
    }
    record.parent.mkdir(parents=True, exist_ok=True)
    with naming(record), record.open("ab") as file:
        file.write(b"\n" * bool(file.tell()) + json.dumps(line, ensure_ascii=False).encode())
        file.flush()
        os.fsync(file.fileno())


def _table(
    rows: Sequence[PromptRow],
    unseen: Mapping[str, Sequence[Unseen]],
    kept: Sequence[PromptRow],
    own: Collection[str],
) -> bytes:
    told = {c for some in unseen.values() for one in some for c in one.columns}
    others = sorted({*told, *(c for r in (*rows, *kept) for c in r.columns)} - {"prompt_id", "split"})
    held = io.StringIO()
    writer = Writer(held)
    writer.writerow(["name", "prompt", "prompt_id", "split", *others])
    for row in rows:
        rest = [row.columns.get(c, "") for c in others]
        writer.writerow([row.name, row.prompt, row.columns.get("prompt_id", SEEN), SEEN, *rest])
        for one in unseen.get(row.name, ()):
            given = {c: v for c, v in row.columns.items() if c not in {*own, *told}} | dict(one.columns)
            writer.writerow(
                [one.name, one.prompt, one.prompt_id, UNSEEN, *(given.get(c, "") for c in others)]
            )
    for row in kept:
        own = [row.columns.get(c, "") for c in ("prompt_id", "split", *others)]
        writer.writerow([row.name, row.prompt, *own])
    return held.getvalue().encode()
