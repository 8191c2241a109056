"""A request as the message that a judge gets: system text, texts and encoded images in order, answer schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isr.judging.requests import Request, arranged
from isr.judging.sending import Prepared, Sent


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of the user's message: a text, or an image as it is sent with its role (``source+edit`` side by side)."""

    text: str = ""
    image: Sent | None = None
    role: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What a judge is asked. ``parts`` stand in the order of the rubric, arranged as the card's layout says.

    schema: the JSON schema of the answer; where the card's ``decoding.structured`` is ``words`` or ``json_object``,
    it stands in ``system`` already. sent: the digests of the images by role, for ``Answer.sent``.
    """

    system: str
    parts: tuple[Part, ...]
    schema: Mapping[str, Any]
    sent: Mapping[str, str]


async def images_of(request: Request, images: Prepared) -> None:
    """Prepares the images of a request, so that its message waits for none. Raises ``ImageProblem``."""
    for roles, _ in arranged(request, request.template.card.images.layout):
        if roles:
            await images.sent(*roles)


async def message_of(request: Request, images: Prepared) -> Message:
    """The message of a request, its images encoded. Raises ``ImageProblem`` for one that cannot be sent."""
    template = request.template
    parts = []
    for roles, text in arranged(request, template.card.images.layout):
        image = await images.sent(*roles) if roles else None
        parts.append(Part(text, image, "+".join(roles)))
    return Message(
        system=template.body["system"],
        parts=tuple(parts),
        schema=template.rubric.schema_(bounds=template.card.decoding.structured != "json_schema_basic"),
        sent={p.role: p.image.sha256 for p in parts if p.image is not None},
    )
