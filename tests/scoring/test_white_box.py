"""The white box is a checkpoint, not a name."""

from __future__ import annotations

import pytest
from isr.scoring.white_box import relation

ONE, TWO, HUB = "sha256:87fe91aa", "sha256:87fe91bb", "org/model@1234abcd"


@pytest.mark.parametrize(
    ("editor", "surrogate", "same"),
    [(ONE, ONE, True), (ONE, TWO, False), (HUB, HUB, True), (HUB, "org/model@5678", False), (ONE, HUB, None)],
)
def test_by_value(editor: str, surrogate: str, same: bool | None) -> None:
    columns = {
        "editor": "a",
        "surrogate": "b",
        "editor_checkpoint": editor,
        "surrogate_checkpoint": surrogate,
    }
    assert relation(columns) == (same, False)
    # equal names change nothing
    assert relation({**columns, "editor": "b"}) == (same, False)


@pytest.mark.parametrize(
    ("editor", "surrogate", "same"),
    [
        ("ip2p=model@87fe91[steps=4]", "ip2p=model@87fe91", True),
        ("ip2p=model@87fe91[steps=4]", "ip2p=copy@87fe91[dtype=fp16]", True),
        ("ip2p=model@87fe91", "ip2p=model@12ab34", False),
        ("ip2p[steps=4]", "ip2p", True),
        ("hq_edit", "ip2p", False),
        ("", "ip2p", None),
        ("ip2p", "", None),
    ],
)
def test_rows_of_0_1_0_by_name(editor: str, surrogate: str, same: bool | None) -> None:
    assert relation({"editor": editor, "surrogate": surrogate}) == (same, True)
    # one checkpoint alone says nothing
    assert relation({"editor": editor, "surrogate": surrogate, "editor_checkpoint": ONE}) == (same, True)
