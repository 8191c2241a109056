"""Whether the model that a host reports is the one that was asked for: names are compared whole, never by a beginning."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What may follow a name without making it another model: a date, the number of a build, the stage of a release
_BUILD = re.compile(
    r"(?:[-@:](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{2}-\d{2,4}|\d{3,4}|preview|exp|experimental|latest|stable|free))*"
)

_ROUTE = re.compile(
    r":(?:free|nitro|floor|online|extended|exacto)\Z"
)  # by which OpenRouter chooses a provider


def plain(name: str) -> str:
    """A reported name without the ``models/`` that Google puts before its own."""
    return name.removeprefix("models/")


def is_same_model(asked: str, reported: str) -> bool:
    """Whether a reported name is the asked one, with a date or build behind it or a vendor before it.

    ``gpt-4.1`` is ``openai/gpt-4.1`` and ``gpt-4.1-2025-04-14``, and never ``gpt-4.1-mini``: whatever else follows a name
    makes it the name of another model.
    """
    one, other = _ROUTE.sub("", asked.lower()), plain(reported).lower()
    vendors = [name.rpartition("/")[0].rpartition("/")[2] for name in (one, other)]
    if all(vendors) and vendors[0] != vendors[1]:
        return False  # another firm's model of that name
    one, other = (name.rpartition("/")[2] for name in (one, other))
    return bool(one) and other.startswith(one) and _BUILD.fullmatch(other, len(one)) is not None


def is_among(served: Iterable[str], reported: str) -> bool:
    """Whether a reported name is one of those that a card's ``serves`` allows."""
    return any(is_same_model(name, reported) for name in served)


_FAMILIES = {
    "Alibaba (Qwen)": ("qwen", "qwq", "wan2"),
    "Google (Gemini)": ("gemini", "gemma", "nano-banana", "nanobanana", "imagen"),
    "OpenAI (GPT)": ("gpt", "chatgpt", "dall-e", "dalle"),
    "ByteDance (Seed)": ("seededit", "seedream", "seed", "doubao", "bagel", "ui-tars"),
    "Zhipu (GLM)": ("glm", "cogview", "cogvlm"),
    "StepFun (Step)": ("step1x", "step-1", "step-2", "step-3", "step3"),
    "Tencent (Hunyuan)": ("hunyuan",),
    "xAI (Grok)": ("grok",),
    "DeepSeek": ("deepseek", "janus"),
    "OpenGVLab (InternVL)": ("internvl", "intern-s"),
    "Meta (Llama)": ("llama", "chameleon", "emu-edit"),
}  # fmt: skip
_NAMES = [
    (re.compile(rf"(?<![a-z]){re.escape(name)}(?![a-z])"), family)
    for family, names in _FAMILIES.items()
    for name in names
]


def family(name: str) -> str:
    """Who trained a model, by its name; ``""`` where the name does not tell."""
    words = name.lower().replace("_", "-").replace(" ", "-")
    return next((family for pattern, family in _NAMES if pattern.search(words)), "")
