"""Batches of the cache as tensors: images with what the renderer knows of them, and packed conversations.

Both questions about a pair of images, and a second prompt where its truth is beyond doubt, share one sequence: the
part up to the images once, then each question with its answer. A mask keeps the questions apart, and the positions
of each go on from the shared part, so that every one is computed as if it stood alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from data import COLOURS, GRID, KINDS, TASKS, Cache
from texts import RUBRICS, Asked, every_prompt, messages, others, perceptual_answer, semantic_answer
from transformers import LlavaProcessor

from isr.judging.rubrics import load_rubric

IGNORED = -100
HALF_KIND, HALF_COLOUR = len(KINDS) + 1, len(COLOURS)
"""Classes of patches of a thing that is neither of two kinds, or of two colours."""
SOURCE_SHARE = 0.2
"""Share of the images of the first stage that are sources."""


@dataclass(frozen=True)
class Labels:
    """What the renderer knows: of each patch the shares of each kind and colour, of the image two classes."""

    kinds: torch.Tensor
    colours: torch.Tensor
    ground: torch.Tensor
    damage: torch.Tensor

    def to(self, device: torch.device) -> Labels:
        """The same on a device."""
        return Labels(*(t.to(device) for t in (self.kinds, self.colours, self.ground, self.damage)))


def _patch_shares(scene: np.void, cover: np.ndarray, half: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares (GRID, GRID, classes) of kinds (0: background) and of colours; ``half``: task of a half-done edit."""
    kinds = np.zeros((GRID, GRID, HALF_KIND + 1), dtype=np.float32)
    colours = np.zeros((GRID, GRID, HALF_COLOUR + 1), dtype=np.float32)
    shares = cover.astype(np.float32) / 255
    rest = np.clip(1 - shares.sum(axis=0), 0, 1)
    kinds[..., 0] += rest
    colours[..., HALF_COLOUR if half == "background" else int(scene["ground"])] += rest
    for place in (0, 1):
        kind, ink = int(scene["kinds"][place]) + 1, int(scene["inks"][place])
        if half and place == index:
            kind = kind if half == "recolour" else HALF_KIND
            ink = HALF_COLOUR if half in ("recolour", "remove") else ink
        if kind > 0:
            kinds[..., kind] += shares[place]
            colours[..., ink] += shares[place]
    total = kinds.sum(axis=-1, keepdims=True)
    return kinds / total, colours / total


def _label(
    scene: np.void, cover: np.ndarray, edit: np.void | None
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """The labels of one image; a source has no edit."""
    half = TASKS[int(edit["task"])] if edit is not None and edit["half"] else ""
    index = int(edit["index"]) if edit is not None else -1
    kinds, colours = _patch_shares(scene, cover, half, index)
    ground = HALF_COLOUR if half == "background" else int(scene["ground"])
    damage = int(edit["damage"]) if edit is not None and edit["heavy"] else 0
    return kinds, colours, ground, damage


def _stack(labels: list[tuple[np.ndarray, np.ndarray, int, int]]) -> Labels:
    kinds, colours, ground, damage = zip(*labels, strict=True)
    return Labels(
        torch.from_numpy(np.stack(kinds)).flatten(1, 2),
        torch.from_numpy(np.stack(colours)).flatten(1, 2),
        torch.tensor(ground),
        torch.tensor(damage),
    )


def normalise(pixels: np.ndarray, processor: LlavaProcessor) -> torch.Tensor:
    """Levels (N, H, W, 3) as the processor hands them to the model: (N, 3, H, W)."""
    images = processor.image_processor
    scaled = torch.from_numpy(pixels).float() * images.rescale_factor
    return ((scaled - torch.tensor(images.image_mean)) / torch.tensor(images.image_std)).permute(0, 3, 1, 2)


def single_images(
    cache: Cache, rng: np.random.Generator, size: int, processor: LlavaProcessor
) -> tuple[torch.Tensor, Labels]:
    """Images drawn from the cache, mirrored half the time, with their labels."""
    pixels, labels = [], []
    for _ in range(size):
        flip = slice(None, None, -1 if rng.random() < 0.5 else 1)
        if rng.random() < SOURCE_SHARE:
            number = int(rng.integers(len(cache.sources)))
            row = cache.sources[number]
            pixels.append(cache.source_image(number)[:, flip])
            labels.append(_label(row["scene"], row["cover"][..., flip], None))
        else:
            number = int(rng.integers(len(cache.edits)))
            row = cache.edits[number]
            pixels.append(cache.edit_image(number)[:, flip])
            labels.append(_label(row["shown"], row["cover"][..., flip], row))
    return normalise(np.stack(pixels), processor), _stack(labels)


class Conversations:
    """The rubrics as tokens, and the packed sequences made of them."""

    def __init__(self, processor: LlavaProcessor) -> None:
        self.tokenizer = processor.tokenizer
        self.image_tokens = GRID * GRID
        self._rubrics = {q: load_rubric(name) for q, name in RUBRICS.items()}
        self._chat = processor.apply_chat_template
        self.image_id = self.tokenizer.convert_tokens_to_ids("<image>")
        prefixes = {q: self._split(q, "")[0] for q in RUBRICS}
        if prefixes["semantic"] != prefixes["perceptual"]:
            raise ValueError("the rubrics differ before the images end: they cannot share a sequence")
        self.prefix: list[int] = []
        for token in self.ids(prefixes["semantic"]):
            self.prefix += [token] * (self.image_tokens if token == self.image_id else 1)
        prompts = [text for _, text in every_prompt()]
        self.room = {q: max(len(self.question(q, text)) for text in prompts) for q in RUBRICS}
        self.room["semantic"] += len(self.answer(LONGEST_SEMANTIC))
        self.room["perceptual"] += len(self.answer(LONGEST_PERCEPTUAL))
        self.slots = ("semantic", "semantic", "perceptual")
        self.length = len(self.prefix) + sum(self.room[q] for q in self.slots)

    def _split(self, question: str, prompt: str) -> tuple[str, str]:
        """The rendered prompt up to its last image, and from there on."""
        text = self._chat(messages(self._rubrics[question], prompt), add_generation_prompt=True)
        head, mark, tail = str(text).rpartition("<image>")
        return head + mark, tail

    def ids(self, text: str) -> list[int]:
        """Tokens of a text, nothing added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    @lru_cache(maxsize=4096)  # noqa: B019  (one object a run)
    def question(self, question: str, prompt: str) -> list[int]:
        """Tokens after the images, up to the answer."""
        return self.ids(self._split(question, prompt)[1])

    @lru_cache(maxsize=65536)  # noqa: B019
    def answer(self, text: str) -> list[int]:
        """Tokens of an answer with the end of its turn."""
        return [*self.ids(text), self.tokenizer.eos_token_id]

    def layout(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions (1, L), and the mask (1, 1, L, L): true where a token sees another."""
        shared, spans = len(self.prefix), [self.room[q] for q in self.slots]
        positions = list(range(shared))
        part = [0] * shared
        for number, span in enumerate(spans, start=1):
            positions += range(shared, shared + span)
            part += [number] * span
        parts = torch.tensor(part)
        seen = (parts[None, :] == parts[:, None]) | (parts[None, :] == 0)
        return torch.tensor([positions]), (seen & torch.ones_like(seen).tril())[None, None]

    def pack(self, turns: list[tuple[str, str, str]]) -> tuple[list[int], list[int]]:
        """Tokens and labels of one sequence, from its (question, prompt, answer); an empty answer leaves a gap."""
        tokens, labels = list(self.prefix), [IGNORED] * len(self.prefix)
        for question, prompt, answer in turns:
            asked = self.question(question, prompt) if answer else []
            said = self.answer(answer) if answer else []
            gap = self.room[question] - len(asked) - len(said)
            tokens += [*asked, *said, *[self.tokenizer.pad_token_id] * gap]
            labels += [*[IGNORED] * len(asked), *said, *[IGNORED] * gap]
        return tokens, labels


LONGEST_SEMANTIC = (
    '{"reasoning":"asked: yellow background. source: purple triangle, purple triangle on purple.'
    ' edit: purple triangle, half purple triangle on half purple. unchanged.","verdict":"fails"}'
)
LONGEST_PERCEPTUAL = '{"reasoning":"damage: substantial collapse none or slight.","verdict":"fails"}'


def turns_of(
    cache: Cache, edit: np.void, number: int, rng: np.random.Generator
) -> list[tuple[str, str, str]]:
    """What is asked and said about an edit: its own prompt, another one of its scene if there is one, its damage."""
    before = cache.sources[int(edit["source"])]["scene"]
    own = Asked.of(edit)
    prompt = own.prompt(before)
    siblings = [k for k in cache.of_source[int(edit["source"])] if k != number]
    more = others(edit, cache.edits[siblings])
    second = ("semantic", "", "")
    if more:
        asked = more[int(rng.integers(len(more)))]
        second = ("semantic", asked.prompt(before), semantic_answer(asked, before, edit))
    return [
        ("semantic", prompt, semantic_answer(own, before, edit)),
        second,
        ("perceptual", prompt, perceptual_answer(edit)),
    ]


@dataclass(frozen=True)
class Pairs:
    """A batch of the second stage; pixels hold source and edit of each pair in turn."""

    pixels: torch.Tensor
    tokens: torch.Tensor
    labels: torch.Tensor
    seen: Labels


def pairs(
    cache: Cache, talk: Conversations, rng: np.random.Generator, size: int, processor: LlavaProcessor
) -> Pairs:
    """Pairs drawn from the cache, mirrored half the time, with their conversations."""
    pixels, labels, packed = [], [], []
    for number in rng.integers(len(cache.edits), size=size):
        edit = cache.edits[number]
        source = cache.sources[int(edit["source"])]
        flip = slice(None, None, -1 if rng.random() < 0.5 else 1)
        pixels += [cache.source_image(int(edit["source"]))[:, flip], cache.edit_image(int(number))[:, flip]]
        labels.append(_label(source["scene"], source["cover"][..., flip], None))
        labels.append(_label(edit["shown"], edit["cover"][..., flip], edit))
        packed.append(talk.pack(turns_of(cache, edit, int(number), rng)))
    tokens, said = zip(*packed, strict=True)
    return Pairs(
        normalise(np.stack(pixels), processor), torch.tensor(tokens), torch.tensor(said), _stack(labels)
    )
