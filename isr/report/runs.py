"""Finished runs as the report needs them: result, rows of ``edits.csv``, costs, qualifications, and where images are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from isr.edits.metadata import metadata_file, read_rows
from isr.errors import InputError, UsageError
from isr.judging.qualification import FILE, FOLDER, read_qualification
from isr.report.assets import Mode
from isr.scoring.bundled import beside, bundle_of, is_bare, table_in
from isr.scoring.estimates import Frame, Rates, Settings
from isr.scoring.finished import FinishedRun, of_stored
from isr.scoring.judge_words import Answered, named, recorded
from isr.scoring.outcomes import Outcomes, majority, of_rows, repeats
from isr.scoring.places import HOME_END, PEOPLE, edits_of, home_of
from isr.scoring.result import Result
from isr.scoring.stored import StoredRun, read_stored
from isr.scoring.until import told
from isr.signature import Signature
from isr.types import Arm, Estimate, Question, Treatment, Unit, Value


@dataclass(frozen=True, kw_only=True)
class ReportRun:
    """One run. ``root`` is its edit directory, ``None`` where it is not known."""

    folder: Path
    name: str
    result: Result
    rows: Sequence[Mapping[str, str]]
    record: Mapping[str, Any]
    root: Path | None
    probes: Mapping[str, Mapping[str, Any]]  # judge -> qualification.json
    stored: StoredRun = field(repr=False)
    called: Mapping[Treatment, str] = field(default_factory=dict)  # what a study calls its treatments

    @cached_property
    def finished(self) -> FinishedRun:
        """The run as a comparison needs it."""
        return of_stored(self.stored)

    @property
    def judges(self) -> list[str]:
        return [str(j["name"]) for j in self.result.judges]

    @cached_property
    def answered(self) -> list[Answered]:
        """Who gave the answers, and when, as far as the run recorded it."""
        return recorded(self.record)

    @property
    def by_people(self) -> bool:
        """Whether its verdicts are people's labels (``isr score --labels``)."""
        return any(j["backend"] == PEOPLE for j in self.result.judges)

    @property
    def judged_by(self) -> str:
        """The judges by name and model, and the rule that joins them."""
        joined = f" (rule: {self.result.rule})" if len(self.judges) > 1 else ""
        return ", ".join(map(named, self.result.judges)) + joined

    @cached_property
    def settings(self) -> Signature:
        """The signature, by the names of its parts."""
        return Signature.parse(self.result.signature)

    @property
    def level(self) -> float:
        return float(self.settings.get("level", "0.95"))

    @property
    def until(self) -> str:
        """What became of the rule to stop, in a sentence; ``""`` where there was none."""
        if self.result.until is None:
            return ""
        said = told(self.result.until)
        return said[0].upper() + said[1:]

    @cached_property
    def treatments(self) -> list[Treatment]:
        """In the order of the result."""
        return [t.treatment for t in self.result.treatments]

    def of(self, treatment: Treatment) -> list[Mapping[str, str]]:
        """The rows of the protected edits of one treatment."""
        wanted = spelt(treatment)
        return [
            r
            for r in self.rows
            if r["arm"] == Arm.PROTECTED and spelt([r[c] for c in Treatment._fields]) == wanted
        ]

    @property
    def controls(self) -> list[Mapping[str, str]]:
        return [r for r in self.rows if r["arm"] == Arm.CONTROL]

    @cached_property
    def protected_images(self) -> dict[str, str]:
        """edit_id -> path of the protected image, read from the metadata."""
        if self.root is None:
            return {}
        try:
            rows = [r.values for r in read_rows(metadata_file(self.root))]
        except (InputError, OSError):
            return {}
        return {
            v.get("edit_id", v.get("file_name", "")): v["protected_file_name"]
            for v in rows
            if "protected_file_name" in v
        }

    def outcomes(self, rows: Sequence[Mapping[str, str]], judge: str = "") -> Outcomes:
        """The outcomes of some rows under the run's rule, or by one judge of the panel alone."""
        judges = [judge] if judge else self.judges
        return of_rows(rows, judges, "single" if judge else self.result.rule)

    def rate(self, rows: Sequence[Mapping[str, str]], judge: str = "") -> Estimate:
        """The rate among some rows by the run's own kind of interval, with its bounds."""
        found = self.outcomes(rows, judge)
        frame = Frame.of_units([Unit(*(r[c] for c in Unit._fields)) for r in rows], [False] * len(rows))
        made = self._made
        if rows and all(r.get("arm") == "control" for r in rows):
            made = replace(made, family=1)  # control edits are no treatment: they have the whole level
        return Rates(frame, found, made).of(found.immunized_low, found.immunized_high, noted=False)

    @cached_property
    def _made(self) -> Settings:
        """How the run's intervals were made."""
        return Settings.signed(self.settings)


def spelt(values: Sequence[str]) -> tuple[str, ...]:
    """A treatment's fields with numbers in one spelling: ``result.json`` holds 0.03 as a number."""
    return tuple(_number(str(v)) for v in values)


def _number(text: str) -> str:
    try:
        return repr(float(text))
    except ValueError:
        return text


def read_report_run(path: Path, data: Path | None = None) -> ReportRun:
    """The run at a path (see ``find_run``). Raises ``InputError`` if its files are not those of one run.

    data: the edit directory, or a bundle with images; by default that of the run's record, else the folder's name without ``.isr``.
    """
    stored = read_stored(path)
    folder, result = stored.folder, stored.result
    root = table_in(data) if data is not None else edits_of(folder, stored.record)
    if data is not None and root is not None and not root.is_dir():
        raise InputError(f"--data {data}: expected the edit directory; found no folder; check the path")
    return ReportRun(
        folder=folder,
        name=home_of(folder.absolute()).name.removesuffix(HOME_END),
        result=result,
        rows=stored.rows,
        record=stored.record,
        root=root,
        probes=_probes(folder, result),
        stored=stored,
    )


def named_runs(runs: Sequence[ReportRun]) -> list[ReportRun]:
    """The runs under names that differ: runs of one edit directory are also called by their folders."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name}, {run.folder.name}") if names.count(run.name) > 1 else run
        for run in runs
    ]


def report_file(run: ReportRun) -> Path:
    """Where the report of a run lies: in its folder; of a bundle, beside it."""
    bundle = bundle_of(run.folder)
    return run.folder / "report.html" if bundle is None else beside(bundle, ".report.html")


def without_images(runs: Sequence[ReportRun]) -> list[str]:
    """The names of the bundles that hold no images, where no folder of them was given."""
    return [bundle.name for run in runs if is_bare(run.root) and (bundle := bundle_of(run.root))]


def needs_embedding(runs: Sequence[ReportRun], mode: Mode) -> bool:
    """Whether all pictures are embedded, as those of a bundle are, since no link leads into a zip.

    Raises ``UsageError`` where links are asked for.
    """
    bundles = [bundle for run in runs if (bundle := bundle_of(run.root))]
    if bundles and mode == "link":
        raise UsageError(
            f"--assets link: expected a folder to link to; found {bundles[0]}; unpack it with isr unbundle, or embed"
        )
    return bool(bundles)


def _probes(folder: Path, result: Result) -> dict[str, Mapping[str, Any]]:
    """The qualifications beside a run that speak for its judges under its rubrics."""
    asked = {r["digest"] for r in result.rubrics}
    judges = {j["digest"]: str(j["name"]) for j in result.judges}
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted((home_of(folder) / FOLDER).glob(f"*/{FILE}")):
        try:
            raw = read_qualification(path)
        except InputError:
            continue
        name = judges.get(raw["judge"]["digest"])
        if name is not None and {r["digest"] for r in raw["rubrics"]} == asked:
            found[name] = raw
    return found


def told_apart(runs: Sequence[ReportRun], names: Sequence[Sequence[str]]) -> list[list[str]]:
    """The names of each run's judges; ``judge (run)`` where several runs have a judge of that name."""
    called = [run.name for run in runs]
    runs_of = [n if called.count(n) == 1 else f"{n}, {i}" for i, n in enumerate(called, 1)]
    return [
        [f"{j} ({run})" if sum(j in other for other in names) > 1 else j for j in some]
        for run, some in zip(runs_of, names, strict=True)
    ]


def judge_codes(rows: Sequence[Mapping[str, str]], judge: str) -> list[int | None]:
    """The outcomes by one judge of a panel alone: 1 where either question fails, ``None`` unless both are decided."""
    return [_either(r, judge) for r in rows]


def _either(row: Mapping[str, str], judge: str) -> int | None:
    said = [verdict(row.get(f"{judge}:{q.value}", "")) for q in Question]
    if Value.UNDECIDED in said:
        return None
    return int(Value.FAILS in said)


def verdict(cell: str) -> Value:
    """The verdict in a cell of repeats: the majority's, ``undecided`` if any of them is."""
    return majority(repeats(cell))
