"""What `isr` adds to a local judge: requests per second through it, against a bare loop over the same engine.

Both sides answer the same requests with the same loaded engine, decode each image file once, and build the same
prompts; `isr` also looks requests up, keeps every answer durably and parses it. Rounds alternate in one process, and
the ratio of the medians is what counts.

    python benchmarks/local_judges.py --backend transformers
    python benchmarks/local_judges.py --backend vllm
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.backend_parity import CARDS, paint
from isr.image_file import decode
from isr.judges._local import Conversation, conversation
from isr.judging import loop
from isr.judging.backends import open_judge
from isr.judging.cards import Panel, load_card
from isr.judging.edits import load_edits
from isr.judging.loop import judge_all
from isr.judging.plan import Plan, arms_of
from isr.judging.requests import Request
from isr.judging.rubrics import load_pair
from isr.judging.sending import Encoder, Prepared
from isr.judging.store import Store

PAIR = ("shapes-semantic/v1", "shapes-perceptual/v1")


class Loaded:
    """A judge that is loaded already, and stays so when a run closes it."""

    def __init__(self, judge: Any) -> None:
        self.ask = judge.ask

    async def close(self) -> None:
        """Stays."""


Pictures = dict[str, Any]


def pictures_of(requests: list[Request], root: Path) -> Pictures:
    """All images of some requests, each decoded once."""
    paths = {ref.path for r in requests for ref in r.images.values()}
    return {path: decode((root / path).read_bytes()) for path in paths}


def talk_of(request: Request, pictures: Pictures) -> Conversation:
    """The conversation of a request, without any of isr's code for it."""
    images = [pictures[ref.path] for ref in request.images.values()]
    system = [{"type": "text", "text": request.template.body["system"]}]
    content = [
        {"type": "image"} if kind == "image" else {"type": "text", "text": text}
        for kind, text in request.user_parts()
    ]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": content}]
    digests = {role: ref.sha256 for role, ref in request.images.items()}
    return Conversation(messages, images, digests)


async def bare_transformers(judge: Any, requests: list[Request], root: Path) -> None:
    """Batches one after the other: read, process, generate."""
    model, size = judge._model, judge.options.batch_size
    pictures = pictures_of(requests, root)
    for start in range(0, len(requests), size):
        batch = requests[start : start + size]
        inputs = model.inputs([talk_of(r, pictures) for r in batch])
        answers = model.generate(batch, inputs)
        assert len(answers) == len(batch)


async def bare_vllm(judge: Any, requests: list[Request], root: Path) -> None:
    """As many requests in the engine as the card says, each started when one is finished."""
    window = asyncio.Semaphore(judge.card.limits.concurrency)
    pictures = pictures_of(requests, root)

    async def one(number: int, request: Request) -> None:
        async with window:
            talk = talk_of(request, pictures)
            await judge._engine.generate(request, talk, f"bare-{time.monotonic_ns()}-{number}")

    await asyncio.gather(*(one(n, r) for n, r in enumerate(requests)))


async def through_isr(judge: Any, plan: Plan, folder: Path) -> None:
    """A whole run of the judging loop with a store of its own."""
    real = loop.open_judge
    loop.open_judge = lambda card: Loaded(judge)  # type: ignore[assignment]
    try:
        with Store(folder / f"{time.monotonic_ns()}.db") as store:
            done = await judge_all(plan, store)
            assert done.answered == plan.size, done
    finally:
        loop.open_judge = real


async def measure(backend: str, edits: int, rounds: int, folder: Path) -> None:
    """Alternating rounds; prints each side's requests per second and the ratio."""
    card = load_card(str(CARDS["transformers" if backend == "transformers" else "vllm in process"]))
    root = paint(folder / "edits", edits)
    plan = Plan(
        root=root,
        edits=load_edits(root).edits[:edits],
        rubrics=load_pair(PAIR),
        panel=Panel(card.name, (card,), "single"),
    )
    requests = list(plan.requests(card, arms_of(plan.edits)))
    judge = open_judge(card)
    encoder = Encoder(root, card.policy)
    first = requests[0]
    files = {role: (ref.path, ref.sha256) for role, ref in first.images.items()}
    await judge.ask(first, Prepared(encoder, files))  # loads the weights
    assert (await conversation(first, Prepared(encoder, files), ())).messages == talk_of(
        first, pictures_of([first], root)
    ).messages
    bare = bare_transformers if backend == "transformers" else bare_vllm
    await bare(judge, requests[: 2 * card.limits.concurrency], root)  # warm
    times: dict[str, list[float]] = {"bare loop": [], "through isr": []}
    for number in range(rounds):
        sides = list(times) if number % 2 == 0 else list(reversed(times))
        for side in sides:
            if backend == "vllm":
                await judge._engine._engine.reset_prefix_cache()
                await judge._engine._engine.reset_mm_cache()
            began = time.perf_counter()
            if side == "bare loop":
                await bare(judge, requests, root)
            else:
                await through_isr(judge, plan, folder)
            times[side].append(time.perf_counter() - began)
    for side, seconds in times.items():
        each = ", ".join(f"{len(requests) / s:.1f}" for s in seconds)
        rate = len(requests) / statistics.median(seconds)
        print(f"{backend}: {side:12} {rate:6.1f} requests/s (rounds: {each})")
    ratio = statistics.median(times["bare loop"]) / statistics.median(times["through isr"])
    print(f"{backend}: through isr / bare loop = {ratio:.3f} ({len(requests)} requests, {rounds} rounds)")
    await judge.close()


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backend", choices=("transformers", "vllm"), required=True)
    parser.add_argument("--edits", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(args.backend, args.edits, args.rounds, Path(folder)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
