"""Requests and answers as the store keeps them: canonical JSON, its digests, and its compressed form."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

from isr.canonical import canonical_json
from isr.types import Answer

MAX_BODY = 16 * 2**20  # bytes of one request or answer; what is longer is neither written nor read
# Bodies are JSON, deflated; these phrases help, and are part of the format: they never change.
_PHRASES = (
    b'"received_at":"2026-","sent":{"edit":"sha256:","source":"sha256:"},"served":{"client":"openai 3.","fingerprint":"fp_'
    b'"host":"api.openai.com","id":"chatcmpl-","model":"","request_id":"req_"},"text":"{\\"reasoning\\": \\"SOURCE shows the EDIT '
    b'\\", \\"score\\": 4, \\"source_kept\\": 4, \\"verdict\\": \\"fails\\"}","usage":{"completion_tokens":1,"prompt_tokens":1,'
    b'"total_tokens":1}}{"finish_reason":"stop","latency_s":1.{"images":{"edit":"sha256:","source":"sha256:"},'
    b'"images_policy":"isr.images/1","judge":"sha256:","prompt":"make the ","repeat":0,"rubric":"sha256:","schema":"isr.request/1"}'
)


def pack(text: str) -> bytes:
    """A body as it is kept: raw deflate with the format's own phrases (RFC 1951).

    Raises ``ValueError`` for a body that ``unpack`` would refuse.
    """
    content = text.encode()
    if len(content) > MAX_BODY:
        raise ValueError(f"{len(content):,} bytes, more than the {MAX_BODY:,} of one request or answer")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_PHRASES)
    return deflate.compress(content) + deflate.flush()


class TooLongError(zlib.error):
    """A body of more than ``MAX_BODY`` bytes, which isr 0.1.0 wrote and could not read again."""


def unpack(body: bytes) -> bytes:
    """The JSON of a body that is kept. Raises ``zlib.error`` or ``TypeError`` if it is none."""
    inflate = zlib.decompressobj(-15, zdict=_PHRASES)
    content = inflate.decompress(body, MAX_BODY)
    if inflate.unconsumed_tail:
        raise TooLongError(f"more than {MAX_BODY:,} bytes")
    if not inflate.eof or inflate.unused_data:
        raise zlib.error("cut off, or longer than it says")
    return content


def text_of(value: Any) -> str:
    """Canonical JSON as the store keeps it; a lone surrogate, which no file can hold, becomes U+FFFD."""
    return canonical_json(value).decode("utf-8", "replace")


def fields_of(answer: Answer) -> dict[str, Any]:
    """The answer's fields as JSON values, those without a value left out."""
    fields = {name: getattr(answer, name) for name in Answer.__slots__}
    return {
        name: v
        for name, v in fields.items()
        if v or name in ("text", "finish_reason") or (name == "p_yes" and v is not None)
    }


def answer_digest(key: bytes, ask: int, body: bytes) -> bytes:
    """SHA-256 over key, ask and body: an answer cannot be moved to another request unnoticed.

    It has no secret: it finds rot and naive edits, not somebody who writes a new digest beside the new answer.
    """
    return hashlib.sha256(b"%s:%d:%s" % (key.hex().encode(), ask, body)).digest()


def as_bytes(value: object) -> bytes:
    """A cell as bytes, whatever type it was given by whoever edited the file."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
