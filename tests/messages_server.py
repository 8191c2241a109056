"""A real HTTP server that speaks a messages API, as the judge in ``docs/extending.md`` asks it; records every request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERDICT = {"reasoning": "r", "score": 4, "source_kept": 4, "verdict": "fine"}


@dataclass(kw_only=True)
class Messages:
    """What the server does, and what it was asked. With ``status``, every reply has it and says the key."""

    port: int = 0
    status: int = 200
    stop_reason: str = "end_turn"
    model: str = "messages-large-1"
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def reply(self, key: str) -> dict[str, Any]:
        if self.status != 200:
            return {"error": {"message": f"no use for {key}"}}
        fields = {k: v for k, v in VERDICT.items() if k != "source_kept" or "source_kept" in self.asked()}
        text = {"type": "text", "text": json.dumps({**fields, "reasoning": f"asked with {key}"})}
        usage = {"input_tokens": 7, "output_tokens": 3}
        return {
            "id": "msg_1",
            "model": self.model,
            "content": [text],
            "stop_reason": self.stop_reason,
            "usage": usage,
        }

    def raw(self) -> bytes:
        return json.dumps(self.reply(self.keys[-1])).encode()

    def asked(self) -> str:
        return str(self.bodies[-1].get("system"))


@contextmanager
def serving(state: Messages | None = None) -> Iterator[Messages]:
    """The server, on a free port of this machine, until the block ends."""
    state = state or Messages()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            key = self.headers.get("x-api-key", "")
            state.keys.append(key)
            data = state.raw()
            self.send_response(state.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
