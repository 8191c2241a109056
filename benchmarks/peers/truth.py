"""What the local server means by each question, and what became of it in a tool's results. No clock, no network."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

QUESTIONS = ("semantic", "perceptual")
LESSONS = {"limited": 0.10, "double_500": 0.02, "refusal": 0.03, "broken_json": 0.03, "content_filter": 0.02}
TRANSIENT = {"limited": 1, "double_500": 2}  # failed tries before the answer
SCORES = (0, 1, 3, 4)
KINDS = ("valid", "fabricated", "lost", "undecided")
REFUSALS = (
    "I'm sorry, but I can't help with evaluating this image.",
    "I cannot rate this picture: 2 of 10 people in it look like minors.",
)
_TAG = re.compile(rb"pair-(\d{5})(?:-([sp]))?")

Key = tuple[int, str]  # number of the pair, question


def tag(pair: int, question: str = "") -> str:
    """The mark in a prompt by which the server knows the pair, and the question where no other word tells it."""
    return f"pair-{pair:05}" + (f"-{question[0]}" if question else "")


def key_of(body: bytes) -> Key | None:
    """What a request asks; ``None`` for one without a mark."""
    found = _TAG.search(body)
    if found is None:
        return None
    letter = (found[2] or (b"s" if b"source_kept" in body else b"p")).decode()
    return int(found[1]), next(q for q in QUESTIONS if q.startswith(letter))


def _draw(key: Key, seed: int, what: str) -> float:
    digest = hashlib.sha256(f"{seed}:{what}:{key[0]}:{key[1]}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def fault_of(key: Key, faults: Mapping[str, float], seed: int = 0) -> str:
    """The fault that a question meets, the same for every tool; ``""`` for none."""
    draw = _draw(key, seed, "fault")
    for name, share in faults.items():
        draw -= share
        if draw < 0:
            return name
    return ""


def score_of(key: Key) -> int:
    """The score that the judge gives, of 0 to 4."""
    return SCORES[int(_draw(key, 0, "score") * len(SCORES))]


def reply_to(body: bytes, key: Key, fault: str) -> str:
    """The words of a completed reply, in the form that the prompt in the body asks for."""
    score = score_of(key)
    if fault == "refusal":
        return REFUSALS[key[0] % 2]
    fields: dict[str, Any] = {"reasoning": "as it looks"}
    if b"better_response" in body:
        fields |= {
            "better_response": "A" if score < 2 else "B",
            "score": 5 if score < 2 else 2,
            "confidence": 0.9,
        }
    elif b"source_kept" in body or b'"verdict"' in body or b'\\"verdict\\"' in body:
        fields["score"] = score
        if key[1] == "semantic":
            fields["source_kept"] = 3
        fields["verdict"] = "fails" if score < 2 else "fine"
    else:  # VIEScore's form: two scores of 0 to 10
        fields["score"] = [2 * score, 2 * score]
    text = json.dumps(fields)
    return text[: len(text) // 2] if fault == "broken_json" else text


def classify(
    given: Mapping[Key, float | None], pairs: int, faults: Mapping[str, float], seed: int = 0
) -> Counter[str]:
    """How many of the questions about so many pairs ended as each of ``KINDS``.

    given: the score of 0 to 4 that a tool reports for a question; ``None``, or no entry, where it reports none.
    ``fabricated``: a score that the judge did not give; ``lost``: none, though the judge answers when asked again;
    ``undecided``: rightly none.
    """
    found: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    for pair in range(pairs):
        for question in QUESTIONS:
            key = (pair, question)
            fault, score = fault_of(key, faults, seed), given.get(key)
            answerable = not fault or fault in TRANSIENT
            if score is None:
                found["lost" if answerable else "undecided"] += 1
            else:
                found["valid" if answerable and score == score_of(key) else "fabricated"] += 1
    return found


def least_requests(pairs: int, faults: Mapping[str, float], seed: int = 0) -> int:
    """The calls that a patient client needs: each question once, and once more for each failure that passes."""
    keys = [(pair, question) for pair in range(pairs) for question in QUESTIONS]
    return sum(1 + TRANSIENT.get(fault_of(key, faults, seed), 0) for key in keys)
