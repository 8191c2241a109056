"""Bundles, read: one zip with everything that a reviewer needs; hostile archives are refused before anything is read.

``isr.bundle.archive`` writes them. Nothing in one is ever unpacked under a name that was not checked.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, Any

from isr.canonical import sha256_bytes
from isr.errors import InputError, Problem
from isr.reading import Unreadable, first_bytes, json_lines, json_of, require_regular
from isr.types import Edit, ImageRef, Treatment, Unit

SCHEMA = "isr.bundle/1"
MANIFEST = "bundle.json"
EDITS = "edits.jsonl"
ANSWERS = "answers.jsonl"
ROLES = ("edited", "source", "control", "protected")
MAX_FILES = 500_000
MAX_BYTES = 64 * 2**30  # unpacked, all files
MAX_FILE = 2 * 2**30  # unpacked, one image
MAX_TEXT = 256 * 2**20  # unpacked, one file that is no image
MAX_ALL_RATIO = 50  # unpacked over packed, of all files together above ALL_RATIO_FROM
ALL_RATIO_FROM = 64 * 2**20
MAX_RATIO = 200  # unpacked over packed, of a file above RATIO_FROM
RATIO_FROM = 2**20
IMAGES = "images/"
METADATA = "metadata/"
_IMAGE = re.compile(r"images/([0-9a-f]{64})(?:\.[a-z]{3,4})?")


def image_name(ref: ImageRef, end: str = "") -> str:
    """Where an image lies in a bundle: under its digest, so that equal images are there once.

    end: of the file's name, by its content; bundles of isr 0.1.0 have none.
    """
    return f"{IMAGES}{ref.sha256.partition(':')[2]}{end}"


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


def is_bundle(path: Path) -> bool:
    """Whether a file is a zip with a bundle's own list in it, whatever it is called; it need not be a sound one."""
    try:
        state = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and _has_list(path, state.st_size, state.st_mtime_ns, state.st_ino)


@lru_cache(maxsize=256)
def _has_list(path: Path, *state: int) -> bool:
    try:
        if first_bytes(path, 4) != b"PK\3\4":
            return False
        with zipfile.ZipFile(path) as archive:
            return MANIFEST in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, Unreadable):
        return False


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

    @cached_property
    def images(self) -> dict[str, str]:
        """Digest of an image -> where it lies in here; the first by name where one lies there twice."""
        found: dict[str, str] = {}
        for name in self.names:
            if match := _IMAGE.fullmatch(name):
                found.setdefault(f"sha256:{match[1]}", name)
        return found

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The bundle's own list. Raises ``InputError`` unless it lists files with digests and the columns of groups."""
        found = self.json(MANIFEST)
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            problem = Problem(
                str(self.path), MANIFEST, f"a bundle of version {SCHEMA}", "another", "make it again"
            )
            raise InputError("a bundle cannot be read", [problem])
        files, by = found.get("files"), found.get("by")
        listed = isinstance(files, dict) and all(isinstance(d, str) for d in files.values())
        columns = isinstance(by, list) and all(isinstance(c, str) for c in by)
        for name, good in (("files", listed), ("by", columns)):
            if not good:
                where = f"{MANIFEST}: {name}"
                problem = Problem(str(self.path), where, "a list of texts", "none", "make it again")
                raise InputError("a bundle cannot be read", [problem])
        return found

    def listed(self, name: str) -> bytes:
        """The bytes of a file that are those of the bundle's own list. Raises ``InputError`` for others, or none."""
        data = self.read(name)
        if sha256_bytes(data) != self.manifest["files"].get(name):
            fix = f"isr verify {self.path} names all that was changed; fetch the bundle again"
            problem = Problem(str(self.path), name, "the bytes of the bundle's own list", "others", fix)
            raise InputError("a bundle cannot be read", [problem])
        return data

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
