"""What a host says in a reply that is no completion, whatever shape it gives to it: words for people, codes for the table.

Hosts put their errors under ``error`` (a text, an object, a list), ``detail`` (FastAPI), ``message``, ``metadata.raw`` (a
gateway that repeats the host behind it, as text), into plain text, or into a page of HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isr.reading import Unreadable, json_of

MOST = 300  # characters of a host's words that are shown
_DEEP = 8  # levels into a reply
_LINES, _READ = 30, 4_000  # different texts of a reply, and characters of them together, that are read
_NODES = 2_000  # values of a reply that are looked at
_WORDS = {
    "error", "message", "msg", "detail", "raw", "description", "error_description", "title", "blockReason", "quotaId",
}  # fmt: skip
_CODES = (
    "code",
    "type",
    "status",
    "reason",
    "reasons",
    "quotaId",
    "quotaMetric",
    "blockReason",
    "error_code",
)
_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{1,1000})", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """What a reply says: ``words`` on one line, ``codes`` in lower case, ``status``: one inside the body; ``keys`` of it.

    ``shown`` are the words as a message has them, cut to ``MOST`` characters.
    """

    words: str = ""
    codes: frozenset[str] = frozenset()
    status: int | None = None
    keys: frozenset[str] = frozenset()
    delay_s: float | None = None  # Google's RetryInfo

    @property
    def shown(self) -> str:
        return self.words if len(self.words) <= MOST else self.words[: MOST - 3] + "..."


def said(body: object) -> Said:
    """What a host says in a reply's JSON value, or in its text where it is no JSON."""
    words: dict[str, None] = {}
    codes: dict[str, None] = {}
    keys: set[str] = set()
    delays: list[float] = []
    for at, value in _leaves(body):
        name = at[-1] if at else ""
        keys.update(at)
        if isinstance(value, str):
            if name == "retryDelay":
                delays += _seconds(value)
            if (not at or name in _WORDS) and len(words) < _LINES and (line := _line(value)):
                words[line] = None
        if name in _CODES and value is not None and not isinstance(value, bool):
            codes[str(value).lower()[:200]] = None
    status = next((int(c) for c in codes if re.fullmatch(r"[45]\d\d", c)), None)
    return Said(
        words=_joined(words),
        codes=frozenset(codes),
        status=status,
        keys=frozenset(keys),
        delay_s=max(delays, default=None),
    )


def _joined(words: Mapping[str, None]) -> str:
    """The words in their order, those that another repeats left out."""
    return "; ".join(w for w in words if not any(w != o and w in o for o in words))[:_READ]


def _leaves(body: object) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(names on the way, value) of every single value; a text that is JSON under ``raw`` is gone into."""
    queue: list[tuple[tuple[str, ...], Any]] = [((), body)]
    seen = 0
    while queue and seen < _NODES:
        at, value = queue.pop(0)
        seen += 1
        if isinstance(value, dict) and len(at) < _DEEP:
            if isinstance(value.get("msg"), str) and isinstance(
                value.get("loc"), list
            ):  # FastAPI names the field
                value = {**value, "msg": f"{'.'.join(map(str, value['loc']))}: {value['msg']}"}
            queue += [((*at, str(k)), v) for k, v in value.items()]
        elif isinstance(value, list):
            queue += [(at, v) for v in value[:100]]
        elif at and at[-1] in ("raw", "message", "error") and (inner := _json_inside(value)) is not None:
            queue.append((at, inner))
        else:
            yield at, value


def _json_inside(value: object) -> Any:
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return None
    try:
        found = json_of(value)
    except Unreadable:
        return None
    return found if isinstance(found, dict | list) else None


def _line(text: str) -> str:
    """A text on one line; of a page of HTML its title and the first of its words."""
    if re.search(r"<(!doctype html|html|head|body)\b", text[:2000], re.IGNORECASE):
        title = _TITLE.search(text[:20_000])
        text = f"a page of HTML: {title[1] if title else ''} {html.unescape(_seen(text[:20_000]))[:400]}"
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_READ]).split())


def _seen(page: str) -> str:
    """What a page of HTML shows, in one pass: neither tags nor what stands in scripts, styles and the head."""
    out, at, hidden = [], 0, ""
    while at < len(page):
        start = page.find("<", at)
        if start < 0:
            start = len(page)
        if not hidden:
            out.append(page[at:start])
        end = page.find(">", start)
        if end < 0:
            break
        name = page[start + 1 : end].split(maxsplit=1)[:1]
        tag = name[0].lower() if name else ""
        if not hidden and tag in ("script", "style", "head"):
            hidden = tag
        elif hidden and tag == f"/{hidden}":
            hidden = ""
        at = end + 1
    return " ".join(out)


def _seconds(text: str) -> list[float]:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", text.strip())
    return [float(match[1])] if match else []
