"""What a run is asked to do, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from isr.edits.pictures import known_kinds
from isr.errors import UsageError
from isr.judging.cards import builtin_names, load_card
from isr.judging.engines import engine_of
from isr.judging.keys import read_config
from isr.scoring.places import STORE, folder_beside
from isr.scoring.until import check_until
from isr.stats.rate import Method
from isr.stats.rows import Estimand, Prompts
from isr.types import AnswerReason

INDEPENDENT = ("wilson", "clopper-pearson", "jeffreys")
INTERVALS = ("logit-t", "korn-graubard", *INDEPENDENT)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked to do; every field has the meaning of the option of ``isr score`` with its name."""

    directory: Path
    judge: str = ""
    sets: tuple[str, ...] = ()
    out: Path | None = None
    store: Path | None = None
    rubrics: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    level: float | None = None
    interval: Method = "logit-t"
    prompts: Prompts = "fixed"
    estimand: Estimand = "edit-mean"
    repeats: int = 1
    reask: tuple[str, ...] = ()
    allow_retired: bool = False  # ask judges past their date of retirement
    keep_going: bool = False  # go on where a judge yields nothing usable
    limit: int | None = None
    until: str = ""  # ``half-width=H``: stop when every treatment's ISR is known so well
    order_seed: int = 0  # of the order in which images are asked then
    budget_usd: float | None = None
    skip_invalid: bool = False
    accept: tuple[str, ...] = ()  # kinds of findings about pictures that would be refused
    calibrations: tuple[Path, ...] = ()
    qualifications: tuple[Path, ...] = ()
    metrics: bool = False
    lpips_weights: tuple[str, ...] = ()  # files, or the word download
    dists_weights: str = ""
    metric_models: tuple[str, ...] = ()  # checkpoint folders: FOLDER or NAME=FOLDER
    caption: str = ""  # a column of the metadata: what the edit should show
    source_caption: str = ""  # what the source shows
    replace: bool = False  # with ``out``: also where the result of another question lies
    engine: str = ""  # another way to the same answers than one reply at a time
    engine_sets: tuple[str, ...] = ()  # ``KEY=VALUE``: settings of the engine, no part of any judge
    wait: bool = True  # with ``engine``: for what the host has not done yet
    submit: bool = True  # with ``engine``: ask what was not asked yet; else only take what is done

    @property
    def home(self) -> Path:
        """The folder of the answer store and the image cache: beside the data, so that nothing paid for is lost."""
        return self.out or folder_beside(self.directory)

    @property
    def store_path(self) -> Path:
        return self.store or self.home / STORE


def options_of(
    directory: str | Path,
    *,
    judge: str | Path,
    sets: str | Sequence[str],
    engine_sets: str | Sequence[str],
    out: str | Path | None,
    store: str | Path | None,
    rubrics: str | Sequence[str],
    by: str | Sequence[str],
    reask: str | Sequence[str],
    accept: str | Sequence[str],
    calibrations: Sequence[str | Path],
    qualifications: Sequence[str | Path],
    lpips_weights: str | Path | Sequence[str | Path],
    dists_weights: str | Path,
    metric_models: str | Path | Sequence[str | Path],
    **same: Any,
) -> Options:
    """Options from Python: one name where several may stand, texts for paths; ``same``: fields taken as they are."""
    return Options(
        directory=Path(directory),
        judge=str(judge),
        sets=_several(sets),
        engine_sets=_several(engine_sets),
        out=None if out is None else Path(out),
        store=None if store is None else Path(store),
        rubrics=_several(rubrics),
        by=_several(by),
        reask=_several(reask),
        accept=_several(accept),
        calibrations=tuple(map(Path, calibrations or ())),
        qualifications=tuple(map(Path, qualifications or ())),
        lpips_weights=_several(lpips_weights),
        dists_weights=str(dists_weights),
        metric_models=_several(metric_models),
        **same,
    )


def _several(names: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    return (str(names),) if isinstance(names, str | Path) else tuple(map(str, names or ()))


def check_options(options: Options) -> None:
    """Raises ``UsageError`` for the first option that cannot be carried out."""
    whole = {"--repeats": options.repeats, "--limit": options.limit}
    for name, number in whole.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise UsageError(f"{name}: expected a whole number of at least 1; found {number!r}")
    if options.repeats % 2 == 0:
        raise UsageError(
            f"--repeats: expected an odd number, so that repeats have a majority; found {options.repeats}"
        )
    if options.level is not None and not (_is_number(options.level) and 0.5 <= options.level < 1):
        raise UsageError(f"--level: expected a number from 0.5 to below 1; found {options.level!r}")
    if options.budget_usd is not None and not (_is_number(options.budget_usd) and options.budget_usd >= 0):
        raise UsageError(f"--budget-usd: expected a number of at least 0; found {options.budget_usd!r}")
    for name, value, known in (
        ("--interval", options.interval, INTERVALS),
        ("--prompts", options.prompts, get_args(Prompts)),
        ("--estimand", options.estimand, get_args(Estimand)),
    ):
        if value not in known:
            raise UsageError(f"{name}: expected one of {', '.join(known)}; found {value!r}")
    if options.interval in INDEPENDENT and (options.prompts, options.estimand) != ("fixed", "edit-mean"):
        raise UsageError(
            f"--interval {options.interval}: takes edits as independent, so expected --prompts fixed and "
            f"--estimand edit-mean; use logit-t"
        )
    _check_engine(options)
    _check_metrics(options)
    check_until(options)
    known_kinds(options.accept)
    unknown = sorted(set(options.reask) - set(AnswerReason))
    if unknown:
        raise UsageError(
            f"--reask: expected reasons out of {', '.join(AnswerReason)}; found {', '.join(unknown)}"
        )


def _check_engine(options: Options) -> None:
    """Raises ``UsageError`` for an engine that there is not, and for what goes with one alone or with none."""
    if not options.engine:
        if not options.wait:
            raise UsageError("--no-wait: expected --engine beside it; found none; add it")
        if options.engine_sets:
            raise UsageError("--engine-set: expected --engine beside it; found none; add it")
        return
    engine = engine_of(options.engine)
    if not engine.in_batches:
        if not options.wait:
            raise UsageError(
                f"--no-wait: expected an engine that asks by batches; found {engine.name}; leave it out"
            )
        return
    if options.until:
        raise UsageError(
            f"--until: expected a judge that is asked image by image; found --engine {options.engine}, which asks for all at "
            "once; leave one of them out"
        )


def metric_options(options: Options) -> dict[str, Any]:
    """The options that say what ``metrics`` measures beyond what needs no weights, by name; those that are given."""
    names = ("lpips_weights", "dists_weights", "metric_models", "caption", "source_caption")
    return {name: value for name in names if (value := getattr(options, name))}


def _check_metrics(options: Options) -> None:
    """Raises ``UsageError`` for weights that nothing would be measured with."""
    given = metric_options(options)
    named = [
        f"--{n.replace('_', '-').removesuffix('s') if n == 'metric_models' else n.replace('_', '-')}"
        for n in given
    ]
    if given and not options.metrics:
        raise UsageError(f"{named[0]}: expected --metrics beside it; found none; add it")
    if options.source_caption and not options.caption:
        raise UsageError("--source-caption: expected --caption beside it; found none; add it")
    if options.caption and not options.metric_models:
        raise UsageError("--caption: expected --metric-model beside it, which reads it; found none; add it")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def default_judge() -> str:
    judge = read_config().get("judge")
    if isinstance(judge, str) and judge:
        return judge
    lines = [f"  {name:22} {load_card(name).needs}" for name in builtin_names()]
    raise UsageError(
        "--judge: no judge is chosen silently; choose one of these cards, or a path:\n" + "\n".join(lines)
    )
