"""Takes keys out of texts: what a server sends back may repeat the key that it was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import quote

REMOVED = "[key removed]"
SECRET_FROM = 8  # characters; a shorter key ("ollama", "EMPTY") is no secret, but a part of common words
_BEARER = re.compile(rf"\bBearer\s+(?:{re.escape(REMOVED)}|[\w.~+/-]{{8,}}=*)", re.IGNORECASE)


def redactor(key: str = "") -> Callable[[str], str]:
    """A function that returns a text with ``REMOVED`` where the key stood, and whatever stood behind ``Bearer``.

    The key is found in any case, and also quoted as in a URL or escaped as in JSON.
    """
    forms = {key, quote(key, safe=""), json.dumps(key)[1:-1]} if len(key) >= SECRET_FROM else set()
    longest_first = sorted(forms, key=len, reverse=True)
    live = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if forms else None

    def clean(text: str) -> str:
        return _BEARER.sub(REMOVED, live.sub(REMOVED, text) if live else text)

    return clean
