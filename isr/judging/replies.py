"""The bytes of a server's reply, read with a bound: a body may be endless, or small and unpack without end."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, AsyncIterator

from isr.errors import TransportError, TransportReason

MAX_REPLY = 8 * 2**20  # bytes of one reply, unpacked; a completion with all its logprobs has about 1 MB
ACCEPT_ENCODING = "identity"  # what is asked for; a server that packs its replies all the same is read
_PIECE = 2**16
_PACKED = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def bounded(
    chunks: AsyncIterable[bytes], encoding: str, host: str, most: int = MAX_REPLY
) -> AsyncIterator[bytes]:
    """The unpacked bytes of a body, piece by piece.

    encoding: the reply's ``Content-Encoding``. Raises ``TransportError``: ``server_error`` for more than ``most``
    bytes or a packing that is not known, ``connection`` for a body that is not packed as it says.
    """
    packing = encoding.strip().lower()
    if packing not in ("", "identity", *_PACKED):
        raise _error(host, f"a reply packed as {packing[:40]!r}, which was not asked for")
    inflate = zlib.decompressobj(_PACKED[packing]) if packing in _PACKED else None
    size = 0
    async for chunk in chunks:
        pending = chunk
        while pending:
            if inflate is None:
                piece, pending = pending, b""
            else:
                try:
                    piece = inflate.decompress(pending, _PIECE)
                except zlib.error as error:
                    raise TransportError(
                        TransportReason.CONNECTION,
                        f"{host}: the connection ended before a complete reply (it is not packed as {packing})",
                    ) from error
                pending = inflate.unconsumed_tail
            size += len(piece)
            if size > most:
                raise _error(host, f"a reply of more than {most // 2**20} MiB")
            if piece:
                yield piece


def _error(host: str, found: str) -> TransportError:
    """Asked once only: what is too long has been paid for, and would be too long again."""
    message = f"{host}: expected a chat completion; found {found}"
    return TransportError(TransportReason.SERVER_ERROR, message, retryable=False)
