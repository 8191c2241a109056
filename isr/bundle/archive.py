"""Bundles: one zip with everything that a reviewer needs to recompute a run's numbers without a network.

A bundle has the same bytes whenever the run is the same. Nothing in it is ever unpacked under a name of its own.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from isr.bundle.gather import Contents
from isr.canonical import sha256_bytes
from isr.edits.metadata import metadata_file
from isr.edits.refusals import FILE as REFUSALS
from isr.errors import StoreError, UsageError
from isr.files import commit, naming, partial_name
from isr.image_file import file_end
from isr.judging.cards import Card
from isr.judging.plan import Plan, arms_of
from isr.judging.store import Store
from isr.reading import MAX_TABLE, read_bytes
from isr.scoring.bundle_file import (
    ANSWERS,
    EDITS,
    IMAGES,
    MANIFEST,
    MAX_TEXT,
    SCHEMA,
    edit_fields,
    image_name,
    image_refs,
)
from isr.scoring.metrics_csv import METRICS, SUMMARY, read_metrics
from isr.scoring.places import RESULT, TABLE, home_of
from isr.types import ImageRef
from isr.version import __version__

Page = Callable[[Mapping[str, str]], str]
_PLACES = ("directory", "calibrations", "store", "qualifications")  # options that name places on one machine
_DATE = (1980, 1, 1, 0, 0, 0)

_README = """A bundle of the isr toolkit: what a reviewer needs to recompute every number of one run offline.

    pip install isr-eval
    isr verify {name}                                recomputes every number and prints the table
    isr report {name}                                a page with all pictures, made from what is in here
    isr score {name} --judge JUDGE                   your own judge's ISR beside the author's; needs the images
    isr verify {name} --rejudge 50 --judge JUDGE     the same of a sample
    isr unbundle {name} DIR                          an edit directory, with the run and every answer

Every command that takes a run takes this file. JUDGE is a name of `isr judges`, or a card of your own.

bundle.json    settings, judges, the SHA-256 of every file here
report.html    the author's page; unzip all of this to see its pictures, where images are included
result.json    the result as it was reported
edits.csv      every edit with its verdicts      metrics.csv    conventional metrics, if they were measured
edits.jsonl    every edit with the SHA-256 of its images
refusals.jsonl edits that an editor refused to make, where there are some
answers.jsonl  every answer of the judges as it was received, with the request that it answers
rubrics/       the judging prompts in full          cards/      the judges' cards
metadata/      the edit directory's own table       labels/     labels of people, if any
images/        the images by their SHA-256, if they were included; edits.jsonl says which is which
"""


# --------------------------------------------------------------------------- writing


def write_bundle(
    contents: Contents,
    store_path: Path,
    out: Path,
    *,
    images: bool = False,
    labels: Sequence[Path] = (),
    page: Page | None = None,
) -> dict[str, str]:
    """Writes the zip, whole or not at all. Returns the SHA-256 of every file in it.

    page: what makes the report, if it can be made, of where each image lies in the zip, by its path in the metadata.
    """
    partial = partial_name(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    digests: dict[str, str] = {}
    try:
        with naming(out), zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, data in _files(contents, store_path, out.name, images, labels, page):
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
    if len(data) > MAX_TEXT and not name.startswith(IMAGES):
        raise UsageError(
            f"{name}: expected at most {MAX_TEXT // 2**20} MiB, as isr verify reads it; found {len(data):,} bytes; "
            "score the edits in several runs"
        )
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = 0o644 << 16
    info.compress_type = zipfile.ZIP_STORED if name.startswith(IMAGES) else zipfile.ZIP_DEFLATED
    archive.writestr(info, data)


def _text(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(
        "utf-8", "replace"
    )


def _files(
    contents: Contents, store_path: Path, name: str, images: bool, labels: Sequence[Path], page: Page | None
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
        EDITS,
        "".join(
            json.dumps(edit_fields(e), ensure_ascii=False) + "\n" for e in contents.directory.edits
        ).encode(),
    )
    if refusals := contents.directory.refusals:
        yield REFUSALS, "".join(json.dumps(r.as_dict(), ensure_ascii=False) + "\n" for r in refusals).encode()
    until = run.result.until  # where the rule is met, answers to later images count in nothing
    counted = replace(plan, edits=plan.edits[: run.result.data["edits"]]) if until and until["met"] else plan
    yield ANSWERS, b"".join(_answers(counted, store_path))  # not those to images after a stop
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
    links: dict[str, str] = {}
    if images:
        ends: dict[str, str] = {}
        refs = image_refs(contents.directory.edits)
        for ref in {r.sha256: r for r in refs}.values():
            data = _image(plan.root, ref)
            ends[ref.sha256] = file_end(data)
            yield image_name(ref, ends[ref.sha256]), data
        links = {r.path: image_name(r, ends[r.sha256]) for r in refs}
    if text := page(links) if page is not None else "":
        yield "report.html", text.encode("utf-8", "replace")


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
