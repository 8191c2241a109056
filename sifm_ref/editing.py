"""Edits protected images and their sources alike: an edit directory that ``isr score`` takes as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from isr.canonical import canonical_json, sha256_bytes, sha256_json
from isr.errors import InputError, Problem
from sifm_ref.finite import NotFiniteError, finite, remedy
from sifm_ref.pictures import central_mask, read_rgb, slug, write_png, write_whole
from sifm_ref.records import FOLDER, Records, missing, read_rows, versions
from sifm_ref.registry import Purifier

if TYPE_CHECKING:
    from sifm_ref.editor import Editor

TREATMENT = ("method", "config", "eps", "surrogate")
OWN = frozenset(
    {
        *TREATMENT,
        "image_id",
        "editor",
        "seed",
        "purifier",
        "edit_id",
        "editor_checkpoint",
        "surrogate_checkpoint",
        "editor_settings",
        "edit_versions",
        "prompt",
    }
)  # columns that a run writes itself


@dataclass(frozen=True, slots=True)
class Prompt:
    """An edit instruction for the image ``name`` (its id, or the stem of its file; ``*``: for every image)."""

    name: str
    text: str
    prompt_id: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.prompt_id or f"tx-{sha256_bytes(self.text.encode())[7:23]}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to edit: directories of ``isr immunize``, with every prompt, seed and purifier (``None``: as it is).

    ``partial``: also directories in which images are missing. ``growing``: directories, prompts, seeds and purifiers
    may be others than those with which the run began; what is there no longer is left out of the metadata.
    """

    directories: tuple[Path, ...]
    out: Path
    prompts: tuple[Prompt, ...]
    seeds: tuple[int, ...] = (0,)
    purifiers: tuple[Purifier | None, ...] = (None,)
    shard: tuple[int, int] = (0, 1)
    resume: bool = False
    partial: bool = False
    growing: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """One edit: its row, its number among this process's, and how long it took (its control edit included)."""

    row: Mapping[str, Any]
    number: int
    total: int
    seconds: float
    fresh: bool = True


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """One edit's unit with all treatments of it; the control edit is made once."""

    image_id: str
    source: Path
    mask: Path | None
    prompt: Prompt
    seed: int
    purifier: Purifier | None
    treated: tuple[tuple[Path, Mapping[str, Any]], ...]
    origin: Mapping[str, str]  # digests of source and mask

    @property
    def name(self) -> str:
        """Of its files: readable, and by its digest no other unit's."""
        purified = self.purifier.text if self.purifier else ""
        exactly = [self.image_id, self.prompt.id, self.prompt.text, self.seed, purified]
        readable = slug(self.image_id, self.prompt.id, f"s{self.seed}", purified)
        return f"{readable}_{sha256_json(exactly)[7:13]}"


def edit(job: Job, editor: Editor, *, on_edit: Callable[[Done], None] = lambda done: None) -> int:
    """The number of edits in ``job.out`` after the run; those that were there before are left as they are.

    Writes ``edits/``, ``controls/``, ``sources/``, ``protected/``, ``edit.json`` and, once all edits of all shards are
    there, ``metadata.jsonl``. An edit and its control edit have the same prompt, seed and purifier. Raises
    ``InputError`` with every prompt and image that did not find its other half, every image that a directory lacks,
    and where directories hold different sources under one name.
    """
    units = _units(job)
    keys = [_key(unit, before) for unit in units for _, before in unit.treated]
    growing = ("directories", "prompts", "seeds", "purifiers") if job.growing else ()
    records = Records(job.out, "edit", _what(job, editor), keys, resume=job.resume, growing=growing)
    mine = units[job.shard[0] :: job.shard[1]]
    total, number = sum(len(u.treated) for u in mine), 0
    try:
        for unit in mine:
            for path, before in unit.treated:
                number += 1
                key = _key(unit, before)
                origins = _origins(unit, path)
                if records.has(key, **origins):
                    on_edit(Done({"edit_id": key}, number, total, 0.0, fresh=False))
                    continue
                began = time.perf_counter()
                records.drop(key)
                row = {**_edit_one(unit, path, before, key, job, editor), **origins}
                records.add(key, row)
                on_edit(Done(row, number, total, time.perf_counter() - began))
    finally:
        there = records.finish(whole=True)
    return there


def _key(unit: _Unit, before: Mapping[str, Any]) -> str:
    treatment = _treatment(before)
    name = slug(unit.name, *treatment[:2])
    return f"{name}_{sha256_json(treatment)[7:13]}"


def _treatment(before: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(before.get(k, "")) for k in TREATMENT)


def _edit_one(
    unit: _Unit, path: Path, before: Mapping[str, Any], key: str, job: Job, editor: Editor
) -> dict[str, Any]:
    out = job.out
    source, protected = (
        out / "sources" / f"{unit.image_id}.png",
        out / "protected" / f"{_protected(before)}.png",
    )
    for target, origin in ((source, unit.source), (protected, path)):
        _copy(origin, target)
    mask = read_rgb(unit.mask).convert("L") if unit.mask else None
    if mask is None and editor.masked:
        mask = central_mask(read_rgb(unit.source).size)
    control = _control(unit, out, mask, editor)
    write_png(out / "edits" / f"{key}.png", _edited(unit, path, mask, editor))
    row = {
        "file_name": f"edits/{key}.png",
        "prompt": unit.prompt.text,
        "source_file_name": source.relative_to(out).as_posix(),
        "control_file_name": control.relative_to(out).as_posix(),
        "protected_file_name": protected.relative_to(out).as_posix(),
        "image_id": unit.image_id,
        "prompt_id": unit.prompt.id,
        "editor": editor.name,
        "seed": unit.seed,
        "purifier": unit.purifier.text if unit.purifier else "",
        "edit_id": key,
    }
    kept = {k: v for k, v in before.items() if k not in row and k != "mask_file_name"}
    return {
        **row,
        **kept,
        **unit.prompt.columns,
        "editor_checkpoint": editor.checkpoint,
        "editor_settings": canonical_json(dict(editor.settings)).decode(),
        "edit_versions": " ".join(f"{k}={v}" for k, v in versions().items() if v),
    }


def _protected(before: Mapping[str, Any]) -> str:
    exactly = (str(before["image_id"]), *_treatment(before))
    return f"{slug(*exactly[:2])}_{sha256_json(exactly)[7:13]}"


def _origins(unit: _Unit, path: Path) -> dict[str, str]:
    """Digests of the files that an edit is made from: other pictures under their names are another edit."""
    return {**unit.origin, "protected_sha256": sha256_bytes(path.read_bytes())}


def _copy(origin: Path, target: Path) -> None:
    """The origin's bytes, unless they are there."""
    data = origin.read_bytes()
    if not (target.is_file() and target.read_bytes() == data):
        write_whole(target, data)


def _control(unit: _Unit, out: Path, mask: Image.Image | None, editor: Editor) -> Path:
    """The edit of the source, made if it is not there or was made of another source or mask."""
    control = out / "controls" / f"{unit.name}.png"
    made_of = out / FOLDER / "controls" / f"{unit.name}.json"
    expected = canonical_json(unit.origin)
    if not (control.is_file() and made_of.is_file() and made_of.read_bytes() == expected):
        write_png(control, _edited(unit, unit.source, mask, editor))
        write_whole(made_of, expected)
    return control


def _edited(unit: _Unit, path: Path, mask: Image.Image | None, editor: Editor) -> Image.Image:
    """The edit of a picture, purified first if the unit says so. Its size is the picture's.

    Raises ``InputError`` where it would be made of NaN or infinity: no such edit is kept.
    """
    image = read_rgb(path)
    try:
        with finite(editor):
            if unit.purifier is not None:
                purified = unit.purifier(image, seed=unit.seed, editor=editor).convert("RGB")
                image = purified if purified.size == image.size else purified.resize(image.size)
            made = editor.edit(image, unit.prompt.text, unit.seed, mask).convert("RGB")
    except NotFiniteError as error:
        raise _not_finite(error, unit, path, editor) from error
    return made if made.size == image.size else made.resize(image.size, Image.Resampling.LANCZOS)


def _not_finite(error: NotFiniteError, unit: _Unit, path: Path, editor: Editor) -> InputError:
    dtype = str(editor.identity.get("dtype", "fp32"))
    purified = f", purifier {unit.purifier.text}" if unit.purifier else ""
    by = f"prompt {unit.prompt.id} {unit.prompt.text[:80]!r}, seed {unit.seed}{purified}, dtype {dtype}"
    found = f"NaN or infinity, first in {error.stage} ({by})"
    problem = Problem(str(path), "", "an edit of finite values", found, remedy(dtype))
    return InputError(
        f"editor {editor.name}: an edit failed and was not kept; what was made before stays", [problem]
    )


def _what(job: Job, editor: Editor) -> dict[str, Any]:
    return {
        "directories": [d.resolve().name for d in job.directories],
        "prompts": [[p.name, p.text, p.id] for p in job.prompts],
        "seeds": list(job.seeds),
        "purifiers": [p.text if p else "" for p in job.purifiers],
        "editor_name": editor.name,
        "editor": editor.identity,
        "editor_settings": dict(editor.settings),
    }


@dataclass
class _Images:
    """What the directories hold, by image id, and what is wrong with it."""

    treated: dict[str, list[tuple[Path, Mapping[str, Any]]]] = field(default_factory=dict)
    sources: dict[str, tuple[Path, str]] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    stems: dict[str, set[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, root: Path, row: Mapping[str, Any]) -> None:
        name, source = str(row["image_id"]), root / row["source_file_name"]
        digest = sha256_bytes(source.read_bytes())
        if self.sources.setdefault(name, (source, digest))[1] != digest:
            self.problems.append(
                Problem(str(source), "image_id", "the source of that name once", "another", "rename one")
            )
        self._add_treated(name, root / row["file_name"], row)
        self.stems.setdefault(name, set()).update({name, Path(str(row.get("original_file", name))).stem})
        if row.get("mask_file_name"):
            self.masks[name] = root / row["mask_file_name"]

    def origin(self, name: str) -> dict[str, str]:
        mask = self.masks.get(name)
        digest = sha256_bytes(mask.read_bytes()) if mask else ""
        return {"source_sha256": self.sources[name][1], "mask_sha256": digest}

    def _add_treated(self, name: str, path: Path, row: Mapping[str, Any]) -> None:
        treated = self.treated.setdefault(name, [])
        for other, before in treated:
            if _treatment(before) == _treatment(row):
                self.problems.append(
                    Problem(
                        str(path),
                        "image_id",
                        f"{name} once with {', '.join(TREATMENT)} = {', '.join(_treatment(row))}",
                        f"it in {other} too",
                        "edit the directories into two folders",
                    )
                )
        treated.append((path, row))


def _units(job: Job) -> list[_Unit]:
    check_columns(job.prompts)
    images, lacking = _Images(), list[Problem]()
    held: dict[Path, set[str]] = {}
    for root in job.directories:
        rows = read_rows(root, made_by="immunize")
        for row in rows:
            images.add(root, row)
        held[root] = {str(row["image_id"]) for row in rows}
        lacking += missing(root, rows, made_by="immunize")
    check_columns(job.prompts, {k for some in images.treated.values() for _, row in some for k in row})
    wanted, problems = _wanted(job.prompts, images.stems)
    if not job.partial:
        images.problems += lacking or _unequal(held)
    problems = [*images.problems, *problems]
    if problems:
        raise InputError("prompts and images: nothing was edited", problems)
    units = [
        _Unit(
            image_id=name,
            source=images.sources[name][0],
            mask=images.masks.get(name),
            prompt=prompt,
            seed=seed,
            purifier=purifier,
            treated=tuple(treated),
            origin=images.origin(name),
        )
        for name, treated in sorted(images.treated.items())
        for prompt in wanted[name]
        for seed in job.seeds
        for purifier in job.purifiers
    ]
    keys = [_key(unit, before) for unit in units for _, before in unit.treated]
    assert len(set(keys)) == len(keys), "two edits of one name"
    return units


def _unequal(held: Mapping[Path, set[str]]) -> list[Problem]:
    """Images that one directory has and another lacks: their scores would be of different pictures."""
    every = set[str]().union(*held.values())
    return [
        Problem(str(root), "image_id", name, "nothing", "immunize the same folder; or edit with --partial")
        for root, names in held.items()
        for name in sorted(every - names)
    ]


def _wanted(
    prompts: Sequence[Prompt], stems: Mapping[str, set[str]]
) -> tuple[dict[str, list[Prompt]], list[Problem]]:
    """The prompts of each image, a repeated row once; and those that find no image, images that find none, clashes."""
    wanted: dict[str, list[Prompt]] = {n: [] for n in stems}
    problems = []
    for name, own in stems.items():
        by_id: dict[str, Prompt] = {}
        for prompt in prompts:
            if prompt.name != "*" and prompt.name not in own:
                continue
            first = by_id.setdefault(prompt.id, prompt)
            if (first.text, first.columns) != (prompt.text, prompt.columns):
                problems.append(_clash(name, first, prompt))
        wanted[name] = list(by_id.values())
    return wanted, [*unmatched(prompts, stems), *problems]


def check_columns(prompts: Sequence[Prompt], columns: Iterable[str] = ()) -> None:
    """Refuses prompts with a column that a run writes itself, or one of ``columns``; ``InputError`` lists all."""
    taken = OWN.union(columns)
    found: dict[str, list[str]] = {}
    for prompt in prompts:
        for name in prompt.columns:
            if (
                name in taken
                or name.startswith(("measured_", "loss_", "immunize_"))
                or name.endswith(("file_name", "_sha256"))
            ):
                found.setdefault(name, []).append(prompt.id)
    if found:
        raise InputError(
            f"prompts: {len(found)} column(s) that the edits have already; nothing was edited",
            [
                Problem(f"prompt {ids[0]}", n, "no such column", f"one with {len(ids)} value(s)", "rename it")
                for n, ids in sorted(found.items())
            ],
        )


def _clash(name: str, first: Prompt, second: Prompt) -> Problem:
    return Problem(
        f"prompt {first.id} for {name}",
        "prompt_id",
        "one text and one set of columns",
        f"{first.text!r} {dict(first.columns)} and {second.text!r} {dict(second.columns)}",
        "give them a prompt_id each, or drop one",
    )


def unmatched(prompts: Sequence[Prompt], stems: Mapping[str, set[str]]) -> list[Problem]:
    """Images without a prompt, and prompts without an image. ``stems``: the names that each image answers to."""
    named = {p.name for p in prompts}
    known = {s for some in stems.values() for s in some} | {"*"}
    return [
        Problem(n, "prompt", "a prompt for this image", "none", "add a row with its name, or with *")
        for n, own in stems.items()
        if not named & {*own, "*"}
    ] + [
        Problem(f"prompt for {n}", "name", "an image of that name", "none", "correct the name or drop it")
        for n in dict.fromkeys(p.name for p in prompts)
        if n not in known
    ]


def prompts_for(prompts: Sequence[Prompt], names: Mapping[str, str]) -> dict[str, str]:
    """For each image id (with its file's stem) the first prompt that is meant for it, its own before ``*``.

    Raises ``InputError`` that lists images without a prompt and prompts without an image.
    """
    problems = unmatched(prompts, {image_id: {image_id, stem} for image_id, stem in names.items()})
    if problems:
        raise InputError("prompts and images: nothing was immunized", problems)
    out = {}
    for image_id, stem in names.items():
        own = [p.text for p in prompts if p.name in (image_id, stem)]
        out[image_id] = (own or [p.text for p in prompts if p.name == "*"])[0]
    return out
