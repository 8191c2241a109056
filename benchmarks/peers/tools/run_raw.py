"""A plain loop over the openai client, with its own two retries; images are read and encoded for each request."""

from __future__ import annotations

import asyncio

import openai
from peer import Answers, Work, run, score_in


async def _raw(work: Work) -> Answers:
    todo, found = work.conversations(), []
    async with openai.AsyncOpenAI(base_url=work.base_url, api_key="x") as client:

        async def worker() -> None:
            for pair, question, messages, schema in todo:
                try:
                    reply = await client.chat.completions.create(
                        model="m", messages=messages, max_tokens=512, response_format=schema
                    )
                    text = reply.choices[0].message.content
                except openai.OpenAIError:
                    text = None
                found.append((pair.number, question, score_in(text)))

        await asyncio.gather(*[worker() for _ in range(work.workers)])
    return found


run(lambda work: asyncio.run(_raw(work)))
