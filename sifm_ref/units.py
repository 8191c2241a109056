"""What there is to edit: protected images matched with prompts, by the names of their photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes, sha256_json
from isr.errors import InputError, Problem, UsageError
from isr.reading import read_bytes
from sifm_ref.pictures import slug
from sifm_ref.records import missing, other_than_made, read_rows, without_digests
from sifm_ref.registry import Purifier

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
        "edit_device",
        "prompt_truncated",
        "prompt",
        "editor_prompt",
    }
)  # columns that a run writes itself


@dataclass(frozen=True, slots=True)
class Prompt:
    """An edit instruction for the image ``name`` (its id, or the stem of its file; ``*``: for every image).

    ``given``: what the editor reads in its place (``""``: itself), as one that makes images of captions needs.
    """

    name: str
    text: str
    prompt_id: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    given: str = ""

    @property
    def read(self) -> str:
        """What the editor reads."""
        return self.given or self.text

    @property
    def id(self) -> str:
        return self.prompt_id or f"tx-{sha256_bytes(self.text.encode())[7:23]}"


@dataclass(frozen=True, kw_only=True)
class Unit:
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
        exactly += [self.prompt.given] if self.prompt.given else []
        readable = slug(self.image_id, self.prompt.id, f"s{self.seed}", purified)
        return f"{readable}_{sha256_json(exactly)[7:13]}"


SEEDS = range(2**64)
"""What a generator of torch takes that is not below zero."""


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises ``UsageError`` for seeds that no generator takes."""
    if wrong := [s for s in seeds if s not in SEEDS]:
        raise UsageError(
            f"seeds: expected whole numbers from 0 to 2^64 - 1; found {', '.join(map(str, wrong))}"
        )


def key_of(unit: Unit, before: Mapping[str, Any]) -> str:
    """The name of the edit of a treatment, which is no other edit's."""
    treatment = treatment_of(before)
    name = slug(unit.name, *treatment[:2])
    return f"{name}_{sha256_json(treatment)[7:13]}"


def treatment_of(before: Mapping[str, Any]) -> tuple[str, ...]:
    """What was done to the picture of a row before it is edited."""
    return tuple(str(before.get(k, "")) for k in TREATMENT)


@dataclass
class _Images:
    """What the directories hold, by image id, and what is wrong with it."""

    treated: dict[str, list[tuple[Path, Mapping[str, Any]]]] = field(default_factory=dict)
    sources: dict[str, tuple[Path, str]] = field(default_factory=dict)
    masks: dict[str, tuple[Path, str]] = field(default_factory=dict)
    stems: dict[str, set[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, root: Path, row: Mapping[str, Any]) -> None:
        name, source = str(row["image_id"]), root / row["source_file_name"]
        digest = sha256_bytes(read_bytes(source))
        if self.sources.setdefault(name, (source, digest))[1] != digest:
            self.problems.append(
                Problem(str(source), "image_id", "the source of that name once", "another", "rename one")
            )
        self._add_treated(name, root / row["file_name"], row)
        self.stems.setdefault(name, set()).update({name, Path(str(row.get("original_file", name))).stem})
        if row.get("mask_file_name"):
            mask = root / row["mask_file_name"]
            drawn = sha256_bytes(read_bytes(mask))
            if self.masks.setdefault(name, (mask, drawn))[1] != drawn:
                self.problems.append(
                    Problem(
                        str(mask), "mask_file_name", "one mask for each image", "another", "edit them apart"
                    )
                )

    def origin(self, name: str) -> dict[str, str]:
        """Digests of an image's source and mask, which the names of edits do not tell apart."""
        return {
            "source_sha256": self.sources[name][1],
            "mask_sha256": self.masks[name][1] if name in self.masks else "",
        }

    def _add_treated(self, name: str, path: Path, row: Mapping[str, Any]) -> None:
        treated = self.treated.setdefault(name, [])
        for other, before in treated:
            if treatment_of(before) == treatment_of(row):
                self.problems.append(
                    Problem(
                        str(path),
                        "image_id",
                        f"{name} once with {', '.join(TREATMENT)} = {', '.join(treatment_of(row))}",
                        f"it in {other} too",
                        "edit the directories into two folders",
                    )
                )
        treated.append((path, row))


def units_of(
    directories: Sequence[Path],
    prompts: Sequence[Prompt],
    *,
    seeds: Sequence[int] = (0,),
    purifiers: Sequence[Purifier | None] = (None,),
    partial: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> list[Unit]:
    """Every unit of the directories of ``isr immunize`` with its prompts, seeds and purifiers, in order of name.

    ``partial``: also directories in which images are missing. Raises ``InputError`` with every prompt and image that
    did not find its other half, every image that a directory lacks, and every file that is not the one that was made.
    """
    check_columns(prompts)
    check_seeds(seeds)
    images, lacking = _Images(), list[Problem]()
    held: dict[Path, set[str]] = {}
    for root in directories:
        rows = read_rows(root, made_by="immunize")
        images.problems += other_than_made(root, rows, "immunize")
        if unknown := without_digests(rows, "immunize"):
            on_note(
                f"{root}: {unknown} of {len(rows)} rows keep no digests of their files, as an earlier version wrote "
                "them: whether these are the pictures that were measured is not known"
            )
        for row in rows:
            images.add(root, row)
        held[root] = {str(row["image_id"]) for row in rows}
        lacking += missing(root, rows, made_by="immunize")
    check_columns(prompts, {k for some in images.treated.values() for _, row in some for k in row})
    wanted, problems = _wanted(prompts, images.stems)
    if not partial:
        images.problems += lacking or _unequal(held)
    problems = [*images.problems, *problems]
    if problems:
        raise InputError("prompts and images: nothing was edited", problems)
    units = [
        Unit(
            image_id=name,
            source=images.sources[name][0],
            mask=images.masks[name][0] if name in images.masks else None,
            prompt=prompt,
            seed=seed,
            purifier=purifier,
            treated=tuple(treated),
            origin=images.origin(name),
        )
        for name, treated in sorted(images.treated.items())
        for prompt in wanted[name]
        for seed in seeds
        for purifier in purifiers
    ]
    keys = [key_of(unit, before) for unit in units for _, before in unit.treated]
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
    wanted: dict[str, list[Prompt]] = {}
    problems = []
    for name, some in meant_for(prompts, stems):
        by_id: dict[str, Prompt] = {}
        for prompt in some:
            first = by_id.setdefault(prompt.id, prompt)
            if (first.text, first.given, first.columns) != (prompt.text, prompt.given, prompt.columns):
                problems.append(_clash(name, first, prompt))
        wanted[name] = list(by_id.values())
    return wanted, [*unmatched(prompts, stems), *problems]


def meant_for(prompts: Sequence[Prompt], stems: Mapping[str, set[str]]) -> Iterator[tuple[str, list[Prompt]]]:
    """Each image id with its prompts in their order: those of one of its names (``stems``) and those for all."""
    places: dict[str, list[int]] = {}
    for place, prompt in enumerate(prompts):
        places.setdefault(prompt.name, []).append(place)
    for image_id, own in stems.items():
        yield image_id, [prompts[i] for i in sorted(i for n in {*own, "*"} for i in places.get(n, ()))]


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
    """For each image id (with its file's stem) the one prompt that is meant for it, its own before ``*``.

    A method sees one text for each image. Raises ``InputError`` that lists images without a prompt, prompts without an image, and
    images with several texts: the first of them would be nobody's choice.
    """
    problems = unmatched(prompts, {image_id: {image_id, stem} for image_id, stem in names.items()})
    texts: dict[str, dict[str, None]] = {}
    for prompt in prompts:
        texts.setdefault(prompt.name, {})[prompt.text] = None
    found = {}
    for image_id, stem in names.items():
        own = [text for name in dict.fromkeys((image_id, stem)) for text in texts.get(name, {})]
        found[image_id] = list(dict.fromkeys(own or texts.get("*", {})))
    if several := {image_id: some for image_id, some in found.items() if len(some) > 1}:
        image_id, some = next(iter(several.items()))
        problems.append(
            Problem(
                "--prompts",
                "prompt",
                "one text for each image, which the method sees",
                f"several for {len(several)} of {len(names)} images, e.g. {image_id}: {', '.join(map(repr, some[:3]))}",
                "say which, e.g. --where prompt_id=ID or --where split=seen, or give a table with one row for each image",
            )
        )
    if problems:
        raise InputError("prompts and images: nothing was immunized", problems)
    return {image_id: some[0] for image_id, some in found.items()}
