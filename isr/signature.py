"""What a number rests on, as one line of named parts: ``isr=0.1.0|semantic=v1:sha256:...|judge=...|level=0.95``.

The idea is sacrebleu's (Post 2018): a number and its signature travel together, so that two numbers can be held
against each other. Here it is a value that is built, read, compared and printed in one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Difference(NamedTuple):
    """One part in which two signatures differ; ``""`` where one has no such part."""

    name: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.name}: {self.first or '-'} and {self.second or '-'}"


@dataclass(frozen=True, slots=True)
class Signature:
    """Named parts in their order. A name may occur again (the judges of a comparison of judges).

    Its text joins ``name=value`` with ``|``; a ``|`` or a line break inside a part is written as ``%7C``, ``%0A``, ``%0D``,
    so that ``parse(str(s)) == s`` for every signature.
    """

    parts: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "parts", tuple((_plain(n).replace("=", "%3D"), _plain(v)) for n, v in self.parts)
        )

    @classmethod
    def of(cls, *parts: tuple[str, object] | None) -> Signature:
        """From pairs of name and value in order; ``None`` is no part."""
        return cls(tuple((p[0], str(p[1])) for p in parts if p is not None))

    @classmethod
    def parse(cls, text: str) -> Signature:
        """The signature that a text was made from; a part without ``=`` has an empty value."""
        pairs = (part.partition("=") for part in text.split("|") if part)
        return cls(tuple((name, value) for name, _, value in pairs))

    def __str__(self) -> str:
        return "|".join(f"{name}={value}" for name, value in self.parts)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.parts))

    def __contains__(self, name: object) -> bool:
        return any(name == known for known, _ in self.parts)

    def __getitem__(self, name: str) -> str:
        """The first value of a part. Raises ``KeyError`` if there is none."""
        return dict(reversed(self.parts))[name]

    def get(self, name: str, default: str = "") -> str:
        """The first value of a part, or the default."""
        return dict(reversed(self.parts)).get(name, default)

    def only(self, names: Iterable[str]) -> Signature:
        """The parts of these names, in the order of this signature."""
        wanted = frozenset(names)
        return Signature(tuple(p for p in self.parts if p[0] in wanted))

    def without(self, *names: str) -> Signature:
        """All parts but those of these names."""
        return Signature(tuple(p for p in self.parts if p[0] not in names))

    def plus(self, *parts: tuple[str, object] | None) -> Signature:
        """With further parts at the end; ``None`` is no part."""
        return Signature((*self.parts, *Signature.of(*parts).parts))

    def difference(self, other: Signature) -> tuple[Difference, ...]:
        """The parts in which two signatures differ, in the order of this one, then of the other's further parts.

        Parts of one name are compared together and in order; the order of names does not matter.
        """
        names = dict.fromkeys([*self, *other])
        values = ((name, self.values(name), other.values(name)) for name in names)
        return tuple(Difference(n, ", ".join(a), ", ".join(b)) for n, a, b in values if a != b)

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of the parts of one name, in order."""
        return tuple(value for known, value in self.parts if known == name)


def _plain(text: str) -> str:
    return text.replace("|", "%7C").replace("\n", "%0A").replace("\r", "%0D")
