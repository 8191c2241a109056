"""Image-text models of Hugging Face transformers, in this process: any checkpoint that ``AutoModelForImageTextToText`` loads.

Requests are answered in batches. With ``temperature = 0`` decoding is greedy; the rubric's schema is enforced token by
token by xgrammar, as vLLM does it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from isr.errors import CardError, IsrError, JudgeError, MissingExtraError, TransportError
from isr.judges._local import (
    Conversation,
    EngineOptions,
    check_template,
    conversation,
    engine_options,
    marks_of,
    missing,
    refuse_fields,
    rendered,
    schema_of,
    seed_of,
)
from isr.judges._logits import Grammars, Gumbel, Likeliest, Thoughts
from isr.judges._thoughts import required_marks
from isr.judging.logprobs import p_yes
from isr.judging.thinking import budget_of
from isr.types import Answer, Finish

if TYPE_CHECKING:
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

log = logging.getLogger("isr")

FREE = True
LINGER_S = 0.02  # how long an unfilled batch waits for one more request
DTYPES = ("auto", "float32", "float16", "bfloat16")
EXTRA = "transformers"


class TransformersOptions(EngineOptions):
    """``[engine]`` of this backend."""

    batch_size: int = 8
    device_map: str = "auto"
    attn_implementation: str | None = None

    def check(self, card: Card) -> None:
        """Raises ``CardError`` for what no model can be loaded with, ``MissingExtraError`` for a package that is not here."""
        if self.dtype not in DTYPES or self.batch_size < 1:
            raise CardError(
                f"{card.name}: 'engine' expected dtype out of {', '.join(DTYPES)} and a batch_size of at least 1; "
                f"found {self.dtype!r} and {self.batch_size}; edit the card"
            )
        for package in ("torch", "transformers"):
            if importlib.util.find_spec(package) is None:
                raise missing(package, EXTRA)


def open_judge(card: Card) -> Transformers:
    """A judge in this process; its weights are loaded at the first question. Raises ``CardError``."""
    options = engine_options(card, TransformersOptions)
    refuse_fields(card, "extra", "omit", "reasoning_effort", "thinking_name")
    options.check(card)
    if card.decoding.structured != "words" and importlib.util.find_spec("xgrammar") is None:
        raise missing(
            "xgrammar", EXTRA, "it holds decoding to the schema; decoding.structured = 'words' does without"
        )
    return Transformers(card, options)


@dataclass
class _Asked:
    """One request on its way through a batch."""

    request: Request
    talk: Conversation
    future: asyncio.Future[Answer]


class Transformers:
    """One model, asked in batches of at most ``engine.batch_size``.

    While a batch is generated the next one is collected and prepared. Whatever kills the process loses the work on
    one batch, and the answers to no other.
    """

    def __init__(self, card: Card, options: TransformersOptions) -> None:
        self.card, self.options = card, options
        self._batch_size = min(options.batch_size, card.limits.concurrency)
        self._arrived: asyncio.Queue[_Asked] = asyncio.Queue()
        self._ready: asyncio.Queue[tuple[list[_Asked], Mapping[str, Any]]] = asyncio.Queue(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._model: Model | None = None
        self._loading = asyncio.Lock()

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """The model's reply. Raises ``TransportError`` for a prompt that is too long or does not fit into memory."""
        model = await self._loaded()
        talk = await conversation(request, images, model.marks)
        asked = _Asked(request, talk, asyncio.get_running_loop().create_future())
        self._arrived.put_nowait(asked)
        return await asked.future

    async def close(self) -> None:
        """Ends the batches and frees the weights."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self._model = [], None

    async def _loaded(self) -> Model:
        async with self._loading:
            if self._model is None:
                self._model = await asyncio.to_thread(self._load)
                self._tasks = [asyncio.create_task(self._prepare()), asyncio.create_task(self._generate())]
        return self._model

    def _load(self) -> Model:
        return Model(self.card, self.options)

    async def _collected(self) -> list[_Asked]:
        """The next batch: what waits, filled up as long as more keeps arriving."""
        batch = [await self._arrived.get()]
        while len(batch) < self._batch_size:
            try:
                batch.append(await asyncio.wait_for(self._arrived.get(), LINGER_S))
            except TimeoutError:
                break
        return batch

    async def _prepare(self) -> None:
        while True:
            for ready in await self._prepared(await self._collected()):
                await self._ready.put(ready)

    async def _prepared(self, batch: list[_Asked]) -> list[tuple[list[_Asked], Mapping[str, Any]]]:
        """The batch with its tensors, in parts where one of its requests cannot be prepared: that one is refused."""
        try:
            return [(batch, await asyncio.to_thread(_some(self._model).inputs, [a.talk for a in batch]))]
        except Exception as error:
            if isinstance(error, IsrError) or len(batch) == 1:
                _fail(batch, _mapped(error, self.card, "rejected"))
                return []
        half = len(batch) // 2
        return [*await self._prepared(batch[:half]), *await self._prepared(batch[half:])]

    async def _generate(self) -> None:
        while True:
            batch, inputs = await self._ready.get()
            try:
                await self._answer(batch, inputs)
            except Exception as error:  # whatever it is, nobody may wait for ever
                _fail(batch, _mapped(error, self.card))

    async def _answer(self, batch: list[_Asked], inputs: Mapping[str, Any]) -> None:
        """Answers a batch. What is too long is taken out; what does not fit into memory is halved, down to one."""
        model = _some(self._model)
        fits = [n < model.longest for n in lengths(inputs)]
        if not all(fits):
            for asked, fit, n in zip(batch, fits, lengths(inputs), strict=True):
                if not fit:
                    _fail([asked], _too_long(self.card, n, model.longest))
            await self._again([a for a, fit in zip(batch, fits, strict=True) if fit])
            return
        answers: list[Answer] | None = None
        try:
            answers = await asyncio.to_thread(model.generate, [a.request for a in batch], inputs)
        except Exception as error:
            if not (_out_of_memory(error) and len(batch) > 1):
                _fail(batch, _mapped(error, self.card))
                return
        if answers is None:  # here the error, whose frames held the batch's memory, is gone
            del inputs
            model.free()
            self._batch_size = max(1, len(batch) // 2)
            said = "%s: a batch of %d did not fit into memory; going on with %d"
            log.warning(said, self.card.name, len(batch), self._batch_size)
            await self._again(batch[: self._batch_size])
            await self._again(batch[self._batch_size :])
            return
        for asked, answer in zip(batch, answers, strict=True):
            if not asked.future.done():
                asked.future.set_result(replace(answer, sent=asked.talk.digests))

    async def _again(self, batch: list[_Asked]) -> None:
        """Prepares and answers a part of a batch."""
        if batch:
            for some, inputs in await self._prepared(batch):
                await self._answer(some, inputs)


def lengths(inputs: Mapping[str, Any]) -> list[int]:
    """Tokens of each prompt of a padded batch."""
    return [int(n) for n in inputs["attention_mask"].sum(1)]


def _too_long(card: Card, tokens: int, most: int) -> TransportError:
    return TransportError(
        "too_long",
        f"{card.name}: a prompt of {tokens} tokens, where the model takes {most} with its answer; "
        f"lower images.max_side, or raise engine.max_model_len",
        retryable=False,
    )


def _some(model: Model | None) -> Model:
    assert model is not None
    return model


def _fail(batch: Sequence[_Asked], error: Exception) -> None:
    for asked in batch:
        if not asked.future.done():
            asked.future.set_exception(error)


def _out_of_memory(error: BaseException) -> bool:
    import torch

    cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or cpu


def _mapped(error: Exception, card: Card, otherwise: str = "") -> Exception:
    """The one place where errors of the model become ours: a request's own are undecided, the rest end the run."""
    if isinstance(error, IsrError):
        return error
    if _out_of_memory(error):
        said = f"{card.name}: one request alone does not fit into memory ({_first_line(error)})"
        return TransportError("out_of_memory", said, retryable=False)
    said = f"{card.name}: {type(error).__name__}: {_first_line(error)}"
    if otherwise:
        return TransportError(otherwise, f"the model's processor refused a request ({said})", retryable=False)
    return JudgeError(said)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:300]


class Model:
    """The weights, their processor, and compiled schemas. Its methods run on worker threads, one at a time each."""

    def __init__(self, card: Card, options: TransformersOptions) -> None:
        import torch
        import transformers

        hub: Any = transformers  # its types are its own
        hub.utils.logging.disable_progress_bar()
        self.card, self.options = card, options
        source = self._source()
        here = options.device_map != "auto" or torch.cuda.is_available()
        try:
            self.processor = hub.AutoProcessor.from_pretrained(**source)
            self.model, told = hub.AutoModelForImageTextToText.from_pretrained(
                **source,
                dtype=options.dtype if options.dtype == "auto" else getattr(torch, options.dtype),
                device_map=options.device_map if here else None,  # which needs accelerate; the CPU does not
                attn_implementation=options.attn_implementation,
                use_safetensors=True,
                output_loading_info=True,
            )
        except Exception as error:  # a checkpoint can be broken in any way
            if isinstance(error, ImportError) or "requires `accelerate`" in str(error):
                raise _missing_package(error, card) from error
            raise JudgeError(
                f"{card.name}: {card.model!r} cannot be loaded ({type(error).__name__}: {_first_line(error)}); expected "
                f"a checkpoint of an image-text model with safetensors, a processor and a chat template; check model "
                f"and revision"
            ) from error
        absent = sorted(map(str, [*told["missing_keys"], *told["mismatched_keys"]]))
        if absent:
            raise JudgeError(
                f"{card.name}: {card.model!r} expected weights for the whole model; found none, or of another shape, "
                f"for {len(absent)} of its tensors ({', '.join(absent[:3])}, ...); use a complete checkpoint"
            )
        self.model.eval()
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if not (self.processor.chat_template or self.tokenizer.chat_template):
            raise JudgeError(
                f"{card.name}: {card.model!r} has no chat template; add chat_template.jinja to the folder"
            )
        self.marks = marks_of(self.tokenizer)
        check_template(card, self.processor)
        self._thought_marks = required_marks(card, self.tokenizer)
        said = self.model.generation_config.eos_token_id
        ends = [*(said if isinstance(said, list) else [said]), self.tokenizer.eos_token_id]
        self.eos = sorted({i for i in ends if i is not None})
        # the checkpoint's own penalties and samplers are not the card's decoding
        self.model.generation_config = hub.GenerationConfig(
            eos_token_id=self.eos, pad_token_id=self.tokenizer.pad_token_id
        )
        self._torch: Any = torch

    def _source(self) -> dict[str, Any]:
        card, folder = self.card, self.card.checkpoint
        return {
            "pretrained_model_name_or_path": card.model if folder is None else str(folder),
            "revision": None if folder is not None else card.revision or None,
            "local_files_only": folder is not None,
            "trust_remote_code": self.options.trust_remote_code,
        }

    def free(self) -> None:
        """Gives cached memory back after a batch that did not fit."""
        if self._torch.cuda.is_available():
            self._torch.cuda.empty_cache()

    @cached_property
    def longest(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        text = self.model.config.get_text_config()
        bounds = [self.options.max_model_len, getattr(text, "max_position_embeddings", None)]
        return min((b for b in bounds if b), default=2**31)

    def inputs(self, talks: Sequence[Conversation]) -> Mapping[str, Any]:
        """A padded batch of tensors on the model's device."""
        thinking = self.card.decoding.thinking
        texts = [rendered(self.processor, talk.messages, thinking) for talk in talks]
        bos = self.tokenizer.bos_token
        return self.processor(  # type: ignore[no-any-return]
            text=texts,
            images=[talk.images for talk in talks],
            padding=True,
            return_tensors="pt",
            add_special_tokens=not (bos and texts[0].startswith(bos)),
            **self.card.images.processor,
        )

    def generate(self, requests: Sequence[Request], inputs: Mapping[str, Any]) -> list[Answer]:
        """The replies to a prepared batch, none of whose prompts is too long."""
        decoding, prompts = self.card.decoding, lengths(inputs)
        width = inputs["input_ids"].shape[1]
        began = time.perf_counter()
        seen = Likeliest(decoding.logprobs)
        opened = self._opened(inputs)
        with self._torch.inference_mode():
            out = self.model.generate(
                **{k: v.to(self.model.device) for k, v in inputs.items()},
                max_new_tokens=min(decoding.max_tokens, self.longest - min(prompts)),
                do_sample=False,
                logits_processor=self._processors(requests, opened, seen),
            )
        took = time.perf_counter() - began
        rows = zip(out[:, width:].tolist(), prompts, strict=True)
        written = [self._to_its_end(row[: self.longest - n]) for row, n in rows]
        answers = []
        for row, (ids, ended) in enumerate(written):
            answer = self._answer(ids, ended, prompts[row], opened[row] is not None)
            sure = p_yes(seen.steps(row, ids, self.tokenizer.decode), requests[row].template.rubric)
            answers.append(replace(answer, latency_s=round(took, 4), p_yes=sure))
        return answers

    def _to_its_end(self, ids: list[int]) -> tuple[list[int], bool]:
        """What was generated before the token that ends a reply, and whether there was one."""
        at = next((i for i, token in enumerate(ids) if token in self.eos), None)
        return ids[:at], at is not None

    def _opened(self, inputs: Mapping[str, Any]) -> list[int | None]:
        """For each prompt of a batch, the tokens of thoughts with which it ends; ``None`` where none are open."""
        marks, rows = self._thought_marks, inputs["input_ids"].tolist()
        return [None if marks is None else marks.within(row) for row in rows]

    def _processors(
        self, requests: Sequence[Request], opened: Sequence[int | None], seen: Likeliest
    ) -> list[Any]:
        """What is done to the logits before each token: the schema's mask, a look, then the sampling noise."""
        out: list[Any] = []
        thoughts = None
        if self._thought_marks is not None:
            thoughts = Thoughts(self._thought_marks, opened, budget_of(self.card.decoding.thinking))
            out.append(thoughts)
        schemas = [schema_of(r) for r in requests]
        if schemas[0] is not None:  # one card asks in one form
            out.append(self._grammars.masking([s for s in schemas if s is not None], thoughts))
        if self.card.decoding.logprobs:
            out.append(seen)
        temperature = self.card.decoding.temperature or 0.0
        if temperature > 0:
            out.append(Gumbel(temperature, [seed_of(self.card, r) for r in requests]))
        return out

    @cached_property
    def _grammars(self) -> Grammars:
        size = self.model.config.get_text_config().vocab_size
        return Grammars(self.tokenizer, size, sorted(set(self.eos)))

    def _answer(self, ids: list[int], ended: bool, prompt: int, opened: bool) -> Answer:
        marks = self._thought_marks
        thoughts, said = ([], ids) if marks is None else marks.apart(ids, opened)
        return Answer(
            text=self.tokenizer.decode(said, skip_special_tokens=True),
            finish_reason=Finish.STOP if ended else Finish.LENGTH,
            reasoning=self.tokenizer.decode(thoughts, skip_special_tokens=True).strip(),
            served=self._served,
            usage={
                "prompt_tokens": prompt,
                "completion_tokens": len(ids) + ended,
                **({} if marks is None else {"reasoning_tokens": len(thoughts)}),
            },
            received_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @cached_property
    def _served(self) -> dict[str, str]:
        held = "" if self.card.decoding.structured == "words" else f", xgrammar {version('xgrammar')}"
        device = self.model.device
        commit = getattr(self.model.config, "_commit_hash", None) or self.card.revision
        told = {
            "model": self.card.served_name,
            "revision": commit,
            "backend_version": f"transformers {version('transformers')}, torch {version('torch')}{held}",
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "processor": f"{type(self.processor.image_processor).__name__}, pillow {version('pillow')}",
            "device": self._torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        }
        return {k: v for k, v in told.items() if v}


def _missing_package(error: Exception, card: Card) -> MissingExtraError:
    """Names the package that a family of models needs beside the extra: some processors import torchvision."""
    said = str(error)
    package = next(
        (p for p in ("torchvision", "accelerate", "sentencepiece", "num2words") if p in said.lower()), ""
    )
    if package:
        return missing(package, EXTRA, f"the processor of {card.model!r} needs it")
    return MissingExtraError(f"{card.name}: {card.model!r} cannot be loaded ({_first_line(error)})")
