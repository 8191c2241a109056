"""Canonical JSON and digests: the same value has the same bytes on every machine."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces; NaN and infinities are refused (``ValueError``)."""
    return _CANONICAL.encode(value).encode("utf-8", "surrogatepass")


def sha256_bytes(data: bytes) -> str:
    """``sha256:<hex>`` of raw bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha256_json(value: Any) -> str:
    """``sha256:<hex>`` of the canonical JSON of ``value``."""
    return sha256_bytes(canonical_json(value))


def is_sha256(value: object) -> bool:
    """Whether a value is a whole SHA-256 as it is written here: ``sha256:`` and 64 hex digits."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def short(digest: str, length: int = 12) -> str:
    """``sha256:`` and the first hex digits: enough to compare by eye, as printed in signatures."""
    scheme, _, value = digest.partition(":")
    return f"{scheme}:{value[:length]}"
