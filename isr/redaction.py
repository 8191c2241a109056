"""Takes keys out of texts: messages show what a user typed, and a server may repeat the key that it was sent.

Every message of an error of this package goes through ``without_keys``, and so does every line that is logged.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from urllib.parse import quote

REMOVED = "[key removed]"
SECRET_FROM = 8  # characters; a shorter key ("ollama", "EMPTY") is no secret, but a part of common words
_BEARER = re.compile(rf"\bBearer\s+(?:{re.escape(REMOVED)}|[\w.~+/-]{{8,}}=*)", re.IGNORECASE)
# Keys by the beginnings that their hosts give them; long enough that no word and no name of a file is one
_KEY = re.compile(
    r"\b(?:sk-[\w-]{16,}|AIza[\w-]{20,}|hf_[A-Za-z0-9]{20,}|xai-[\w-]{16,}|gsk_\w{16,}|eyJ[\w-]{16,}[\w.-]*)"
)
_used: set[re.Pattern[str]] = set()  # the keys that this process has sent, in all their forms


def redactor(key: str = "") -> Callable[[str], str]:
    """A function that returns a text with ``REMOVED`` where the key stood, and whatever stood behind ``Bearer``.

    The key is found in any case, and also quoted as in a URL or escaped as in JSON. From now on ``without_keys`` finds
    it as well.
    """
    forms = {key, quote(key, safe=""), json.dumps(key)[1:-1]} if len(key) >= SECRET_FROM else set()
    longest_first = sorted(forms, key=len, reverse=True)
    live = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if forms else None
    if live is not None:
        _used.add(live)

    def clean(text: str) -> str:
        return _BEARER.sub(REMOVED, live.sub(REMOVED, text) if live else text)

    return clean


def without_keys(text: str) -> str:
    """The text with ``REMOVED`` where a key stood that this process has used, or what looks like one of a known host."""
    text = _KEY.sub(REMOVED, _BEARER.sub(REMOVED, text))
    for live in tuple(_used):
        text = live.sub(REMOVED, text)
    return text


class KeyFilter(logging.Filter):
    """Takes keys out of what is logged: libraries log headers and replies."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            said = record.getMessage()
        except (TypeError, ValueError):  # a message and arguments that do not fit: logging itself says so
            return True
        clean = without_keys(said)
        if clean != said:
            record.msg, record.args = clean, ()
        return True


def guard_logs(*libraries: str) -> None:
    """Takes keys out of what the loggers of these libraries log from now on, whoever shows it."""
    names = [
        *libraries,
        *(n for n in logging.root.manager.loggerDict if n.startswith(tuple(f"{x}." for x in libraries))),
    ]
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(f, KeyFilter) for f in logger.filters):
            logger.addFilter(KeyFilter())
