"""What stands before every page: the right host, no foreign origin, and a token of this server's start.

A browser on this machine can be made to send requests here by any web page, and any user of the machine can
open the port: without the token nothing is shown, and with it nothing from another origin is obeyed.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from isr.errors import MissingExtraError, UsageError

HOST = "127.0.0.1"
MAX_BODY = 64 * 2**10
"""Bytes of a request's body; a note has 2,000 characters."""
BODY_S = 10.0
"""Seconds in which a body has to be there."""
_CLOSED = "403: open the address that the command printed; its token is new each time it is started"
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

_POLICY = (
    "default-src 'none'; img-src 'self' data:; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def new_token() -> str:
    """256 random bits for one start of a server."""
    return secrets.token_urlsafe(32)


def listen(port: int) -> socket.socket:
    """A socket on 127.0.0.1; ``0`` takes a free port. Raises ``UsageError`` if the port is taken."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
        made.listen(128)  # whoever is told the address may come before the server is ready
    except OSError as error:
        made.close()
        raise UsageError(
            f"--port {port}: expected a free port; found: {error.strerror}; choose another"
        ) from error
    return made


def require_extra() -> None:
    """Raises ``MissingExtraError`` without the packages of the extra ``label``."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a local page: expected the extra 'label'; found no {error.name}; pip install 'isr-eval[label]'"
        ) from error


class Guard:
    """Refuses (403) what does not come from this page with this token; adds headers to what is answered."""

    def __init__(self, app: App, token: str, port: int) -> None:
        self.app, self.token, self.cookie = app, token, f"isr-{port}"
        self.hosts = {f"{name}:{port}".encode() for name in (HOST, "localhost")}

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {k.lower(): v for k, v in scope.get("headers", ())}
        told = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        fresh = scope.get("path") == "/" and self._same(told)
        if (
            scope["type"] != "http"
            or not self._near(headers)
            or not (fresh or any(map(self._same, self._kept(headers))))
        ):
            await _refuse(send, 403, _CLOSED)
            return
        try:
            body = await asyncio.wait_for(_body(headers, receive), BODY_S)
        except TimeoutError:
            await _refuse(
                send, 408, f"408: expected a whole request within {BODY_S:g} s; found a part; send it again"
            )
            return
        if body is None:
            await _refuse(send, 413, f"413: expected at most {MAX_BODY:,} bytes; found more; send less")
            return
        extra = list(_HEADERS)
        if fresh:
            extra.append(
                (b"set-cookie", f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict".encode())
            )

        async def answered(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                named = {name.lower() for name, _ in own}  # a page may bring a policy of its own
                message["headers"] = [*own, *(pair for pair in extra if pair[0] not in named)]
            await send(message)

        told_body = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def received() -> Any:
            return next(told_body, None) or await receive()

        await self.app(scope, received, answered)

    def _near(self, headers: dict[bytes, bytes]) -> bool:
        """Addressed to this server by its own name, and not sent by another page."""
        if headers.get(b"host") not in self.hosts:
            return False
        origin = headers.get(b"origin")
        return origin is None or origin in {b"http://" + h for h in self.hosts}

    def _kept(self, headers: dict[bytes, bytes]) -> list[str]:
        """The values of this server's cookie; what other servers of this host left there may be anything."""
        pairs = (part.partition("=") for part in headers.get(b"cookie", b"").decode("latin-1").split(";"))
        return [value.strip() for name, _, value in pairs if name.strip() == self.cookie]

    def _same(self, told: str) -> bool:
        return hmac.compare_digest(told.encode(), self.token.encode())


async def _body(headers: dict[bytes, bytes], receive: Callable[[], Awaitable[Any]]) -> bytes | None:
    """What a request carries; ``None`` where that is more than ``MAX_BODY``, of which no more is read then."""
    said = headers.get(b"content-length", b"0")
    if not said.isdigit() or int(said[:20]) > MAX_BODY:
        return None
    body = b""
    while len(body) <= MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body if len(body) <= MAX_BODY else None
    return None


async def _refuse(send: Callable[[Any], Awaitable[None]], status: int, why: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{why}\n".encode()})
