"""The contract of a judge backend, checked: ``python -m isr.contract CARD``.

Prints one line for each check and exits with 0 if none failed, else with 1. A backend behind an endpoint is driven
against a server on this machine that takes the place of the card's host, so that nothing is paid and no key leaves;
the server speaks several dialects at once. A backend without an endpoint is asked once, if it says ``FREE = True``. What
could not be checked is said with its reason, and never counts as passed.

In a test::

    @pytest.mark.parametrize("check", isr.contract.checks("my-card.toml"), ids=str)
    def test_contract(check):
        outcome = check.run()
        assert outcome.passed is not False, outcome.said
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from isr.errors import IsrError, JudgeError, SecretError, TransportError, TransportReason, UsageError
from isr.files import file_digest
from isr.judging.backends import Judge, open_judge, traits
from isr.judging.card_sections import Endpoint
from isr.judging.cards import Card, load_card
from isr.judging.keys import allow
from isr.judging.messages import Message, message_of
from isr.judging.prices import require_prices
from isr.judging.recording import Recorder, recording
from isr.judging.requests import Request, Template
from isr.judging.rubrics import load_rubric
from isr.judging.sending import Encoder, Prepared
from isr.reading import json_of
from isr.types import Answer, Finish, ImageRef

RUBRIC = "semantic/v1"
PROMPT = 'make the circle green, "as grass" <image>'
VERDICT = {"reasoning": "The circle is green.", "score": 4, "source_kept": 4, "verdict": "fine"}
KEY_VARIABLE = "ISR_CONTRACT_KEY"
LIMIT_S = 60.0  # a backend that has not ended by then hangs

_CUT = {"openai": "length", "messages": "max_tokens", "google": "MAX_TOKENS"}


@dataclass(frozen=True)
class Outcome:
    """What a check found. ``passed`` is ``None`` where nothing could be checked; ``said`` then holds the reason."""

    passed: bool | None
    said: str


@dataclass(frozen=True)
class Check:
    """One rule of the contract for one card."""

    name: str
    run: Callable[[], Outcome]

    def __str__(self) -> str:
        return self.name


def checks(card: Card | str | Path) -> list[Check]:
    """The checks for a card, or for one by its name or path, in the order in which they are printed."""
    one = card if isinstance(card, Card) else load_card(str(card))
    return [Check(name.replace("_", " "), _check(rule, one)) for name, rule in _RULES.items()]


def main(arguments: list[str]) -> int:
    """Prints every check of the card that is named; 0 if none failed, 1 if one did, 2 if there is no such card."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("python -m isr.contract: expected one CARD, a name or a path ending in .toml\n")
        return 2
    try:
        asked = checks(arguments[0])
    except IsrError as error:
        sys.stderr.write(f"isr.contract: {error}\n")
        return 2
    words = {True: "ok", False: "FAILED", None: "not checked"}
    failed = open_ = 0
    for check in asked:
        outcome = check.run()
        failed += outcome.passed is False
        open_ += outcome.passed is None
        sys.stdout.write(f"{words[outcome.passed]:12} {check.name}: {outcome.said}\n")
    sys.stdout.write(
        f"{len(asked) - failed - open_} of {len(asked)} ok, {failed} failed, {open_} not checked\n"
    )
    return 1 if failed else 0


def _check(rule: Callable[[Card], Outcome], card: Card) -> Callable[[], Outcome]:
    def run() -> Outcome:
        try:
            return rule(card)
        except IsrError as error:
            return Outcome(False, str(error))

    return run


# --------------------------------------------------------------------------- what it says of itself


def _traits(card: Card) -> Outcome:
    said, plugin = traits(card.backend, card.folder), card.identity.get("plugin")
    by = f", {plugin['distribution']} answers {plugin['answers']}" if plugin else ""
    return Outcome(True, f"free={said.free} files={list(said.files)} writes={said.writes}{by}")


def _prices(card: Card) -> Outcome:
    if card.traits.free:
        if card.endpoint.api_key_env:
            return Outcome(False, "FREE = True, but the card sends a key: what a key opens costs money")
        return Outcome(True, "FREE = True: a budget needs no prices")
    try:
        require_prices((card.model_copy(update={"price": type(card.price)()}),))
    except UsageError:
        return Outcome(True, "a budget without prices is refused")
    return Outcome(False, "a budget without prices is not refused")


# --------------------------------------------------------------------------- driven against a server here


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What one request came to: an answer or an error of isr, and what was logged meanwhile."""

    answer: Answer | None = None
    error: IsrError | None = None
    logged: str = ""

    @property
    def bug(self) -> str:
        """What the border caught: an exception that the backend should have made one of isr's."""
        cause = self.error.__cause__ if isinstance(self.error, JudgeError) else None
        caught = cause is not None and not isinstance(cause, IsrError) and " failed in " in str(self.error)
        return f"{type(cause).__name__}: {cause}" if caught else ""

    @property
    def told(self) -> str:
        return f"{type(self.error).__name__}: {self.error}" if self.error else "an answer"

    @property
    def texts(self) -> str:
        """Everything that leaves the backend as text."""
        error, parts = self.error, [self.logged]
        while error is not None:
            parts += [str(error), repr(error)]
            error = error.__cause__  # type: ignore[assignment]
        if self.answer is not None:
            parts.append(repr(self.answer))
        return "\n".join(parts)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A judge, a request for it, and the request's message."""

    judge: Judge
    request: Request
    images: Prepared
    message: Message


def _driven(card: Card, recorder: Recorder) -> _Said | None:
    """One request against the recorder; ``None`` where the card has no endpoint."""
    if not card.endpoint.base_url:
        return None
    with recording(recorder), _keyed(recorder.key, card) as variable:
        return _once(_moved(card, recorder, variable), _asking)


async def _asking(asked: _Asked) -> Answer:
    return await asyncio.wait_for(asked.judge.ask(asked.request, asked.images), LIMIT_S)


def _once(card: Card, work: Callable[[_Asked], Awaitable[Answer]]) -> _Said:
    """What work with an opened judge came to, apart from any event loop that runs here; the judge is closed."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    said = _Said()
    try:
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as apart:
            said = _Said(answer=apart.submit(asyncio.run, _opened(card, Path(folder), work)).result())
    except IsrError as error:
        said = _Said(error=error)
    finally:
        logging.getLogger().removeHandler(handler)
    return replace(said, logged="\n".join(lines))


async def _opened(card: Card, folder: Path, work: Callable[[_Asked], Awaitable[Answer]]) -> Answer:
    refs = {}
    for role, colour in (("source", (204, 41, 41)), ("edit", (107, 204, 123))):
        path = folder / f"{role}.png"
        Image.new("RGB", (32, 24), colour).save(path)
        refs[role] = ImageRef(path.name, file_digest(path))
    request = Request(Template(load_rubric(RUBRIC), card), PROMPT, refs)
    images = Prepared(Encoder(folder, card.policy), {r: (ref.path, ref.sha256) for r, ref in refs.items()})
    judge = open_judge(card)
    try:
        message = await message_of(request, images)
        return await work(_Asked(judge=judge, request=request, images=images, message=message))
    finally:
        await judge.close()


@contextmanager
def _keyed(key: str, card: Card) -> Iterator[str]:
    """The name of a variable that holds a key, which may go to this machine, until the block ends."""
    variable = card.endpoint.api_key_env or KEY_VARIABLE
    with tempfile.TemporaryDirectory() as folder:
        ours = {variable: key, "ISR_CONFIG": str(Path(folder, "config.toml"))}
        before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        try:
            allow("127.0.0.1", variable)
            yield variable
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _moved(card: Card, recorder: Recorder, variable: str) -> Card:
    """The card with the recorder in the place of its host."""
    here = recorder.address + urlsplit(card.endpoint.base_url).path
    return card.model_copy(update={"endpoint": Endpoint(base_url=here, api_key_env=variable), "serves": ()})


def _recorder(**fields: Any) -> Recorder:
    return Recorder(key=f"sk-contract/{secrets.token_hex(12)}", **fields)


_NO_ENDPOINT = Outcome(None, "the card has no endpoint that a server here could stand for")


def _answers(card: Card) -> Outcome:
    """One good reply: an ``Answer`` whose text, end and images are what was said and sent."""
    if not card.endpoint.base_url:
        return _asked_here(card)
    recorder = _recorder(text=json.dumps(VERDICT))
    said = _driven(card, recorder)
    assert said is not None
    if said.bug:
        return Outcome(False, f"the border had to catch {said.bug}")
    if said.answer is None:
        return Outcome(None, f"the backend did not read the reply of the server here ({said.told})")
    answer = said.answer
    if json_of(answer.text or "null") != VERDICT:
        return Outcome(False, f"the answer's text is not the server's: {answer.text!r:.80}")
    if answer.finish_reason is not Finish.STOP:
        return Outcome(False, f"a complete reply ended with {answer.finish_reason!r}")
    return Outcome(True, f"read as {answer.finish_reason.value}, {dict(answer.usage) or 'no usage'}")


def _asked_here(card: Card) -> Outcome:
    if not card.traits.free:
        return Outcome(None, "the backend has no endpoint and does not say FREE: asking it may cost money")
    said = _once(card, _asking)
    if said.bug:
        return Outcome(False, f"the border had to catch {said.bug}")
    if said.error is not None and not isinstance(said.error, TransportError):
        return Outcome(None, f"the judge cannot be used here ({said.told})")
    return Outcome(True, f"asked once: {said.told}")


def _cut_off_replies(card: Card) -> Outcome:
    said = _driven(card, _recorder(text='{"reasoning": "The circ', finish=_CUT))
    if said is None or said.answer is None:
        return _NO_ENDPOINT if said is None else Outcome(None, f"no reply was read ({said.told})")
    good = said.answer.finish_reason is Finish.LENGTH
    return Outcome(good, f"a reply that was cut off is {said.answer.finish_reason!r}")


def _bodies(card: Card) -> Outcome:
    """The body holds system text, quoted prompt and the images in order, and the answer names what was sent."""
    if not card.endpoint.base_url:
        return _NO_ENDPOINT
    recorder, messages = _recorder(text=json.dumps(VERDICT)), []

    async def ask(asked: _Asked) -> Answer:
        messages.append(asked.message)
        return await _asking(asked)

    with recording(recorder), _keyed(recorder.key, card) as variable:
        said = _once(_moved(card, recorder, variable), ask)
    if not recorder.bodies:
        return Outcome(False, f"no request reached the server in the place of the host ({said.told})")
    (message,) = messages
    try:
        strings = list(_strings(json_of(recorder.bodies[0])))
    except ValueError:
        return Outcome(None, "the body is no JSON: what is in it is not known here")
    pictures = [part.image for part in message.parts if part.image is not None]
    places = [next((i for i, s in enumerate(strings) if p.base64 in s), -1) for p in pictures]
    if -1 in places or places != sorted(places):
        return Outcome(
            False, f"expected {len(pictures)} images in base64 in the rubric's order; found them at {places}"
        )
    whole = "\n".join(strings)
    types = sorted({p.media_type for p in pictures} - {t for t in ("image/png", "image/jpeg") if t in whole})
    texts = [t for t in (message.system, *(p.text for p in message.parts)) if t and t not in whole]
    if types or texts:
        return Outcome(False, f"missing in the body: {', '.join([*types, *(repr(t[:60]) for t in texts)])}")
    if said.answer is not None and dict(said.answer.sent) != dict(message.sent):
        return Outcome(False, f"Answer.sent expected {dict(message.sent)}; found {dict(said.answer.sent)}")
    return Outcome(True, f"{len(pictures)} images in order, with their type, between the texts")


def _strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, in its order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


_STATUSES = {
    429: TransportReason.RATE_LIMITED,
    500: TransportReason.SERVER_ERROR,
    503: TransportReason.SERVER_ERROR,
}


def _reasons(card: Card) -> Outcome:
    """A host that is busy or broken leaves a request undecided, for a reason that isr knows, and is asked again."""
    for status, reason in _STATUSES.items():
        said = _driven(card, _recorder(status=status))
        if said is None:
            return _NO_ENDPOINT
        error = said.error
        if not (isinstance(error, TransportError) and error.reason is reason and error.retryable):
            return Outcome(
                False,
                f"status {status}: expected a TransportError {reason.value!r}; found {said.bug or said.told}",
            )
    return Outcome(True, f"known for the statuses {', '.join(map(str, _STATUSES))}")


def _exceptions(card: Card) -> Outcome:
    """Whatever a host replies, no foreign exception reaches the border."""
    odd: list[dict[str, Any]] = [{"status": s} for s in (400, 401, 402, 403, 404, 413)]
    odd += [
        {"raw": raw}
        for raw in (b"", b"no json", b"{}", b"[]", b'{"choices": [null], "content": [null]}', b"\xff")
    ]
    for fields in odd:
        said = _driven(card, _recorder(**fields))
        if said is None:
            return _NO_ENDPOINT
        if said.bug or (said.error is None and "status" in fields):
            return Outcome(False, f"a reply of {fields}: found {said.bug or said.told}")
    return Outcome(True, f"{len(odd)} odd replies are errors of isr, or answers")


def _redaction(card: Card) -> Outcome:
    """The key is in no text that leaves the backend, although every reply repeats it; no redirect takes it along."""
    for status in (200, 307, 400, 401, 404, 429, 500):
        recorder = _recorder(status=status)
        recorder.text = json.dumps({**VERDICT, "reasoning": f"asked with {recorder.key}"})
        said = _driven(card, recorder)
        if said is None:
            return _NO_ENDPOINT
        if recorder.key in said.texts:
            place = "the answer" if said.answer else "an exception or a log line"
            return Outcome(False, f"status {recorder.status}: the key stands in {place}")
        if recorder.sent_elsewhere:
            return Outcome(
                False, "a redirect was followed: the key and the images go where the card does not say"
            )
        if recorder.status == 307 and not isinstance(said.error, SecretError):
            return Outcome(False, f"a redirect: expected a SecretError; found {said.told}")
    return Outcome(True, "the key is in no answer, exception or log line; no redirect is followed")


def _cancellation(card: Card) -> Outcome:
    """A request that is cancelled in flight ends, and the judge can be closed."""
    if not card.endpoint.base_url and not card.traits.free:
        return Outcome(None, "the backend has no endpoint and does not say FREE: asking it may cost money")
    recorder = _recorder(hold=True)
    ended: list[str] = []

    async def cancel(asked: _Asked) -> Answer:
        task = asyncio.ensure_future(asked.judge.ask(asked.request, asked.images))
        if card.endpoint.base_url:
            arrival = asyncio.ensure_future(asyncio.to_thread(recorder.arrived.wait, LIMIT_S))
            await asyncio.wait({task, arrival}, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=LIMIT_S)
        ended.append("running" if not task.done() else "cancelled" if task.cancelled() else "ended")
        recorder.release.set()
        if ended == ["ended"] and task.exception() is not None:
            ended[0] = f"{type(task.exception()).__name__}: {task.exception()}"
        return Answer("", Finish.STOP)

    if card.endpoint.base_url:
        with recording(recorder), _keyed(recorder.key, card) as variable:
            said = _once(_moved(card, recorder, variable), cancel)
    else:
        said = _once(card, cancel)
    if not ended:
        return Outcome(None, f"the judge cannot be used here ({said.told})")
    if said.error is not None:
        return Outcome(False, f"close: {said.told}")
    free = not card.endpoint.base_url
    if ended[0] == "cancelled" or (free and ended[0] != "running"):
        return Outcome(True, f"{ended[0]}, and closed")
    return Outcome(False, f"expected a cancelled request; found: {ended[0]}")


_RULES: dict[str, Callable[[Card], Outcome]] = {
    "traits": _traits,
    "prices": _prices,
    "answers": _answers,
    "cut_off_replies": _cut_off_replies,
    "bodies": _bodies,
    "reasons": _reasons,
    "exceptions": _exceptions,
    "redaction": _redaction,
    "cancellation": _cancellation,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
