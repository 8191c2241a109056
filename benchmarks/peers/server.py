"""A chat-completions server that costs little itself: the two cores belong to whoever asks.

``python -m benchmarks.peers.server`` prints its port and serves until it is killed. ``GET /stats`` reports, ``POST /change``
sets latency, faults and limits and begins to count anew, ``POST /mark`` begins to count what is asked again.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from benchmarks.peers.truth import TRANSIENT, Key, fault_of, key_of, reply_to


class State:
    """What the server does, and what it was asked."""

    def __init__(self) -> None:
        self.latency_s, self.retry_after = 0.05, "1"
        self.faults: dict[str, float] = {}
        self.reset()

    def reset(self) -> None:
        self.requests = self.bytes_in = self.unknown = 0
        self.in_flight = self.most_in_flight = self.in_flight_sum = 0
        self.tries: Counter[Key] = Counter()
        self.done: set[Key] = set()
        self.before: set[Key] = set()
        self.again: set[Key] = set()

    def stats(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "bytes_in": self.bytes_in,
            "unknown": self.unknown,
            "done": len(self.done),
            "before": len(self.before),
            "again": len(self.again),
            "most_in_flight": self.most_in_flight,
            "mean_in_flight": self.in_flight_sum / max(self.requests, 1),
        }


class Serving(asyncio.Protocol):
    """One connection: requests of known length, one after another."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.pieces: list[bytes] = []
        self.size = self.wanted = 0
        self.path = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.size += len(data)
        if not self.wanted:
            head, found, _ = b"".join(self.pieces).partition(b"\r\n\r\n")
            if not found:
                return
            fields = head.lower()
            length = fields.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.path = head.split(b" ", 2)[1].decode("latin-1")
            self.wanted = len(head) + 4 + int(length or 0)
            self.head = len(head) + 4
            if b"expect: 100-continue" in fields:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # type: ignore[attr-defined]
        if self.size >= self.wanted:
            body = b"".join(self.pieces)[self.head : self.wanted]
            self.pieces, self.size, self.wanted = [], 0, 0
            self.answer(body)

    def answer(self, body: bytes) -> None:
        state = self.state
        if self.path == "/stats":
            self.send(200, state.stats())
        elif self.path == "/change":
            for name, value in json.loads(body).items():
                setattr(state, name, value)
            state.reset()
            self.send(200, {})
        elif self.path == "/mark":
            state.before, state.again = set(state.done), set()
            self.send(200, {})
        else:
            self.complete(body)

    def complete(self, body: bytes) -> None:
        state = self.state
        state.requests += 1
        state.bytes_in += len(body)
        state.in_flight += 1
        state.in_flight_sum += state.in_flight
        state.most_in_flight = max(state.most_in_flight, state.in_flight)
        key = key_of(body)
        if key is None:
            state.unknown += 1
            key = (0, "semantic")
        if key in state.before:
            state.again.add(key)
        state.tries[key] += 1
        fault = fault_of(key, state.faults)
        if state.tries[key] <= TRANSIENT.get(fault, 0):
            status, said = (429, "slow down") if fault == "limited" else (500, "oops")
            code = {"code": "rate_limit_exceeded"} if status == 429 else {"code": "server_error"}
            headers = f"Retry-After: {state.retry_after}\r\n" if status == 429 else ""
            self.later(status, {"error": {"message": said, **code}}, headers)
            return
        if fault == "content_filter":
            self.later(400, {"error": {"message": "flagged", "code": "content_filter"}}, key=key)
            return
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": reply_to(body, key, fault)},
        }
        usage = {"prompt_tokens": 1000, "completion_tokens": 30, "total_tokens": 1030}
        self.later(
            200,
            {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            },
            key=key,
        )

    def later(self, status: int, value: dict[str, Any], headers: str = "", key: Key | None = None) -> None:
        """Replies after the latency; ``key``: the question that is done with it."""

        def now() -> None:
            self.state.in_flight -= 1
            if key is not None:
                self.state.done.add(key)
            self.send(status, value, headers)

        asyncio.get_running_loop().call_later(self.state.latency_s, now)

    def send(self, status: int, value: dict[str, Any], headers: str = "") -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)  # type: ignore[attr-defined]


async def serve() -> None:
    state = State()
    server = await asyncio.get_running_loop().create_server(lambda: Serving(state), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
