"""Posts JSON to a card's endpoint, for backends whose host has no client of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from isr.errors import TransportError, TransportReason
from isr.judging.keys import endpoint_key, is_loopback
from isr.judging.replies import ACCEPT_ENCODING, bounded
from isr.judging.statuses import error_of_status
from isr.reading import Unreadable, json_of
from isr.redaction import redactor

if TYPE_CHECKING:
    import aiohttp

    from isr.judging.cards import Card

_PIECE = 2**16


class Client:
    """Connections to one card's endpoint. ``clean`` takes the key out of a text that the server sent.

    headers: makes the headers of every request from the key, which is ``""`` for an endpoint without one. The client
    never retries and follows no redirect; a proxy of the environment is used for https only.
    """

    def __init__(self, card: Card, headers: Callable[[str], Mapping[str, str]]) -> None:
        key = endpoint_key(card)
        self.clean = redactor(key)
        self._card, self._headers = card, dict(headers(key))
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: Mapping[str, Any], needs: Collection[str] = ()) -> dict[str, Any]:
        """The JSON object in the reply to a body posted to ``base_url`` + ``path``.

        needs: fields without which a reply is no completion. Raises the error of ``error_of_status`` for any status but
        200, and ``TransportError`` for no reply in time, half of one, or one that is no JSON object with these fields.
        """
        return await self.asked("POST", path, needs, json=body)

    async def asked(
        self,
        method: str,
        path: str,
        needs: Collection[str] = (),
        *,
        within_s: float | None = None,
        **sent: Any,
    ) -> dict[str, Any]:
        """As ``post``, by any method. within_s: bound of the whole, ``limits.timeout_s`` if ``None``; sent: as aiohttp takes it."""
        host = self._card.endpoint.host
        limit = self._card.limits.timeout_s if within_s is None else within_s
        async with self.reply(method, path, within_s=limit, **sent) as reply:
            status, headers = reply.status, reply.headers
            pieces = bounded(reply.content.iter_chunked(_PIECE), headers.get("Content-Encoding", ""), host)
            said = _json(b"".join([piece async for piece in pieces]))
        hidden = isinstance(said, dict) and said.get("error") and not all(said.get(name) for name in needs)
        if status != 200 or hidden:
            raise error_of_status(self._card, status, said, headers, self.clean)
        if not isinstance(said, dict) or not all(said.get(name) for name in needs):
            fields = f" with {', '.join(needs)}" if needs else ""
            message = f"{host}: expected a JSON object{fields}; found another reply"
            raise TransportError(TransportReason.SERVER_ERROR, message)
        return said

    async def pieces(self, path: str, most: int) -> AsyncGenerator[bytes]:
        """The bytes of a reply of any length up to ``most``, as they come; each of them may take ``limits.timeout_s``.

        Raises as ``post`` does; a ``TransportError`` for more bytes, too.
        """
        async with self.reply("GET", path, within_s=None) as reply:
            if reply.status != 200:
                said = _json(await reply.content.read(_PIECE))
                raise error_of_status(self._card, reply.status, said, reply.headers, self.clean)
            packing = reply.headers.get("Content-Encoding", "")
            async for piece in bounded(
                reply.content.iter_chunked(_PIECE), packing, self._card.endpoint.host, most
            ):
                yield piece

    @asynccontextmanager
    async def reply(
        self, method: str, path: str, *, within_s: float | None, **sent: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A reply, open to be read. within_s: bound of the whole block; ``None``: of each read, ``limits.timeout_s``.

        Raises ``TransportError`` where there is none, or where the block reads half of one.
        """
        import aiohttp  # needed only where a backend asks; it takes longer to import than the rest together

        endpoint = self._card.endpoint
        each = self._card.limits.timeout_s
        if self._session is None:
            proxied = endpoint.scheme == "https" and not is_loopback(endpoint.host)
            self._session = aiohttp.ClientSession(
                trust_env=proxied,
                headers={**self._headers, "Accept-Encoding": ACCEPT_ENCODING},
                auto_decompress=False,
            )
        query = {**endpoint.query, **sent.pop("params", {})}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=each if within_s is None else None)
        try:
            async with (
                asyncio.timeout(within_s),
                self._session.request(
                    method, endpoint.root + path, params=query, allow_redirects=False, timeout=timeout, **sent
                ) as reply,
            ):
                yield reply
        except TimeoutError:
            message = (
                f"{endpoint.host}: no complete reply within {each if within_s is None else within_s:g} s; "
                "limits.timeout_s in the card is the bound"
            )
            raise TransportError(TransportReason.TIMEOUT, message) from None
        except (aiohttp.ClientError, OSError) as error:
            message = self.clean(
                f"{endpoint.host}: no connection, or it ended early ({type(error).__name__}: {error})"
            )
            raise TransportError(TransportReason.CONNECTION, message) from None

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()


def _json(body: bytes) -> Any:
    try:
        return json_of(body)
    except Unreadable:
        return body.decode("utf-8", "replace")
