"""Posts JSON to a card's endpoint, for backends whose host has no client of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
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
        import aiohttp  # needed only where a backend asks; it takes longer to import than the rest together

        endpoint, limit = self._card.endpoint, self._card.limits.timeout_s
        if self._session is None:
            proxied = endpoint.scheme == "https" and not is_loopback(endpoint.host)
            self._session = aiohttp.ClientSession(
                trust_env=proxied,
                headers={**self._headers, "Accept-Encoding": ACCEPT_ENCODING},
                auto_decompress=False,
            )
        url = endpoint.root + path
        try:
            async with (
                asyncio.timeout(limit),
                self._session.post(url, json=body, params=endpoint.query, allow_redirects=False) as reply,
            ):
                status, headers = reply.status, reply.headers
                packing = reply.headers.get("Content-Encoding", "")
                pieces = bounded(reply.content.iter_chunked(2**16), packing, endpoint.host)
                said = _json(b"".join([piece async for piece in pieces]))
        except TimeoutError:
            message = f"{endpoint.host}: no complete reply within {limit:g} s; limits.timeout_s in the card is the bound"
            raise TransportError(TransportReason.TIMEOUT, message) from None
        except (aiohttp.ClientError, OSError) as error:
            message = self.clean(
                f"{endpoint.host}: no connection, or it ended early ({type(error).__name__}: {error})"
            )
            raise TransportError(TransportReason.CONNECTION, message) from None
        hidden = isinstance(said, dict) and said.get("error") and not all(said.get(name) for name in needs)
        if status != 200 or hidden:
            raise error_of_status(self._card, status, said, headers, self.clean)
        if not isinstance(said, dict) or not all(said.get(name) for name in needs):
            fields = f" with {', '.join(needs)}" if needs else ""
            message = f"{endpoint.host}: expected a JSON object{fields}; found another reply"
            raise TransportError(TransportReason.SERVER_ERROR, message)
        return said

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()


def _json(body: bytes) -> Any:
    try:
        return json_of(body)
    except Unreadable:
        return body.decode("utf-8", "replace")
