"""Where a purifier's own model works: on the editor's device, in the editor's type."""

from __future__ import annotations

from typing import Any


def place_of(editor: Any) -> tuple[str, str]:
    """Device and type (``fp32``, ``fp16``, ``bf16``) of an editor; without one, what nobody chose."""
    if editor is None:
        return "cpu", "fp32"
    return str(editor.device), str(editor.identity.get("dtype", "fp32"))
