"""Messages and encoded images as the author of a backend gets them."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from isr.canonical import sha256_bytes
from isr.judging.card_sections import Decoding, Images
from isr.judging.messages import message_of
from isr.judging.sending import Encoder, Prepared
from isr.types import ImageRef
from tests.directories import picture
from tests.samples import a_card, a_request


@pytest.mark.parametrize(
    ("kind", "layout"), [("png", "separate"), ("jpeg", "separate"), ("png", "side_by_side")]
)
def test_parts_stand_in_order_with_type_and_bytes(tmp_path: Path, kind: str, layout: str) -> None:
    refs = {}
    for number, role in enumerate(("source", "edit")):
        path = tmp_path / f"{role}.png"
        picture(number).save(path)
        refs[role] = ImageRef(path.name, sha256_bytes(path.read_bytes()))
    card = a_card(images=Images(format=kind, layout=layout), decoding=Decoding(structured="words"))
    request = a_request("make it <red>", card=card, **refs)
    images = Prepared(Encoder(tmp_path, card.policy), {r: (ref.path, ref.sha256) for r, ref in refs.items()})
    message = asyncio.run(message_of(request, images))
    pictures = [part for part in message.parts if part.image is not None]
    expected = ["source+edit"] if layout == "side_by_side" else ["source", "edit"]
    assert [part.role for part in pictures] == expected
    assert sum("make it \\u003cred>" in part.text for part in message.parts) == 1  # as data, never as a mark
    assert list(message.sent) == expected
    for part in pictures:
        assert part.image is not None
        assert part.image.media_type == f"image/{kind}"
        assert sha256_bytes(part.image.data) == part.image.sha256 == message.sent[part.role]
        assert base64.b64decode(part.image.base64) == part.image.data
        assert part.image.url == f"data:image/{kind};base64,{part.image.base64}".encode()
    assert list(message.schema["properties"]) == ["reasoning", "score", "source_kept", "verdict"]
    assert "JSON schema" in message.system  # this card's host takes no schema


@pytest.mark.parametrize(("structured", "bounded"), [("json_schema", True), ("json_schema_basic", False)])
def test_the_schema_is_in_the_dialect_of_the_card(tmp_path: Path, structured: str, bounded: bool) -> None:
    card = a_card(decoding=Decoding(structured=structured), images=Images())
    path = tmp_path / "one.png"
    picture(1).save(path)
    ref = ImageRef("one.png", sha256_bytes(path.read_bytes()))
    request = a_request(card=card, source=ref, edit=ref)
    images = Prepared(Encoder(tmp_path, card.policy), dict.fromkeys(request.images, (ref.path, ref.sha256)))
    message = asyncio.run(message_of(request, images))
    assert ("minimum" in message.schema["properties"]["score"]) is bounded
    assert "JSON schema" not in message.system
