"""The rows of ``isr store export``: a store as JSON objects, each with the digest that it was kept under."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from isr.canonical import sha256_bytes
from isr.errors import StoreError
from isr.judging.requests import content_digest
from isr.judging.store_format import TooLongError, answer_digest, as_bytes, pack, text_of, unpack
from isr.reading import Unreadable, json_of
from isr.types import Answer

Statement = tuple[str, tuple[Any, ...]]  # table, values


class DamagedError(StoreError):
    """A row of a store whose content is not what its digest says, or that cannot be read at all."""


def sound_part(digest: object, body: object) -> Any:
    """The JSON value of a part (a rubric as sent, a judge). Raises ``DamagedError``."""
    if sha256_bytes(as_bytes(body)) != digest:
        raise DamagedError("its content has another digest")
    return _json(as_bytes(body))


def sound_request(key: object, body: object) -> dict[str, Any]:
    """The request of a key. Raises ``DamagedError``."""
    content = _unpacked(body)
    if hashlib.sha256(content).digest() != key:
        raise DamagedError("its content has another key")
    return dict(_json(content))


def sound_answer(key: object, ask: object, body: object, digest: object) -> dict[str, Any]:
    """The fields of an answer, as they were kept under its digest. Raises ``DamagedError``."""
    content = _unpacked(body)
    if not isinstance(ask, int) or answer_digest(as_bytes(key), ask, content) != digest:
        raise DamagedError("its content has another digest")
    return dict(_json(content))


def _unpacked(body: object) -> bytes:
    """The JSON of a body, or nothing if it is none: no digest matches that."""
    try:
        return unpack(body) if isinstance(body, bytes) else b""
    except TooLongError as error:
        raise DamagedError(f"it is too long to be read ({error})") from error
    except zlib.error:
        return b""


def _json(content: bytes) -> Any:
    try:
        return json_of(content)
    except Unreadable as error:
        raise DamagedError(f"it cannot be read ({error.found})") from error


def exported(
    parts: Mapping[str, Any], key: bytes, ask: int, request: dict[str, Any], answer: Any, digest: bytes
) -> dict[str, Any]:
    """One answer with its request, as a row. Raises ``DamagedError`` where a part that it names is missing."""
    missing = [name for name in ("rubric", "judge") if request[name] not in parts]
    if missing:
        raise DamagedError(f"its {' and '.join(missing)} is missing")
    rubric = parts[request["rubric"]]
    return {
        "key": key.hex(),
        "content": content_digest(rubric["rubric_digest"], request),
        "ask": ask,
        "rubric": rubric["rubric"],
        "judge": request["judge"],
        "model": parts[request["judge"]]["model"],
        "request": request,
        "answer": answer,
        "digest": f"sha256:{digest.hex()}",
    }


def imported(row: Any, parts: set[str]) -> Iterator[Statement]:
    """The inserts for one row of an export. Raises ``ValueError`` where a digest does not hold.

    parts: digests of the parts that came before; this one's is added. A row of isr 0.1.0 has no digest of its answer.
    """
    if "part" in row:
        text = text_of(row["body"])
        if sha256_bytes(text.encode()) != row["part"]:
            raise ValueError("a part whose content has another digest")
        parts.add(row["part"])
        yield "parts", (row["part"], text)
        return
    request, key = text_of(row["request"]), bytes.fromhex(row["key"])
    if hashlib.sha256(request.encode()).digest() != key:
        raise ValueError("a request whose content has another key")
    missing = [p for p in ("rubric", "judge") if row["request"][p] not in parts]
    if missing:
        raise ValueError(f"a request whose {' and '.join(missing)} did not come before it")
    yield "requests", (key, pack(request))
    answer = answer_text(row)
    yield "answers", (key, row["ask"], pack(answer), answer_digest(key, row["ask"], answer.encode()))


def answer_text(row: Mapping[str, Any]) -> str:
    """The answer in a row as the store keeps it. Raises ``ValueError`` where it is not what its digest says.

    A row without a digest (of isr 0.1.0, or made by hand) is taken as it is.
    """
    Answer.recorded(row["answer"])  # which raises for what is no answer
    text = text_of({k: row["answer"][k] for k in Answer.__slots__ if k in row["answer"]})
    if "digest" in row:
        if not isinstance(row["ask"], int):
            raise ValueError("an ask that is no number")
        kept = answer_digest(bytes.fromhex(row["key"]), row["ask"], text.encode())
        if row["digest"] != f"sha256:{kept.hex()}":
            raise ValueError("an answer whose content has another digest")
    return text
