"""Requests: what a judge is asked, and the digest under which its answer is kept.

The key is the digest of the request: digests of the image files, the image policy, the rubric as sent, the
edit prompt, the judge's identity, the repeat number. It is the same on every machine and decodes no image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from isr.canonical import canonical_json, sha256_bytes, sha256_json
from isr.edits.images import POLICY
from isr.errors import EditDirectoryError, Problem
from isr.judging.cards import Card
from isr.judging.rubrics import PLACEHOLDER, Rubric
from isr.types import Arm, Edit, ImageRef, Question

SCHEMA = "isr.request/1"
ESCAPED = {"<": "\\u003c", "[": "\\u005b"}


def quoted(prompt: str) -> str:
    """A text of the data as a JSON string in which no mark of a model can begin."""
    text = json.dumps(prompt, ensure_ascii=False)
    for mark, escape in ESCAPED.items():
        text = text.replace(mark, escape)
    return text


@dataclass(frozen=True)
class Template:
    """A rubric in the dialect of one card: the part of a request that all edits share."""

    rubric: Rubric
    card: Card

    @cached_property
    def body(self) -> dict[str, Any]:
        structured = self.card.decoding.structured
        return {
            "rubric": self.rubric.name,
            "rubric_digest": self.rubric.digest,
            "system": self.rubric.system_text(structured),
            "user": [p.model_dump(exclude_defaults=True) for p in self.rubric.user],
            "response_format": self.rubric.response_format(structured),
        }

    @cached_property
    def digest(self) -> str:
        return sha256_json(self.body)


@dataclass(frozen=True)
class Request:
    """One question about one edit to one judge."""

    template: Template
    prompt: str
    images: Mapping[str, ImageRef]
    repeat: int = 0

    @property
    def question(self) -> Question:
        return self.template.rubric.question

    @cached_property
    def body(self) -> dict[str, Any]:
        """The canonical request; images, rubric and judge stand in it by their digests."""
        body = {
            "schema": SCHEMA,
            "images_policy": POLICY,
            "rubric": self.template.digest,
            "judge": self.template.card.digest,
            "prompt": self.prompt,
            "images": {role: ref.sha256 for role, ref in self.images.items()},
            "repeat": self.repeat,
        }
        if any(mark in self.prompt for mark in ESCAPED):  # which were once sent as they are
            body["quoting"] = 2
        return body

    @property
    def quoted(self) -> str:
        """The edit prompt as a JSON string, in which ``<`` and ``[`` are escaped.

        Most models' own marks begin with them (``<image>``, ``<|im_end|>``, ``[INST]``): none may be taken out of data.
        """
        return quoted(self.prompt)

    @cached_property
    def key(self) -> bytes:
        """32 bytes: SHA-256 of the canonical request."""
        return bytes.fromhex(sha256_bytes(canonical_json(self.body)).partition(":")[2])

    @property
    def content(self) -> str:
        """Digest of what is asked, whoever is asked; recorded answers are found by it."""
        return content_digest(self.template.rubric.digest, self.body)

    def user_parts(self) -> Iterator[tuple[str, str]]:
        """``("text", words)`` and ``("image", role)`` in the order in which the judge gets them."""
        quoted = self.quoted
        for part in self.template.rubric.user:
            yield ("image", part.image) if part.image else ("text", part.text.replace(PLACEHOLDER, quoted))


def arranged(request: Request, layout: str) -> list[tuple[tuple[str, ...], str]]:
    """(roles, text) pairs in the order in which a judge gets them; side by side puts one picture first."""
    parts = list(request.user_parts())
    if layout == "separate":
        return [((value,), "") if kind == "image" else ((), value) for kind, value in parts]
    roles = tuple(value for kind, value in parts if kind == "image")
    names = " | ".join(role.upper() for role in roles)
    last = [value for kind, value in parts if kind == "text"][-1]
    return [((), f"One picture shows, from left to right: {names}."), (roles, ""), ((), last)]


def content_digest(rubric_digest: str, body: Mapping[str, Any]) -> str:
    """Digest of rubric, prompt, images and repeat number, without the judge."""
    kept = {k: body[k] for k in ("prompt", "images", "repeat")}
    return sha256_json({"rubric": rubric_digest, **kept})


def requests_for(edit: Edit, arm: Arm, template: Template, repeats: int = 1) -> Iterator[Request]:
    """The requests that one question about one arm of an edit needs of one judge, one per repeat."""
    judged = edit.edited if arm is Arm.PROTECTED else edit.control
    if judged is None:
        return
    refs = {"edit": judged, "source": edit.source}
    images: dict[str, ImageRef] = {}
    for role in template.rubric.images:
        ref = refs[role]
        if ref is None:
            raise EditDirectoryError(
                "an edit cannot be judged",
                [
                    Problem(
                        edit.edit_id,
                        "source_file_name",
                        f"a source, which {template.rubric.name} shows",
                        "none",
                        "add it",
                    )
                ],
            )
        images[role] = ref
    for repeat in range(repeats):
        yield Request(template, edit.prompt, images, repeat)
