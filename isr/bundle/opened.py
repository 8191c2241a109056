"""A bundle opened: its plan, its answers, its card and rubrics, checked against their digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isr.calibration.agreement.summary import Agreement
from isr.edits.directory import EditDirectory
from isr.edits.refusals import FILE as REFUSALS
from isr.edits.refusals import Refusal, parsed
from isr.errors import CardError, InputError, IsrError, Problem
from isr.files import file_digest
from isr.judging.cards import Card, Panel
from isr.judging.parsing import VERSIONS
from isr.judging.plan import Plan, in_order
from isr.judging.recorded_card import RecordedCard, digested, recorded_card
from isr.judging.rubrics import Rubric, load_rubric, parse_rubric
from isr.judging.thresholds import read_recalibration
from isr.reading import Unreadable
from isr.scoring.bundle_file import EDITS, Bundle, edit_of
from isr.scoring.estimates import Settings
from isr.scoring.judge_words import Answered
from isr.scoring.limit import chosen, is_in_turn
from isr.scoring.result import Result
from isr.scoring.sequenced import order_of
from isr.signature import Signature
from isr.types import ImageRef, Question


@dataclass(kw_only=True)
class Verification:
    """What was found out. ``faults``: everything that is not as it was reported, by name."""

    path: Path
    faults: list[str] = field(default_factory=list)
    proved: list[str] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rejudged: Rejudged | None = None
    answered: list[Answered] = field(default_factory=list)  # who gave the answers, by the answers themselves

    @property
    def sound(self) -> bool:
        return not self.faults


@dataclass(frozen=True, kw_only=True)
class Rejudged:
    """How often another judge agrees with the recorded one, on a random sample of the decided edits."""

    judge: str
    asked: int
    undecided: int
    outcome: Agreement
    questions: Mapping[str, Agreement]
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The parts of a bundle, read."""

    manifest: Mapping[str, Any]
    result: Result
    raw: Mapping[str, Any]  # result.json as it stands
    directory: EditDirectory
    plan: Plan
    settings: Settings


def _parser(signature: Signature) -> int:
    """The parser by which the run was made. Raises ``ValueError`` for one that this version does not have."""
    version = int(signature["parser"])
    if version not in VERSIONS:
        raise ValueError(f"parser: expected one of {', '.join(map(str, VERSIONS))}; found {version}")
    return version


def open_bundle(bundle: Bundle, manifest: Mapping[str, Any], folder: Path, found: Verification) -> Opened:
    raw = bundle.json("result.json")
    (folder / "result.json").write_bytes(bundle.read("result.json"))
    result = Result.load(folder / "result.json")
    try:
        edits = tuple(edit_of(fields) for _, fields in bundle.lines(EDITS))
        lines = bundle.lines(REFUSALS) if REFUSALS in bundle.names else ()
        refusals = tuple(_refusal(fields, where) for where, fields in lines)
        skipped = tuple(Problem(f"row {i}", "", "", "", "") for i in range(int(manifest["skipped_rows"])))
        names = tuple((str(a), str(b)) for a, b in manifest["skipped"])
        members = tuple(_card(bundle, name, found) for name in manifest["panel"]["members"])
        panel = Panel(str(manifest["panel"]["name"]), members, str(manifest["panel"]["rule"]))
        rubrics = {Question(q): _rubric(bundle, name, found) for q, name in manifest["rubrics"].items()}
        s = Signature.parse(result.signature)
        settings = Settings.signed(s)
        calibrations = []
        for number in range(1, int(manifest["calibrations"]) + 1):
            file = folder / f"calibration-{number}.toml"
            file.write_bytes(bundle.read(f"calibrations/{number}.toml"))
            calibrations.append(read_recalibration(file))
        directory = EditDirectory(folder, edits, skipped=skipped, skipped_names=names, refusals=refusals)
        seed = order_of(s)
        reask = frozenset(s["reask"].split(",")) if "reask" in s else frozenset[str]()
        plan = Plan(
            root=folder,
            edits=chosen(in_order(edits, seed), s),
            in_turn=is_in_turn(s),
            rubrics={q: rubrics[q] for q in Question},
            panel=panel,
            repeats=int(s["repeats"]),
            reask=reask,
            allow_retired="retired" in s,
            accepted=frozenset(s["accepted"].split(",")) if "accepted" in s else frozenset[str](),
            recalibrations=tuple(calibrations),
            parser=_parser(s),
            order_seed=seed,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = Problem(str(bundle.path), "", "the parts of a bundle", repr(error)[:120], "make it again")
        raise InputError("a bundle cannot be read", [problem]) from error
    return Opened(
        manifest=manifest, result=result, raw=raw, directory=directory, plan=plan, settings=settings
    )


def _refusal(fields: Any, where: str) -> Refusal:
    """One line of ``refusals.jsonl``. Raises ``ValueError`` for one that is none."""
    found = parsed(fields, where)
    if isinstance(found, Problem):
        raise ValueError(str(found))
    return found


def _card(bundle: Bundle, name: str, found: Verification) -> Card:
    """A judge's card with the identity that was recorded: local weights need not be here."""
    raw = bundle.json(f"cards/{name}.json")
    card = recorded_card(raw["card"], raw["identity"])
    if not _belongs(card, _files(card, found)):
        found.faults.append(f"cards/{name}.json: the card and the judge's identity do not belong together")
    return card


def _files(card: RecordedCard, found: Verification) -> frozenset[str]:
    """Engine fields in whose place the identity holds a file's digest."""
    try:
        return frozenset(card.traits.files)
    except CardError:
        found.notes.append(
            f"cards/{card.name}.json: the backend {card.backend!r} is not installed here; engine fields whose "
            f"identity is a SHA-256 were taken for files"
        )
        return digested(card.recorded)


def _belongs(card: RecordedCard, files: frozenset[str]) -> bool:
    """Whether the card's own fields are those of its identity; what stands for files is left out.

    A bundle names a model in a folder by a relative path, whatever it was called where the run was made. Which release
    of a plug-in answered is in the identity alone.
    """
    weights = {"model": ""} if card.model.startswith(("./", "../")) else {}
    own, said = (
        {**fields, **weights, "plugin": None, "engine": _no_file(fields["engine"], files)}
        for fields in (card.as_written, card.recorded)
    )
    return own == said


def _no_file(engine: Mapping[str, Any], files: frozenset[str]) -> dict[str, Any]:
    return {k: v for k, v in engine.items() if k not in files}


def _rubric(bundle: Bundle, name: str, found: Verification) -> Rubric:
    rubric = parse_rubric(name, bundle.read(f"rubrics/{name}.toml").decode("utf-8", "replace"))
    try:
        published = load_rubric(name).digest
    except IsrError:
        found.notes.append(
            f"rubric {name}: this version of the package does not hold it; the bundle's text was used"
        )
        return rubric
    if published != rubric.digest:
        found.faults.append(f"rubrics/{name}.toml: another text than the published {name}")
    return rubric


def file_state(data: Path, ref: ImageRef) -> str:
    """Why a file of a folder is not an image that was judged; paths that leave the folder are not followed."""
    root = data.resolve()
    file = (root / ref.path).resolve()
    if not file.is_relative_to(root):
        return "its path leaves the folder; it was not read"
    try:
        return "" if file_digest(file) == ref.sha256 else "changed since it was judged"
    except Unreadable:
        return "is missing"
