"""Bodies of requests and answers as the store keeps them: compressed with the phrases that all of them share."""

from __future__ import annotations

import zlib

MAX_BODY = 16 * 2**20  # bytes of one request or answer
# Bodies are JSON, deflated; these phrases help, and are part of the format: they never change.
_PHRASES = (
    b'"received_at":"2026-","sent":{"edit":"sha256:","source":"sha256:"},"served":{"client":"openai 3.","fingerprint":"fp_'
    b'"host":"api.openai.com","id":"chatcmpl-","model":"","request_id":"req_"},"text":"{\\"reasoning\\": \\"SOURCE shows the EDIT '
    b'\\", \\"score\\": 4, \\"source_kept\\": 4, \\"verdict\\": \\"fails\\"}","usage":{"completion_tokens":1,"prompt_tokens":1,'
    b'"total_tokens":1}}{"finish_reason":"stop","latency_s":1.{"images":{"edit":"sha256:","source":"sha256:"},'
    b'"images_policy":"isr.images/1","judge":"sha256:","prompt":"make the ","repeat":0,"rubric":"sha256:","schema":"isr.request/1"}'
)


def pack(text: str) -> bytes:
    """A body as it is kept: raw deflate with the format's own phrases (RFC 1951)."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_PHRASES)
    return deflate.compress(text.encode()) + deflate.flush()


def unpack(body: bytes) -> bytes:
    """The JSON of a body that is kept. Raises ``zlib.error`` or ``TypeError`` if it is none."""
    inflate = zlib.decompressobj(-15, zdict=_PHRASES)
    content = inflate.decompress(body, MAX_BODY)
    if inflate.unconsumed_tail:
        raise zlib.error(f"more than {MAX_BODY:,} bytes")
    return content


def unpacked(body: object) -> bytes:
    """The JSON of a body, or nothing if it is none: no digest matches that."""
    try:
        return unpack(body) if isinstance(body, bytes) else b""
    except zlib.error:
        return b""
