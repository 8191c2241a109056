"""What pydantic finds wrong in a card, a rubric, a study or a calibration, in the words of this package.

The one place where its errors become ``Problem``s: expected, found, what to do. No sentence of pydantic's is passed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from isr.errors import Problem
from isr.judging.card_secrets import shown, shown_setting
from isr.text import did_you_mean

EXTRA, MISSING = "extra_forbidden", "missing"
NO_FIELD = "no such field"
_LIST, _TABLE, _WHOLE, _NUMBER = "a list", "a table", "a whole number", "a number"
_TEXT, _BOOL = "a text", "true or false"

EXPECTED: Mapping[str, str] = {
    MISSING: "a value",
    EXTRA: "no field of that name",
    "string_type": _TEXT,
    "string_unicode": "a text of whole characters",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "string_pattern_mismatch": "a text of one line, without control characters",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "a finite number",
    "bool_type": _BOOL,
    "bool_parsing": _BOOL,
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _TABLE,
    "mapping_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "literal_error": "{expected}",
    "enum": "{expected}",
    "is_instance_of": "one of the names of a {class}",
    "invalid_key": "a name that is a text",
    "value_error": "{error}",  # of our own validators, which say what they expect
    "json_invalid": "values that JSON has",
}
"""What was expected, by pydantic's type of error; ``{names}`` are of its context."""


def expected_by(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors expected, in words of ours."""
    words = EXPECTED.get(error["type"], "another value")
    return words.format(**error.get("ctx", {}))


def field_errors(
    error: ValidationError,
    raw: Any,
    model: type[BaseModel],
    where: str,
    fix: str = "correct it",
    *,
    own: Sequence[str] = (),
) -> list[Problem]:
    """A problem for each place in ``raw`` that is wrong: where a value may be of several kinds, one that names them all.

    raw: what was validated as ``model``. where: the file, as messages name it. fix: what to do where nothing better is known.
    own: fields of ours beside those of the file.
    """
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for e in error.errors(include_url=False):
        found.setdefault(tuple(_place(raw, e)), []).append(dict(e))
    inner = {place[:n] for place in found for n in range(len(place))} - {()}
    return [
        _problem(
            place,
            several,
            [n for n in _names_at(model, place[:-1]) if len(place) > 1 or n not in own],
            where,
            fix,
        )
        for place, several in found.items()
        if place not in inner
    ]


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every field with the tables that it stands in: ``limits.concurrency``."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        inner = _model_in(field.annotation)
        yield path
        if inner is not None:
            yield from fields_of(inner, f"{path}.")


def _place(raw: Any, error: Mapping[str, Any]) -> Iterator[Any]:
    """The keys of an error that are keys of the data: pydantic also names which of several kinds it tried."""
    value, parts = raw, error["loc"]
    for number, part in enumerate(parts, start=1):
        try:
            if isinstance(value, str):
                continue
            value = value[part]
        except (KeyError, IndexError, TypeError):
            if number < len(parts) or error["type"] != MISSING:
                continue
        yield part


def _problem(
    place: Sequence[Any], errors: Sequence[Mapping[str, Any]], known: Sequence[str], where: str, fix: str
) -> Problem:
    name, first = ".".join(map(str, place)), errors[0]
    if first["type"] == EXTRA:
        hint = did_you_mean(str(place[-1]), known, "remove it")
        return Problem(where, name, f"a field out of {', '.join(known)}", NO_FIELD, hint)
    if first["type"] == MISSING:
        return Problem(where, name, EXPECTED[MISSING], "none", "add it")
    *most, last = dict.fromkeys(map(expected_by, errors))
    expected = f"{', '.join(most)} or {last}" if most else last
    return Problem(where, name, expected, _found(place, first["input"]), fix)


def _found(place: Sequence[Any], value: Any) -> str:
    """What a message may show of a value: of a list or a table no values, nor any of ``set``."""
    if isinstance(value, Mapping):
        return f"a table with {shown(list(value))}" if value else "an empty table"
    some = value if isinstance(value, list | tuple) else None
    if "set" in place:
        return f"{', '.join(shown_setting(str(v)) for v in (some or [value]))[:80]}"
    if some is not None:
        return f"a list of {len(some)}"
    return shown(value, str(place[-1]) if place else "")


def _names_at(model: type[BaseModel], place: Sequence[Any]) -> list[str]:
    """The fields of the table at a place, as a file spells them."""
    at: type[BaseModel] | None = model
    for part in place:
        if at is not None and isinstance(part, str):
            known = {f.alias or n: f for n, f in at.model_fields.items()}
            at = _model_in(known[part].annotation) if part in known else at
    return [f.alias or n for n, f in (at or model).model_fields.items()]


def _model_in(kind: Any) -> type[BaseModel] | None:
    """The model that an annotation holds, by itself or in a list, a table or a choice."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((m for part in get_args(kind) if (m := _model_in(part)) is not None), None)
