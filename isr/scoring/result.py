"""The result of a run: the science in ``result.json``, made, written and read back.

``result.json`` has identical bytes whenever the answers are the same: no time and no path of a run is in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from isr.canonical import short
from isr.errors import InputError, Problem, TransportReason
from isr.files import file_digest
from isr.reading import Unreadable, json_of, read_bytes
from isr.scoring.bundled import in_its_name
from isr.scoring.estimates import as_dicts
from isr.scoring.places import RESULT, TABLE, find_run
from isr.scoring.records import (
    AnsweredRemark,
    Counts,
    DataRecord,
    JudgeRecord,
    PictureRemark,
    Reliability,
    RubricRecord,
    UntilRecord,
)
from isr.scoring.shown import shown
from isr.signature import Signature
from isr.text import plain, summary
from isr.types import Estimate, StoreReason, Treatment, reason_of

if TYPE_CHECKING:
    import pandas

    from isr.scoring.frames import Table

SCHEMA = "isr.result/1"
TREATMENTS_SHOWN = 5  # in a repr, which has ten lines

NO_TREATMENT = Treatment("", "", "", "")


@dataclass(frozen=True, slots=True)
class Part:
    """Counts and estimates of one set of edits; ``by`` names the group, empty for the whole."""

    counts: Counts
    estimates: Mapping[str, Estimate]
    by: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[Part, ...] = ()

    def signed(self, signature: Signature) -> Self:
        """The same with the signature on every estimate, its groups' too."""
        estimates = {name: replace(e, signature=signature) for name, e in self.estimates.items()}
        return replace(self, estimates=estimates, groups=tuple(g.signed(signature) for g in self.groups))

    def __repr__(self) -> str:
        name = plain(", ".join(f"{k} {v or '(empty)'}" for k, v in self.by.items()))
        return f"<{type(self).__name__} {name}{': ' if name else ''}{self._told()}>"

    def _told(self) -> str:
        """The main estimate in one line, with the edits that are undecided."""
        name = next((n for n in ("isr", "control") if n in self.estimates), "")
        if not name:
            return f"{self.counts['edits']} edits"
        e = self.estimates[name]
        one = shown(name, e, self.headline, of=self.counts["edits"])
        rate = f"{one.value} ({one.spanned(one.one, '-') or 'no interval'})" if one.kind != "nothing" else "-"
        said = f"{rate}, n {e.n}, {e.clusters} images"
        if undecided := self.counts["edits"] - self.counts["decided"]:
            bounds = (
                ""
                if e.bounds is None or one.is_range
                else f", between {e.bounds[0]:.1%} and {e.bounds[1]:.1%}"
            )
            said += f"; {undecided} of {self.counts['edits']} edits undecided{bounds}"
        return f"ISR {said}" if name == "isr" else said

    @property
    def headline(self) -> str:
        """``value``, or ``bounds`` where too many edits are undecided for a value to speak for all."""
        return self.counts["headline"]

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"by": dict(self.by)} if self.by else {}
        out |= {"counts": dict(self.counts), "estimates": as_dicts(self.estimates)}
        if not self.by:
            out["groups"] = [g.as_dict() for g in self.groups]
        return out


@dataclass(frozen=True, slots=True)
class TreatmentPart(Part):
    """The part of one treatment."""

    treatment: Treatment = NO_TREATMENT

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._told()}>"

    def _told(self) -> str:
        named = ((k, v) for k, v in self.treatment._asdict().items() if v)
        name = plain(", ".join(v if k == "method" else f"{k} {v}" for k, v in named))
        return f"{name or 'no method named'}: {Part._told(self)}"

    def as_dict(self) -> dict[str, Any]:
        named: dict[str, Any] = dict(self.treatment._asdict())
        named["eps"] = _number_or_text(self.treatment.eps)
        return named | Part.as_dict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run found out. Every estimate in it rests on ``signature``, and carries it."""

    signature: str
    data: DataRecord
    judges: tuple[JudgeRecord, ...]
    rubrics: tuple[RubricRecord, ...]
    rule: str
    treatments: tuple[TreatmentPart, ...]
    control: Part | None
    reliability: tuple[Reliability, ...] = ()
    notes: tuple[str, ...] = ()
    table: Mapping[str, str] = field(default_factory=dict)  # edits.csv -> its digest; 0.1.0 kept none
    remarks: tuple[str, ...] = ()  # what was seen in the pictures and their metadata
    pictures: tuple[PictureRemark, ...] = ()  # what they say against their roles and ids
    answered: tuple[AnsweredRemark, ...] = ()  # what the answers say about who gave them
    until: UntilRecord | None = None  # what became of the rule to stop, where there was one
    folder: Path | None = field(
        default=None, compare=False
    )  # where it lies with its table; no part of what it says

    def __post_init__(self) -> None:
        by = Signature.parse(self.signature)
        object.__setattr__(self, "treatments", tuple(t.signed(by) for t in self.treatments))
        object.__setattr__(self, "control", self.control and self.control.signed(by))
        said = [{k: _signed(v, by) for k, v in r.items()} for r in self.reliability]
        object.__setattr__(self, "reliability", tuple(said))

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "signature": self.signature,
            "data": dict(self.data),
            "judges": [dict(j) for j in self.judges],
            "rubrics": [dict(r) for r in self.rubrics],
            "rule": self.rule,
            "treatments": [t.as_dict() for t in self.treatments],
            "control": self.control.as_dict() if self.control else None,
            "reliability": [
                {k: v.as_dict() if isinstance(v, Estimate) else v for k, v in r.items()}
                for r in self.reliability
            ],
            "notes": list(self.notes),
            **({"until": dict(self.until)} if self.until else {}),
            **({"table": dict(self.table)} if self.table else {}),
            **({"remarks": list(self.remarks)} if self.remarks else {}),
            **({"pictures": [dict(p) for p in self.pictures]} if self.pictures else {}),
            **({"answered": [dict(a) for a in self.answered]} if self.answered else {}),
        }

    def to_json(self) -> str:
        """The bytes of ``result.json``."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def __repr__(self) -> str:
        data = self.data
        judges = ", ".join(f"{j['name']} ({j['model'] or j['digest'][:19]})" for j in self.judges)
        lines = [
            f"{data['edits']} edits of {data['images']} images, {data['controls']} control edits; judge: {judges}"
        ]
        shown = self.treatments[:TREATMENTS_SHOWN]
        lines += [f"  {t._told()}" for t in shown]
        if more := len(self.treatments) - len(shown):
            lines.append(f"  and {more} more treatments: to_frame() has all")
        lines.append(f"  control edits: {self.control._told()}" if self.control else "  no control edits")
        if warned := len(self.told):
            lines.append(f"  {warned} warning(s) about its pictures or who answered: told")
        return summary("Result", [*lines, f"  {self.signature}"])

    def to_frame(self, table: Table = "estimates") -> pandas.DataFrame:
        """The result as a pandas table.

        ``estimates``: every estimate with treatment, group, interval, n, bounds, signature. ``edits``: one row for each edit
        and arm, as in ``edits.csv``. ``verdicts``: one for each judge, question and repeat. ``answers``: these with the
        judge's reply, word for word, from the answer store. Raises ``MissingExtraError`` where pandas is not installed, and
        ``InputError`` where the run's folder is gone or holds another result.
        """
        from isr.scoring.frames import to_frame

        return to_frame(self, table)

    def to_dicts(self, table: Table = "estimates") -> list[dict[str, Any]]:
        """The rows of ``to_frame`` as plain dictionaries; needs no pandas."""
        from isr.scoring.frames import rows_of

        return list(rows_of(self, table))

    def _repr_html_(self) -> str:
        """The result as a small table, for notebooks."""
        from isr.scoring.frames import to_html

        return to_html(self)

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """What whoever takes numbers out of this result must be told: a level and words.

        That is what was accepted or warned of in the pictures, and all that the answers say about who gave them.
        """
        seen = [
            ("warning", f"accepted: {p['text']}" if p["level"] == "refusal" else p["text"])
            for p in self.pictures
            if p["level"] != "note"
        ]
        return (*seen, *((a["level"], a["text"]) for a in self.answered))

    @property
    def is_edit_mean(self) -> bool:
        """Whether rates are means over edits (``--estimand``)."""
        return Signature.parse(self.signature).get("estimand", "edit-mean") == "edit-mean"

    @property
    def decided(self) -> int:
        """How many edits of all arms are decided."""
        parts = [*self.treatments, *([self.control] if self.control else [])]
        return sum(part.counts["decided"] for part in parts)

    @property
    def unfinished(self) -> dict[str, int]:
        """Requests without a reply that can be used, by reason.

        A further run asks them again; those whose answer in the store is ``damaged`` once the store is recovered.
        """
        found: dict[str, int] = {}
        for part in [*self.treatments, *([self.control] if self.control else [])]:
            for entry in part.counts["undecided"]:
                if isinstance(reason_of(entry["reason"]), TransportReason | StoreReason):
                    found[entry["reason"]] = found.get(entry["reason"], 0) + entry["n"]
        if self.until and (left := self.until.get("left", 0)):
            found[TransportReason.NOT_ASKED] = max(found.get(TransportReason.NOT_ASKED, 0), left)
        return found

    @classmethod
    @in_its_name()
    def load(cls, path: str | Path) -> Result:
        """The result in a run's folder, in the newest run of ``DIR.isr``, or in a ``result.json``.

        Raises ``InputError`` if it is none, or if the ``edits.csv`` beside it is not its table.
        """
        folder = find_run(Path(path))
        file = folder / RESULT if folder.is_dir() else folder
        try:
            result = cls.parse(read_bytes(file), file)
            table = file.with_name(TABLE)
            if TABLE in result.table and table.is_file():
                result.require_table(file_digest(table), table)
        except Unreadable as error:
            raise _unreadable(file, error.found) from error
        return replace(result, folder=file.parent)

    @classmethod
    def parse(cls, data: bytes, where: Path) -> Result:
        """The result in the bytes of a ``result.json``. Raises ``InputError`` if it is none."""
        try:
            raw = json_of(data, where)
            if raw["schema"] != SCHEMA:
                raise ValueError(f"schema {raw['schema']}")
            return cls(
                signature=raw["signature"],
                data=raw["data"],
                judges=tuple(raw["judges"]),
                rubrics=tuple(raw["rubrics"]),
                rule=raw["rule"],
                treatments=tuple(_treatment_part(t) for t in raw["treatments"]),
                control=_part(raw["control"]) if raw["control"] else None,
                reliability=tuple(
                    cast("Reliability", {k: _estimate(v) if isinstance(v, dict) else v for k, v in r.items()})
                    for r in raw["reliability"]
                ),
                notes=tuple(raw["notes"]),
                until=_until(raw.get("until")),
                table={str(k): str(v) for k, v in raw.get("table", {}).items()},
                remarks=tuple(str(r) for r in raw.get("remarks", ())),
                pictures=tuple(_picture_remark(p) for p in raw.get("pictures", ())),
                answered=tuple(
                    {"level": str(a["level"]), "judge": str(a["judge"]), "text": str(a["text"])}
                    for a in raw.get("answered", ())
                ),
            )
        except Unreadable as error:
            raise _unreadable(where, error.found) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(where, str(error)) from error

    def require_table(self, digest: str, file: Path) -> None:
        """Raises ``InputError`` unless ``edits.csv`` has the digest that was written with this result."""
        wanted = self.table.get(TABLE, digest)
        if digest != wanted:
            raise InputError(
                f"{file}: edits.csv is not the table of this result.json (expected {short(wanted)}, found "
                f"{short(digest)}): one of them is of another run, or writing was cut off; score again with the "
                "same command, which costs nothing for stored answers"
            )


def _until(raw: Mapping[str, Any] | None) -> UntilRecord | None:
    if raw is None:
        return None
    made = UntilRecord(
        half_width=float(raw["half_width"]),
        order_seed=int(raw["order_seed"]),
        treatments=int(raw["treatments"]),
        met=bool(raw["met"]),
        images=int(raw["images"]),
        of=int(raw["of"]),
    )
    if "left" in raw:
        made["left"] = int(raw["left"])
    return made


def _picture_remark(raw: Mapping[str, Any]) -> PictureRemark:
    texts = {name: str(raw[name]) for name in ("kind", "level", "who", "text")}
    counts = {name: int(raw[name]) for name in ("n", "of")}
    return cast("PictureRemark", {**texts, **counts, "examples": [str(e) for e in raw["examples"]]})


def _signed(value: object, by: Signature) -> object:
    return replace(value, signature=by) if isinstance(value, Estimate) else value


def _unreadable(file: Path, found: str) -> InputError:
    return InputError(
        "a result cannot be read",
        [Problem(str(file), "", f"a result of version {SCHEMA}", found, "run isr score")],
    )


def _estimate(raw: Mapping[str, Any]) -> Estimate:
    bounds = None if raw["bounds"] is None else (raw["bounds"][0], raw["bounds"][1])
    known = raw.get("identified")
    identified = None if known is None else (float(known[0]), float(known[1]))
    return Estimate(**{**raw, "bounds": bounds, "notes": tuple(raw["notes"]), "identified": identified})


def _part(raw: Mapping[str, Any]) -> Part:
    estimates = {name: _estimate(e) for name, e in raw["estimates"].items()}
    return Part(raw["counts"], estimates, raw.get("by", {}), tuple(_part(g) for g in raw.get("groups", ())))


def _treatment_part(raw: Mapping[str, Any]) -> TreatmentPart:
    part = _part(raw)
    treatment = Treatment(*(str(raw[name]) for name in Treatment._fields))
    return TreatmentPart(part.counts, part.estimates, part.by, part.groups, treatment)


def _number_or_text(text: str) -> float | int | str:
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):
        return text  # JSON has no such number
    return value if repr(value) == text else int(text) if text.lstrip("-").isdigit() else text
