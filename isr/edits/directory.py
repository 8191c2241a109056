"""Edit directories: Hugging Face ImageFolders whose rows say what was edited, how, and from what.

A directory is data. It may name rubrics, groups and a level (``isr.toml``), and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from isr.canonical import canonical_json, is_sha256, sha256_bytes, sha256_json
from isr.edits.images import POLICY
from isr.edits.metadata import (
    DIGESTS,
    KNOWN,
    NUMBERS,
    PATHS,
    Row,
    image_id_of,
    metadata_file,
    number_text,
    prompt_id_of,
    read_rows,
)
from isr.edits.pictures import COMPARED, PASS_VERSION, Finding, look
from isr.edits.refusals import Refusal, read_refusals
from isr.edits.scan import Scanned, Scanner
from isr.errors import EditDirectoryError, Problem
from isr.files import file_digest
from isr.image_file import ImageProblem
from isr.reading import Unreadable, json_of, read_toml
from isr.text import summary
from isr.types import Edit, ImageRef, Treatment, Unit

SETTINGS = ("rubrics", "by", "level")
CHUNK = 1000
_NO_EXTRA: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``isr.toml`` may say. ``rubrics``: none for the default ones."""

    rubrics: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    level: float = 0.95


@dataclass(frozen=True)
class EditDirectory:
    """The edits of a directory, in an order that does not depend on the metadata's; ``skipped`` rows left out."""

    root: Path
    edits: tuple[Edit, ...]
    settings: Settings = Settings()
    _: KW_ONLY
    skipped: tuple[Problem, ...] = ()
    skipped_names: tuple[tuple[str, str], ...] = ()  # (edit_id or file_name, field) of each problem
    refusals: tuple[Refusal, ...] = ()  # edits that an editor refused to make
    findings: tuple[Finding, ...] = ()  # what its pictures say against their roles and ids
    colours: Mapping[str, str] = field(
        default_factory=dict
    )  # of edits and control edits that have but one: #rrggbb

    def __repr__(self) -> str:
        images = len({e.cluster for e in self.edits})
        controls = len({e.unit for e in self.edits if e.control is not None})
        methods = sorted({e.treatment.method or "(no method)" for e in self.edits})
        lines = [
            f"{self.root}: {len(self.edits)} edits of {images} images, {controls} control edits",
            f"  methods: {', '.join(methods)}",
        ]
        told = {
            "rows skipped": self.skipped,
            "edits refused by their editor": self.refusals,
            "findings": self.findings,
        }
        lines += [f"  {len(said)} {what}" for what, said in told.items() if said]
        return summary("EditDirectory", lines)

    @property
    def digest(self) -> str:
        """Digest of what is evaluated: every edit's columns and image digests, whatever the files are called."""
        import hashlib

        total = hashlib.sha256()
        for edit in self.edits:
            images = [r.sha256 if r else "" for r in (edit.edited, edit.source, edit.control, edit.protected)]
            row = [edit.prompt, list(edit.unit), list(edit.treatment), edit.split, dict(edit.extra), images]
            total.update(canonical_json(row))
        for refusal in self.refusals:
            total.update(canonical_json(["refused", refusal.as_dict()]))
        return "sha256:" + total.hexdigest()


@dataclass(kw_only=True)
class _Loader:
    root: Path
    scanner: Scanner
    need_source: bool
    on_progress: Callable[[int], None]
    problems: list[Problem] = field(default_factory=list)
    loaded: list[tuple[str, Edit]] = field(default_factory=list)
    refs: dict[str, ImageRef] = field(default_factory=dict)
    scanned: dict[str, Scanned] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    cells: dict[tuple[Unit, Treatment], str] = field(default_factory=dict)
    controls: dict[Unit, tuple[str, str]] = field(default_factory=dict)
    shown: dict[Unit, tuple[str, str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    by_pixels: bool = True  # no row names its image

    def load(self, rows: Iterator[Row]) -> None:
        while chunk := list(islice(rows, CHUNK)):
            wanted = [row.values[c] for row in chunk for c in PATHS if c in row.values]
            compared = {row.values[c] for row in chunk for c in COMPARED if c in row.values}
            looked = self.scanner.scan((w for w in wanted if not self._is_known(w, compared)), compared)
            for path, result in looked.items():
                if isinstance(result, Scanned):
                    self.refs[path] = ImageRef(path, result.sha256)
                    self.scanned[path] = result
            for row in chunk:
                self.names[row.where] = row.values.get("edit_id", row.values.get("file_name", ""))
                problems = [*row.problems, *self._file_problems(row, looked), *self._id_problems(row)]
                if not problems:
                    edit = self._edit(row.values)
                    problems = list(self._unit_problems(row.where, edit))
                    self.loaded.append((row.where, edit))
                self.problems += problems
            self.on_progress(len(chunk))

    def _is_known(self, path: str, compared: Container[str]) -> bool:
        """Whether a file was looked at already, and as closely as its role asks."""
        known = self.scanned.get(path)
        return known is not None and (bool(known.thumb) or path not in compared)

    def image_of(self, path: str) -> str:
        """The image_id of a source by its path: that of the rows that show it, else by its pixels; ``""`` for no picture."""
        named = {e.cluster for _, e in self.loaded if e.source is not None and e.source.path == path}
        if len(named) == 1:
            return named.pop()
        looked = self.scanner.scan([path])[path]
        return image_id_of(looked.pixels) if isinstance(looked, Scanned) else ""

    def sound(self) -> list[Edit]:
        """The edits of the rows without any problem; of rows that contradict each other none is left."""
        bad = {p.where for p in self.problems}
        return [edit for where, edit in self.loaded if where not in bad]

    def _file_problems(self, row: Row, looked: Mapping[str, Scanned | ImageProblem]) -> Iterator[Problem]:
        for column in PATHS:
            path = row.values.get(column)
            if path is None or path in self.refs:
                continue
            result = looked[path]
            if isinstance(result, ImageProblem):
                yield Problem(row.where, column, result.expected, result.found, result.fix)
        yield from self._other_files(row)
        if self.need_source and row.values and "source_file_name" not in row.values:
            both = "a source, which the rubric shows beside the edit"
            if "control_file_name" in row.values:
                both += " and beside the control edit"
            yield Problem(
                row.where,
                "source_file_name",
                both,
                "none",
                "add the source, or choose rubrics that show none",
            )

    def _other_files(self, row: Row) -> Iterator[Problem]:
        """Files that are not those of which the row keeps the digests; and digests that are none."""
        for column, digest in DIGESTS.items():
            path, wanted = row.values.get(column), row.values.get(digest)
            if wanted is None:
                continue
            if not is_sha256(wanted):
                yield Problem(
                    row.where,
                    digest,
                    "sha256: and 64 hex digits in lower case",
                    repr(wanted[:80]),
                    "put back what isr edit wrote, or leave the cell empty: nothing is known then",
                )
            elif path in self.refs and self.refs[path].sha256 != wanted:
                yield Problem(
                    row.where,
                    column,
                    f"the file that was made ({digest} {str(wanted)[:19]})",
                    f"another as {path!r} ({self.refs[path].sha256[:19]})",
                    "put it back, or make it again: isr edit with --resume, isr bench once it is deleted; where the "
                    f"change is meant, drop {digest}",
                )

    def _edit(self, v: Mapping[str, str]) -> Edit:
        edited = self.refs[v["file_name"]]
        source = self._ref(v, "source_file_name")
        edit_id = v.get("edit_id", edited.path)
        self.by_pixels &= "image_id" not in v
        image_id = v.get("image_id") or (
            image_id_of(self.scanned[source.path].pixels) if source else f"edit-{edit_id}"
        )
        prompt = self._shared(v["prompt"])
        numbers = {name: number_text(v[name]) for name in NUMBERS if name in v}
        unit = Unit(
            self._shared(image_id),
            self._shared(v.get("prompt_id") or prompt_id_of(prompt)),
            *(self._shared(numbers.get(name, v.get(name, ""))) for name in ("editor", "seed", "purifier")),
        )
        treatment = Treatment(
            *(self._shared(numbers.get(name, v.get(name, ""))) for name in Treatment._fields)
        )
        extra = {self._shared(k): self._shared(x) for k, x in v.items() if k not in KNOWN}
        control, protected = self._ref(v, "control_file_name"), self._ref(v, "protected_file_name")
        return Edit(
            edit_id=edit_id,
            prompt=prompt,
            unit=unit,
            treatment=treatment,
            edited=edited,
            source=source,
            control=control,
            protected=protected,
            split=self._shared(v.get("split", "")),
            extra=extra or _NO_EXTRA,
        )

    def _ref(self, values: Mapping[str, str], column: str) -> ImageRef | None:
        return self.refs[values[column]] if column in values else None

    def _shared(self, text: str) -> str:
        """One object for equal texts: 100,000 rows repeat a few names."""
        return self.texts.setdefault(text, text)

    def _id_problems(self, row: Row) -> Iterator[Problem]:
        edit_id = row.values.get("edit_id", row.values.get("file_name", ""))
        first = self.ids.setdefault(edit_id, row.where) if edit_id else row.where
        if first is not row.where:
            for where, other in ((first, row.where), (row.where, first)):
                found = f"{edit_id!r}, which {other} has"
                yield Problem(where, "edit_id", "an id of its own", found, "make ids unique")

    def _unit_problems(self, where: str, edit: Edit) -> Iterator[Problem]:
        first = self.cells.setdefault((edit.unit, edit.treatment), where)
        if first is not where:
            for one, other in ((first, where), (where, first)):
                yield Problem(
                    one,
                    "image_id",
                    "one edit for each unit (image_id, prompt_id, editor, seed, purifier) and "
                    "treatment (method, config, eps, surrogate)",
                    f"the same as in {other}",
                    "tell the rows apart by seed, editor, purifier or config",
                )
        shown = (edit.prompt, edit.source.sha256 if edit.source else "")
        known = self.shown.setdefault(edit.unit, (*shown, where))
        if known[:2] != shown:
            yield from self._differing(
                where, known[2], "prompt_id", "one prompt and one source for each unit"
            )
        if edit.control is not None:
            control = self.controls.setdefault(edit.unit, (edit.control.sha256, where))
            if control[0] != edit.control.sha256:
                yield from self._differing(
                    where, control[1], "control_file_name", "one control edit for each unit"
                )

    @staticmethod
    def _differing(where: str, first: str, name: str, expected: str) -> Iterator[Problem]:
        for one, other in ((first, where), (where, first)):
            yield Problem(
                one, name, expected, f"another than in {other}", "use the same, or tell the units apart"
            )


def load_edits(
    path: str | Path,
    *,
    needs_source: bool = True,
    skip_invalid: bool = False,
    cache: Path | None = None,
    on_progress: Callable[[int], None] = lambda rows: None,
    settings_problems: Sequence[Problem] = (),
) -> EditDirectory:
    """The edits of the directory at ``path``, every file of it read and checked.

    ``needs_source``: every edit must name its source. ``settings_problems``: what the caller found wrong in ``isr.toml``,
    told with the rest. Raises ``EditDirectoryError`` with every problem at once; with ``skip_invalid`` the rows that
    have problems are left out and listed in ``skipped``, unless none is left.
    """
    root = Path(path)
    file = metadata_file(root)
    settings, said = settings_of(root)
    said += settings_problems
    with closing(Scanner(root, cache)) as scanner:
        loader = _Loader(root=root, scanner=scanner, need_source=needs_source, on_progress=on_progress)
        loader.load(read_rows(file))
        edits = loader.sound()
        edits.sort(key=lambda e: (e.unit, e.treatment, e.edit_id))
        findings = _findings(loader, edits, file)
        refusals = read_refusals(root, edits, loader.image_of, by_pixels=loader.by_pixels)
    unknown = sorted(set(settings.by) - columns(edits)) if edits else []
    said += [
        Problem("isr.toml", "by", "columns of the metadata", repr(name), "correct the name or add the column")
        for name in unknown
    ]
    problems = list(dict.fromkeys([*said, *loader.problems]))
    if said or (problems and (not skip_invalid or not edits)):
        raise EditDirectoryError(f"{root}: {len(problems)} problem(s)", problems)
    names = tuple(sorted({(loader.names.get(p.where, ""), p.field) for p in problems}))
    shown = sorted({r.path for e in edits for r in (e.edited, e.control) if r})
    return EditDirectory(
        root=root,
        edits=tuple(edits),
        settings=settings,
        skipped=tuple(problems),
        skipped_names=names,
        refusals=refusals,
        findings=findings,
        colours={path: colour for path in shown if (colour := loader.scanned[path].colour)},
    )


def _findings(loader: _Loader, edits: Sequence[Edit], file: Path) -> tuple[Finding, ...]:
    """What the pictures say against their roles and ids; looked at once for the same table and the same files."""
    digests = "".join(r.sha256 for e in edits for r in (e.edited, e.source, e.control, e.protected) if r)
    rests_on = [PASS_VERSION, POLICY, file_digest(file), len(edits), sha256_bytes(digests.encode())]
    key = sha256_json(rests_on)
    if (kept := loader.scanner.recall(key)) is not None:
        try:
            return tuple(Finding.recorded(fields) for fields in json_of(kept))
        except (
            Unreadable,
            ValueError,
            TypeError,
            KeyError,
        ):  # a cache that is damaged costs time, nothing else
            pass
    found = look(edits, loader.scanned, {edit.edit_id: where for where, edit in loader.loaded})
    loader.scanner.keep(key, json.dumps([asdict(f) for f in found]))
    return found


def read_settings(root: Path) -> Settings:
    """What ``isr.toml`` says. Raises ``EditDirectoryError`` if it says anything that data must not choose."""
    settings, problems = settings_of(root)
    if problems:
        raise EditDirectoryError(f"{root / 'isr.toml'}: {len(problems)} problem(s)", problems)
    return settings


def settings_of(root: Path) -> tuple[Settings, list[Problem]]:
    """What ``isr.toml`` says, and everything in it that data must not choose. Raises ``EditDirectoryError`` if it is no TOML."""
    if root.is_file():
        fix = "give the folder with the images and their metadata, or isr unbundle a bundle of it"
        raise EditDirectoryError(
            "an edit directory cannot be read",
            [Problem(str(root), "", "an edit directory", "a file", fix)],
        )
    path = root / "isr.toml"
    try:
        raw = read_toml(path)
    except Unreadable as error:
        if error.missing:
            return Settings(), []
        raise EditDirectoryError(f"{path}: expected TOML; found {error.found}; correct the file") from error
    problems = [
        Problem(
            "isr.toml",
            key,
            f"only {', '.join(SETTINGS)} (a data directory chooses nothing else)",
            repr(key),
            "remove it; judges, endpoints, stores and outputs are chosen on the command line",
        )
        for key in raw
        if key not in SETTINGS
    ]
    problems += _setting_problems(raw)
    if problems:
        named = raw.get("rubrics", [])  # which the caller checks: all that is wrong is told at once
        sound = isinstance(named, list) and all(isinstance(n, str) for n in named)
        return Settings(tuple(named) if sound else ()), problems
    rubrics, by = tuple(raw.get("rubrics", ())), tuple(raw.get("by", ()))
    return Settings(rubrics, by, float(raw.get("level", Settings().level))), []


def _setting_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("rubrics", "by"):
        value = raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            yield Problem("isr.toml", key, "a list of names", repr(value)[:80], "correct the value")
    level = raw.get("level", 0.95)
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0.5 <= level < 1:
        yield Problem("isr.toml", "level", "a number from 0.5 to below 1", repr(level), "correct the value")


def columns(edits: Iterable[Edit]) -> set[str]:
    """Names of the columns by which these edits can be grouped."""
    named = {"split", "edit_id", *Unit._fields, *Treatment._fields}
    for edit in edits:
        named.update(edit.extra)
    return named
