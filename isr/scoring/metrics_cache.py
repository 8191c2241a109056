"""``metrics.jsonl``: what was measured, line by line as it is, so that an interrupted run goes on.

A value is known by the digests of what it was measured on and by its measure's mark, which names versions and weights.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isr.files import naming
from isr.reading import Unreadable, byte_lines, json_lines
from isr.scoring.measures import Blank, Given, Measure

log = logging.getLogger("isr")
Key = tuple[str, ...]


class Cache:
    """Values of measures by what they were measured on."""

    def __init__(self, path: Path, measures: Sequence[Measure]) -> None:
        self._known: dict[Key, dict[str, float]] = {}
        self._path = path
        self._read({m.name: m.mark for m in measures})
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self, marks: dict[str, str]) -> None:
        others: dict[str, str] = {}
        seen: set[str] = set()
        for _, _, said in json_lines(byte_lines(self._path)) if self._path.is_file() else ():
            try:  # a line that was being written when the run was killed has no value
                if isinstance(said, Unreadable):
                    continue
                by = said["by"].split("|")  # earlier versions wrote one line for all metrics
                key = (said["a"], *([said["b"]] if "b" in said else []), *said.get("more", ()))
                for name, value in said["values"].items():
                    if marks.get(name) in by:
                        self._known.setdefault(key, {})[name] = float(value)
                        seen.add(name)
                    elif name in marks:
                        others[name] = said["by"]
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        again: dict[tuple[str, str], list[str]] = {}
        for name, by in others.items():
            if name not in seen:
                again.setdefault((by, marks[name]), []).append(name)
        for (by, now), names in again.items():
            said = "%s: %s: measured before by %s, and measured again by %s"
            log.warning(said, self._path, ", ".join(names), by, now)

    def knows(self, measure: Measure, given: Given) -> bool:
        return measure.name in self._known.get(given.key, {})

    def measure(self, given: Given, measures: Sequence[Measure]) -> tuple[dict[str, float], set[str]]:
        """The numbers of these measures, and the reasons why any is missing."""
        import torch

        key = given.key
        known = self._known.setdefault(key, {})
        fresh: dict[str, dict[str, float]] = {}
        reasons: set[str] = set()
        with torch.inference_mode():
            for measure in measures:
                if measure.name in known:
                    continue
                value, why = self._value(measure, given)
                if why:
                    reasons.add(why)
                else:
                    fresh.setdefault(measure.mark, {})[measure.name] = value
        for mark, values in fresh.items():
            known |= values
            self._write(mark, key, values)
        return {m.name: known[m.name] for m in measures if m.name in known}, reasons

    def _value(self, measure: Measure, given: Given) -> tuple[float, str]:
        try:
            value = float(measure.value(given))
        except Blank as error:
            return math.nan, str(error)
        except (ValueError, RuntimeError) as error:  # images too small for a metric or its layers
            return math.nan, f"{measure.name}: {error}"
        if math.isnan(value):
            return value, f"{measure.name}: no number came out"
        return value, "" if math.isfinite(value) else f"{measure.name}: infinite, as the images are equal"

    def _write(self, mark: str, key: Key, values: dict[str, float]) -> None:
        a, b, *more = key
        line: dict[str, Any] = {"by": mark, "a": a, "b": b}
        line |= {**({"more": more} if more else {}), "values": values}
        with naming(self._path):
            self._file.write("\n" + json.dumps(line) if self._file.tell() else json.dumps(line))
            self._file.flush()
