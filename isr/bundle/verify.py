"""Verifies a bundle: recomputes its result from the raw answers, checks its files and images, and can ask anew.

What a bundle cannot prove by itself is that the judge said what is recorded; a sample asked again speaks for that.
"""

from __future__ import annotations

import csv
import io
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isr.bundle.opened import Opened, Rejudged, Verification, file_state, open_bundle
from isr.canonical import sha256_bytes
from isr.errors import InputError
from isr.judging.judged import Judged, judged_edits
from isr.judging.progress import Progress
from isr.judging.store import Store
from isr.scoring.bundle_file import ANSWERS, IMAGES, MANIFEST, Bundle, image_refs
from isr.scoring.edits_csv import EditsTable
from isr.scoring.judge_words import Answered, answered_by, recorded
from isr.scoring.places import RECORD, TABLE
from isr.scoring.tally import Tally
from isr.scoring.until import stop_of
from isr.signature import Signature
from isr.types import Edit, Question
from isr.version import __version__

MEASURED = ("protected_linf", "protected_psnr")  # columns that need the images
SEEN = (
    "table",
    "remarks",
    "pictures",
)  # of result.json: compared by itself; of pictures, which need not be here
_Key = tuple[str, str]
SHOWN = 20  # differences that are printed


class _Table(EditsTable):
    """The table of edits without what is measured on images."""

    def _distortion(self, judged: Judged) -> tuple[str, str]:
        return "", ""


def verify(bundle: Bundle, data: Path | None = None) -> tuple[Verification, Opened]:
    """Checks files, arithmetic and images. data: a folder of the images, where they are not in the bundle.

    Raises ``InputError`` where the bundle cannot be read at all; everything else is a fault in what is returned.
    """
    found = Verification(path=bundle.path)
    manifest = bundle.manifest
    _check_files(bundle, manifest, found)
    with tempfile.TemporaryDirectory() as folder:
        opened = open_bundle(bundle, manifest, Path(folder), found)
        _check_arithmetic(bundle, opened, Path(folder), found)
    _check_images(bundle, opened.directory.edits, data, found)
    found.unproved += [
        f"what was measured on images: {' and '.join(MEASURED)} of edits.csv are not computed again",
        "metadata, labels, qualifications, run.json and README.txt: they are only the files of the bundle's own list",
        *_page_told(bundle),
        (
            "that the judge gave these answers: a bundle that was made up consistently would pass; --rejudge asks a "
            "judge of your own about a random sample"
        ),
    ]
    return found, opened


def _page_told(bundle: Bundle) -> Iterator[str]:
    if "report.html" in bundle.names:
        yield f"report.html: it is the author's page; isr report {bundle.path} makes one of what is in here"


def _check_files(bundle: Bundle, manifest: Mapping[str, Any], found: Verification) -> None:
    files: Mapping[str, str] = manifest["files"]
    missing = sorted(set(files) - set(bundle.names))
    extra = sorted(set(bundle.names) - set(files) - {MANIFEST})
    found.faults += [f"{name}: is missing" for name in missing]
    found.faults += [f"{name}: was added after the bundle was made" for name in extra]
    changed = [
        name
        for name in sorted(set(files) & set(bundle.names))
        if not name.startswith(IMAGES) and sha256_bytes(bundle.read(name)) != files[name]
    ]
    found.faults += [f"{name}: other bytes than when the bundle was made" for name in changed]
    if not missing and not extra and not changed:
        own = sum(not name.startswith(IMAGES) for name in files)
        found.proved.append(
            f"files: none of {len(files)} is missing or added, and the {own} that are no images have the bytes of the list"
        )


def _check_arithmetic(bundle: Bundle, opened: Opened, folder: Path, found: Verification) -> None:
    before = len(found.faults)
    plan, result = opened.plan, opened.result
    for entry in result.rubrics:
        held = plan.rubrics[Question(str(entry["question"]))]
        if held.digest != entry["digest"]:
            found.faults.append(f"rubrics/{entry['name']}.toml: is not the rubric that the result names")
    for judge in result.judges:
        card = next((c for c in plan.panel.members if c.name == judge["name"]), None)
        if card is None or card.digest != judge["digest"]:
            found.faults.append(f"cards/{judge['name']}.json: is not the judge that the result names")
    if opened.directory.digest != result.data["digest"]:
        found.faults.append("edits.jsonl: these are not the edits that the result names")
    progress = Progress()
    undigested: list[str] = []
    digested = opened.manifest.get("answer_digests") is True
    table = folder / "edits.csv"
    with Store(folder / "answers.db") as store:
        try:
            count = store.import_rows(_counting(bundle.lines(ANSWERS), undigested))
        except InputError as error:
            found.faults += [f"answers.jsonl: {p}" for p in error.problems] or [str(error)]
            found.unproved.append("arithmetic: the answers cannot be read")
            return
        settings = opened.settings
        stop = None if settings.until is None else stop_of(plan, store, settings)
        tally = Tally(plan, opened.directory, settings, opened.manifest["by"], stop)
        writer = _Table(table, tally.plan)
        try:
            for judged in judged_edits(tally.plan, store, progress):
                tally.add(judged)
                writer.add(judged)
        finally:
            writer.close()
    again = tally.result(progress)
    found.answered = answered_by(progress.served)
    found.faults += _record_faults(bundle, found.answered)
    found.faults += list(
        _row_faults(bundle.read("edits.csv").decode("utf-8", "replace"), table.read_text("utf-8"))
    )
    wanted = result.table.get(TABLE)
    if wanted is not None and sha256_bytes(bundle.read(TABLE)) != wanted:
        found.faults.append(f"{TABLE}: is not the table of this result.json")
    found.faults += list(_result_faults(opened.raw, again.as_dict(), found))
    if undigested and (digested or len(undigested) < count):
        found.faults.append(
            f"answers.jsonl: {len(undigested)} of {count:,} answers have no digest, first {undigested[0]}: taken away since "
            f"the bundle was made"
        )
    elif undigested:
        found.unproved.append(
            f"that the {count:,} answers are as they were received: this bundle holds no digests of them, as those of isr "
            f"0.1.0"
        )
    if len(found.faults) == before:
        n = sum(len(t.estimates) for t in result.treatments) + (
            len(result.control.estimates) if result.control else 0
        )
        found.proved.append(
            f"arithmetic: {count:,} raw answers give the same verdicts for every edit and the same {n} estimates, "
            "intervals and bounds, to at least 13 digits"
        )


def _record_faults(bundle: Bundle, answers: Sequence[Answered]) -> Iterator[str]:
    """Where ``run.json`` says of hosts and dates, which a paper quotes, something else than the answers do."""
    told = recorded(bundle.json(RECORD)) if RECORD in bundle.names else []
    if told and told != answers:
        yield f"{RECORD}: names other models, hosts or dates than the answers do"


def _result_faults(given: Mapping[str, Any], made: Mapping[str, Any], found: Verification) -> Iterator[str]:
    """Where the result is not what the answers give."""
    seen = set(SEEN)
    if "answered" not in given:  # of an isr that did not look yet, or taken away: told, whatever it was
        found.notes += [f"{a['level']}, not in the result: {a['text']}" for a in made.get("answered", ())]
        seen.add("answered")
    one, other = ({k: v for k, v in r.items() if k not in seen} for r in (given, made))
    yield from _differences(one, other, found)


def _counting(rows: Iterable[tuple[str, Any]], undigested: list[str]) -> Iterator[tuple[str, Any]]:
    """The rows of ``answers.jsonl``; those of answers without a digest are noted."""
    for where, row in rows:
        if isinstance(row, dict) and "answer" in row and "digest" not in row:
            undigested.append(where)
        yield where, row


def _row_faults(given: str, made: str) -> Iterator[str]:
    """Edits whose row in ``edits.csv`` is not what the answers say."""
    csv.field_size_limit(16 * 2**20)
    ours, theirs = (
        [
            ((r.get("edit_id") or "", r.get("arm") or ""), r)
            for r in csv.DictReader(io.StringIO(text, newline=""))
        ]
        for text in (made, given)
    )
    counted = Counter(key for key, _ in theirs)
    for key, n in sorted(counted.items()):
        if n > 1:
            yield f"edits.csv: {key[0]} ({key[1]}): stands there {n} times"
        if not all(key):
            yield f"edits.csv: {n} row(s) without edit_id or arm"
    yield from _cell_faults(dict(ours), dict(theirs))


def _cell_faults(
    ours: Mapping[_Key, Mapping[str, str]], theirs: Mapping[_Key, Mapping[str, str]]
) -> Iterator[str]:
    for key in sorted(set(ours) | set(theirs)):
        name = f"edits.csv: {key[0]} ({key[1]})"
        if not all(key):
            continue
        if key not in theirs or key not in ours:
            yield f"{name}: {'is missing' if key not in theirs else 'stands for no edit of the bundle'}"
            continue
        for column, value in ours[key].items():
            said = theirs[key].get(column)
            if column not in MEASURED and said != value:
                yield f"{name}: {column} is {_short(said)}; the answers say {_short(value)}"


def _short(text: object) -> str:
    shown = "nothing" if text in (None, "") else repr(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _differences(given: Any, made: Any, found: Verification, at: str = "result.json") -> Iterator[str]:
    """Values of two results that differ, by their place, with the digits on which they agree."""
    if isinstance(given, dict) and isinstance(made, dict):
        for key in dict.fromkeys([*given, *made]):
            if key in given and key in made:
                yield from _differences(
                    given[key], made[key], found, f"{at}: {key}" if at == "result.json" else f"{at}.{key}"
                )
            else:
                yield f"{at}.{key}: {'missing' if key not in given else 'not in what was recomputed'}"
    elif isinstance(given, list) and isinstance(made, list | tuple):
        if len(given) != len(made):
            yield f"{at}: {len(given)} entries; recomputed {len(made)}"
        for i, (a, b) in enumerate(zip(given, made, strict=False)):
            yield from _differences(a, b, found, f"{at}[{i}]")
    elif given != made:
        if at.endswith(": signature") and _but_version(str(given)) == _but_version(str(made)):
            found.notes.append(
                f"made with isr {Signature.parse(str(given)).get('isr', '?')}, recomputed with {__version__}"
            )
        elif isinstance(given, float) and isinstance(made, float):
            digits = agreeing_digits(given, made)
            if (
                digits >= 13 or abs(given - made) < 1e-12
            ):  # another processor may round the last bits otherwise
                found.notes.append(f"{at}: {given!r} and {made!r}: equal but for the last bits")
            else:
                yield f"{at}: {given!r} was reported, {made!r} recomputed: equal to {digits} significant digits"
        else:
            yield f"{at}: {_short(given)} was reported, {_short(made)} recomputed"


def _but_version(signature: str) -> str:
    return str(Signature.parse(signature).without("isr"))


def agreeing_digits(a: float, b: float) -> int:
    """Significant digits on which two numbers agree; 17 if they are equal."""
    if a == b:
        return 17
    if not (math.isfinite(a) and math.isfinite(b)):
        return 0
    return min(max(math.floor(-math.log10(abs(a - b) / max(abs(a), abs(b)))), 0), 16)


def _check_images(bundle: Bundle, edits: Sequence[Edit], data: Path | None, found: Verification) -> None:
    refs, inside = image_refs(edits), bundle.images
    wanted = {r.sha256 for r in refs}
    known = {name for digest, name in inside.items() if digest in wanted}
    unlisted = [n for n in bundle.names if n.startswith(IMAGES) and n not in known]
    found.faults += [f"{name}: is the image of no edit" for name in unlisted]
    if not known and data is None:
        found.unproved.append(
            f"images: {len(refs)} digests are listed, but no image is here; give their folder with --data EDIT_DIR"
        )
        return
    where = "the bundle" if known else str(data)
    sound = 0
    good: dict[str, bool] = {}
    for ref in refs:
        if known:
            name = inside.get(ref.sha256, "")
            state = "" if name else "is missing from the bundle"
            if name:
                if name not in good:
                    good[name] = sha256_bytes(bundle.read(name)) == ref.sha256
                state = "" if good[name] else "other bytes than those that were judged"
        else:
            state = file_state(data, ref) if data is not None else ""
        sound += not state
        if state:
            found.faults.append(f"image {ref.path}: {state}")
    if sound == len(refs):
        found.proved.append(f"images: all {sound} in {where} are the files that were judged")


def lines(found: Verification) -> Iterator[str]:
    """The verification for people: faults first, then what was proved, then what was not."""
    yield f"{found.path}: {'consistent' if found.sound else f'NOT consistent, {len(found.faults)} fault(s)'}"
    for fault in found.faults[:SHOWN]:
        yield f"  fault: {fault}"
    if len(found.faults) > SHOWN:
        yield f"  ... and {len(found.faults) - SHOWN} more"
    if found.rejudged is not None:
        yield from _rejudged_lines(found.rejudged)
    yield "what was proved"
    yield from (f"  {p}" for p in found.proved or ["nothing"])
    yield "what was not proved"
    yield from (f"  {p}" for p in found.unproved)
    yield from (f"note: {n}" for n in found.notes)


def said_again(r: Rejudged) -> str:
    """``asked again: agreement X (low to high), k undecided``."""
    p = r.outcome.percent
    span = "no interval" if p.low is None or p.high is None else f"{p.low:.1%} to {p.high:.1%}"
    value = "no edit to compare" if p.value is None else f"agreement {p.value:.1%} ({span})"
    return f"asked again: {value}, {r.undecided} undecided"


def _rejudged_lines(r: Rejudged) -> Iterator[str]:
    yield f"{said_again(r)}; {r.asked} random edits, judge {r.judge}, seed {r.seed}"
    for name, a in [("outcome", r.outcome), *r.questions.items()]:
        p, k = a.percent, a.kappa
        if p.value is None:
            yield f"  {name:12} no edit to compare"
            continue
        span = "no interval" if p.low is None or p.high is None else f"{p.low:.1%} to {p.high:.1%}"
        kappa = "undefined" if k.value is None else f"{k.value:.2f}"
        yield f"  {name:12} the same on {p.value:.1%} ({span}), n {a.n}, images {a.clusters}; kappa {kappa}"
