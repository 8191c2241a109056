"""vLLM in this process: its asynchronous engine, fed with a bounded window of requests.

Each answer is kept as soon as it is finished, not when a batch is. The rubric comes first and images in a fixed order,
so that the prefix cache serves the rubric's tokens; the two questions of an edit follow each other, so that the
multimodal cache serves its images.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pydantic import Field

from isr.errors import CardError, IsrError, JudgeError, TransportError
from isr.judges._local import (
    Conversation,
    EngineOptions,
    Guard,
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
from isr.judges._thoughts import reasoning_parser, required_marks
from isr.judging.logprobs import Step, p_yes
from isr.judging.thinking import budget_of, template_fields
from isr.types import Answer, Finish

if TYPE_CHECKING:
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

log = logging.getLogger("isr")

FREE = True
EXTRA = "vllm"
PULSE_S = 2.0  # between looks whether the engine's processes live
MOST_DEATHS = 3  # of the engine, one after the other; then the judge is given up
_NEVER = {
    "hf_token",
    "code_revision",
    "hf_config_path",
    "tokenizer",
    "allowed_local_media_path",
    "served_model_name",
}
_FINISHED = {"stop": Finish.STOP, "length": Finish.LENGTH, "repetition": Finish.STOP}
_TOO_LONG = ("maximum model length", "max_model_len", "context length", "longer than", "too long")


class VllmOptions(EngineOptions):
    """``[engine]`` of this backend; ``args`` are further fields of vLLM's ``EngineArgs``."""

    quantization: str | None = None
    tensor_parallel_size: int = 1
    data_parallel: int = 1
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    enforce_eager: bool = False
    batch_invariant: bool = False
    reasoning_parser: str = ""
    args: Mapping[str, Any] = Field(default_factory=dict)

    def engine_args(self, card: Card) -> dict[str, Any]:
        """The fields of vLLM's ``EngineArgs`` for a card; a server is started with the same ones."""
        folder = card.checkpoint
        side_by_side = card.images.layout == "side_by_side"
        given: dict[str, Any] = {
            "model": card.model if folder is None else str(folder),
            "revision": card.revision or None if folder is None else None,
            "tokenizer_revision": card.revision or None if folder is None else None,
            "trust_remote_code": self.trust_remote_code or None,
            "load_format": "safetensors",
            "dtype": self.dtype,
            "quantization": self.quantization,
            "max_model_len": self.max_model_len,
            "tensor_parallel_size": self.tensor_parallel_size if self.tensor_parallel_size > 1 else None,
            "data_parallel_size": self.data_parallel if self.data_parallel > 1 else None,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "max_num_seqs": self.max_num_seqs or card.limits.concurrency,
            "enforce_eager": self.enforce_eager or None,
            "seed": card.decoding.seed,
            "limit_mm_per_prompt": {"image": 1 if side_by_side else 2},
            "mm_processor_kwargs": dict(card.images.processor) or None,
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
            "generation_config": "vllm",  # the checkpoint's own penalties are not the card's decoding
        }
        parser = reasoning_parser(card, self.reasoning_parser)
        if parser:  # which the schema is held behind the thoughts by
            given["reasoning_parser"] = parser
        taken = sorted((set(given) | _NEVER) & set(self.args))
        if taken:
            raise CardError(
                f"{card.name}: 'engine.args' expected fields that the card has no place for; found "
                f"{', '.join(taken)}; say it by the card's own fields"
            )
        return {k: v for k, v in {**given, **self.args}.items() if v is not None}


def open_judge(card: Card) -> VllmEngine:
    """A judge in this process; the engine starts at the first question. Raises ``CardError``."""
    options = engine_options(card, VllmOptions)
    refuse_fields(card, "omit", "reasoning_effort", "thinking_name")
    options.engine_args(card)
    if importlib.util.find_spec("vllm") is None:
        raise missing("vllm", EXTRA)
    return VllmEngine(card, options)


class VllmEngine:
    """One engine; as many requests in it as the card's ``limits.concurrency``.

    Where the engine's process ends (out of memory, or killed), a new one is started and what was in it is asked
    again, each request alone: the one under which the engine ends again is the one that does not fit.
    """

    def __init__(self, card: Card, options: VllmOptions) -> None:
        self.card, self.options = card, options
        self._engine: _Engine | None = None
        self._starting = asyncio.Lock()
        self._window = _Window()
        self._suspects: set[bytes] = set()
        self._deaths = 0  # in a row, without an answer between them
        self._asked = 0

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """The model's reply. Raises ``TransportError`` for a prompt that the engine refuses or a lost engine."""
        async with self._window.place(alone=request.key in self._suspects):
            engine = await self._started()
            talk = await conversation(request, images, engine.marks)
            self._asked += 1
            began = time.perf_counter()
            try:
                output = await engine.generate(request, talk, f"isr-{self._asked}")
            except Exception as error:
                raise await self._mapped(error, engine, request) from error
        self._deaths = 0
        written = output.outputs[0]
        if written.finish_reason not in _FINISHED:  # "error", "abort": the engine's failure is no answer
            raise TransportError(
                "server_error", f"{self.card.name}: the engine ended a request ({written.finish_reason})"
            )
        text, reasoning, thoughts = engine.read(output)
        return Answer(
            text=text,
            finish_reason=_FINISHED[written.finish_reason],
            reasoning=reasoning,
            served=engine.served,
            usage={
                "prompt_tokens": len(output.prompt_token_ids),
                "completion_tokens": len(written.token_ids),
                **thoughts,
            },
            sent=talk.digests,
            received_at=datetime.now(UTC).isoformat(timespec="seconds"),
            latency_s=round(time.perf_counter() - began, 4),
            p_yes=p_yes(_steps(written), request.template.rubric) if written.logprobs else None,
        )

    async def close(self) -> None:
        """Stops the engine's processes and frees its memory."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.stop)

    async def _started(self) -> _Engine:
        async with self._starting:
            if self._engine is None:
                self._engine = await asyncio.to_thread(_Engine, self.card, self.options)
        return self._engine

    async def _mapped(self, error: Exception, engine: _Engine, request: Request) -> IsrError:
        """The one place where vLLM's exceptions become ours."""
        from vllm.v1.engine.exceptions import EngineDeadError

        said = _first_line(error)
        if isinstance(error, IsrError):
            return error
        if isinstance(error, EngineDeadError):
            return await self._died(engine, request)
        if any(words in str(error) for words in _TOO_LONG):
            fix = "lower images.max_side, or raise engine.max_model_len"
            return TransportError("too_long", f"{self.card.name}: {said}; {fix}", retryable=False)
        if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
            return TransportError("out_of_memory", f"{self.card.name}: {said}", retryable=False)
        if isinstance(error, ValueError | TypeError):
            return TransportError("rejected", f"{self.card.name}: {said}", retryable=False)
        return TransportError("server_error", f"{self.card.name}: {type(error).__name__}: {said}")

    async def _died(self, engine: _Engine, request: Request) -> IsrError:
        """What the end of the engine's process means for one of the requests that were in it."""
        async with self._starting:
            if self._engine is engine:
                self._engine = None
                self._deaths += 1
                log.warning("%s: the engine's process ended; it is started again", self.card.name)
                await asyncio.to_thread(engine.stop)
        said = f"{self.card.name}: the engine's process ended"
        if self._deaths > MOST_DEATHS:
            return JudgeError(
                f"{said} {self._deaths} times without an answer; lower engine.gpu_memory_utilization, "
                f"engine.max_num_seqs or images.max_side, then run again (what was received is kept)"
            )
        if request.key in self._suspects:
            return TransportError("out_of_memory", f"{said} under this request alone", retryable=False)
        self._suspects.add(request.key)
        return TransportError("out_of_memory", said)


class _Window:
    """Places for requests in the engine; one that must be alone waits for those inside, and new ones wait for it."""

    def __init__(self) -> None:
        self._free = asyncio.Condition()
        self._inside = 0
        self._alone = 0  # waiting or inside

    @asynccontextmanager
    async def place(self, alone: bool) -> AsyncIterator[None]:
        """A place in the engine."""
        async with self._free:
            self._alone += alone
            try:
                await self._free.wait_for(lambda: not self._inside if alone else not self._alone)
            except BaseException:
                self._alone -= alone
                self._free.notify_all()
                raise
            self._inside += 1
        try:
            yield
        finally:
            async with self._free:
                self._inside -= 1
                self._alone -= alone
                self._free.notify_all()


def _dead() -> Exception:
    from vllm.v1.engine.exceptions import EngineDeadError

    error: Exception = EngineDeadError()
    return error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _steps(written: Any) -> list[Step]:
    """The generated tokens with the likeliest ones at their places."""
    return [
        Step(
            at[token].decoded_token or "",
            {one.decoded_token or "": one.logprob for one in at.values()},
        )
        for token, at in zip(written.token_ids, written.logprobs, strict=True)
    ]


class _Engine:
    """The engine with the model's own chat format."""

    def __init__(self, card: Card, options: VllmOptions) -> None:
        # the engine's processes read these when they start; stdout carries our result, and nothing else
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ["VLLM_BATCH_INVARIANT"] = "1" if options.batch_invariant else "0"
        import transformers
        from vllm import AsyncEngineArgs
        from vllm.config import StructuredOutputsConfig
        from vllm.v1.engine.async_llm import AsyncLLM

        hub: Any = transformers  # its types are its own
        self.card, self.options = card, options
        args = options.engine_args(card)
        # it puts the reasoning parser into this one, as an object
        args["structured_outputs_config"] = StructuredOutputsConfig(**args["structured_outputs_config"])
        self._guard = Guard()
        try:
            self.processor = hub.AutoProcessor.from_pretrained(
                args["model"], revision=args.get("revision"), trust_remote_code=options.trust_remote_code
            )
            check_template(card, self.processor)
            self._thought_marks = required_marks(card, self.processor.tokenizer)
            self._engine = AsyncLLM.from_engine_args(
                AsyncEngineArgs(**args, disable_log_stats=True, enable_log_requests=False)
            )
            self._processes = multiprocessing.active_children()
            self._guard.watch([p.pid for p in self._processes if p.pid])
        except IsrError:
            raise
        except Exception as error:  # a checkpoint, or a machine, can be unfit in any way
            raise JudgeError(
                f"{card.name}: vLLM cannot start with {card.model!r} ({type(error).__name__}: {_first_line(error)}); "
                f"its own messages are above; check the card's model, revision and engine"
            ) from error
        self.marks = marks_of(self.processor.tokenizer)

    @property
    def served(self) -> dict[str, str]:
        """Who answered, as far as it can be known."""
        import torch

        config = self._engine.model_config
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        told = {
            "model": self.card.served_name,
            "revision": self.card.revision,
            "backend_version": f"vllm {_vllm_version()}, torch {version('torch')}",
            "dtype": str(config.dtype).removeprefix("torch."),
            "device": device,
            "processor": f"{type(self.processor.image_processor).__name__}, pillow {version('pillow')}",
            "batch_invariant": "1" if self.options.batch_invariant else "",
        }
        return {k: v for k, v in told.items() if v}

    def stop(self) -> None:
        """Ends the engine's processes, once: its destructor would do it again when its modules are gone."""
        self._engine.shutdown()
        self._engine.shutdown = _nothing
        self._guard.dismiss()

    async def generate(self, request: Request, talk: Conversation, name: str) -> Any:
        """The finished output of one request."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        decoding = self.card.decoding
        schema = schema_of(request)
        held = StructuredOutputsParams(json=schema, disable_any_whitespace=True) if schema else None
        params = SamplingParams(
            temperature=decoding.temperature or 0.0,
            max_tokens=decoding.max_tokens,
            seed=seed_of(self.card, request) if decoding.temperature else None,
            logprobs=decoding.logprobs or None,
            structured_outputs=held,
            output_kind=RequestOutputKind.FINAL_ONLY,
            thinking_token_budget=budget_of(decoding.thinking),
            **decoding.extra,
        )
        prompt = await self._rendered(talk)
        task = asyncio.ensure_future(self._finished(prompt, params, name))
        try:
            while not (await asyncio.wait({task}, timeout=PULSE_S))[0]:
                if not all(process.is_alive() for process in self._processes):
                    # vLLM tells the requests that it knows of; one that came as the engine ended would wait for ever
                    await asyncio.wait({task}, timeout=PULSE_S)
                    break
            if not task.done():
                raise _dead()
            return task.result()
        finally:
            task.cancel()

    async def _finished(self, prompt: Any, params: Any, name: str) -> Any:
        told = template_fields(self.card.decoding.thinking)  # which some parsers must know as well
        more = {"reasoning_parser_kwargs": {"chat_template_kwargs": told}} if told else {}
        async for output in self._engine.generate(prompt, params, name, **more):
            if output.finished:
                return output
        said = f"{self.card.name}: the engine ended a request without an output"
        raise TransportError("server_error", said)

    def read(self, output: Any) -> tuple[str, str, dict[str, int]]:
        """(answer, thoughts, what the thoughts took) of a finished output."""
        written, marks, decode = output.outputs[0], self._thought_marks, self.processor.tokenizer.decode
        if marks is None:
            return written.text, "", {}
        opened = marks.within(output.prompt_token_ids) is not None
        thoughts, said = marks.apart(list(written.token_ids), opened)
        count = {"reasoning_tokens": len(thoughts)}
        return (
            decode(said, skip_special_tokens=True),
            decode(thoughts, skip_special_tokens=True).strip(),
            count,
        )

    async def _rendered(self, talk: Conversation) -> Any:
        """The prompt as the engine takes it: text with images, which are known to its caches by their digests."""
        text = rendered(self.processor, talk.messages, self.card.decoding.thinking)
        bos = self.processor.tokenizer.bos_token
        renderer = self._engine.renderer
        params = renderer.default_cmpl_tok_params.with_kwargs(
            add_special_tokens=not (bos and text.startswith(bos))
        )
        prompt = {
            "prompt": text,
            "multi_modal_data": {"image": talk.images},
            "multi_modal_uuids": {"image": list(talk.digests.values())},
        }
        (ready,) = await renderer.render_cmpl_async([prompt], params)
        return ready


def _vllm_version() -> str:
    """vLLM's own version, whatever the distribution is called that brought it."""
    import vllm

    try:
        return version("vllm")
    except PackageNotFoundError:
        return str(getattr(vllm, "__version__", "unknown"))


def _nothing(*_: object, **__: object) -> None:
    return None
