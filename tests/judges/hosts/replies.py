"""What a behaviour of a host is made of: a request as it came, the replies to choose from, and the registry.

A behaviour is a function from an ``Ask`` to a reply; its docstring names the public report in which it was seen.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Reply = web.StreamResponse
Behaviour = Callable[["Ask"], Reply | Awaitable[Reply]]
Which = Literal["all", "flagged"]

BEHAVIOURS: dict[str, Behaviour] = {}
JSON = "application/json"


@dataclass(kw_only=True)
class Asked:
    """What one behaviour has been asked and has answered so far."""

    tries: Counter[str] = field(default_factory=Counter)  # by the digest of the body
    answered: int = 0
    flagged: set[str] = field(default_factory=set)  # digests of the bodies that were treated as flagged
    slot: asyncio.Lock = field(default_factory=asyncio.Lock)
    in_flight: int = 0
    ready: dict[str, float] = field(default_factory=dict)  # digest -> when its limit is over

    def stats(self) -> dict[str, int]:
        """Numbers of calls, of different requests, of answers and of flagged requests."""
        return {
            "calls": self.tries.total(),
            "requests": len(self.tries),
            "answered": self.answered,
            "flagged": len(self.flagged),
        }


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request as it came, and what was asked before it."""

    http: web.Request
    body: dict[str, Any]
    digest: str
    seen: Asked

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def tries(self) -> int:
        """How often this request has come, this time included."""
        return self.seen.tries[self.digest]

    @property
    def semantic(self) -> bool:
        return "source_kept" in self.body["messages"][0]["content"]

    @property
    def pictures(self) -> list[bytes]:
        """The files of its pictures, in their order."""
        content = self.body["messages"][-1]["content"]
        urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
        return [base64.b64decode(url.partition(",")[2]) for url in urls]

    @property
    def chosen(self) -> bool:
        """Whether the host picks on this request: by the last picture in it, about every third one."""
        picture = self.pictures[-1]
        return hashlib.sha256(picture).digest()[0] % 3 == 0

    def flag(self) -> bool:
        """Whether the request is treated as flagged; the very first request of a behaviour never is.

        So a flagged reply never comes from a host that has answered nothing.
        """
        if self.digest in self.seen.flagged or (self.chosen and self.seen.answered):
            self.seen.flagged.add(self.digest)
            return True
        return False

    def fields(self, **changes: Any) -> dict[str, Any]:
        """The fields of a good answer, drawn from the digest of the body; a change to ``None`` leaves one out."""
        fails = int(self.digest[:8], 16) % 3 > 0
        fields: dict[str, Any] = {"reasoning": f"seen {self.digest[:6]}", "score": 1 if fails else 3}
        if self.semantic:
            fields["source_kept"] = 3
        fields["verdict"] = "fails" if fails else "fine"
        return {name: value for name, value in {**fields, **changes}.items() if value is not None}

    def good(self, **changes: Any) -> str:
        """The text of a good answer."""
        return json.dumps(self.fields(**changes))


def behaviour(which: Which = "all") -> Callable[[Behaviour], Behaviour]:
    """Registers a function under its name with ``_`` as ``-``; ``flagged``: other requests get a good answer."""

    def register(function: Behaviour) -> Behaviour:
        def some(ask: Ask) -> Reply | Awaitable[Reply]:
            return function(ask) if ask.flag() else answer(ask)

        name = function.__name__.replace("_", "-")
        assert name not in BEHAVIOURS, f"two behaviours are called {name}"
        assert function.__doc__, f"{name}: expected a docstring that names the report"
        BEHAVIOURS[name] = function if which == "all" else some
        return function

    return register


def payload(ask: Ask, text: Any = ..., finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion; by default with a good answer. message: further fields of the message."""
    said = {"role": "assistant", "content": ask.good() if text is ... else text, **message}
    prompt = 300 + len(json.dumps(ask.body["messages"][0])) // 3  # another number for each question
    return {
        "id": f"chatcmpl-{ask.digest[:12]}",
        "object": "chat.completion",
        "created": 1,
        "model": ask.model,
        "choices": [{"index": 0, "message": said, "finish_reason": finish}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 60, "total_tokens": prompt + 60},
    }


def answer(ask: Ask, text: Any = ..., finish: str | None = "stop", **message: Any) -> Reply:
    """A chat completion as a reply."""
    return completed(ask, payload(ask, text, finish, **message))


def completed(ask: Ask, body: dict[str, Any]) -> Reply:
    """A completion of the behaviour's own making, counted as an answer."""
    ask.seen.answered += 1
    return web.json_response(body)


def refused(status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    """A reply that is no answer; a text is sent as plain text."""
    if isinstance(body, str):
        return web.Response(status=status, text=body, headers=headers)
    return web.json_response(body, status=status, headers=headers)


def error(status: int, message: str, headers: dict[str, str] | None = None, /, **fields: Any) -> Reply:
    """An error in the shape that most hosts share."""
    return refused(status, {"error": {"message": message, **fields}}, headers)
