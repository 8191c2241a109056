"""A real HTTP server that speaks chat completions, with seeded faults; in a process of its own.

``python -m tests.chat_server --faults lessons`` prints its port and serves until it is killed. What it will do
with a request is drawn from the digest of the request's body, so that a run can be repeated exactly.
``GET /stats`` reports what it was asked, ``POST /faults`` changes the faults.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gzip
import hashlib
import json
import random
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.processes import Popen, read_until, started

# share of requests that meet each fault; "transient" ones pass after one or two tries
FAULTS: dict[str, dict[str, float]] = {
    "none": {},
    "lessons": {
        "limited": 0.10,
        "double_500": 0.02,
        "refusal": 0.03,
        "broken_json": 0.03,
        "content_filter": 0.02,
    },
    "all": {
        "limited": 0.08,
        "double_500": 0.03,
        "reset": 0.03,
        "long_wait": 0.02,
        "garbled_200": 0.02,
        "refusal": 0.03,
        "structured_refusal": 0.02,
        "broken_json": 0.03,
        "content_filter": 0.02,
        "prose": 0.03,
        "truncated": 0.02,
        "empty": 0.02,
        "off_scale": 0.02,
        "missing_field": 0.02,
        "contradiction": 0.02,
    },
    "down": {"down": 1.0},
    "hostile": {"endless": 0.15, "gzip_bomb": 0.15, "packed": 0.1, "huge": 0.1, "long": 0.1, "digits": 0.2},
}
TRANSIENT = {
    "limited": 1,
    "double_500": 2,
    "reset": 1,
    "silent": 1,
    "long_wait": 1,
    "garbled_200": 1,
    "endless": 1,
    "gzip_bomb": 1,
    "huge": 1,
}
JSON = {"Content-Type": "application/json"}
ROOT = Path(__file__).resolve().parents[1]


@dataclass(kw_only=True)
class Server:
    """State of the server: its faults and what it was asked."""

    faults: dict[str, float]
    seed: int = 0
    latency_s: float = 0.0
    retry_after: str = "0.05"
    long_retry_after: str = "0.3"
    model: str = "test-model"
    tries: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    faulted: Counter[str] = field(default_factory=Counter)
    headers: list[dict[str, str]] = field(default_factory=list)
    limited: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    bytes_in: int = 0
    redirect: str = ""
    reasoning_length: int = 0
    at_once: int = 0  # more requests than this at the same time: 429; 0: no limit
    fatal_after: int = 0  # from so many calls on: 401
    outage_calls: int = 0  # so many calls meet an outage
    hold_after: int = 0  # from so many answers on requests wait until this is changed; 0: none waits
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    refused: asyncio.Event = field(default_factory=asyncio.Event)
    behaviour: str = ""  # of tests.behaviours; without one, answers are drawn from the digest of the body
    prompt_tokens: int = 1500
    cut: bool = True  # every prompt counts as many tokens, as at a host that cuts them off
    reports: str = ""  # the name of the model in answers, if another than the one asked for; "-": none
    thinks: str = "told"  # before its answers: as it is told, "always" or "never"

    def fault_of(self, digest: str) -> str:
        draw = random.Random(f"{self.seed}:{digest}").random()
        for name, share in self.faults.items():
            draw -= share
            if draw < 0:
                return name
        return ""

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.bytes_in += len(body)
        if len(self.headers) < 50:
            self.headers.append(dict(request.headers))
        if self.redirect:
            return web.Response(status=307, headers={"Location": self.redirect})
        refused = self._refused()
        if refused is not None:
            self.limited += 1
            self.refused.set()
            return refused
        digest = hashlib.sha256(body).hexdigest()
        self.tries[digest] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency_s)
            if self.at_once and self.answered:  # so that too many do come at once, however slow the client is
                await self.refused.wait()
            while 0 < self.hold_after <= self.answered.total():
                await self.changed.wait()
                if request.transport is None:  # the client has ended meanwhile
                    return web.Response()
            return await self._reply(request, digest, json.loads(body))
        finally:
            self.in_flight -= 1

    def _refused(self) -> web.Response | None:
        """What stands before any request: a rate limit, an outage, a key that is no longer good."""
        if self.outage_calls:
            self.outage_calls -= 1
            return web.Response(status=503, text="down for a while")
        if self.fatal_after and self.tries.total() >= self.fatal_after:
            return web.json_response({"error": {"message": "key revoked"}}, status=401)
        if self.at_once and self.in_flight >= self.at_once:
            return web.json_response(
                {"error": {"message": "slow down"}}, status=429, headers={"Retry-After": self.retry_after}
            )
        return None

    async def _reply(self, request: web.Request, digest: str, body: dict[str, Any]) -> web.StreamResponse:
        if body["model"] != self.model:
            error = {"message": f"The model `{body['model']}` does not exist.", "code": "model_not_found"}
            return web.json_response({"error": error}, status=404)
        fault = self.fault_of(digest)
        if fault and self.tries[digest] <= TRANSIENT.get(fault, 10**9):
            self.faulted[fault] += 1
            reply = await self._faulty(request, fault)
            if reply is not None:
                return reply
        self.answered[digest] += 1
        completion = self._completion(fault, digest, body)
        told = body.get("chat_template_kwargs", {}).get("enable_thinking", False)
        if {"always": True, "never": False}.get(self.thinks, told):
            completion["choices"][0]["message"]["reasoning"] = "The circle was red, and is green."
            completion["usage"]["completion_tokens_details"] = {"reasoning_tokens": 9}
        if fault == "packed":  # though nobody asked for it
            packed = gzip.compress(json.dumps(completion).encode())
            return web.Response(body=packed, headers={**JSON, "Content-Encoding": "gzip"})
        if fault == "digits":
            completion["usage"] = {"prompt_tokens": 10**400, "completion_tokens": True}
            completion["choices"][0]["logprobs"] = {"content": [{"token": "{", "logprob": -(10**400)}]}
        return web.json_response(completion)

    async def _faulty(self, request: web.Request, fault: str) -> web.StreamResponse | None:
        if fault == "limited":
            return web.json_response(
                {"error": {"message": "slow down"}}, status=429, headers={"Retry-After": self.retry_after}
            )
        if fault == "long_wait":
            headers = {"Retry-After": self.long_retry_after}
            return web.json_response({"error": {"message": "wait"}}, status=429, headers=headers)
        if fault == "double_500":
            return web.json_response({"error": {"message": "oops"}}, status=500)
        if fault == "down":
            return web.Response(status=503, text="upstream is down")
        if fault == "garbled_200":
            return web.Response(text="<html>gateway</html>", content_type="text/html")
        if fault == "reset" and request.transport is not None:
            request.transport.abort()
            raise web.HTTPServiceUnavailable
        if fault == "silent":
            await asyncio.Event().wait()
        if fault == "rejected":
            return web.json_response({"error": {"message": "response_format is not supported"}}, status=400)
        if fault == "content_filter":
            error = {
                "message": "flagged",
                "code": "content_filter",
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
            return web.json_response({"error": error}, status=400)
        return await self._without_bound(request, fault)

    async def _without_bound(self, request: web.Request, fault: str) -> web.StreamResponse | None:
        if fault == "endless":
            return await self._endless(request)
        if fault == "gzip_bomb":
            return web.Response(body=_bomb(), headers={**JSON, "Content-Encoding": "gzip"})
        if fault == "huge":
            return web.json_response(self._wrapped("x" * 17_000_000, "", ""))
        return None

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        """A body that goes on until the client ends it."""
        reply = web.StreamResponse(headers=JSON)
        await reply.prepare(request)
        with contextlib.suppress(ConnectionError):
            while request.transport is not None:
                await reply.write(b" " * 2**16)
        return reply

    def _completion(self, fault: str, digest: str, body: dict[str, Any]) -> dict[str, Any]:
        if "edit instructions" in body["messages"][0]["content"]:
            return self._wrapped(_prompts(body), "", digest)
        semantic = "source_kept" in body["messages"][0]["content"]
        fails = int(digest[:8], 16) % 3 > 0
        words = random.Random(digest).choices(
            body["messages"][0]["content"].split(), k=self.reasoning_length // 4
        )
        reasoning = f"seen {digest[:6]} {' '.join(words)}"[: max(self.reasoning_length, 11)]
        fields: dict[str, Any] = {"reasoning": reasoning.strip(), "score": 1 if fails else 3}
        if semantic:
            fields["source_kept"] = 3
        fields["verdict"] = "fails" if fails else "fine"
        good = json.dumps(fields)
        text: str | None = {
            "refusal": "I'm sorry, but I can't help with evaluating this image.",
            "structured_refusal": None,
            "broken_json": good[:-3],
            "prose": f"Here is my answer: {good} I hope that helps.",
            "truncated": good[: len(good) // 2],
            "empty": "",
            "off_scale": json.dumps({**fields, "score": 10}),
            "missing_field": json.dumps({k: v for k, v in fields.items() if k != "score"}),
            "long": good + "x" * 200_000,
            "contradiction": json.dumps({**fields, "score": 4 if fails else 0}),
        }.get(fault, good)
        self.prompt_tokens = 1500 if semantic or self.cut else 1400
        if self.behaviour:
            from tests.behaviours import reply

            text = reply(self.behaviour, body, digest)
            fault = "structured_refusal" if text is None else ""
        return self._wrapped(text, fault, digest)

    def _wrapped(self, text: str | None, fault: str, digest: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        if fault == "structured_refusal":
            message["refusal"] = "I cannot evaluate this."
        return {
            "id": f"chatcmpl-{digest[:12]}",
            "object": "chat.completion",
            "created": 1,
            **({"model": self.reports or self.model} if self.reports != "-" else {}),
            "system_fingerprint": "fp_test",
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": "length" if fault == "truncated" else "stop",
                }
            ],
            "usage": {
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": 60,
                "total_tokens": self.prompt_tokens + 60,
            },
        }

    async def stats(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "calls": self.tries.total(),
                "requests": len(self.tries),
                "answered": dict(self.answered),
                "faulted": dict(self.faulted),
                "headers": self.headers,
                "most_in_flight": self.most_in_flight,
                "limited": self.limited,
                "bytes_in": self.bytes_in,
            }
        )

    async def change(self, request: web.Request) -> web.Response:
        for name, value in (await request.json()).items():
            setattr(self, name, FAULTS[value] if name == "faults" and isinstance(value, str) else value)
        self.changed.set()
        self.changed = asyncio.Event()
        return web.json_response({})

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self.complete)
        app.router.add_get("/stats", self.stats)
        app.router.add_post("/change", self.change)
        return app


@functools.cache
def _bomb() -> bytes:
    """A body of 150 kB that unpacks to 150 MB."""
    return gzip.compress(b" " * 150_000_000)


def _prompts(body: dict[str, Any]) -> str:
    """What a writer of edit prompts says; a caption with a word in capitals orders another kind of reply."""
    system, user = (m["content"] for m in body["messages"])
    count = int(system.partition("Write ")[2].partition(" ")[0])
    seen = json.loads(user.partition("Known instruction: ")[2])
    prompts = [f"make it number {i}, {len(user)}" for i in range(count)]
    captioned = '"captions"' in str(body["messages"][0]["content"])
    return {
        "SHORT": json.dumps({"prompts": prompts[1:]}),
        "TWICE": json.dumps({"prompts": [prompts[0]] * count}),
        "SAME": json.dumps({"prompts": [seen.upper(), *prompts[1:]]}),
        "PROSE": "Here you are: make it red.",
        "EMPTY": "",
        "LIST": json.dumps(prompts),
    }.get(
        next((w for w in user.replace('"', " ").split() if w.isupper() and len(w) > 3), ""),
        json.dumps(
            {"prompts": prompts, **({"captions": [f"after {p}" for p in prompts]} if captioned else {})}
        ),
    )


@dataclass(frozen=True)
class Running:
    """A server in another process."""

    port: int
    process: Popen[str]

    def kill(self) -> None:
        """Ends it as a machine that is switched off does."""
        self.process.kill()
        self.process.wait()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats") as reply:
            out: dict[str, Any] = json.load(reply)
            return out

    def change(self, **values: Any) -> None:
        url = f"http://127.0.0.1:{self.port}/change"
        urllib.request.urlopen(
            urllib.request.Request(url, json.dumps(values).encode(), method="POST")
        ).close()


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[Running]:
    """A server in a process of its own, for as long as the block lasts."""
    args = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "tests.chat_server", *args]
    with started(command, cwd=ROOT, stderr=None) as process:
        yield Running(int(read_until(process.stdout, r"^\d+$")[0]), process)


async def _serve(server: Server) -> None:
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", default="none", choices=sorted(FAULTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--retry-after", default="0.05")
    parser.add_argument("--long-retry-after", default="0.3")
    parser.add_argument("--behaviour", default="")
    args = vars(parser.parse_args())
    asyncio.run(_serve(Server(faults=FAULTS[args.pop("faults")], **args)))


if __name__ == "__main__":
    main()
