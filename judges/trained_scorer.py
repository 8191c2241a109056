"""Trained scorers of edits, such as EditReward: an image-text model whose last layer is a reward head instead of words.

The checkpoint is one that ``hf_transformers`` can load, with the head's weights beside it in the same safetensors: one
linear layer (``rm_head.weight``) or several with ReLU between them (``rm_head.0.weight``, ``rm_head.2.weight``, ...). The
reward is read at a token that was trained for it. It has no meaning of its own: rubrics for it name no threshold, and its
edits are undecided until one is learnt from people (``isr calibrate --out``).
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isr.errors import CardError, JudgeError
from isr.judges._local import Conversation, engine_options, refuse_fields
from isr.judges.hf_transformers import Model, Transformers, TransformersOptions, lengths
from isr.reading import Unreadable, read_json
from isr.types import Answer, Finish, Question

if TYPE_CHECKING:
    import torch

    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.rubrics import Rubric
    from isr.judging.sending import Prepared

FREE = True
EXTRA = "transformers"
POINTS = 1000
"""Points of a score for one unit of reward: grades are whole numbers, and their order is the rewards'."""
_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"


class ScorerOptions(TransformersOptions):
    """``[engine]`` of this backend, beside that of ``hf_transformers``.

    ``mark``: the token at which the reward is read. ``ending``: what stands behind the rubric's words, with that token in
    it. ``semantic``, ``perceptual``: the head that answers the question, by the beginning of its weights' names.
    ``output``: which of the head's outputs is the reward.
    """

    mark: str = "<|Reward|>"
    ending: str = "\n<|Reward|>"
    semantic: str = "rm_head"
    perceptual: str = "rm_head"
    output: int = 0


def open_judge(card: Card) -> TrainedScorer:
    """A scorer in this process; its weights are loaded at the first question. Raises ``CardError``."""
    options = engine_options(card, ScorerOptions)
    refuse_fields(
        card, "extra", "omit", "reasoning_effort", "thinking", "thinking_name", "logprobs", "structured"
    )
    options.check(card)
    if options.mark not in options.ending or not options.mark:
        raise CardError(
            f"{card.name}: 'engine.ending' expected a text with the token {options.mark!r}, at which the reward is read; "
            f"found {options.ending!r}; edit the card"
        )
    return TrainedScorer(card, options)


class TrainedScorer(Transformers):
    """One model with its heads, asked in batches as any model of transformers."""

    options: ScorerOptions

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """The reward of one edit. Raises ``JudgeError`` for a rubric that asks for more than one grade without a threshold."""
        _grade(request.template.rubric, self.card)
        return await super().ask(request, images)

    def _load(self) -> Model:
        return _Scorer(self.card, self.options)


def _grade(rubric: Rubric, card: Card) -> str:
    """The name of the one field that a scorer's rubric has."""
    names = [f.name for f in rubric.fields]
    if rubric.decision is None or rubric.decision.fails_below is not None or len(names) != 1:
        raise JudgeError(
            f"{card.name}: a trained scorer gives one score without meaning of its own; expected rubrics that ask for one "
            f"grade and name no threshold; found {rubric.name}; use --rubric scorer-semantic/v1 "
            f"--rubric scorer-perceptual/v1"
        )
    return names[0]


class _Scorer(Model):
    """The weights of the model and of its heads."""

    def __init__(self, card: Card, options: ScorerOptions) -> None:
        super().__init__(card, options)
        self._scorer = options
        self._token = self.tokenizer.get_vocab().get(options.mark)
        if self._token is None:
            raise JudgeError(
                f"{card.name}: expected a tokenizer with the token {options.mark!r}, at which the reward is read; found "
                f"none; name it in engine.mark, or use the tokenizer that was saved with the scorer"
            )
        self._heads = {q: self._head(getattr(options, q.value)) for q in Question}

    def inputs(self, talks: Sequence[Conversation]) -> Mapping[str, Any]:
        """A padded batch whose texts end with the token of the reward."""
        ending = {"type": "text", "text": self._scorer.ending}
        return super().inputs([_with_ending(talk, ending) for talk in talks])

    def generate(self, requests: Sequence[Request], inputs: Mapping[str, Any]) -> list[Answer]:
        """The rewards of a prepared batch, as the answers that its rubrics ask for."""
        began = time.perf_counter()
        places = (inputs["input_ids"] == self._token).int()
        last = places.shape[1] - 1 - places.flip(1).argmax(1)  # of each row
        with self._torch.inference_mode():
            moved = {k: v.to(self.model.device) for k, v in inputs.items()}
            hidden = self.model.base_model(**moved).last_hidden_state
            states = hidden[self._torch.arange(len(requests)), last.to(hidden.device)].float()
            rewards = [
                float(self._heads[request.question](state)[self._scorer.output])
                for request, state in zip(requests, states, strict=True)
            ]
        took = round(time.perf_counter() - began, 4)
        return [
            Answer(
                text=_said(_grade(request.template.rubric, self.card), reward),
                finish_reason=Finish.STOP,
                served=self._served,
                usage={"prompt_tokens": prompt, "completion_tokens": 0},
                received_at=datetime.now(UTC).isoformat(timespec="seconds"),
                latency_s=took,
            )
            for request, reward, prompt in zip(requests, rewards, lengths(inputs), strict=True)
        ]

    def _head(self, prefix: str) -> torch.nn.Module:
        """The layers whose weights' names begin so, in the order of their numbers, with ReLU between them."""
        nn, tensors = self._torch.nn, dict(self._tensors(prefix))
        layers: list[Any] = []
        name = re.compile(re.escape(prefix) + r"(?:\.(\d+))?\.weight\Z")
        found = sorted((int(m[1] or 0), key) for key in tensors if (m := name.match(key)))
        width = self.model.config.get_text_config().hidden_size
        for _, key in found:
            weight, bias = tensors[key], tensors.get(f"{key.removesuffix('weight')}bias")
            if (
                weight.ndim != 2
                or weight.shape[1] != width
                or (bias is not None and bias.shape != weight.shape[:1])
            ):
                break
            layer = nn.Linear(width, weight.shape[0], bias=bias is not None)
            layer.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
            layers += [nn.ReLU(), layer] if layers else [layer]
            width = weight.shape[0]
        used = sum(len(layer.state_dict()) for layer in layers)
        if not found or used != len(tensors) or not 0 <= self._scorer.output < width:
            raise JudgeError(
                f"{self.card.name}: expected the weights of a reward head, linear layers one behind the other from "
                f"{self.model.config.get_text_config().hidden_size} to more than engine.output = {self._scorer.output} "
                f"outputs, under names that begin with {prefix!r}; found {', '.join(sorted(tensors)[:4]) or 'none'}; name "
                f"the heads in engine.semantic and engine.perceptual"
            )
        return nn.Sequential(*layers).float().eval().to(self.model.device)  # type: ignore[no-any-return]

    def _tensors(self, prefix: str) -> Iterator[tuple[str, Any]]:
        from safetensors import safe_open

        index = self._file(_INDEX)
        files = [_SINGLE]
        if index is not None:
            try:
                named = read_json(index)["weight_map"]
                files = sorted({f for key, f in named.items() if key.startswith(f"{prefix}.")})
            except (Unreadable, AttributeError, KeyError, TypeError):
                files = []
        for file in files:
            path = self._file(file)
            if path is None:
                continue
            with safe_open(path, framework="pt") as opened:
                for key in opened.keys():  # noqa: SIM118  (it is no mapping)
                    if key.startswith(f"{prefix}."):
                        yield key, opened.get_tensor(key).float()

    def _file(self, name: str) -> Path | None:
        """A file of the checkpoint; ``None`` where it has none of that name."""
        from transformers.utils.hub import cached_file

        source = self._source()
        found = cached_file(
            source["pretrained_model_name_or_path"],
            name,
            revision=source["revision"] or "main",
            local_files_only=source["local_files_only"],
            _raise_exceptions_for_missing_entries=False,
        )
        return None if found is None else Path(found)


def _with_ending(talk: Conversation, ending: Mapping[str, Any]) -> Conversation:
    *before, user = talk.messages
    return Conversation([*before, {**user, "content": [*user["content"], ending]}], talk.images, talk.digests)


def _said(field: str, reward: float) -> str:
    """The answer in JSON: the reward in whole points, and as it was. What is no number is on no scale."""
    if not math.isfinite(reward):
        return json.dumps({field: None})
    return json.dumps({field: round(POINTS * reward), "reward": reward})
