"""The one place in which a path that is a bundle becomes a run, and its pictures an edit directory.

A bundle is known by its content. What is in it is unpacked into a folder of the system's own for temporary files, under
names that were checked, and is removed when the outermost ``released`` ends, at the latest with the process.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ContextDecorator, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from isr.canonical import sha256_bytes
from isr.edits.metadata import NAMES
from isr.edits.refusals import FILE as REFUSALS
from isr.errors import InputError, IsrError, Problem, UsageError
from isr.files import naming, temporary_folder
from isr.judging.rubrics import FOLDER as RUBRICS
from isr.judging.rubrics import builtin_names, is_path, load_pair
from isr.judging.store import Store
from isr.scoring.bundle_file import ANSWERS, EDITS, METADATA, ROLES, Bundle, edit_of, is_bundle
from isr.scoring.own_numbers import require_own_numbers
from isr.signature import Signature
from isr.types import ImageRef

log = logging.getLogger("isr")
END = ".zip"
NO_IMAGES = "this bundle holds no images; give their folder with --data EDIT_DIR"
_RUN = ("result.json", "edits.csv", "run.json", "metrics.csv", "metrics.json")
_LABELS = ("labels.csv", "labels-controls.csv")  # as isr label calls them; read where they lie beside a run
_SETTINGS = "isr.toml"
_STORE = "isr.db"
_SHOWN = 3  # images that are missing, by name
_LONGEST = 1000  # characters of a path of a bundle's edits
_lock = threading.RLock()


@dataclass(kw_only=True)
class _Unpacked:
    """A bundle in a temporary folder. ``images``: how many were unpacked, ``None`` before they were asked for.

    ``missing``: the paths of those that the bundle does not hold, where it holds some.
    """

    path: Path
    folder: tempfile.TemporaryDirectory[str]
    images: int | None = None
    missing: tuple[str, ...] = ()

    def lacks(self) -> str:
        """How many images are missing, with examples."""
        more = ", ..." if len(self.missing) > _SHOWN else ""
        of = (self.images or 0) + len(self.missing)
        return f"{len(self.missing)} of {of} images are not in it: {', '.join(self.missing[:_SHOWN])}{more}"

    @property
    def edits(self) -> Path:
        name = self.path.name.removesuffix(END)
        return Path(self.folder.name) / (name if name.strip(". ") else "bundle")

    @property
    def home(self) -> Path:
        return self.edits.with_name(f"{self.edits.name}.isr")


@dataclass
class _All:
    """Every bundle that is unpacked, by what tells its file; ``scopes`` that want them still."""

    found: dict[tuple[object, ...], _Unpacked] = field(default_factory=dict)
    scopes: int = 0


_all = _All()


def remove() -> None:
    """Removes every bundle that is unpacked."""
    with _lock:
        for one in _all.found.values():
            one.folder.cleanup()
        _all.found.clear()


class released(ContextDecorator):  # noqa: N801 - used as ``with released():`` and ``@released()``
    """While it lasts, unpacked bundles stay; when the outermost ends, they are removed, whatever happened.

    keep: what is unpacked is left to whoever began before, or to the end of the process.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep

    def __enter__(self) -> None:
        with _lock:
            _all.scopes += 1

    def __exit__(self, *error: object) -> None:
        with _lock:
            _all.scopes -= 1
            if not _all.scopes and not self._keep:
                remove()


def run_in(path: Path) -> Path:
    """The folder of the run in a bundle; any other path as it is.

    Raises ``InputError`` for a hostile bundle, or one whose files are not those of its own list.
    """
    return _unpacked(path).home if is_bundle(path) else path


def edits_in(path: Path) -> Path:
    """The edit directory in a bundle with its images; any other path as it is.

    Raises ``UsageError`` where the bundle holds no images, ``InputError`` for a hostile bundle, for one whose files are not
    those of its own list, for one with a part of its images, and for a file that is no bundle.
    """
    if path.is_file() and not is_bundle(path):
        fix = "give the folder with the images and their metadata, or a bundle with images"
        problem = Problem(str(path), "", "an edit directory, or a bundle", "another file", fix)
        raise InputError("an edit directory cannot be read", [problem])
    root = table_in(path)
    if not _filled(root) and root != path:
        raise UsageError(
            f"{path}: expected a bundle with images; found none in it; give the edit directory itself, or make one with "
            f"isr unbundle {path} DIR --data IMAGES"
        )
    one = next((one for one in _all.found.values() if one.edits == root), None)
    if one is not None and one.missing:
        fix = f"fetch the bundle again, or add those: isr unbundle {path} DIR --data IMAGES"
        problem = Problem(str(path), "images", "all images of its edits", one.lacks(), fix)
        raise InputError("a bundle cannot be read", [problem])
    return root


def table_in(path: Path) -> Path:
    """As ``edits_in``, but without images, until ``fill`` is asked for them."""
    return _unpacked(path).edits if is_bundle(path) else path


def fill(root: Path | None) -> bool:
    """Unpacks the images of an edit directory that is in a bundle, if there are any. Whether ``root`` is one with images.

    That some of them are missing is said in the log.
    """
    one = next((one for one in _all.found.values() if one.edits == root), None)
    fresh, found = one is not None and one.images is None, _filled(root)
    if fresh and one is not None and one.missing:
        log.warning("%s: %s", one.path, one.lacks())
    return found


def _filled(root: Path | None) -> bool:
    with _lock:
        one = next((one for one in _all.found.values() if one.edits == root), None)
        if one is None:
            return False
        if one.images is None:
            with Bundle(one.path) as bundle:
                one.images = unpack_images(bundle, one.edits)
                refs = image_paths(bundle) if one.images else []
                one.missing = tuple(ref.path for ref in refs if ref.sha256 not in bundle.images)
            if one.images:
                log.info("%s: %s images are read from it", one.path, one.images)
        return bool(one.images)


def fill_answers(folder: Path) -> None:
    """Writes the answers of a bundle into a store in the folder of its run, where they lie in any other run's.

    Raises ``InputError`` with every answer whose digests do not hold.
    """
    with _lock:
        one = next((one for one in _all.found.values() if one.home == folder), None)
        if one is None or (store := folder / _STORE).exists():
            return
        with Bundle(one.path) as bundle:
            bundle.listed(ANSWERS)
            try:
                with Store(store) as opened:
                    opened.import_rows((f"{one.path}: {where}", row) for where, row in bundle.lines(ANSWERS))
            except BaseException:
                store.unlink(missing_ok=True)
                raise


class in_its_name(ContextDecorator):  # noqa: N801 - used as ``@in_its_name()``
    """While it lasts, an ``InputError`` names a bundle and the file in it, and never where they were unpacked."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, InputError):
            return
        texts = [error.summary, *(text for p in error.problems for text in (p.where, p.found))]
        named = [_in_its_name(text) for text in texts]
        if named != texts:
            pairs = zip(error.problems, named[1::2], named[2::2], strict=True)
            problems = [replace(p, where=where, found=found) for p, where, found in pairs]
            raise type(error)(named[0], problems) from error


def _in_its_name(text: str) -> str:
    for one in list(_all.found.values()):
        for folder in (one.home, one.edits):
            text = text.replace(f"{folder}{os.sep}", f"{one.path}: ").replace(str(folder), str(one.path))
    return text


def is_bare(root: Path | None) -> bool:
    """Whether an edit directory is in a bundle that holds no images."""
    return bundle_of(root) is not None and not fill(root)


def bundle_of(folder: Path | None) -> Path | None:
    """The bundle from which a run's folder or an edit directory was unpacked; ``None`` of any other."""
    return next((one.path for one in _all.found.values() if folder in (one.home, one.edits)), None)


def origin(folder: Path) -> Path:
    """The bundle from which a run's folder was unpacked; of any other, itself."""
    return bundle_of(folder) or folder


def beside(path: Path, end: str) -> Path:
    """A lasting place beside a bundle: its own name without ``.zip``, with ``end``."""
    return path.with_name(f"{path.name.removesuffix(END)}{end}")


def _unpacked(path: Path) -> _Unpacked:
    state = path.stat()
    key = (os.path.realpath(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    with _lock:
        if key not in _all.found:
            one = _Unpacked(path=Path(os.path.normpath(path)), folder=temporary_folder("isr-bundle-"))
            try:
                with Bundle(path) as bundle:
                    require_own_numbers(bundle)
                    unpack_run(bundle, one.home)
                    unpack_table(bundle, one.edits)
            except BaseException:
                one.folder.cleanup()
                raise
            log.warning("%s: read as its author wrote it; isr verify %s checks it", path, path)
            _all.found[key] = one
        return _all.found[key]


# --------------------------------------------------------------------------- into folders


def unpack_run(bundle: Bundle, folder: Path) -> None:
    """Writes the run of a bundle into ``folder``: result, table, record, metrics, labels, rubrics, qualifications.

    Raises ``InputError`` where a file is not that of the bundle's own list.
    """
    own = {f"{RUBRICS}/{name}.toml" for name in builtin_names()}
    for name in bundle.names:
        where, _, last = name.rpartition("/")
        if name in _RUN or (where == "labels" and last in _LABELS):
            put(folder / last, bundle.listed(name))
        elif where == "labels":
            put(folder / "labels" / last, bundle.listed(name))
        elif name.startswith(f"{RUBRICS}/") and name not in own:
            put(folder / name, bundle.listed(name))
        elif where == "qualify" and last.endswith(".json"):
            put(folder / where / last.removesuffix(".json") / "qualification.json", bundle.listed(name))


def unpack_table(bundle: Bundle, root: Path) -> None:
    """Writes what is no image of the edit directory of a bundle: metadata, refusals, settings."""
    found = [name for name in bundle.names if name in {METADATA + n for n in NAMES}]
    if len(found) != 1:
        told = ", ".join(found) or "none"
        problem = Problem(str(bundle.path), METADATA, f"one of {', '.join(NAMES)}", told, "make it again")
        raise InputError("a bundle cannot be read", [problem])
    put(root / found[0].removeprefix(METADATA), bundle.listed(found[0]))
    if REFUSALS in bundle.names:
        put(root / REFUSALS, bundle.listed(REFUSALS))
    put(root / _SETTINGS, _settings(bundle.manifest).encode())


def unpack_images(bundle: Bundle, root: Path) -> int:
    """Writes every image of a bundle that is there under the path that the metadata give it; returns their number.

    Raises ``InputError`` as ``image_paths`` does, and for other bytes than those that were judged.
    """
    count = 0
    for ref in image_paths(bundle):
        if (name := bundle.images.get(ref.sha256)) is None:
            continue
        data = bundle.read(name)
        if sha256_bytes(data) != ref.sha256:
            fix = f"isr verify {bundle.path} names all that was changed; fetch the bundle again"
            problem = Problem(str(bundle.path), name, "the image that was judged", "other bytes", fix)
            raise InputError("a bundle cannot be read", [problem])
        put(root / ref.path, data)
        count += 1
    return count


def image_paths(bundle: Bundle) -> list[ImageRef]:
    """Every image of a bundle's edits, each under a path at which it may be written below a folder.

    Raises ``InputError`` with every path that leaves the directory, or meets another.
    """
    bundle.listed(EDITS)
    try:
        edits = [edit_of(fields) for _, fields in bundle.lines(EDITS)]
        every = {ref for e in edits for role in ROLES if (ref := getattr(e, role)) is not None}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = Problem(
            str(bundle.path), EDITS, "the edits of a bundle", repr(error)[:120], "make it again"
        )
        raise InputError("a bundle cannot be read", [problem]) from error
    problems = []
    taken: dict[str, str] = {}
    refs = sorted(every, key=lambda ref: (ref.path, ref.sha256))
    for ref in refs:
        if why := _unsafe(ref, taken):
            where = f"{EDITS}: {ref.path[:200]!r}"
            fix = "do not trust this file"
            problems.append(Problem(str(bundle.path), where, "a path of its own", why, fix))
    if problems:
        raise InputError(f"{bundle.path}: refused, {len(problems)} problem(s)", problems[:50])
    return refs


def _unsafe(ref: ImageRef, taken: dict[str, str]) -> str:
    """Why no file is written under a path of the metadata; ``""`` where nothing is wrong with it.

    taken: digests of the files under the paths that were looked at before, ``""`` of the folders that they lie in.
    """
    path = ref.path
    parts = [p for p in path.replace("\\", "/").split("/") if p not in ("", ".")]
    if not parts or len(path) > _LONGEST or not path.isprintable():
        return "no name, a long one, or one with signs that cannot be printed"
    if path.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or (os.name == "nt" and ":" in path):
        return "one that leaves the directory"
    if len(parts) == 1 and parts[0].casefold() in (*NAMES, REFUSALS, _SETTINGS):
        return "the place of another file of the directory"
    same = sys.platform in ("win32", "darwin")  # file systems to which capitals are nothing
    names = [p.casefold() if same else p for p in parts]
    own, above = "/".join(names), ["/".join(names[:i]) for i in range(1, len(names))]
    if taken.get(own, ref.sha256) != ref.sha256 or any(taken.get(folder) for folder in above):
        return "the place of another image"
    taken[own] = ref.sha256
    taken.update(dict.fromkeys(above, ""))
    return ""


def _settings(manifest: Mapping[str, object]) -> str:
    """``isr.toml`` by which the directory is scored as the bundle's run was: published rubrics, groups, level."""
    lines = []
    named = manifest.get("rubrics")
    names = [str(n) for n in named.values()] if isinstance(named, dict) else []
    with suppress(IsrError):  # a rubric of one's own is named on the command line
        if not any(map(is_path, names)):
            load_pair(tuple(names))
            lines.append(f"rubrics = {json.dumps(names, ensure_ascii=False)}")
    if by := manifest["by"]:
        lines.append(f"by = {json.dumps(by, ensure_ascii=False)}")
    with suppress(ValueError, IsrError):
        level = float(Signature.parse(str(manifest.get("signature"))).get("level", ""))
        lines += [f"level = {level!r}"] if 0.5 <= level < 1 else []
    return "\n".join(lines) + "\n"


def put(file: Path, data: bytes) -> None:
    """Writes one file of a folder that nobody reads before it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with naming(file):
        file.write_bytes(data)
