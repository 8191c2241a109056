"""Errors of the package on their way from an actor to the driver: plain data, since not every exception can be pickled."""

from __future__ import annotations

from typing import Any

from isr import errors
from isr.errors import InputError, IsrError, TransportError

Wire = dict[str, Any]
_FIELDS = ("reason", "retryable", "retry_after_s", "overloaded", "worded", "terminal")


def to_wire(error: IsrError) -> Wire:
    """An error as data: its class by name, its words, and the fields by which it is treated."""
    said: Wire = {"kinds": [k.__name__ for k in type(error).__mro__], "message": str(error)}
    if isinstance(error, TransportError):
        said["transport"] = {name: getattr(error, name) for name in _FIELDS}
    if isinstance(error, InputError):
        said["input"] = (error.summary, error.problems)
    return said


def from_wire(said: Wire) -> IsrError:
    """The error that was sent; of a class that is not known here, the nearest one that is."""
    if "transport" in said:
        fields = dict(said["transport"])
        return TransportError(fields.pop("reason"), said["message"], **fields)
    kind = next(k for name in said["kinds"] if (k := getattr(errors, name, None)) is not None)
    if "input" in said:
        return kind(*said["input"])  # type: ignore[no-any-return]
    return kind(said["message"])  # type: ignore[no-any-return]
