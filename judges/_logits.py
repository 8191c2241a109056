"""What is done to a model's logits before each token: a schema's mask, a look at the likeliest, noise to sample by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from isr.canonical import canonical_json
from isr.judging.logprobs import Step

if TYPE_CHECKING:
    import torch

SEPARATORS = (",", ":")  # of compact JSON, which vLLM's disable_any_whitespace enforces as well


class Grammars:
    """Schemas compiled for one tokenizer by xgrammar, each once. ``stops``: ids of the tokens that end a reply."""

    def __init__(self, tokenizer: Any, size: int, stops: list[int]) -> None:
        import xgrammar

        known = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=size, stop_token_ids=stops)
        self._compiler = xgrammar.GrammarCompiler(known)
        self._compiled: dict[bytes, Any] = {}

    def masking(self, schemas: Sequence[dict[str, Any]]) -> Any:
        """What leaves each row of a batch, token by token, only what its schema allows."""
        from xgrammar.contrib.hf import LogitsProcessor

        return LogitsProcessor([self._grammar(s) for s in schemas])

    def _grammar(self, schema: dict[str, Any]) -> Any:
        key = canonical_json(schema)
        if key not in self._compiled:
            self._compiled[key] = self._compiler.compile_json_schema(
                schema, any_whitespace=False, separators=SEPARATORS
            )
        return self._compiled[key]


class Likeliest:
    """Keeps the likeliest tokens of each row at each place, after the schema's mask and before any noise."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: list[tuple[list[list[float]], list[list[int]]]] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logprobs = scores.float().log_softmax(-1)
        values, tokens = logprobs.topk(min(self._most, scores.shape[-1]))
        self._places.append((values.tolist(), tokens.tolist()))
        return scores

    def steps(self, row: int, ids: Sequence[int], text_of: Callable[[list[int]], str]) -> list[Step]:
        """The tokens of one row with the likeliest ones at their places."""
        return [
            Step(text_of([i]), {text_of([t]): p for p, t in zip(values[row], tokens[row], strict=True)})
            for i, (values, tokens) in zip(ids, self._places, strict=False)
        ]


class Gumbel:
    """Samples each row of a batch by its own noise: the largest of logits / temperature + Gumbel noise (Gumbel, 1954).

    Greedy decoding of the sum is sampling from the softmax; a row's noise comes from its own seed alone.
    """

    def __init__(self, temperature: float, seeds: Sequence[int | None]) -> None:
        import torch

        self._temperature = temperature
        self._noise = [torch.Generator() for _ in seeds]
        for generator, seed in zip(self._noise, seeds, strict=True):
            if seed is None:
                generator.seed()
            else:
                generator.manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        rows = [torch.rand(scores.shape[1], generator=g, dtype=torch.float64) for g in self._noise]
        noise = -torch.log(-torch.log(torch.stack(rows).clamp_min(math.ulp(0.0))))
        return scores / self._temperature + noise.to(scores)
