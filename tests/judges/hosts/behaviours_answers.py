"""Replies with status 200: sound ones in every wrapping, useless ones, and ones by another model."""

from __future__ import annotations

import codecs
import io
import json

import numpy as np
from aiohttp import web
from PIL import Image

from tests.judges.hosts.replies import JSON, Ask, Reply, answer, behaviour, completed, payload

THOUGHTS = "The picture shows a car. It is red, as was asked. " * 4


def _raw(ask: Ask, body: bytes, content_type: str = JSON) -> Reply:
    ask.seen.answered += 1
    return web.Response(body=body, headers={"Content-Type": content_type})


def _encoded(ask: Ask) -> bytes:
    return json.dumps(payload(ask)).encode()


# Sound answers, and the marks of protocols around them


@behaviour()
def plain(ask: Ask) -> Reply:
    """What every host does on a good day."""
    return answer(ask)


@behaviour()
def sighted(ask: Ask) -> Reply:
    """A judge that sees: an edit full of noise fails both questions, and any other is fine."""
    pixels = np.asarray(Image.open(io.BytesIO(ask.pictures[-1])).convert("L"), float)
    noisy = np.abs(np.diff(pixels, axis=1)).mean() > 20
    return answer(ask, ask.good(verdict="fails" if noisy else "fine", score=1 if noisy else 3))


@behaviour()
def fence(ask: Ask) -> Reply:
    """promptfoo/promptfoo#2084: the JSON stands in a code fence."""
    return answer(ask, f"```json\n{ask.good()}\n```")


@behaviour()
def think_block(ask: Ask) -> Reply:
    """vllm-project/vllm#21130: the thoughts stand in the content, before the JSON."""
    return answer(ask, f"<think>\n{THOUGHTS}\n</think>\n\n{ask.good()}")


@behaviour()
def think_fenced(ask: Ask) -> Reply:
    """vllm-project/vllm#21130: thoughts, and then the JSON in a code fence."""
    return answer(ask, f"<think>{THOUGHTS}</think>\n```json\n{ask.good()}\n```")


@behaviour()
def turn_end(ask: Ask) -> Reply:
    """The mark of the end of a turn stays in the text, where a server does not know the model's template."""
    return answer(ask, f"{ask.good()}<|im_end|>")


@behaviour()
def keep_alive(ask: Ask) -> Reply:
    """jundot/omlx#2066: blanks come first, to keep the connection open."""
    return _raw(ask, b" " * 40 + b"\n\n" + _encoded(ask))


@behaviour()
def byte_order_mark(ask: Ask) -> Reply:
    """wangsusu-opc/inferencer-feedback#158: a byte order mark before the body."""
    return _raw(ask, codecs.BOM_UTF8 + _encoded(ask))


@behaviour()
def text_plain(ask: Ask) -> Reply:
    """jundot/omlx#2066: JSON that is called plain text."""
    return _raw(ask, _encoded(ask), "text/plain; charset=utf-8")


@behaviour()
def parts(ask: Ask) -> Reply:
    """Mistral's API: the content is a list of parts."""
    return answer(ask, [{"type": "text", "text": ask.good()}])


@behaviour()
def parts_thinking(ask: Ask) -> Reply:
    """Mistral's API: thoughts are a part beside the text."""
    return answer(ask, [{"type": "thinking", "thinking": THOUGHTS}, {"type": "text", "text": ask.good()}])


@behaviour()
def usage_null(ask: Ask) -> Reply:
    """Gateways that count no tokens say null."""
    return completed(ask, {**payload(ask), "usage": None})


@behaviour()
def usage_missing(ask: Ask) -> Reply:
    """Gateways that count no tokens leave the field out."""
    body = payload(ask)
    del body["usage"]
    return completed(ask, body)


# Answers that are of no use


@behaviour()
def fence_prose(ask: Ask) -> Reply:
    """stepfun-ai/Step1X-Edit#101: words around the JSON, every time."""
    return answer(ask, f"Here is my assessment:\n```json\n{ask.good()}\n```\nI hope that this helps.")


@behaviour("flagged")
def some_prose(ask: Ask) -> Reply:
    """stepfun-ai/Step1X-Edit#101: words around the JSON, now and then."""
    return answer(ask, f"Here is my assessment: {ask.good()} I hope that this helps.")


@behaviour()
def trailing_comma(ask: Ask) -> Reply:
    """confident-ai/deepeval#2770: a comma before the last brace."""
    return answer(ask, ask.good()[:-1] + ",}")


@behaviour()
def missing_comma(ask: Ask) -> Reply:
    """VectorSpaceLab/EditScore#4: no comma between two fields."""
    return answer(ask, ask.good().replace('", "', '" "', 1).replace(', "score"', ' "score"', 1))


@behaviour()
def string_score(ask: Ask) -> Reply:
    """OpenPipe/ART#477: the score is a text."""
    return answer(ask, ask.good(score="3"))


@behaviour()
def off_scale(ask: Ask) -> Reply:
    """OpenPipe/ART#477: the score is on another scale."""
    return answer(ask, ask.good(score=10))


@behaviour()
def missing_field(ask: Ask) -> Reply:
    """A server that takes a schema and does not enforce it: a field is left out."""
    return answer(ask, json.dumps({"answer": ask.fields()["verdict"]}))


@behaviour()
def content_empty_reasoning(ask: Ask) -> Reply:
    """ollama/ollama#15288, #12831: nothing in the content, everything in ``reasoning``."""
    return answer(ask, "", reasoning=f"{THOUGHTS}{ask.good()}")


@behaviour()
def content_null_reasoning(ask: Ask) -> Reply:
    """vllm-project/vllm#48863, #50948, #19222, #15618: the JSON lies in ``reasoning_content``, the content is null."""
    return answer(ask, None, reasoning_content=ask.good())


@behaviour()
def thoughts_to_the_limit(ask: Ask) -> Reply:
    """googleapis/python-genai#811, stanford-crfm/helm#3804: thoughts use up the tokens of the output."""
    body = payload(ask, None, "length", reasoning_content=THOUGHTS)
    body["usage"] = {
        "prompt_tokens": 1500, "completion_tokens": 512, "total_tokens": 2012,
        "completion_tokens_details": {"reasoning_tokens": 512},
    }  # fmt: skip
    return completed(ask, body)


@behaviour()
def endless_whitespace(ask: Ask) -> Reply:
    """vllm-project/vllm#38696: under a schema the model writes blanks until it is cut off."""
    return answer(ask, '{"reasoning": "red",' + " \n" * 200, "length")


@behaviour()
def choices_empty(ask: Ask) -> Reply:
    """BerriAI/litellm#36881: a completion without any choice, every time."""
    return completed(ask, {**payload(ask), "choices": []})


@behaviour()
def tool_call(ask: Ask) -> Reply:
    """The JSON comes as the call of a tool, where a gateway turns a schema into one."""
    call = {"id": "1", "type": "function", "function": {"name": "answer", "arguments": ask.good()}}
    return answer(ask, None, "tool_calls", tool_calls=[call])


@behaviour()
def aborted(ask: Ask) -> Reply:
    """sgl-project/sglang and vLLM end a reply by ``abort`` where their scheduler drops it."""
    return answer(ask, ask.good()[:20], "abort")


# Refusals, and judges that do not look


@behaviour("flagged")
def refusal_field(ask: Ask) -> Reply:
    """OpenAI's structured outputs: the refusal has a field of its own."""
    return answer(ask, None, refusal="I cannot evaluate this.")


@behaviour("flagged")
def cannot_view(ask: Ask) -> Reply:
    """MMMU-Benchmark/MMMU#66, NetManAIOps/ChatTS#40: the model says that it cannot see the picture."""
    return answer(ask, "I'm sorry, but I am unable to view the image.")


@behaviour()
def blind(ask: Ask) -> Reply:
    """sgl-project/sglang#4645, #10906, ollama/ollama#9664: pictures are dropped, the answer is always the same."""
    body = payload(ask, ask.good(score=3, verdict="fine", reasoning="All is well."))
    body["usage"] = {"prompt_tokens": 640, "completion_tokens": 60, "total_tokens": 700}
    return completed(ask, body)


@behaviour()
def context_cut(ask: Ask) -> Reply:
    """ollama/ollama#17889, #7484, ralphgrewe/TradingAgents#168: whatever is sent, 2,050 tokens of it are read."""
    body = payload(ask, ask.good(score=3, verdict="fine"))
    body["usage"] = {"prompt_tokens": 2050, "completion_tokens": 60, "total_tokens": 2110}
    return completed(ask, body)


# Who answered


def _as(ask: Ask, name: str | None, **fields: str) -> Reply:
    body = {**payload(ask), "model": name, **fields}
    return completed(ask, {k: v for k, v in body.items() if v is not None})


@behaviour()
def model_mini(ask: Ask) -> Reply:
    """ShujinWu-0814/ALOE#1: the smaller sibling answers under a name that begins alike."""
    return _as(ask, f"{ask.model}-mini-2025-04-14")


@behaviour()
def model_nano(ask: Ask) -> Reply:
    """ShujinWu-0814/ALOE#1, one size smaller."""
    return _as(ask, f"{ask.model}-nano")


@behaviour()
def model_lite(ask: Ask) -> Reply:
    """Gemini's smaller siblings: the name with ``-lite``."""
    return _as(ask, f"{ask.model}-lite")


@behaviour()
def model_dated(ask: Ask) -> Reply:
    """OpenAI's API: the name with the date of the snapshot."""
    return _as(ask, f"{ask.model}-2025-04-14")


@behaviour()
def model_build(ask: Ask) -> Reply:
    """Google's API: the name with the number of a build."""
    return _as(ask, f"models/{ask.model}-001")


@behaviour()
def model_vendor(ask: Ask) -> Reply:
    """OpenRouter: the name behind its vendor's."""
    return _as(ask, f"openai/{ask.model}")


@behaviour()
def model_other(ask: Ask) -> Reply:
    """skalesapp/skales#190: another model answers where the wanted one is not there."""
    return _as(ask, "llava:7b")


@behaviour()
def model_none(ask: Ask) -> Reply:
    """A gateway that does not say which model answered."""
    return _as(ask, None)


@behaviour()
def models_two(ask: Ask) -> Reply:
    """ShujinWu-0814/ALOE#1: one of two models answers, as it comes."""
    return _as(ask, ask.model if int(ask.digest[-1], 16) % 2 else f"{ask.model}-mini")


@behaviour()
def providers_two(ask: Ask) -> Reply:
    """stepfun-ai/Step1X-Edit#143: OpenRouter sends requests to one of two providers, and says to which."""
    return _as(ask, ask.model, provider="Alibaba" if int(ask.digest[-1], 16) % 2 else "DeepInfra")
