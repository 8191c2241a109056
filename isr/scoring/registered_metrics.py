"""Metrics of other packages: functions of two images that they register in the entry point group ``isr.metrics``.

The entry point's name is the metric's. It names a function of two tensors (1, 3, H, W) in [0, 1], the edit and its
control edit (or the protected image and its source), which returns one number. The function has an attribute
``orientation``: ``+1`` if a larger number means more changed, as LPIPS, ``-1`` if a smaller one does, as PSNR.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from isr.errors import UsageError
from isr.foreign import ForeignCodeError, loaded

ENTRY_POINTS = "isr.metrics"
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Registered:
    """A metric of another package, and by which release of it a value was measured."""

    function: Callable[[Any, Any], Any]
    orientation: int
    release: str

    def __call__(self, x: Any, y: Any) -> Any:
        return self.function(x, y)


def registered_metrics(taken: Collection[str] = ()) -> dict[str, Registered]:
    """The metrics of installed packages by name. taken: the names of the package's own metrics.

    Raises ``UsageError`` for a name that is taken or given twice, and for what is no metric.
    """
    found: dict[str, Registered] = {}
    owners: dict[str, str] = dict.fromkeys(taken, "isr itself")
    for point in sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda p: (p.name, p.value)):
        owner = f"{point.value} of the package {point.dist.name if point.dist else '?'}"
        if owners.setdefault(point.name, owner) != owner:
            raise UsageError(
                f"metric {point.name!r}: expected one metric of that name; found {owners[point.name]} and {owner}; "
                f"uninstall one, or rename it in its package"
            )
        found[point.name] = _loaded(point, owner)
    return found


def _loaded(point: metadata.EntryPoint, owner: str) -> Registered:
    def wrong(expected: str, said: object) -> UsageError:
        return UsageError(
            f"metric {point.name!r}: expected {expected}; found {said} ({owner}); correct the package"
        )

    if not NAME.match(point.name):
        raise wrong("a name of lower-case letters, digits and underscores", repr(point.name))
    try:
        function = loaded(point.load)
    except ForeignCodeError as error:
        raise wrong("a function that can be imported", error) from error
    orientation = getattr(function, "orientation", None)
    if not callable(function) or type(orientation) is not int or orientation not in (-1, 1):
        raise wrong("a function with the attribute orientation = 1 or -1", repr(orientation))
    release = f"{point.dist.name}={point.dist.version}" if point.dist else point.value
    return Registered(function, orientation, release)
