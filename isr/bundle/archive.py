"""Bundles: one zip with everything that a reviewer needs to recompute a run's numbers without a network.

A bundle has the same bytes whenever the run is the same. Nothing in it is ever unpacked under a name of its own.
"""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from isr.bundle.gather import Contents
from isr.canonical import sha256_bytes
from isr.edits.metadata import metadata_file
from isr.edits.refusals import FILE as REFUSALS
from isr.errors import InputError, Problem, StoreError, UsageError
from isr.files import commit, naming, partial_name
from isr.judging.cards import Card
from isr.judging.plan import Plan, arms_of
from isr.judging.store import Store
from isr.reading import MAX_TABLE, Unreadable, json_lines, json_of, read_bytes, require_regular
from isr.scoring.metrics_csv import METRICS, SUMMARY, read_metrics
from isr.scoring.places import RESULT, TABLE, home_of
from isr.types import Edit, ImageRef, Treatment, Unit
from isr.version import __version__

SCHEMA = "isr.bundle/1"
MANIFEST = "bundle.json"
ROLES = ("edited", "source", "control", "protected")
_PLACES = ("directory", "calibrations", "store", "qualifications")  # options that name places on one machine
_DATE = (1980, 1, 1, 0, 0, 0)
MAX_FILES = 500_000
MAX_BYTES = 64 * 2**30  # unpacked, all files
MAX_FILE = 2 * 2**30  # unpacked, one image
MAX_TEXT = 256 * 2**20  # unpacked, one file that is no image
MAX_ALL_RATIO = 50  # unpacked over packed, of all files together above ALL_RATIO_FROM
ALL_RATIO_FROM = 64 * 2**20
MAX_RATIO = 200  # unpacked over packed, of a file above RATIO_FROM
RATIO_FROM = 2**20

_README = """A bundle of the isr toolkit: what a reviewer needs to recompute every number of one run offline.

    pip install isr-eval
    isr verify {name}
    isr verify {name} --rejudge 50 --judge JUDGE     (asks a judge of your own again; needs the images)

bundle.json    settings, judges, the SHA-256 of every file here
result.json    the result as it was reported
edits.csv      every edit with its verdicts      metrics.csv    conventional metrics, if they were measured
edits.jsonl    every edit with the SHA-256 of its images
refusals.jsonl edits that an editor refused to make, where there are some
answers.jsonl  every answer of the judges as it was received, with the request that it answers
rubrics/       the judging prompts in full          cards/      the judges' cards
metadata/      the edit directory's own table       labels/     labels of people, if any
images/        the images by their SHA-256, if they were included
"""


# --------------------------------------------------------------------------- writing


def write_bundle(
    contents: Contents, store_path: Path, out: Path, *, images: bool = False, labels: Sequence[Path] = ()
) -> dict[str, str]:
    """Writes the zip, whole or not at all. Returns the SHA-256 of every file in it."""
    partial = partial_name(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    digests: dict[str, str] = {}
    try:
        with naming(out), zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, data in _files(contents, store_path, out.name, images, labels):
                if name in digests:
                    raise UsageError(f"{name}: expected one file of that name; found two; rename one of them")
                _add(archive, name, data)
                digests[name] = sha256_bytes(data)
            _add(archive, MANIFEST, _text(_manifest(contents, digests)))
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        commit([out])
    finally:
        partial.unlink(missing_ok=True)
    return digests


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    if len(data) > MAX_TEXT and not name.startswith("images/"):
        raise UsageError(
            f"{name}: expected at most {MAX_TEXT // 2**20} MiB, as isr verify reads it; found {len(data):,} bytes; "
            "score the edits in several runs"
        )
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = 0o644 << 16
    info.compress_type = zipfile.ZIP_STORED if name.startswith("images/") else zipfile.ZIP_DEFLATED
    archive.writestr(info, data)


def _text(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(
        "utf-8", "replace"
    )


def _files(
    contents: Contents, store_path: Path, name: str, images: bool, labels: Sequence[Path]
) -> Iterator[tuple[str, bytes]]:
    plan, run = contents.plan, contents.run
    yield "README.txt", _README.format(name=name).encode()
    yield RESULT, run.result_bytes
    yield TABLE, run.table_bytes
    if read_metrics(run.folder, run.digest).columns:
        for measured in (METRICS, SUMMARY):
            yield measured, read_bytes(run.folder / measured)
    yield "run.json", _text(_without_paths(contents.record))
    yield (
        "edits.jsonl",
        "".join(
            json.dumps(edit_fields(e), ensure_ascii=False) + "\n" for e in contents.directory.edits
        ).encode(),
    )
    if refusals := contents.directory.refusals:
        yield REFUSALS, "".join(json.dumps(r.as_dict(), ensure_ascii=False) + "\n" for r in refusals).encode()
    until = run.result.until  # where the rule is met, answers to later images count in nothing
    counted = replace(plan, edits=plan.edits[: run.result.data["edits"]]) if until and until["met"] else plan
    yield "answers.jsonl", b"".join(_answers(counted, store_path))  # not those to images after a stop
    for rubric in plan.rubrics.values():
        yield f"rubrics/{rubric.name}.toml", rubric.text.encode()
    for card in plan.panel.members:
        yield f"cards/{card.name}.json", _text({"card": _card_fields(card), "identity": card.identity})
    for number, data in enumerate(contents.calibrations, 1):
        yield f"calibrations/{number}.toml", data
    metadata = metadata_file(plan.root)
    yield f"metadata/{metadata.name}", read_bytes(metadata, MAX_TABLE)
    for path in sorted((home_of(run.folder) / "qualify").glob("*/qualification.json")):
        yield f"qualify/{path.parent.name}.json", read_bytes(path)
    for path in labels:
        yield f"labels/{path.name}", read_bytes(path, MAX_TEXT)
    if images:
        for name, ref in {image_name(r): r for r in image_refs(contents.directory.edits)}.items():
            yield name, _image(plan.root, ref)


def _card_fields(card: Card) -> dict[str, Any]:
    """A card without addresses and without names of places on one machine; its identity says what they held."""
    fields = card.model_dump(mode="json", exclude={"endpoint"})
    fields["backend"] = card.identity["backend"]
    if card.checkpoint is not None:
        fields["model"] = f"./{card.checkpoint.name}"
    fields["engine"] = {
        k: Path(v).name if k in card.traits.files and isinstance(v, str) else v
        for k, v in fields["engine"].items()
    }
    return fields


def image_name(ref: ImageRef) -> str:
    """Where an image lies in a bundle: under its digest, so that equal images are there once."""
    return f"images/{ref.sha256.partition(':')[2]}"


def _image(root: Path, ref: ImageRef) -> bytes:
    data = read_bytes(root / ref.path)
    if sha256_bytes(data) != ref.sha256:
        raise UsageError(
            f"{ref.path}: expected the file as it was a moment ago; found other bytes; try again"
        )
    return data


def _without_paths(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run without what names places on one machine; of card fields that were set, only the names."""
    options = {k: v for k, v in (record.get("options") or {}).items() if k not in _PLACES}
    options["set"] = [str(s).partition("=")[0] for s in options.get("set", ())]
    options["judge"] = Path(str(options.get("judge", ""))).name
    kept = {k: v for k, v in record.items() if k not in ("panel", "calibrations")}
    return {**kept, "options": options}


def _answers(plan: Plan, store_path: Path) -> Iterator[bytes]:
    """The export of a store, as far as it belongs to the run."""
    keys = {
        request.key.hex()
        for card in plan.panel.members
        for request in plan.requests(card, arms_of(plan.edits))
    }
    parts = {c.digest for c in plan.panel.members} | {t.digest for ts in plan.templates.values() for t in ts}

    def on_damage(key: bytes, fault: str) -> None:
        if not key or key.hex() in keys:
            raise StoreError(
                f"{store_path}: expected answers that are what their digests say; found {fault}; "
                f"`isr store recover {store_path}` saves all others, then run isr score again"
            )

    with Store(store_path, read_only=True) as store:
        for row in store.export(on_damage):
            if row.get("key") in keys or row.get("part") in parts:
                yield (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def edit_fields(edit: Edit) -> dict[str, Any]:
    """An edit as JSON values: its columns, and path and digest of each image."""
    refs = {role: getattr(edit, role) for role in ROLES}
    return {
        "edit_id": edit.edit_id,
        "prompt": edit.prompt,
        "unit": list(edit.unit),
        "treatment": list(edit.treatment),
        "split": edit.split,
        "extra": dict(edit.extra),
        "images": {role: [ref.path, ref.sha256] for role, ref in refs.items() if ref is not None},
    }


def edit_of(fields: Mapping[str, Any]) -> Edit:
    """The edit in ``edit_fields``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` if it is none."""
    refs = {role: ImageRef(str(path), str(digest)) for role, (path, digest) in fields["images"].items()}
    texts = [*fields["unit"], *fields["treatment"], fields["edit_id"], fields["prompt"], fields["split"]]
    if not all(isinstance(t, str) for t in [*texts, *fields["extra"].values()]) or set(refs) - set(ROLES):
        raise ValueError("a column that is no text")
    unit, treatment = Unit(*fields["unit"]), Treatment(*fields["treatment"])
    return Edit(
        edit_id=fields["edit_id"], prompt=fields["prompt"], unit=unit, treatment=treatment, edited=refs["edited"], source=refs.get("source"),
        control=refs.get("control"), protected=refs.get("protected"), split=fields["split"], extra=dict(fields["extra"]),
    )  # fmt: skip


def image_refs(edits: Iterable[Edit]) -> list[ImageRef]:
    """Every image of some edits once, by path."""
    found = {ref.path: ref for e in edits for role in ROLES if (ref := getattr(e, role)) is not None}
    return [found[path] for path in sorted(found)]


def _manifest(contents: Contents, digests: Mapping[str, str]) -> dict[str, Any]:
    result, plan = contents.result, contents.plan
    groups = [g.by for t in result.treatments for g in t.groups][:1]
    return {
        "schema": SCHEMA,
        "answer_digests": True,  # isr 0.1.0 kept none in a bundle
        "signature": result.signature,
        "versions": {"isr": __version__},
        "panel": {
            "name": plan.panel.name,
            "rule": plan.panel.rule,
            "members": [c.name for c in plan.panel.members],
        },
        "rubrics": {q.value: r.name for q, r in plan.rubrics.items()},
        "by": list(groups[0]) if groups else [],
        "skipped": [list(s) for s in contents.directory.skipped_names],
        "skipped_rows": len({p.where for p in contents.directory.skipped}),
        "calibrations": sum(n.startswith("calibrations/") for n in digests),
        "files": dict(sorted(digests.items())),
    }


# --------------------------------------------------------------------------- reading


class Bundle:
    """A bundle opened for reading; hostile archives are refused before anything in them is read.

    Raises ``InputError`` for what is no zip, or holds a path that leaves it, a link, a file twice, an encrypted
    or unknown kind of file, or more bytes than a bundle can have.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            require_regular(path)
            self._archive = zipfile.ZipFile(path)
        except Unreadable as error:
            raise InputError(f"{path}: expected a bundle; found {error.found}; check the path") from error
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise InputError(f"{path}: expected a bundle; found no zip that can be read ({error})") from error
        problems = list(_hostile(path, self._archive.infolist()))
        if problems:
            self._archive.close()
            raise InputError(f"{path}: refused, {len(problems)} problem(s)", problems[:50])
        self._infos = {i.filename: i for i in self._archive.infolist()}

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *error: object) -> None:
        self._archive.close()

    @property
    def names(self) -> list[str]:
        return sorted(self._infos)

    def open(self, name: str) -> IO[bytes]:
        """A file for reading. Raises ``InputError`` if there is none."""
        if name not in self._infos:
            raise InputError(
                "a bundle cannot be read",
                [Problem(str(self.path), name, "a file of a bundle", "none", "make the bundle again")],
            )
        return self._archive.open(self._infos[name])

    def read(self, name: str) -> bytes:
        """The bytes of a file, never more than it says. Raises ``InputError`` if they are damaged."""
        try:
            with self.open(name) as file:
                size = self._infos[name].file_size
                data = file.read(size + 1)
            if len(data) != size:
                raise zipfile.BadZipFile("another size than it says")
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            EOFError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as error:
            problem = Problem(str(self.path), name, "a sound file", str(error), "fetch the bundle again")
            raise InputError("a bundle cannot be read", [problem]) from error
        return data

    def json(self, name: str) -> Any:
        """The JSON value in a file. Raises ``InputError`` if it is none."""
        try:
            return json_of(self.read(name))
        except Unreadable as error:
            problem = Problem(str(self.path), name, "JSON", error.found[:80], "fetch the bundle again")
            raise InputError("a bundle cannot be read", [problem]) from error

    def lines(self, name: str) -> Iterator[tuple[str, Any]]:
        """(where, value) of a file with one JSON value in each line. Raises ``InputError`` at the first bad one."""
        for number, _, value in json_lines(io.BytesIO(self.read(name))):
            where = f"{name}:{number}"
            if isinstance(value, Unreadable):
                problem = Problem(where, "", "JSON", value.found[:80], "fetch the bundle again")
                raise InputError("a bundle cannot be read", [problem]) from value
            yield where, value


def _hostile(path: Path, infos: Sequence[zipfile.ZipInfo]) -> Iterator[Problem]:
    def wrong(name: str, expected: str, found: str) -> Problem:
        return Problem(str(path), name[:200], expected, found, "do not trust this file")

    if len(infos) > MAX_FILES:
        yield wrong("", f"at most {MAX_FILES:,} files", f"{len(infos):,}")
        return
    unpacked, packed = sum(i.file_size for i in infos), sum(i.compress_size for i in infos)
    if unpacked > MAX_BYTES:
        yield wrong("", f"at most {MAX_BYTES // 2**30} GiB unpacked", "more")
    if unpacked > ALL_RATIO_FROM and unpacked > MAX_ALL_RATIO * packed:
        yield wrong("", "files of sane sizes", f"{unpacked:,} bytes packed into {packed:,}: a bomb?")
    seen: set[str] = set()
    for info in infos:
        name = info.filename
        if name in seen:
            yield wrong(name, "each file once", "a file twice")
        seen.add(name)
        if not _safe(info.orig_filename):
            yield wrong(name, "a relative path inside the bundle", "one that leaves it")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or name.endswith("/"):
            yield wrong(name, "a plain file", "a link, a folder or something else")
        if info.flag_bits & 0x1:
            yield wrong(name, "a file that is not encrypted", "an encrypted one")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            yield wrong(name, "a stored or deflated file", "another compression")
        ratio = info.file_size / max(info.compress_size, 1)
        most = MAX_FILE if name.startswith("images/") else MAX_TEXT
        if info.file_size > most or (info.file_size > RATIO_FROM and ratio > MAX_RATIO):
            yield wrong(
                name,
                "a file of sane size",
                f"{info.file_size:,} bytes packed into {info.compress_size:,}: a bomb?",
            )


def _safe(name: str) -> bool:
    parts = name.split("/")
    return (
        bool(name)
        and not any(c in name for c in "\\:\0")
        and not name.startswith("/")
        and not any(p in ("", ".", "..") for p in parts)
        and all(c.isprintable() for c in name)
    )
