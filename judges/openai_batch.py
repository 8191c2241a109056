"""The engine ``openai-batch``: files of requests and batches of them, at any host that speaks OpenAI's files and batches.

The judge is that of ``openai_chat``: it makes the bodies and reads the replies.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp

from isr.errors import IsrError, JudgeError, ModelNotFoundError, TransportError, TransportReason
from isr.judges.openai_chat import OpenAIChat, open_judge
from isr.judging.client import Client
from isr.judging.engines import Batch, Status, Unanswered
from isr.reading import open_regular

if TYPE_CHECKING:
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared
    from isr.types import Answer

TAKES = ("openai_chat",)
ENDPOINT = "/v1/chat/completions"
WINDOW = "24h"  # the only one that OpenAI takes
PAGE = 100  # batches of one page of the list
MAX_PAGES = 10_000
SLOWEST = 100_000  # bytes a second at which an upload is still waited for
MAX_ID = 1000  # characters; a proxy packs a model's name into its ids
QUEUE_FULL = "token_limit_exceeded"
NOT_RUN = ("batch_expired", "batch_cancelled")  # codes of lines whose request was not run


def open_batches(card: Card) -> OpenAIBatches:
    """The batches of ``card.endpoint``. Raises ``SecretError`` if its key may not go there."""
    return OpenAIBatches(card, open_judge(card))


class OpenAIBatches:
    """Files and batches of one account at one host. Every string that leaves here has been through a redactor."""

    def __init__(self, card: Card, judge: OpenAIChat) -> None:
        name, before = card.endpoint.key_header
        self._client = Client(card, lambda key: {name: f"{before}{key}"} if key else {})
        self._card, self._judge = card, judge

    async def line(
        self, custom_id: str, request: Request, images: Prepared
    ) -> tuple[bytes, Mapping[str, str]]:
        """The line of a request: its body is the one that is sent when it is asked alone, byte for byte."""
        body, sent = await self._judge.body(request, images)
        head = json.dumps({"custom_id": custom_id, "method": "POST", "url": ENDPOINT}).encode()
        return b"".join([head[:-1], b', "body": ', body, b"}\n"]), sent

    async def upload(self, path: Path, name: str) -> str:
        """The id of the file, which is read from the disk as it goes."""
        size = path.stat().st_size
        within = self._card.limits.timeout_s + size / SLOWEST
        with open_regular(path) as file:
            form = aiohttp.FormData()
            form.add_field("purpose", "batch")
            form.add_field("file", file, filename=f"isr-{name}.jsonl", content_type="application/jsonl")
            said = await self._asked("POST", "/files", ("id",), within_s=within, data=form)
        return self._id(said["id"])

    async def create(self, file_id: str, metadata: Mapping[str, str]) -> Batch:
        body = {
            "input_file_id": file_id,
            "endpoint": ENDPOINT,
            "completion_window": WINDOW,
            "metadata": dict(metadata),
        }
        return self._batch(await self._asked("POST", "/batches", ("id",), json=body))

    async def get(self, batch_id: str) -> Batch:
        return self._batch(await self._asked("GET", f"/batches/{_safe(batch_id)}", ("id",)))

    async def cancel(self, batch_id: str) -> Batch:
        return self._batch(await self._asked("POST", f"/batches/{_safe(batch_id)}/cancel", ("id",)))

    async def batches(self) -> AsyncIterator[Batch]:
        after = ""
        for _ in range(MAX_PAGES):
            params = {"limit": str(PAGE), **({"after": after} if after else {})}
            said = await self._asked("GET", "/batches", params=params)
            listed = said.get("data")
            found = (
                [b for b in listed if isinstance(b, dict) and b.get("id")] if isinstance(listed, list) else []
            )
            for one in found:
                yield self._batch(one)
            last = str(found[-1]["id"]) if found else ""
            if not said.get("has_more") or not last or last == after:
                return
            after = last
        raise JudgeError(f"{self._card.endpoint.host}: its list of batches has no end; nothing was created")

    async def content(self, file_id: str, most: int) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(self._client.pieces(f"/files/{_safe(file_id)}/content", most)) as pieces:
                async for piece in pieces:
                    yield piece
        except IsrError as error:
            raise self._own(error, f"/files/{file_id}/content") from None

    def custom_id(self, line: Mapping[str, Any]) -> object:
        return line.get("custom_id")

    def read(self, line: Mapping[str, Any], request: Request) -> Answer | Unanswered:
        response, error = line.get("response"), line.get("error")
        if isinstance(response, dict):
            status = response.get("status_code")
            status = status if isinstance(status, int) and not isinstance(status, bool) else 200
            headers = {"x-request-id": str(response["request_id"])} if response.get("request_id") else {}
            if status or response.get("body"):  # 0: OpenAI's own word for a request that it lost
                return self._judge.read(status or 200, response.get("body"), headers, request)
        code = str(error.get("code") or "") if isinstance(error, dict) else ""
        if code in NOT_RUN:
            return Unanswered(code)
        words = self._client.clean(str(error.get("message") or code) if isinstance(error, dict) else "")[:300]
        raise TransportError(
            TransportReason.SERVER_ERROR,
            f"{self._card.endpoint.host}: a line of a batch without a reply{f' ({words})' if words else ''}",
            worded=bool(words),
        )

    async def close(self) -> None:
        await self._client.close()
        await self._judge.close()

    async def _asked(
        self, method: str, path: str, needs: tuple[str, ...] = (), **sent: Any
    ) -> dict[str, Any]:
        try:
            return await self._client.asked(method, path, needs, **sent)
        except IsrError as error:
            raise self._own(error, path) from None

    def _own(self, error: IsrError, path: str) -> IsrError:
        """A 404 of these addresses speaks of no model."""
        if not isinstance(error, ModelNotFoundError):
            return error
        host = self._card.endpoint.host
        said = self._client.clean(str(error).partition(": ")[2].partition(":")[0])
        if path in ("/files", "/batches"):
            return JudgeError(
                f"{host}: expected files and batches as OpenAI has them at {self._card.endpoint.root}{path}; found {said}: it "
                "takes no batches; leave out --engine, or put a proxy before it that makes them (docs/batch.md)"
            )
        return JudgeError(
            f"{host}: expected {path[1:]}; found {said}: it is another account's, or no longer kept; see isr batch list, and "
            "give it up with isr batch cancel"
        )

    def _id(self, said: object) -> str:
        return self._client.clean(str(said))[:MAX_ID]

    def _batch(self, said: Mapping[str, Any]) -> Batch:
        clean = self._client.clean
        try:
            status = Status(str(said.get("status")).lower())
        except ValueError:
            found = clean(str(said.get("status")))[:40]
            raise TransportError(
                TransportReason.SERVER_ERROR,
                f"{self._card.endpoint.host}: expected the state of a batch; found {found!r}",
            ) from None
        errors = _errors(said.get("errors"))
        metadata = said.get("metadata")
        files = (said.get("output_file_id"), said.get("error_file_id"))
        counts = said.get("request_counts")
        counted = [counts.get(n) for n in ("completed", "failed")] if isinstance(counts, dict) else []
        return Batch(
            id=self._id(said["id"]),
            status=status,
            metadata={self._id(k): self._id(v) for k, v in metadata.items()}
            if isinstance(metadata, dict)
            else {},
            input_file=self._id(said.get("input_file_id") or ""),
            output_files=tuple(self._id(f) for f in files if f),
            done=sum(n for n in counted if isinstance(n, int)),
            queue_full=status is Status.FAILED and any(e.get("code") == QUEUE_FULL for e in errors),
            errors=clean("; ".join(str(e.get("message") or e.get("code") or "") for e in errors[:3]))[:500],
        )


def _errors(said: object) -> list[Mapping[str, Any]]:
    listed = said.get("data") if isinstance(said, dict) else said
    return [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []


def _safe(name: str) -> str:
    """An id of the host as a part of an address: it names nothing else."""
    return quote(name, safe="-_.~") if name not in (".", "..") else "-"
