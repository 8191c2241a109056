"""What a run was asked: all that makes another result. Equal questions have equal digests, so one folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from isr.canonical import sha256_bytes, sha256_json, short
from isr.signature import Signature

if TYPE_CHECKING:
    from isr.scoring.result import Result
    from isr.scoring.tally import Tally


@dataclass(frozen=True, kw_only=True)
class Question:
    """Edits, judges, rubrics and groups by their content, and every setting of the signature but the version."""

    edits: str
    signature: Signature
    judges: Mapping[str, str]
    rubrics: Mapping[str, str]
    by: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    @cached_property
    def digest(self) -> str:
        """``sha256:<hex>`` of all of it."""
        return sha256_json(
            {
                "edits": self.edits,
                "signature": sorted(self.signature.parts),
                "judges": dict(self.judges),
                "rubrics": dict(self.rubrics),
                "by": list(self.by),
                "skipped": [list(s) for s in self.skipped],
            }
        )

    def differences(self, other: Question) -> Iterator[str]:
        """In what another question differs, as ``name: this and other``."""
        if self.edits != other.edits:
            yield f"edits: {short(self.edits)} and {short(other.edits)}"
        told = [str(d) for d in self.signature.difference(other.signature)]
        yield from told
        if not told and self.judges != other.judges:
            yield f"judges: {_named(self.judges)} and {_named(other.judges)}"
        if not told and self.rubrics != other.rubrics:
            yield f"rubrics: {_named(self.rubrics)} and {_named(other.rubrics)}"
        if self.by != other.by:
            yield f"by: {','.join(self.by) or '-'} and {','.join(other.by) or '-'}"
        if self.skipped != other.skipped:
            yield f"skipped rows: {len(self.skipped)} and {len(other.skipped)}"


def asked(tally: Tally) -> Question:
    """The question of a run that is about to be made."""
    plan = tally.plan
    return Question(
        edits=tally.directory.digest,
        signature=tally.signature().without("isr"),
        judges={c.name: c.digest for c in plan.panel.members},
        rubrics={q.value: r.digest for q, r in plan.rubrics.items()},
        by=tally.by,
        skipped=tuple((str(a), str(b)) for a, b in tally.directory.skipped_names),
    )


def answered(result: Result) -> Question:
    """The question that a result answers; of any version, since it is read from the result alone."""
    groups: list[Any] = [g.by for t in result.treatments for g in t.groups][:1]
    return Question(
        edits=str(result.data["digest"]),
        signature=Signature.parse(result.signature).without("isr"),
        judges={str(j["name"]): str(j["digest"]) for j in result.judges},
        rubrics={str(r["question"]): str(r["digest"]) for r in result.rubrics},
        by=tuple(groups[0]) if groups else (),
        skipped=tuple((str(s["edit_id"]), str(s["field"])) for s in result.data["skipped"]),
    )


def _named(digests: Mapping[str, str]) -> str:
    return ", ".join(f"{name}:{short(digest)}" for name, digest in digests.items())


def run_digest(result: Result, table: bytes) -> str:
    """Of question and table: the same run under another path, or scored by another version, is the same run."""
    return sha256_json([answered(result).digest, sha256_bytes(table)])
