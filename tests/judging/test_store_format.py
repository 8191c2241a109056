"""Bodies as a store keeps them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isr.judging.store_format import pack, unpack


@given(st.text())
def test_bodies_are_kept_as_they_are(text: str) -> None:
    clean = text.encode("utf-8", "replace").decode()
    assert unpack(pack(clean)).decode() == clean
