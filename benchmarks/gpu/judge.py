"""Part 2: a judge of Qwen2.5-VL-7B's shape, random weights, through `isr` and through a bare `generate` loop."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.record import (
    Record,
    device_of,
    free,
    median_of,
    peak_gib,
    rounded,
    seconds_of,
    start_peak,
    wait,
)
from benchmarks.judge_memory import qwen2_5_vl
from benchmarks.local_judges import Pictures, pictures_of, talk_of
from isr.judges import hf_transformers
from isr.judging.cards import Card, Panel, load_card
from isr.judging.edits import load_edits
from isr.judging.loop import judge_all
from isr.judging.plan import Plan, arms_of
from isr.judging.requests import Request
from isr.judging.rubrics import load_rubric
from isr.judging.store import Store
from isr.types import Question
from tests import checkpoints
from tests.directories import make_directory
from tests.local_judges import write_card

ROOT = Path(__file__).resolve().parents[2]
FORMULA = (
    "operations = 2 x (weights of the decoder's layers x (prompt + new tokens) + weights of the output layer x new "
    "tokens + weights of the vision tower x image patches); attention's own products are not counted"
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    side: int
    new_tokens: int
    batches: tuple[int, ...]
    rounds: int
    requests_a_batch: int = 2  # batches in a round: one is prepared while the other is generated

    @property
    def requests(self) -> int:
        return self.requests_a_batch * max(self.batches)


FULL = Sizes(1024, 32, (1, 4, 8, 16), 2)
TINY = Sizes(56, 4, (1, 2), 1)


def run(record: Record, tiny: bool, limit_tflops: float | None) -> None:
    """Fills the record. ``limit_tflops``: the matrix product of part 1, of which shares are given."""
    sizes = TINY if tiny else FULL
    with room(1 if tiny else 20) as folder:
        record.put("formula", FORMULA)
        record.put("checkpoint/folder", str(folder.parent))
        model = make(folder / "model", record, tiny)
        root = folder / "edits"
        make_directory(root, -(-sizes.requests // 4), 4, controls=False, size=sizes.side)
        bench = Bench(record, sizes, root, model, folder, tiny, limit_tflops)
        bench.load()
        for size in sizes.batches:
            record.attempt(f"batches/{size}", lambda size=size: bench.batch(size))
        record.attempt("held_to_schema", bench.held)


@contextmanager
def room(gib: float) -> Iterator[Path]:
    """A folder that is gone afterwards: in memory where that has the room, else where temporary files go."""
    shared = Path("/dev/shm")
    there = shared.is_dir() and shutil.disk_usage(shared).free > gib * 2**30
    with tempfile.TemporaryDirectory(dir=shared if there else None) as folder:
        yield Path(folder)


def tiny_config() -> Any:
    """The same architecture, small."""
    config = qwen2_5_vl(64, 128, 2, 2, 1).to_dict()
    config["text_config"]["vocab_size"] = 1024
    config["text_config"]["rope_parameters"]["mrope_section"] = [4, 6, 6]
    small = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2}
    config["vision_config"] |= {**small, "fullatt_block_indexes": [1]}
    from transformers import Qwen2_5_VLConfig

    return Qwen2_5_VLConfig.from_dict(config)


def processor_of(tiny: bool) -> Any:
    """Qwen2.5-VL's processor with a tokenizer trained on our rubrics and documents: about as many tokens as its own."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    texts = [*ROOT.glob("prompts/*/*.toml"), *ROOT.glob("docs/*.md")]
    corpus = (
        checkpoints.CORPUS
        if tiny
        else [line for p in sorted(texts) for line in p.read_text("utf-8").splitlines()]
    )
    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    tokenizer = checkpoints.tokenizer(*checkpoints.QWEN, corpus=corpus, size=600 if tiny else 8000, **named)
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=12_845_056),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=checkpoints.CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )


def make(folder: Path, record: Record, tiny: bool) -> Path:
    """A checkpoint's folder: weights drawn on the device, saved as `isr` reads them."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    processor = processor_of(tiny)
    config = tiny_config() if tiny else qwen2_5_vl(3584, 18944, 28, 28, 4)
    ids = processor.tokenizer.convert_tokens_to_ids
    config.image_token_id, config.video_token_id = ids("<|image_pad|>"), ids("<|video_pad|>")
    config.vision_start_token_id, config.vision_end_token_id = ids("<|vision_start|>"), ids("<|vision_end|>")
    text = config.get_text_config()
    text.eos_token_id, text.pad_token_id = processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id
    text.bos_token_id = None
    torch.manual_seed(0)
    began = time.perf_counter()
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    model = model.to(torch.bfloat16).to_empty(device=device_of(tiny))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1:
                weights.normal_(std=0.02)
            else:
                weights.fill_(float(name.endswith("weight")))
    wait()
    made = time.perf_counter()
    model.save_pretrained(folder, max_shard_size="4GB")
    processor.save_pretrained(folder)
    record.put("checkpoint/seconds_made", rounded(made - began))
    record.put("checkpoint/seconds_saved", rounded(time.perf_counter() - made))
    record.put("checkpoint/gb", rounded(sum(p.stat().st_size for p in folder.iterdir()) / 1e9))
    del model
    free()
    return folder


class Bench:
    """One loaded model, asked in two ways."""

    def __init__(
        self,
        record: Record,
        sizes: Sizes,
        root: Path,
        model: Path,
        folder: Path,
        tiny: bool,
        limit: float | None,
    ) -> None:
        self.record, self.sizes, self.root, self.folder = record, sizes, root, folder
        self.path, self.tiny, self.limit = model, tiny, limit
        self.edits = load_edits(root).edits
        self.rubric = load_rubric("semantic/v1")

    def card(self, size: int, structured: str = "words") -> Card:
        """The judge's card for a batch size."""
        decoding = f'max_tokens = {self.sizes.new_tokens}\nstructured = "{structured}"'
        dtype = "float32" if self.tiny else "bfloat16"
        path = self.folder / f"judge-{size}-{structured}.toml"
        write_card(
            path,
            "hf_transformers",
            self.path,
            decoding=decoding,
            concurrency=2 * size,
            batch_size=size,
            dtype=dtype,
        )
        return load_card(str(path))

    def load(self) -> None:
        """Loads the weights as `isr` does, and counts them."""
        card = self.card(1)
        options = hf_transformers.open_judge(card).options
        loaded: list[Any] = []
        self.record.put(
            "checkpoint/seconds_loaded",
            rounded(seconds_of(lambda: loaded.append(hf_transformers.Model(card, options)))),
        )
        self.record.put("checkpoint/seconds_digest", rounded(seconds_of(lambda: card.digest)))
        (self.loaded,) = loaded
        model = self.loaded.model
        count = lambda part: sum(p.numel() for p in part.parameters())  # noqa: E731
        text = model.model.language_model
        self.weights = {
            "all": count(model),
            "layers": count(text) - count(text.get_input_embeddings()),
            "output": count(model.get_output_embeddings()),
            "vision": count(model.model.visual),
        }
        self.record.put("parameters", self.weights)
        self.record.put("attention", model.config._attn_implementation)
        self.record.put("image_processor", type(self.loaded.processor.image_processor).__name__)

    def plan(self, card: Card, requests: int) -> Plan:
        """So many requests: the semantic question about as many edits."""
        panel = Panel(card.name, (card,), "single")
        return Plan(
            root=self.root, edits=self.edits[:requests], rubrics={Question.SEMANTIC: self.rubric}, panel=panel
        )

    def batch(self, size: int) -> dict[str, Any]:
        """Rounds of both ways in turn."""
        plan = self.plan(self.card(size), size * self.sizes.requests_a_batch)
        requests = list(plan.requests(plan.panel.members[0], arms_of(plan.edits)))
        counts = self.counts(requests)
        self.bare(requests[:size], size)  # warms up
        ways = {"bare": lambda: self.bare(requests, size), "isr": lambda: self.through_isr(plan)}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        peaks, new = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0)
        rounds = 1 if size > 8 else self.sizes.rounds  # a long round needs no second one to be steady
        for number in range(rounds):
            for way in list(ways) if number % 2 == 0 else reversed(ways):
                start_peak()
                seconds[way].append(seconds_of(lambda way=way: new.update({way: ways[way]()})))
                peaks[way] = max(peaks[way], peak_gib())
        found: dict[str, Any] = {"requests": len(requests), **counts}
        for way in ways:
            took = statistics.median(seconds[way])
            found[way] = {**self.rates(took, len(requests), counts, new[way]), "peak_gib": peaks[way]}
        found["isr_of_bare"] = rounded(found["isr"]["requests_per_s"] / found["bare"]["requests_per_s"], 3)
        some = requests[:size]
        found["seconds_to_prepare_a_batch"] = rounded(
            seconds_of(lambda: self.inputs(some, pictures_of(some, self.root)))
        )
        start_peak()
        took = median_of(lambda: self.bare(some, size, 1), rounds)
        found["prefill"] = {**self.rates(took, size, self.counts(some), size), "peak_gib": peak_gib()}
        return found

    def rates(self, took: float, requests: int, counts: dict[str, Any], new: int) -> dict[str, Any]:
        """What a time means."""
        w = self.weights
        tokens = w["layers"] * (counts["prompt_tokens"] + new) + w["output"] * new
        tflops = 2 * (tokens + w["vision"] * counts["image_patches"]) / took / 1e12
        return {
            "seconds": rounded(took),
            "requests_per_s": rounded(requests / took),
            "prompt_tokens_per_s": rounded(counts["prompt_tokens"] / took),
            "image_tokens_per_s": rounded(counts["image_tokens"] / took),
            "new_tokens": new,
            "tflops": rounded(tflops),
            "share_of_limit": rounded(tflops / self.limit, 3) if self.limit else None,
        }

    def inputs(self, requests: Sequence[Request], pictures: Pictures) -> Any:
        """A batch's tensors, without any of isr's code."""
        talks = [talk_of(r, pictures) for r in requests]
        processor = self.loaded.processor
        texts = [
            processor.apply_chat_template(t.messages, tokenize=False, add_generation_prompt=True)
            for t in talks
        ]
        inputs = processor(text=texts, images=[t.images for t in talks], padding=True, return_tensors="pt")
        return inputs.to(self.loaded.model.device)

    def counts(self, requests: list[Request]) -> dict[str, int]:
        """Tokens of some requests."""
        inputs = self.inputs(requests, pictures_of(requests, self.root))
        image = self.loaded.model.config.image_token_id
        return {
            "prompt_tokens": int(inputs["attention_mask"].sum()),
            "image_tokens": int((inputs["input_ids"] == image).sum()),
            "image_patches": int(inputs["pixel_values"].shape[0]),
        }

    def bare(self, requests: list[Request], size: int, new_tokens: int = 0) -> int:
        """Batches one after the other: read, process, generate, decode. Returns the tokens written."""
        import torch

        model, tokenizer, new = self.loaded.model, self.loaded.tokenizer, 0
        pictures = pictures_of(requests, self.root)
        for start in range(0, len(requests), size):
            inputs = self.inputs(requests[start : start + size], pictures)
            with torch.inference_mode():
                out = model.generate(
                    **inputs, max_new_tokens=new_tokens or self.sizes.new_tokens, do_sample=False
                )
            written = out[:, inputs["input_ids"].shape[1] :]
            tokenizer.batch_decode(written, skip_special_tokens=True)
            new += int((written != tokenizer.pad_token_id).sum())
        return new

    def through_isr(self, plan: Plan) -> int:
        """A whole run of the judging loop, with a store of its own, over the loaded weights."""

        async def run() -> int:
            with Store(self.folder / f"{time.monotonic_ns()}.db") as store:
                done = await judge_all(plan, store)
            assert done.answered == plan.size, done
            return done.completion_tokens

        with kept(self.loaded):
            return asyncio.run(run())

    def held(self) -> dict[str, Any]:
        """What holding the answer to the rubric's schema costs, through `isr`."""
        if importlib.util.find_spec("xgrammar") is None:
            return {"skipped": "xgrammar is not installed"}
        size = self.sizes.batches[-2]
        plan = self.plan(self.card(size, "json_schema"), size * self.sizes.requests_a_batch)
        self.through_isr(plan)  # compiles the schema
        new: list[int] = []
        took = seconds_of(lambda: new.append(self.through_isr(plan)))
        words = self.record.fields["batches"][str(size)]
        rate = plan.size / took
        return {
            "batch": size,
            "requests_per_s": rounded(rate),
            "new_tokens": new[0],
            "of_words": rounded(rate / words["isr"]["requests_per_s"], 3),
        }


@contextmanager
def kept(loaded: Any) -> Iterator[None]:
    """Judges that are opened inside share weights that are loaded already; their cards differ in the batch only."""
    real = hf_transformers.Model

    def again(card: Card, options: Any) -> Any:
        loaded.card, loaded.options = card, options
        return loaded

    hf_transformers.Model = again  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        hf_transformers.Model = real  # type: ignore[misc]
