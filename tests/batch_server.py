"""The chat server with OpenAI's files and batches: what it answers to a body in a batch is what it answers to that body alone.

``python -m tests.batch_server`` prints its port and serves until it is killed; it outlives the clients that are killed. A batch
is done after so many looks at it, so that nothing here depends on a clock. ``POST /change`` sets its faults.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.chat_server import FAULTS, ROOT, TRANSIENT, Running, Server, _serve
from tests.processes import read_until, started

OVER = ("completed", "expired", "cancelled", "failed")


@dataclass(kw_only=True)
class BatchServer(Server):
    """State of the server. The faults are those of ``Server``, by the digest of a body, and these."""

    looks: int = 2  # at a batch, after which it is done
    looks_of: dict[str, int] = field(default_factory=dict)  # of single batches, by number
    page: int = 2  # batches of one page of the list
    expire: list[int] = field(
        default_factory=list
    )  # batches (counted from 0 in order of creation) that expire half-done
    fail_lines: list[int] = field(default_factory=list)  # batches whose first line meets a 500
    reject_lines: list[int] = field(default_factory=list)  # batches whose first line meets a 400
    enqueued: int = 0  # requests that may be in the queue together; 0: no limit
    lose_create: list[int] = field(default_factory=list)  # batches whose creation is never heard of
    lose_file: int = 0  # so many downloads break off in the middle
    wrong: str = ""  # lines that do not belong: "foreign", "twice", "missing", "garbage", "huge", "all"
    drop_metadata: bool = False
    hold_at: int = 0  # this request (counted from 1) and all later ones wait until it is changed; 0: none
    hold_where: str = "before"  # a request is carried out, or "after" it was
    requests: int = 0
    held: int = 0  # requests that wait now
    files: dict[str, bytes] = field(default_factory=dict)
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    input_lines: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    uploads: int = 0
    lists: int = 0
    downloads: int = 0
    in_batches: Counter[str] = field(
        default_factory=Counter
    )  # bodies that were answered by batches, by digest
    keys: list[str] = field(default_factory=list)

    async def upload(self, request: web.Request) -> web.Response:
        self._note(request)
        data: bytes = b""
        try:
            async for part in await request.multipart():
                if part.name == "file":
                    data = bytes(await part.read())
                elif part.name == "purpose":
                    assert await part.text() == "batch"
        except ConnectionResetError:  # the client was killed
            return web.Response()
        name = f"file-{self.uploads}"
        self.uploads += 1
        self.files[name] = data
        return web.json_response({"id": name, "object": "file", "purpose": "batch", "bytes": len(data)})

    async def create(self, request: web.Request) -> web.Response:
        self._note(request)
        if self.redirect:
            return web.Response(status=307, headers={"Location": self.redirect})
        asked = await request.json()
        assert asked["endpoint"] == "/v1/chat/completions"
        number = len(self.made)
        name = f"batch_{number}"
        lines = [_line(raw) for raw in self.files[asked["input_file_id"]].splitlines()]
        batch = {
            "id": name,
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"],
            "status": "validating",
            "metadata": None if self.drop_metadata else asked.get("metadata"),
            "created_at": number,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "number": number,
            "seen": 0,
        }
        self.input_lines[name] = lines
        waiting = sum(b["request_counts"]["total"] for b in self.made.values() if b["status"] not in OVER)
        self.made[name] = batch
        if self.enqueued and waiting + len(lines) > self.enqueued:
            batch["status"] = "failed"
            message = f"Enqueued token limit reached for {self.model}. Limit: {self.enqueued}. Please try again once some in_progress batches have been completed."
            batch["errors"] = {
                "object": "list",
                "data": [{"code": "token_limit_exceeded", "message": message}],
            }
        if number in self.lose_create and request.transport is not None:
            request.transport.abort()
            raise web.HTTPServiceUnavailable
        return web.json_response(_shown(batch))

    async def get(self, request: web.Request) -> web.Response:
        self._note(request)
        batch = self.made.get(request.match_info["batch"])
        if batch is None:
            return web.json_response({"error": {"message": "No batch found"}}, status=404)
        self._advance(batch)
        return web.json_response(_shown(batch))

    async def cancel(self, request: web.Request) -> web.Response:
        batch = self.made[request.match_info["batch"]]
        if batch["status"] not in OVER:
            self._finish(batch, "cancelled", len(self.input_lines[batch["id"]]) // 2)
        return web.json_response(_shown(batch))

    async def listed(self, request: web.Request) -> web.Response:
        self._note(request)
        self.lists += 1
        names = list(reversed(self.made))
        after = request.query.get("after", "")
        start = names.index(after) + 1 if after else 0
        some = names[start : start + min(self.page, int(request.query.get("limit", "20")))]
        return web.json_response(
            {
                "object": "list",
                "data": [_shown(self.made[n]) for n in some],
                "has_more": start + len(some) < len(names),
            }
        )

    async def content(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        self.downloads += 1
        data = self.files[request.match_info["file"]]
        if self.lose_file > 0:
            self.lose_file -= 1
            reply = web.StreamResponse(headers={"Content-Length": str(len(data))})
            await reply.prepare(request)
            await reply.write(data[: len(data) // 2])
            assert request.transport is not None
            request.transport.close()
            return reply
        return web.Response(body=data)

    async def _held(self) -> None:
        self.held += 1
        while 0 < self.hold_at <= self.requests:
            await self.changed.wait()
        self.held -= 1

    @web.middleware
    async def counted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Counts the requests for files and batches, and holds them up: of a client that ends meanwhile none is carried out."""
        if not request.path.startswith(("/v1/files", "/v1/batches")):
            return await handler(request)  # type: ignore[no-any-return]
        if request.path.endswith("/cancel"):
            return await handler(request)  # type: ignore[no-any-return]
        self.requests += 1
        held = 0 < self.hold_at <= self.requests
        if held and self.hold_where == "before":
            await self._held()
            if request.transport is None:
                return web.Response()
        reply = await handler(request)
        if held:
            await self._held()
        return reply  # type: ignore[no-any-return]

    async def reset(self, request: web.Request) -> web.Response:
        """As at the start, with the faults that are sent."""
        changed = self.changed
        self.__dict__.update(BatchServer(faults={}).__dict__)
        changed.set()
        return await self.change(request)

    def _note(self, request: web.Request) -> None:
        self.keys.append(request.headers.get("Authorization", ""))

    def _advance(self, batch: dict[str, Any]) -> None:
        if batch["status"] in OVER:
            return
        batch["seen"] += 1
        total = len(self.input_lines[batch["id"]])
        looks = self.looks_of.get(str(batch["number"]), self.looks)
        if batch["seen"] < looks:
            batch["status"] = "in_progress"
            batch["request_counts"]["completed"] = total * batch["seen"] // (2 * looks)
        elif batch["number"] in self.expire:
            self._finish(batch, "expired", total // 2)
        else:
            self._finish(batch, "completed", total)

    def _finish(self, batch: dict[str, Any], status: str, done: int) -> None:
        """Answers the first lines; the others are told as not run."""
        outputs: list[Any] = []
        errors: list[Any] = []
        for place, (name, body) in enumerate(self.input_lines[batch["id"]]):
            if place >= done:
                code = {"expired": "batch_expired", "cancelled": "batch_cancelled"}[status]
                errors.append(
                    {"custom_id": name, "response": None, "error": {"code": code, "message": "not run"}}
                )
                continue
            code, said = self._answered(body, batch["number"], place)
            line = {
                "id": f"batch_req_{name[:8]}",
                "custom_id": name,
                "response": {"status_code": code, "request_id": f"req_{name[:8]}", "body": said},
                "error": None,
            }
            (outputs if code == 200 else errors).append(line)
        outputs, errors = _spoiled(self.wrong, outputs, errors)
        batch["status"] = status
        batch["request_counts"] |= {"completed": len(outputs), "failed": len(errors)}
        for kind, lines in (("output", outputs), ("error", errors)):
            if lines:
                file = f"file-{kind}-{batch['id']}"
                self.files[file] = b"".join(
                    one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in lines
                )
                batch[f"{kind}_file_id"] = file

    def _answered(self, body: bytes, number: int, place: int) -> tuple[int, Any]:
        digest = hashlib.sha256(body).hexdigest()
        if place == 0 and number in self.fail_lines:
            return 500, {"error": {"message": "oops"}}
        if place == 0 and number in self.reject_lines:
            return 400, {"error": {"message": "this picture is refused", "code": "invalid_image"}}
        fault = self.fault_of(digest)
        self.tries[digest] += 1
        if fault and self.tries[digest] <= TRANSIENT.get(fault, 10**9):
            if fault == "limited":
                return 429, {"error": {"message": "slow down"}}
            if fault == "double_500":
                return 500, {"error": {"message": "oops"}}
            if fault == "content_filter":
                inner = {"code": "ResponsibleAIPolicyViolation"}
                return 400, {"error": {"message": "flagged", "code": "content_filter", "innererror": inner}}
        self.in_batches[digest] += 1
        return 200, self._completion(fault, digest, json.loads(body))

    async def stats(self, request: web.Request) -> web.Response:
        said = json.loads((await super().stats(request)).body)
        shards = Counter(
            (b["metadata"] or {}).get("isr_shard", "")
            for b in self.made.values()
            if not (b["status"] == "failed" and b.get("errors"))
        )
        said |= {
            "batches": [_shown(b) for b in self.made.values()],
            "shards": dict(shards),
            "uploads": self.uploads,
            "api_requests": self.requests,
            "held": self.held,
            "lists": self.lists,
            "downloads": self.downloads,
            "bodies": sorted(
                hashlib.sha256(b).hexdigest() for lines in self.input_lines.values() for _, b in lines
            ),
            "in_batches": dict(self.in_batches),
            "keys": sorted(set(self.keys)),
            "in_queue": sum(b["status"] not in OVER for b in self.made.values()),
        }
        return web.json_response(said)

    def app(self) -> web.Application:
        app = super().app()
        app.middlewares.append(self.counted)
        app.router.add_post("/reset", self.reset)
        app.router.add_post("/v1/files", self.upload)
        app.router.add_get("/v1/files/{file}/content", self.content)
        app.router.add_post("/v1/batches", self.create)
        app.router.add_get("/v1/batches", self.listed)
        app.router.add_get("/v1/batches/{batch}", self.get)
        app.router.add_post("/v1/batches/{batch}/cancel", self.cancel)
        return app


def _line(raw: bytes) -> tuple[str, bytes]:
    """The custom_id of a line, and the bytes of its body as they stand in it."""
    name = json.loads(raw)["custom_id"]
    body = raw.partition(b', "body": ')[2][:-1]
    assert json.loads(raw)["body"] == json.loads(body)
    return name, body


def _shown(batch: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in batch.items() if k not in ("number", "seen")}


def _spoiled(wrong: str, outputs: list[Any], errors: list[Any]) -> tuple[list[Any], list[Any]]:
    """Files of results with what should not be in them."""
    if wrong == "all":
        return [{**line, "custom_id": f"other-{i}"} for i, line in enumerate(outputs)], errors
    if wrong != "some" or len(outputs) < 6:
        return outputs, errors
    foreign = {**outputs[0], "custom_id": "of-somebody-else"}
    twice = {**outputs[1], "response": {"status_code": 200, "body": _fails(outputs[1])}}
    huge = b'{"custom_id": "' + b"x" * 9_000_000 + b'"}\n'
    spoiled = [foreign, *outputs[:3], twice, b"no json {\n", b"[1]\n", huge, {"custom_id": 7}, *outputs[3:-1]]
    return spoiled, errors


def _fails(line: dict[str, Any]) -> Any:
    """The same completion with the opposite verdict."""
    said = json.loads(json.dumps(line["response"]["body"]))
    message = said["choices"][0]["message"]
    if message["content"]:
        for a, b in (('"fails"', '"FINE"'), ('"fine"', '"fails"'), ('"FINE"', '"fine"')):
            message["content"] = message["content"].replace(a, b)
    return said


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[RunningBatches]:
    """A server in a process of its own, for as long as the block lasts."""
    args = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    with started([sys.executable, "-m", "tests.batch_server", *args], cwd=ROOT, stderr=None) as process:
        yield RunningBatches(int(read_until(process.stdout, r"^\d+$")[0]), process)


class RunningBatches(Running):
    """A server of batches in another process."""

    def reset(self, **values: Any) -> None:
        """Forgets all that it was asked, and takes these faults."""
        url = f"http://127.0.0.1:{self.port}/reset"
        urllib.request.urlopen(
            urllib.request.Request(url, json.dumps(values).encode(), method="POST")
        ).close()

    def cancel(self, name: str) -> None:
        """Cancels a batch as its owner does at the host's own page."""
        url = f"{self.base_url}/batches/{name}/cancel"
        urllib.request.urlopen(urllib.request.Request(url, b"", method="POST")).close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", default="none", choices=sorted(FAULTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--looks", type=int, default=2)
    args = vars(parser.parse_args())
    asyncio.run(_serve(BatchServer(faults=FAULTS[args.pop("faults")], **args)))


if __name__ == "__main__":
    main()
