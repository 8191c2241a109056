"""A budget's radius in a file that a person writes: a number in [0, 1] pixel units, or a fraction such as ``"8/255"``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from sifm_ref.budget import number_of


def _number(value: Any) -> Any:
    """A text as its number; anything else as it is."""
    try:
        return number_of(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("a number in [0, 1] pixel units, such as 0.03 or '8/255'") from None


Radius = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
