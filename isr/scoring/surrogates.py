"""Whether an edit was made with the weights that its method was optimised on: by checkpoints, else by names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sifm_ref.checkpoints import is_sampled

EDITOR_CHECKPOINT, SURROGATE_CHECKPOINT = "editor_checkpoint", "surrogate_checkpoint"
"""Metadata columns: what the weights are, whatever the editor is called and however it is set."""

SAMPLED = (
    "their checkpoints were recorded by the ends of their files alone, which does not tell a merged LoRA from its base: "
    "whether editor and surrogate are the same weights is not known"
)

_SETTINGS = re.compile(r"\[(\w+=[^\[\]]*)\]$")
_FINGERPRINT = re.compile(r"@([0-9a-f]{6})$")


@dataclass(frozen=True, slots=True)
class Sight:
    """``white_box``: the surrogate itself made the edit; ``None``: not known. ``by_name``: only names could tell.

    ``sampled``: they had to, since a checkpoint was recorded by a sample of its files (``is_sampled``).
    """

    white_box: bool | None
    by_name: bool = False
    sampled: bool = False


def sight(editor: str, surrogate: str, columns: Mapping[str, str]) -> Sight:
    """Whether ``surrogate`` made an edit that says ``editor``. ``columns``: those of the edit.

    Equal values of the two checkpoint columns are one checkpoint. Where one is empty or absent (data of 0.1.0, and of
    others), or of a sample of the files, the names decide.
    """
    made, seen = columns.get(EDITOR_CHECKPOINT, ""), columns.get(SURROGATE_CHECKPOINT, "")
    sampled = is_sampled(made) or is_sampled(seen)
    if made and seen and not sampled:
        return Sight(made == seen)
    if not editor or not surrogate:
        return Sight(None, sampled=sampled)
    same = editor == surrogate or checkpoint_in(editor) == checkpoint_in(surrogate)
    return Sight(same, by_name=True, sampled=sampled)


def checkpoint_in(name: str) -> str:
    """What a name of 0.1.0 says of the weights: its settings left out, and of a folder only the fingerprint.

    ``instruct_pix2pix=final@3fa2c1[steps=4]`` and ``instruct_pix2pix=copy@3fa2c1`` are both ``@3fa2c1``;
    ``sd_img2img[dtype=fp16,revision=abc]`` is ``sd_img2img[revision=abc]``, since another revision is other weights.
    """
    found = _SETTINGS.search(name)
    bare = name[: found.start()] if found else name
    if folder := _FINGERPRINT.search(bare):
        return folder[0]
    said = [p for p in found[1].split(",") if p.startswith("revision=")] if found else []
    return f"{bare}[{said[0]}]" if said else bare
