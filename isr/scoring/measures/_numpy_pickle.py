"""Arrays in a pickle, without running anything in it: the file chooses numbers, names and shapes, and nothing else.

Opcodes and globals are those of a dictionary of numpy arrays. The globals are stand-ins of ours, so not even numpy's
own functions are called by the file.
"""

from __future__ import annotations

import io
import pickle  # its reader of opcodes alone, with a table of our own
import pickletools
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from isr.reading import Unreadable
from isr.types import Floats

_OPCODES = (
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "BINBYTES",
    "BINBYTES8", "SHORT_BINBYTES", "BINUNICODE", "SHORT_BINUNICODE", "EMPTY_DICT", "EMPTY_TUPLE", "TUPLE", "TUPLE1",
    "TUPLE2", "TUPLE3", "SETITEM", "SETITEMS", "REDUCE", "BUILD", "GLOBAL", "STACK_GLOBAL", "BINPUT", "LONG_BINPUT",
    "BINGET", "LONG_BINGET", "MEMOIZE",
)  # fmt: skip
_KNOWN = {getattr(pickle, name)[0]: name for name in _OPCODES}
_TYPES = {"f2": "<f2", "f4": "<f4", "f8": "<f8"}


class _Refused(Exception):
    """What stands in the file and is no array; said as found."""


class _Class:
    """What stands for ``numpy.ndarray``: named by the file, never made."""

    def __init__(self, *_: object) -> None:
        raise _Refused("an array that is made by its class")


class _Type:
    """What stands for ``numpy.dtype``."""

    def __init__(self, code: object, *_: object) -> None:
        if code not in _TYPES:
            raise _Refused(f"an array of {str(code)[:20]!r}")
        self.code = _TYPES[str(code)]

    def __setstate__(self, state: Any) -> None:
        if state[1] != "<":
            raise _Refused(f"numbers in the byte order {str(state[1])[:5]!r}")


class _Array:
    """What stands for numpy's function that makes an empty array, and for the array."""

    value: Floats

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, columns_first, data = state
        found = np.frombuffer(data, kind.code).reshape(shape, order="F" if columns_first else "C")
        self.value = found


_GLOBALS: Mapping[tuple[str, str], type] = {
    ("numpy", "ndarray"): _Class,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
}


class _Reader(pickle._Unpickler):
    """Python's own reader, with the opcodes and the globals of arrays."""

    dispatch = {code: pickle._Unpickler.dispatch[code] for code in _KNOWN}  # noqa: RUF012 (as the base has it)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _GLOBALS:
            raise _Refused(f"{module}.{name}"[:80])
        return _GLOBALS[module, name]

    def persistent_load(self, pid: object) -> Any:
        raise _Refused("a persistent name")


def arrays_of(data: bytes, where: object) -> dict[str, Floats]:
    """The arrays of nested dictionaries, by their names joined with ``/``. Raises ``Unreadable`` for anything else."""
    expected = "a pickle of numpy arrays in dictionaries, which may name numpy's arrays and nothing else"
    try:
        return dict(_flat(_Reader(io.BytesIO(data)).load(), "", set()))
    except _Refused as error:
        found, fix = (
            str(error),
            "do not use the file, unless you know why it holds that; nothing in it was run",
        )
    except KeyError as error:
        found = f"the opcode {_name_of(error.args[0])}"
        fix = "give a file of arrays alone; nothing in it was run"
    except (
        EOFError, pickle.UnpicklingError, ValueError, TypeError, IndexError, AttributeError, struct.error,
    ) as error:  # fmt: skip
        said = " ".join(str(error).split())[:100] or type(error).__name__
        found, fix = f"{len(data):,} bytes that end early or are none ({said})", "get the file again"
    except (MemoryError, OverflowError, RecursionError) as error:
        found, fix = type(error).__name__, "get the file again"
    raise Unreadable(where, expected, found, fix)


def _name_of(code: object) -> str:
    names = (o.name for o in pickletools.opcodes if isinstance(code, int) and ord(o.code) == code)
    return next(names, repr(code))


def _flat(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Floats]]:
    """The arrays by name. A dictionary that stands in two places is refused: so few bytes cannot mean very many names."""
    if isinstance(value, _Array):
        yield name, value.value
    elif isinstance(value, dict):
        if id(value) in seen:
            raise _Refused("a dictionary in two places")
        seen.add(id(value))
        for key, inner in value.items():
            if not isinstance(key, str):
                raise _Refused(f"a name of the type {type(key).__name__}")
            yield from _flat(inner, f"{name}/{key}" if name else key, seen)
    else:
        raise _Refused(f"a value of the type {type(value).__name__}")
