"""The floor: an aiohttp client that posts bodies and reads what comes, and tries nothing again."""

from __future__ import annotations

import asyncio
import json

import aiohttp
from peer import Answers, Work, run, score_in


async def _floor(work: Work) -> Answers:
    todo, found = work.conversations(), []
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session:

        async def worker() -> None:
            for pair, question, messages, schema in todo:
                body = json.dumps(
                    {"model": "m", "messages": messages, "max_tokens": 512, "response_format": schema}
                ).encode()
                async with session.post(
                    f"{work.base_url}/chat/completions", data=body, headers=headers
                ) as reply:
                    said = await reply.json()
                text = said["choices"][0]["message"]["content"] if reply.status == 200 else None
                found.append((pair.number, question, score_in(text)))

        await asyncio.gather(*[worker() for _ in range(work.workers)])
    return found


run(lambda work: asyncio.run(_floor(work)))
