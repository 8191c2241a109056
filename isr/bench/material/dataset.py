"""Images and prompts of a Hugging Face data set, selected by a recorded rule and a seed.

The selection depends on the texts of the rows alone: rows are ranked by a digest of the seed and their texts, and the
first that fit each stratum are taken, one of a caption, one of an image. Another order of the same rows selects the
same. Data sets are read as tables, never by code of their own (extra ``study``).
"""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isr.bench.material.source import (
    KEYWORDS,
    MAX_BYTES,
    PROMPTS,
    RULE,
    SELECTION,
    DatasetPart,
    Source,
    open_source,
    require_same,
)
from isr.canonical import sha256_json
from isr.edits.images import pixel_digest
from isr.errors import InputError, Problem
from isr.files import write_bytes
from isr.image_file import ImageProblem, decode
from isr.reading import read_json, why
from isr.spreadsheet import Writer

STRATUM = "stratum"  # the column of the prompts that names it
REPLIES = "unseen.jsonl"  # of a writer of unseen prompts: paid for, never removed
SCHEMA = "isr.selection/1"
SPARE = 3  # images looked at in one pass, as a multiple of those that are wanted
JOINERS = "\u200c\u200d"

_WORDS = {
    s: re.compile(rf"\b(?:{'|'.join(map(re.escape, w))})\b", re.IGNORECASE) for s, w in KEYWORDS.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A row that fits a stratum, by its place in the table."""

    row: int
    stratum: str
    caption: str
    prompt: str
    rank: str
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """A candidate with its image as a PNG's bytes."""

    candidate: Candidate
    png: bytes
    digest: str  # of the pixels
    size: tuple[int, int]


def stratum_of(caption: str) -> str:
    """The stratum of a caption by the rule, ``""`` for none."""
    return next((s for s, words in _WORDS.items() if words.search(caption)), "")


def prepare(
    spec: DatasetPart, out: Path, on_row: Callable[[int], None] = lambda rows: None, root: Path = Path()
) -> None:
    """Writes ``out/*.png``, ``out/prompts.csv`` and, last, ``out/selection.json``; returns at once where they are there.

    root: the folder of the study file, from which a local data set is named. What an interrupted run left is made
    anew. Raises ``InputError`` where a stratum is not filled, a column is missing, ``out`` holds another
    selection, or a local data set was changed since.
    """
    if _complete(spec, out):
        require_same(spec, out, root / spec.id)
        return
    source = open_source(spec, root)
    chosen, account = select(spec, source, on_row)
    _clear(out)
    names = dict(_names(chosen))
    for name, one in names.items():
        _write(out / f"{name}.png", one.png)
    _write(out / PROMPTS, _table(names, spec.texts).encode())
    _write(out / SELECTION, _record(spec, source, names, account))


def select(
    spec: DatasetPart, source: Source, on_row: Callable[[int], None] = lambda rows: None
) -> tuple[list[Chosen], dict[str, Any]]:
    """The images of each stratum in order of rank, and an account of every row that was looked at."""
    candidates, left_out, rows = _candidates(spec, source, on_row)
    taken: list[Chosen] = []
    seen: set[str] = set()
    for stratum, wanted in spec.strata.items():
        queue = [c for c in candidates if c.stratum == stratum]
        found = 0
        while queue and found < wanted:
            some, queue = queue[: SPARE * (wanted - found)], queue[SPARE * (wanted - found) :]
            cells = _cells(source, {c.row for c in some})
            for candidate in some:
                if found == wanted:
                    break
                one, reason = _read(candidate, cells.get(candidate.row), spec.min_side)
                reason = reason or ("the same picture is taken already" if one and one.digest in seen else "")
                if one is None or reason:
                    left_out[reason] += 1
                    continue
                seen.add(one.digest)
                taken.append(one)
                found += 1
    fitting = Counter(c.stratum for c in candidates)
    account = {
        "rows": rows,
        "fitting": dict(sorted(fitting.items())),
        "left_out": dict(sorted(left_out.items())),
    }
    _require_filled(spec, taken, account)
    return taken, account


def _candidates(
    spec: DatasetPart, source: Source, on_row: Callable[[int], None]
) -> tuple[list[Candidate], Counter[str], int]:
    """The rows that fit a wanted stratum, by rank; why others do not; how many were looked at."""
    left_out: Counter[str] = Counter()
    found = []
    rows = 0
    for row, texts in enumerate(source.texts()):
        if row >= spec.scan:
            break
        rows += 1
        on_row(rows)
        caption, prompt, *more = map(_text, texts)
        stratum = stratum_of(caption)
        if not caption or not prompt:
            left_out["no caption or no prompt"] += 1
        elif not all(more):
            left_out["no text in a column of texts"] += 1
        elif stratum not in spec.strata:
            left_out["of no stratum that is wanted"] += 1
        else:
            rank = _rank(spec.seed, caption, prompt)
            one = Candidate(
                row=row, stratum=stratum, caption=caption, prompt=prompt, rank=rank, texts=tuple(more)
            )
            found.append(one)
    found.sort(key=lambda c: (c.rank, c.row))
    first: dict[str, Candidate] = {}
    for candidate in found:
        if first.setdefault(candidate.caption, candidate) is not candidate:
            left_out["its caption is taken already"] += 1
    return list(first.values()), left_out, rows


def _text(value: Any) -> str:
    """A cell's text on one line, without control characters."""
    return (
        " ".join("".join(c if c.isprintable() else " " for c in value).split())
        if isinstance(value, str)
        else ""
    )


def unprintable(text: str) -> str:
    """The characters of a text that no line may have: ends of lines, control and direction marks; ``""`` for none.

    Spaces of any width and joiners, which scripts need, are none of them.
    """
    odd = {c for c in text if not (c.isprintable() or c in JOINERS or unicodedata.category(c) == "Zs")}
    return ", ".join(f"U+{ord(c):04X}" for c in sorted(odd))


def _rank(seed: int, caption: str, prompt: str) -> str:
    return sha256_json([RULE, seed, caption, prompt])


def _cells(source: Source, rows: set[int]) -> dict[int, Any]:
    """The image cells of some rows; the table is read as far as the last of them."""
    found = {}
    last = max(rows, default=-1)
    for row, cell in enumerate(source.images()):
        if row in rows:
            found[row] = cell
        if row >= last:
            break
    return found


def _read(candidate: Candidate, cell: Any, min_side: int) -> tuple[Chosen | None, str]:
    """The image of a candidate, or why it cannot be taken."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes):
        return None, "no image in the row"
    if len(data) > MAX_BYTES:
        return None, f"an image file above {MAX_BYTES:,} bytes"
    try:
        image = decode(data)
    except ImageProblem:
        return None, "an image that cannot be decoded"
    if min(image.size) < min_side:
        return None, f"a side below {min_side} pixels"
    held = io.BytesIO()
    image.save(held, "PNG")
    return Chosen(candidate, held.getvalue(), pixel_digest(image), image.size), ""


def _require_filled(spec: DatasetPart, taken: Sequence[Chosen], account: Mapping[str, Any]) -> None:
    have = Counter(c.candidate.stratum for c in taken)
    said = "; ".join(f"{n} rows: {why}" for why, n in account["left_out"].items()) or "no row was left out"
    problems = [
        Problem(
            spec.id,
            f"strata.{stratum}",
            f"{wanted} images",
            f"{have[stratum]} in {account['rows']} rows ({said})",
            "raise scan, or ask for fewer",
        )
        for stratum, wanted in spec.strata.items()
        if have[stratum] < wanted
    ]
    if problems:
        raise InputError(f"{spec.id}: {len(problems)} strata are not filled; nothing was written", problems)


def _names(chosen: Sequence[Chosen]) -> Iterator[tuple[str, Chosen]]:
    count: Counter[str] = Counter()
    for one in chosen:
        count[one.candidate.stratum] += 1
        yield f"{one.candidate.stratum}-{count[one.candidate.stratum]:03}", one


def _table(names: Mapping[str, Chosen], texts: Sequence[str] = ()) -> str:
    rows = [
        (name, c.candidate.prompt, "seen", "seen", c.candidate.stratum, *c.candidate.texts)
        for name, c in names.items()
    ]
    held = io.StringIO()
    writer = Writer(held)
    writer.writerows([("name", "prompt", "prompt_id", "split", STRATUM, *texts), *rows])
    return held.getvalue()


def _record(
    spec: DatasetPart, source: Source, names: Mapping[str, Chosen], account: Mapping[str, Any]
) -> bytes:
    images = {
        name: {
            "row": one.candidate.row,
            "stratum": one.candidate.stratum,
            "caption": one.candidate.caption,
            "prompt": one.candidate.prompt,
            "size": list(one.size),
            "pixels": one.digest,
        }
        for name, one in names.items()
    }
    said = {
        "schema": SCHEMA,
        "source": dict(source.identity),
        "asked": {"id": spec.id, "revision": spec.revision},
        **spec.rule(),
        **account,
        "images": images,
    }
    return (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()


def captions(out: Path) -> dict[str, str]:
    """The caption of each selected image by its name."""
    said = read_json(out / SELECTION)
    return {name: str(image["caption"]) for name, image in said["images"].items()}


def _complete(spec: DatasetPart, out: Path) -> bool:
    """Whether this selection is there, whole. Raises ``InputError`` where another one is."""
    file = out / SELECTION
    if not file.is_file():
        return False
    try:
        said = read_json(file)
        same = all(said.get(k) == v for k, v in spec.rule().items())
        same = same and said["asked"] == {"id": spec.id, "revision": spec.revision}
        names = list(said["images"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: expected a record of a selection; found {why(error)}; remove the folder"
        ) from error
    if not same:
        raise InputError(
            f"{out}: expected the selection of this study; found another; give a new --out, or remove it"
        )
    return (out / PROMPTS).is_file() and all((out / f"{name}.png").is_file() for name in names)


def _clear(out: Path) -> None:
    """Removes what an interrupted run left. Raises ``InputError`` where something else lies there."""
    names = [rf"(?:{'|'.join(KEYWORDS)})-\d+\.png", re.escape(PROMPTS), re.escape(SELECTION)]
    ours = re.compile(rf"\.?(?:{'|'.join(names)})(?:(?:\.(?:[0-9a-f]{8}-)?\d+)?\.partial)?")
    there = sorted(p for p in out.iterdir() if p.name != REPLIES) if out.is_dir() else []
    other = [p.name for p in there if not ours.fullmatch(p.name) or p.is_dir()]
    if other:
        raise InputError(
            f"{out}: expected an empty folder; found {', '.join(other[:5])}; give another, or empty it"
        )
    for path in there:
        path.unlink()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)
