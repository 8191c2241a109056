"""Opens a study: reads it, checks that everything it names is there, says what it expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isr.bench.cells import Marks, plan
from isr.bench.material import unseen
from isr.bench.material.folder import Material, find
from isr.bench.state import Bench, Expected, Order
from isr.bench.study import Study, editor_spec, judge_sets, judge_spec, method_spec, read_study, texts
from isr.bench.study_metrics import require_measures
from isr.canonical import sha256_json
from isr.errors import InputError, Problem, UsageError
from isr.files import file_digest
from isr.judging.backends import backend_of
from isr.judging.cards import load_panel
from isr.judging.keys import check_pair, endpoint_key
from isr.judging.prices import require_prices
from isr.reading import read_json, why
from sifm_ref.checkpoints import fingerprint
from sifm_ref.own_editor import code_of
from sifm_ref.pictures import slug
from sifm_ref.registry import method, purifier, require_torch


def default_out(file: Path, study: Study) -> Path:
    return file.parent / f"{slug(study.name).strip('.') or 'study'}.bench"


def open_bench(file: Path, out: Path | None, **asked: Any) -> Bench:
    """The study with its cells; nothing is computed or written. Raises ``IsrError`` with every problem of the file."""
    study = read_study(file, allow_code=bool(asked.get("allow_code")))
    require_torch()  # the study's own errors first: they can be mended on any machine
    order = Order(file=file, out=out or default_out(file, study), **asked)
    marked = marks(study, order.root)
    found = plan(study, marked)
    material = _material(study, order)
    return Bench(
        order=order,
        study=study,
        plan=found,
        material=material,
        expected=Expected(0, 0) if material else expected(study, order),
        weights=_weights(study, marked),
    )


def marks(study: Study, root: Path) -> Marks:
    """What the study's names mean on this disk."""
    editors = {}
    for editor in study.editors:
        spec = editor_spec(editor, root)
        place = spec.rpartition("=")[2]
        found = fingerprint(place)["fingerprint"] if Path(place).is_dir() else ""
        own = code_of(spec.partition("=")[0]) if editor.is_code else ""
        editors[editor.name] = sha256_json([own, found]) if own else found
    code = {
        m.name: file_digest(Path(method_spec(m, root).rpartition(":")[0])) for m in study.methods if m.is_code
    }
    for m in study.methods:
        if not m.is_code and (content := method(m.method, m.preset, texts(m.set)).rests_on):
            code[m.name] = content
    panels = [load_panel(judge_spec(j, root), judge_sets(j)) for j in study.judges]
    judges = [(p.name, len(p.members), sha256_json([p.rule, *(m.digest for m in p.members)])) for p in panels]
    return Marks(editors, code, judges)


def _weights(study: Study, marked: Marks) -> dict[str, str]:
    """Fingerprints of the editors' folders by ``editor NAME (PLACE)``, and the names of purifiers with checkpoints."""
    found = {
        f"editor {e.name} ({e.editor})": marked.editors[e.name]
        for e in study.editors
        if marked.editors[e.name]
    }
    specs = {*study.purifiers, *(p for e in study.editors for p in e.purifiers or ())}
    texts = {spec: attack.text for spec in specs if (attack := purifier(spec))}
    return found | {f"purifier {spec}": text for spec, text in sorted(texts.items()) if "@" in text}


def expected(study: Study, order: Order) -> Expected:
    """What is to come, counted; a folder and a file of unseen prompts are read. Raises ``InputError`` as the run does."""
    part = study.images
    own: Material | None = None
    if part.dataset is None:
        own = find(order.root / part.folder, order.root / part.prompts, order.out)
    n = len(own.images) if own else sum(part.dataset.strata.values()) if part.dataset else 0
    prompts, seen = len(own.prompts) if own else n, own.seen if own else {}
    if part.unseen is None:
        return Expected(n, prompts, seen)
    if part.unseen.file and own:
        unseen.find(part.unseen, seen, {}, order.out, order.root)
    return Expected(n, prompts + n * part.unseen.count, seen)


def _material(study: Study, order: Order) -> Material | None:
    """What is known without a data set or a writer."""
    part = study.images
    if part.unseen is not None:
        return None
    folder, prompts = order.root / part.folder, order.root / part.prompts
    return find(folder, prompts, order.out) if part.folder else None


def check_ready(bench: Bench, *, fetch: bool = True) -> None:
    """Raises ``IsrError`` for what scoring would stop at only after hours: keys, prices, packages."""
    if "score" not in bench.order.steps:
        return
    if bench.study.metrics:
        require_measures(bench.study, bench.order.root, fetch=fetch)
    for scoring in bench.plan.scorings:
        panel = load_panel(judge_spec(scoring.judge, bench.order.root), judge_sets(scoring.judge))
        for card in panel.members:
            check_pair(card)
            backend_of(card)
            if not (bench.out / scoring.folder / "isr.db").exists():
                endpoint_key(card)
        if bench.order.budget_usd is not None:
            require_prices(panel.members)


@dataclass(frozen=True)
class Begun:
    """What ``bench.json`` holds: the studies that were run in the folder, the first one first, and their weights
    (``None``: an earlier version wrote it, which kept none)."""

    studies: list[dict[str, Any]]
    weights: Mapping[str, str] | None


def check_folder(bench: Bench) -> Begun:
    """What was begun in the folder; no studies where it is new.

    Raises ``UsageError`` where the folder is another bench's or no bench's, ``InputError`` where the study's weights
    were exchanged since.
    """
    file, out = bench.out / "bench.json", bench.out
    if not file.is_file():
        if out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()):
            raise UsageError(
                f"--out {out}: expected a new folder or a bench; found other files; choose another"
            )
        return Begun([], {})
    try:
        said = read_json(file)
        studies = [said["study"], *said.get("later", [])]
        names = {s["name"] for s in studies}
        weights = dict(said["weights"]) if "weights" in said else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: expected the studies of a bench, as isr bench wrote them; found {why(error)}; "
            "put the file back, or delete it and give a new --out"
        ) from error
    if names != {bench.study.name}:
        raise UsageError(
            f"--out {out}: expected the bench of {bench.study.name!r}; found that of "
            f"{studies[0]['name']!r}; choose another"
        )
    _check_weights(out, weights or {}, bench.weights)
    return Begun(studies, weights)


def _check_weights(out: Path, then: Mapping[str, Any], now: Mapping[str, str]) -> None:
    """Refuses other weights in a place of the study: their edits would stand under the names of the old ones."""
    problems = [
        Problem(
            name,
            "",
            f"the weights with which this bench was begun ({_brief(then[name])})",
            f"others ({_brief(found)})",
            "put them back; or give these a folder and a name of their own in the study; or give a new --out",
        )
        for name, found in now.items()
        if then.get(name, found) != found
    ]
    if problems:
        raise InputError(
            f"{out}: {len(problems)} checkpoint(s) were changed since; nothing was done", problems
        )


def _brief(weights: object) -> str:
    """The first digits of a fingerprint, as in an editor's name; the name of a purifier as it is."""
    return str(weights).removeprefix("sha256:")[:12] if str(weights).startswith("sha256:") else str(weights)
