"""White box or transfer: checkpoints by value, names where there is no checkpoint."""

from __future__ import annotations

import pytest

from isr.scoring.surrogates import EDITOR_CHECKPOINT, SURROGATE_CHECKPOINT, Sight, checkpoint_in, sight

OLD, NEW = "sha256:87fe91320fc09dc1", "sha256:" + 64 * "a"
"""Fingerprints of the ends of files, and of whole ones."""


@pytest.mark.parametrize(
    ("editor", "surrogate", "checkpoints", "expected"),
    [
        ("tiny@87fe91[steps=4]", "tiny@87fe91", ("sha256:1", "sha256:1"), Sight(True)),
        ("fast", "slow", ("sha256:1", "sha256:1"), Sight(True)),
        ("mine", "mine", ("sha256:1", "sha256:2"), Sight(False)),  # one name is not one checkpoint
        ("", "", ("sha256:1", "sha256:2"), Sight(False)),
        ("tiny", "tiny", ("sha256:1", ""), Sight(True, by_name=True)),
        ("tiny@87fe91[steps=4]", "tiny@87fe91", ("", ""), Sight(True, by_name=True)),
        (
            "tiny",
            "tiny",
            (OLD, OLD),
            Sight(True, by_name=True, sampled=True),
        ),  # a sample's equality says nothing
        ("fast", "slow", (OLD, OLD), Sight(False, by_name=True, sampled=True)),
        ("tiny", "tiny", (OLD, NEW), Sight(True, by_name=True, sampled=True)),  # nor that it differs
        ("", "", (OLD, NEW), Sight(None, sampled=True)),
        ("fast", "slow", (NEW, NEW), Sight(True)),
        ("painter", "ip2p", ("", ""), Sight(False, by_name=True)),
        ("painter", "", ("", "sha256:2"), Sight(None)),
        ("", "ip2p", ("", ""), Sight(None)),
    ],
)
def test_whether_the_surrogate_made_an_edit(
    editor: str, surrogate: str, checkpoints: tuple[str, str], expected: Sight
) -> None:
    columns = dict(zip((EDITOR_CHECKPOINT, SURROGATE_CHECKPOINT), checkpoints, strict=True))
    assert sight(editor, surrogate, columns) == expected
    if not any(checkpoints):
        assert sight(editor, surrogate, {}) == expected


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("instruct_pix2pix=final@3fa2c1[steps=4]", "@3fa2c1"),
        ("instruct_pix2pix=copy@3fa2c1", "@3fa2c1"),
        ("sd_img2img[dtype=fp16,revision=abc,steps=4]", "sd_img2img[revision=abc]"),
        ("sd_img2img[steps=4]", "sd_img2img"),
        ("sd_img2img=someone/model", "sd_img2img=someone/model"),
        ("my editor [slow]", "my editor [slow]"),  # a name of one's own is no name of 0.1.0
        ("", ""),
    ],
)
def test_what_an_old_name_says_of_the_weights(name: str, says: str) -> None:
    assert checkpoint_in(name) == says
