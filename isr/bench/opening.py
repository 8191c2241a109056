"""Opens a study: reads it, checks that everything it names is there, says what it expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isr.bench.cells import Marks, plan
from isr.bench.material import unseen
from isr.bench.material.folder import Material, find
from isr.bench.state import Bench, Expected, Order
from isr.bench.study import Study, editor_spec, judge_sets, judge_spec, method_spec, read_study
from isr.canonical import sha256_json
from isr.errors import InputError, UsageError
from isr.files import file_digest
from isr.judging.backends import backend_of
from isr.judging.cards import load_panel
from isr.judging.keys import check_pair, endpoint_key
from isr.judging.prices import require_prices
from isr.reading import read_json, why
from isr.scoring.metrics import require_piq
from sifm_ref.checkpoints import fingerprint
from sifm_ref.pictures import slug
from sifm_ref.registry import require_torch


def default_out(file: Path, study: Study) -> Path:
    return file.parent / f"{slug(study.name).strip('.') or 'study'}.bench"


def open_bench(file: Path, out: Path | None, **asked: Any) -> Bench:
    """The study with its cells; nothing is computed or written. Raises ``IsrError`` with every problem of the file."""
    require_torch()
    study = read_study(file, allow_code=bool(asked.get("allow_code")))
    order = Order(file=file, out=out or default_out(file, study), **asked)
    found = plan(study, marks(study, order.root))
    material = _material(study, order)
    return Bench(
        order=order,
        study=study,
        plan=found,
        material=material,
        expected=Expected(0, 0) if material else expected(study, order),
    )


def marks(study: Study, root: Path) -> Marks:
    """What the study's names mean on this disk."""
    editors = {}
    for editor in study.editors:
        place = editor_spec(editor, root).rpartition("=")[2]
        editors[editor.name] = fingerprint(place)["fingerprint"] if Path(place).is_dir() else ""
    code = {
        m.name: file_digest(Path(method_spec(m, root).rpartition(":")[0])) for m in study.methods if m.is_code
    }
    panels = [load_panel(judge_spec(j, root), judge_sets(j)) for j in study.judges]
    judges = [(p.name, len(p.members), sha256_json([p.rule, *(m.digest for m in p.members)])) for p in panels]
    return Marks(editors, code, judges)


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


def check_ready(bench: Bench) -> None:
    """Raises ``IsrError`` for what scoring would stop at only after hours: keys, prices, packages."""
    if "score" not in bench.order.steps:
        return
    if bench.study.metrics:
        require_piq()
    for scoring in bench.plan.scorings:
        panel = load_panel(judge_spec(scoring.judge, bench.order.root), judge_sets(scoring.judge))
        for card in panel.members:
            check_pair(card)
            backend_of(card)
            if not (bench.out / scoring.folder / "isr.db").exists():
                endpoint_key(card)
        if bench.order.budget_usd is not None:
            require_prices(panel.members)


def check_folder(bench: Bench) -> list[dict[str, Any]]:
    """The studies that were run in the folder, the first one first; none where it is new.

    Raises ``UsageError`` where the folder is another bench's or no bench's.
    """
    file, out = bench.out / "bench.json", bench.out
    if not file.is_file():
        if out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()):
            raise UsageError(
                f"--out {out}: expected a new folder or a bench; found other files; choose another"
            )
        return []
    try:
        said = read_json(file)
        studies = [said["study"], *said.get("later", [])]
        names = {s["name"] for s in studies}
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
    return studies
