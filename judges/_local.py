"""What the judges whose weights lie on this machine share: options, conversations, and what may be loaded."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from isr.errors import CardError, JudgeError, MissingExtraError, Problem
from isr.judging.card_sections import Decoding
from isr.judging.field_errors import field_errors
from isr.judging.requests import arranged
from isr.judging.thinking import MARKS, template_fields

if TYPE_CHECKING:
    from PIL import Image

    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

log = logging.getLogger("isr")


class EngineOptions(BaseModel):
    """The part of ``[engine]`` that all local backends know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dtype: str = "auto"
    max_model_len: int | None = None
    trust_remote_code: bool = False


Options = TypeVar("Options", bound=EngineOptions)


def engine_options(card: Card, kind: type[Options]) -> Options:
    """The card's ``[engine]`` as the backend's options. Raises ``CardError`` with every problem at once."""
    problems = []
    options: Options | None = None
    if not card.model:
        problems.append(Problem(card.name, "model", "a folder or a hub id", "none", "edit the card"))
    try:
        options = kind.model_validate(dict(card.engine))
    except ValidationError as error:
        found = field_errors(error, dict(card.engine), kind, card.name, "edit the card")
        problems += [replace(p, field=f"engine.{p.field}") for p in found]
    if options is None or problems:
        raise CardError(f"{card.name}: {len(problems)} problem(s)", problems)
    if options.trust_remote_code:
        log.warning(
            "%s: engine.trust_remote_code runs Python code that comes with the model, with all rights of this "
            "user; do so only with a checkpoint that you have read",
            card.name,
        )
    if card.checkpoint is None and not card.revision:
        log.warning(
            "%s: no revision is pinned: %s may be other weights tomorrow, and the judge's identity would not "
            "tell; put the commit into the card's 'revision'",
            card.name,
            card.model,
        )
    return options


def missing(package: str, extra: str, why: str = "") -> MissingExtraError:
    """The error for a package that a local judge needs."""
    said = f" ({why})" if why else ""
    return MissingExtraError(
        f"{package} is not installed{said}: run pip install {package}, or pip install 'isr-eval[{extra}]'"
    )


@dataclass(frozen=True)
class Conversation:
    """What a local model is asked: chat messages with places for images, and the images in the same order."""

    messages: list[dict[str, Any]]
    images: list[Image.Image]
    digests: dict[str, str]  # of the pixels, by role


async def conversation(request: Request, prepared: Prepared, marks: Iterable[str]) -> Conversation:
    """The request as chat messages: the rubric first, then the images in the rubric's order.

    ``marks`` are the model's own special tokens: where the edit prompt holds one, it is escaped, so that data
    cannot end a message or open an image.
    """
    content: list[dict[str, Any]] = []
    images: list[Image.Image] = []
    digests: dict[str, str] = {}
    safe = without_marks(request.quoted, marks)
    for roles, text in arranged(request, request.template.card.images.layout):
        if roles:
            picture = await prepared.picture(*roles)
            images.append(picture.image)
            digests["+".join(roles)] = picture.sha256
            content.append({"type": "image"})
        else:
            content.append({"type": "text", "text": text.replace(request.quoted, safe)})
    system = [{"type": "text", "text": request.template.body["system"]}]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": content}]
    return Conversation(messages, images, digests)


def without_marks(text: str, marks: Iterable[str]) -> str:
    """The text with the first character of every mark in it as a JSON escape: the same string, but no mark."""
    for mark in sorted(marks, key=len, reverse=True):
        if mark in text:
            text = text.replace(mark, f"\\u{ord(mark[0]):04x}{mark[1:]}")
    return text


def marks_of(tokenizer: Any) -> tuple[str, ...]:
    """The special tokens of a Hugging Face tokenizer, longest first."""
    added = (str(t) for t in tokenizer.added_tokens_decoder.values() if t.special)
    found = {*added, *map(str, tokenizer.all_special_tokens)}
    return tuple(sorted((m for m in found if m), key=lambda m: (-len(m), m)))


def rendered(processor: Any, messages: list[dict[str, Any]], thinking: bool | int | None = None) -> str:
    """The conversation in the model's own chat format; the rubric joins the user's words where it knows no system.

    thinking: of the card; the template is told whether the model thinks before it answers. Raises ``JudgeError`` for a
    format in which the rubric would be lost.
    """
    from jinja2 import TemplateError

    system, user = messages
    joined = [{"role": "user", "content": [*system["content"], *user["content"]]}]
    for form in (messages, joined):
        try:
            told = template_fields(thinking)
            text = str(
                processor.apply_chat_template(form, add_generation_prompt=True, tokenize=False, **told)
            )
        except TemplateError:
            continue
        if system["content"][0]["text"] in text:
            return text
    raise JudgeError(
        "the model's chat template expected to show the whole rubric; it drops it; use a checkpoint with another "
        "chat_template.jinja"
    )


def check_template(card: Card, processor: Any) -> None:
    """Raises ``JudgeError`` where the model's chat template cannot do what the card says of thinking.

    A template that knows the switch gives two texts for its two values. One that does not may still open the thoughts
    by itself: its model always thinks. Where the card says nothing of a template that knows it, a warning is printed.
    """
    words = [{"type": "text", "text": "."}]
    messages = [{"role": "system", "content": words}, {"role": "user", "content": words}]
    on, off = (rendered(processor, messages, value) for value in (True, False))
    thinking = card.decoding.thinking
    if thinking is None and on != off:
        log.warning(
            "%s: the model's chat template knows enable_thinking, and the card does not say decoding.thinking: the "
            "template's own choice counts, and thoughts that it opens are held to the JSON; set it to true or false",
            card.name,
        )
    if thinking and on == off and not _opens_thoughts(on):
        raise JudgeError(
            f"{card.name}: decoding.thinking expected a chat template that knows enable_thinking; found one that makes "
            f"the same prompt with and without it, and opens no thoughts; take a checkpoint that thinks, or leave "
            f"decoding.thinking out"
        )
    if thinking is False and _opens_thoughts(off):
        raise JudgeError(
            f"{card.name}: decoding.thinking = false expected a chat template that can do without thoughts; found one "
            f"that opens them all the same; set it to true, or take another checkpoint"
        )


def _opens_thoughts(prompt: str) -> bool:
    return any(prompt.rfind(start) > prompt.rfind(end) for start, end in MARKS)


def seed_of(card: Card, request: Request) -> int | None:
    """The seed of one request's sampling: the card's, the repeat's number, and the request's own key.

    Two requests never share their noise, and an answer depends on its request alone, not on its batch.
    """
    if card.decoding.seed is None:
        return None
    text = b"%d:%s" % (card.decoding.seed, request.key)
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


def schema_of(request: Request) -> dict[str, Any] | None:
    """The JSON schema to which decoding is held: the rubric's, any object, or none (asked for in words).

    Of a string with a length xgrammar makes one that may hold control characters, which are no JSON: an answer with
    one is undecided (``not_json``). (As a pattern it would forbid them, but xgrammar 0.2 fails on such patterns.)
    """
    form: Mapping[str, Any] | None = request.template.body["response_format"]
    if form is None:
        return None
    return form["json_schema"]["schema"] if form["type"] == "json_schema" else {"type": "object"}


def refuse_fields(card: Card, *fields: str) -> None:
    """Raises ``CardError`` for fields of ``[decoding]`` that are set and that the backend would ignore."""
    plain = Decoding()
    set_ = [f for f in fields if getattr(card.decoding, f) != getattr(plain, f)]
    if set_:
        problems = [
            Problem(
                card.name,
                f"decoding.{f}",
                f"nothing: {card.backend} has no use for it",
                "a value",
                "remove it",
            )
            for f in set_
        ]
        raise CardError(f"{card.name}: {len(problems)} problem(s)", problems)


_WATCH = """
import os, signal, sys
pids = [int(word) for line in sys.stdin for word in line.split()]  # until the run ends, whatever ends it
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class Guard:
    """A process that ends others when this one is gone: killed, it could not, and they would keep their memory."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _WATCH],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, pids: Iterable[int]) -> None:
        """These processes end with this one; a negative number is a whole group, as for ``kill``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{' '.join(map(str, pids))}\n".encode())
        self._process.stdin.flush()

    def dismiss(self) -> None:
        """Ends the guard and nothing else."""
        self._process.kill()
        self._process.communicate()
