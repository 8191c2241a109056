"""An HTTP server on this machine that records what a backend sends and replies as a host would, or as one does badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from isr.reading import json_of

ELSEWHERE = "/elsewhere"


@dataclass(kw_only=True)
class Recorder:
    """What the server replies to every request, and what it was sent.

    A reply with status 200 is an answer in the dialects of several hosts at once, and every reply repeats the key.
    """

    key: str
    text: str = "{}"
    finish: dict[str, str] = field(
        default_factory=lambda: {"openai": "stop", "messages": "end_turn", "google": "STOP"}
    )
    status: int = 200
    raw: bytes | None = None  # sent in the place of the body that belongs to the status
    hold: bool = False  # no request gets a reply before ``release`` is set
    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    sent_elsewhere: list[str] = field(
        default_factory=list
    )  # the headers of requests that followed a redirect
    arrived: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reply(self, body: bytes) -> bytes:
        """The body of the reply to a request with a body."""
        if self.raw is not None:
            return self.raw
        if self.status != 200:
            return json.dumps({"error": {"message": f"no use for Bearer {self.key} ({self.key})"}}).encode()
        return json.dumps(self._answer(body)).encode()

    def _answer(self, body: bytes) -> dict[str, Any]:
        try:
            asked = json_of(body)
        except ValueError:
            asked = {}
        content = [{"type": "text", "text": self.text}]
        tokens = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        return {
            "id": f"id-{self.key}",
            "model": asked.get("model", "") if isinstance(asked, dict) else "",
            "choices": [
                {"index": 0, "finish_reason": self.finish["openai"], "message": {"content": self.text}}
            ],
            "content": content,
            "stop_reason": self.finish["messages"],
            "candidates": [{"content": {"parts": content}, "finishReason": self.finish["google"]}],
            "usage": {**tokens, "input_tokens": 7, "output_tokens": 3},
            "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3},
        }


@contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """The server on a free port of this machine, in a thread of its own, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.endswith(ELSEWHERE):
                recorder.sent_elsewhere.append(str(self.headers))
            recorder.bodies.append(body)
            recorder.arrived.set()
            if recorder.hold:
                recorder.release.wait()
                self.close_connection = True
                return
            self._send(recorder.reply(body))

        def do_GET(self) -> None:
            self.do_POST()

        def _send(self, data: bytes) -> None:
            self.send_response(recorder.status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                "x-request-id": recorder.key,
                "Retry-After": "0",
            }.items():
                self.send_header(name, value)
            if 300 <= recorder.status < 400:
                self.send_header("Location", recorder.address + ELSEWHERE)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that went away is what some checks are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        recorder.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            recorder.release.set()
            server.shutdown()
            thread.join()
