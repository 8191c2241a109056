"""What is done to a model's logits before each token: the end of its thoughts, a schema's mask, a look at the likeliest,
noise to sample by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from isr.canonical import canonical_json
from isr.judging.logprobs import Step

if TYPE_CHECKING:
    import torch

    from isr.judges._thoughts import Marks

SEPARATORS = (",", ":")  # of compact JSON, which vLLM's disable_any_whitespace enforces as well


class Grammars:
    """Schemas compiled for one tokenizer by xgrammar, each once. ``stops``: ids of the tokens that end a reply."""

    def __init__(self, tokenizer: Any, size: int, stops: list[int]) -> None:
        import xgrammar

        known = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=size, stop_token_ids=stops)
        self._compiler = xgrammar.GrammarCompiler(known)
        self._compiled: dict[bytes, Any] = {}

    def masking(self, schemas: Sequence[dict[str, Any]], thoughts: Thoughts | None = None) -> Masking:
        """What leaves each row of a batch, token by token, only what its schema allows."""
        return Masking([self._grammar(s) for s in schemas], thoughts)

    def _grammar(self, schema: dict[str, Any]) -> Any:
        key = canonical_json(schema)
        if key not in self._compiled:
            self._compiled[key] = self._compiler.compile_json_schema(
                schema, any_whitespace=False, separators=SEPARATORS
            )
        return self._compiled[key]


class Thoughts:
    """Where each row of a batch stands: in its thoughts or behind them. A budget that is used up ends them by their mark.

    within: tokens of thoughts with which each prompt ends (they count against the budget); ``None`` where none are open:
    then the first token may open them.
    """

    def __init__(self, marks: Marks, within: Sequence[int | None], budget: int | None) -> None:
        self.marks = marks
        self._spent, self._budget = list(within), budget
        self._generated = -1

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._generated += 1
        if self._generated:
            self._spent = [
                self._after(n, t) for n, t in zip(self._spent, input_ids[:, -1].tolist(), strict=True)
            ]
        if self._budget is not None:
            for row, spent in enumerate(self._spent):
                if spent is not None and spent >= self._budget:
                    kept = scores[row, self.marks.end].clone()
                    scores[row] = -math.inf
                    scores[row, self.marks.end] = kept
        return scores

    def within(self, row: int) -> bool:
        """Whether the row's next token belongs to its thoughts, or ends them."""
        return self._spent[row] is not None

    def may_begin(self, row: int) -> bool:
        """Whether the row's next token may open its thoughts."""
        return not self._generated and self._spent[row] is None

    def _after(self, spent: int | None, token: int) -> int | None:
        if spent is None:
            return 0 if self._generated == 1 and token == self.marks.start else None
        return None if token == self.marks.end else spent + 1


class Masking:
    """Leaves each row of a batch, token by token, only what its grammar allows; behind its thoughts, where it has some."""

    def __init__(self, grammars: Sequence[Any], thoughts: Thoughts | None) -> None:
        import xgrammar

        self._matchers = [xgrammar.GrammarMatcher(g) for g in grammars]
        self._mask = xgrammar.allocate_token_bitmask(len(grammars), grammars[0].tokenizer_info.vocab_size)
        self._thoughts = thoughts
        self._held: list[int] = []  # rows whose last token was the grammar's, unless it opened their thoughts

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import xgrammar

        thoughts = self._thoughts
        thinking = {r for r in range(len(self._matchers)) if thoughts is not None and thoughts.within(r)}
        for row in self._held:
            matcher, token = self._matchers[row], int(input_ids[row, -1])
            if row not in thinking and not matcher.is_terminated() and not matcher.accept_token(token):
                raise RuntimeError(f"the grammar refused token {token}, which its mask had left")
        self._held = [r for r in range(len(self._matchers)) if r not in thinking]
        for row in self._held:
            if not self._matchers[row].is_terminated():
                self._matchers[row].fill_next_token_bitmask(self._mask, row)
        begun = [r for r in self._held if thoughts is not None and thoughts.may_begin(r)]
        openers = [scores[r, thoughts.marks.start].clone() for r in begun] if thoughts is not None else []
        if self._held:
            xgrammar.apply_token_bitmask_inplace(scores, self._mask.to(scores.device), indices=self._held)
        for row, score in zip(begun, openers, strict=True):
            scores[row, thoughts.marks.start] = score  # type: ignore[union-attr]
        return scores


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
