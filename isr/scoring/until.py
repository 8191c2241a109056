"""A run that stops when it is known: the rule, the order, what is seen while it goes on, which images count in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isr.errors import UsageError
from isr.judging.judged import judged_edits
from isr.judging.plan import Plan, arms_of
from isr.judging.prefix import AT_A_TIME, Prefix, asks_left
from isr.judging.progress import Look, Progress
from isr.judging.store import Store
from isr.scoring.outcomes import Ballot, outcomes
from isr.scoring.records import UntilRecord
from isr.scoring.sequenced import half_width_of
from isr.stats.multiplicity import simultaneous_level
from isr.stats.sequence import OpenSequence
from isr.types import Arm, Edit, Treatment

if TYPE_CHECKING:
    from isr.scoring.estimates import Settings
    from isr.scoring.options import Options

SLACK = 1e-9  # of a half-width, for its rounding


def rule_of(text: str) -> float:
    """The half-width of ``--until half-width=0.05``. Raises ``UsageError`` for any other text."""
    try:
        return half_width_of(text)
    except ValueError:
        raise UsageError(
            f"--until: expected half-width=H, H between 0 and 0.5 (0.05: five percentage points to either side); found {text!r}"
        ) from None


def check_until(options: Options) -> None:
    """Raises ``UsageError`` where a setting does not go together with stopping."""
    seed = options.order_seed
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UsageError(f"--order-seed: expected a whole number of at least 0; found {seed!r}")
    if not options.until:
        if seed:
            raise UsageError(
                "--order-seed: expected --until beside it; without a rule to stop by, all images are asked"
            )
        return
    rule_of(options.until)
    for name, found, wanted, why in (
        ("--interval", options.interval, "logit-t", "the interval is a betting confidence sequence"),
        ("--prompts", options.prompts, "fixed", "a sequence is of images; prompts as a sample have none"),
    ):
        if found != wanted:
            raise UsageError(
                f"{name} {found}: expected no {name} beside --until: {why}, as all others hold for a fixed number of images only"
            )
    if options.metrics:
        raise UsageError(
            "--metrics: expected no --until: the intervals of metrics hold for a fixed number of images only; score without "
            "--until, or without --metrics"
        )


def check_images(edits: Sequence[Edit], every: Sequence[Edit], settings: Settings) -> None:
    """Raises ``UsageError`` where a sequence of image means is not of the mean that is asked for. ``every``: without a limit."""
    whole = Counter(e.cluster for e in every)
    cut = [(image, n) for image, n in Counter(e.cluster for e in edits).items() if n != whole[image]]
    if cut:
        image, n = cut[0]
        raise UsageError(
            f"--limit {len(edits)}: expected whole images beside --until; found {n} of the {whole[image]} edits of {image}; "
            f"choose {len(edits) - n} or {len(edits) - n + whole[image]}"
        )
    if settings.estimand == "image-mean":
        return
    if found := unequal(edits):
        raise UsageError(
            f"--until: expected equally many edits of every image, since a sequence is of image means; found {found}; add "
            "--estimand image-mean, which is the mean over images of their means, or make the numbers equal"
        )


def unequal(edits: Sequence[Edit]) -> str:
    """Two images of which a treatment has different numbers of edits, in words; ``""`` where there are none."""
    images = list(dict.fromkeys(e.cluster for e in edits))
    counts = Counter((e.treatment, e.cluster) for e in edits)
    for treatment in sorted({e.treatment for e in edits}):
        numbers = {image: counts[treatment, image] for image in images}
        least, most = min(numbers, key=lambda i: numbers[i]), max(numbers, key=lambda i: numbers[i])
        if numbers[least] != numbers[most]:
            named = f" by {name}" if (name := _name(treatment)) else ""
            return f"{numbers[most]} edits{named} of {most} and {numbers[least]} of {least}"
    return ""


def can_be_looked_at(edits: Sequence[Edit], settings: Settings) -> bool:
    """Whether a run without a rule has a sequence to show: of image means, with fixed prompts."""
    return settings.prompts == "fixed" and (settings.estimand == "image-mean" or not unequal(edits))


def _name(treatment: Treatment) -> str:
    return ", ".join(v for v in (treatment.method, treatment.eps and f"eps {treatment.eps}", treatment.config, treatment.surrogate) if v)  # fmt: skip


# --------------------------------------------------------------------------- looking


class Looking:
    """The sequence of every treatment's ISR, image by image; ``add`` tells whether all of them are as narrow as is wanted."""

    def __init__(self, plan: Plan, store: Store, settings: Settings, progress: Progress) -> None:
        self._plan, self._store, self._progress = plan, store, progress
        self._until = settings.until
        self._read = Progress(failed=progress.failed)  # who answered is counted at the end, not here
        treatments = sorted({e.treatment for e in plan.edits})
        each = simultaneous_level(settings.level, max(len(treatments), 1))
        self.sequences = {t: OpenSequence(level=each, wanted=settings.until) for t in treatments}

    def add(self, edits: Sequence[Edit]) -> bool:
        """The next image, all of its requests settled."""
        arms = [(e, a) for e, a in arms_of(edits) if a is Arm.PROTECTED]
        ballot = Ballot.empty(len(self._plan.panel.members), len(arms))
        judged = judged_edits(self._plan, self._store, self._read, arms)
        for row, one in enumerate(judged):
            for (judge, question), verdicts in one.verdicts.items():
                ballot.cast(judge, question, row, verdicts)
        found = outcomes(ballot, self._plan.panel.rule)
        owner = [e.treatment for e, _ in arms]
        for treatment, sequence in self.sequences.items():
            rows = np.array([t == treatment for t in owner], np.bool_)
            if rows.any():
                low, high = found.immunized_low[rows], found.immunized_high[rows]
                sequence.add(float(low.mean()), float(high.mean()))
        self._progress.looks = self.looks()
        return self.met

    @property
    def met(self) -> bool:
        """Whether every treatment's interval, as it is printed, is as narrow as is wanted; never without a rule.

        What is printed holds the value too; a sequence that excludes every mean is no knowledge.
        """
        half = self._until
        return half is not None and all(
            s.images > 0 and not s.empty and (max(s.high, s.most) - min(s.low, s.least)) / 2 <= half + SLACK
            for s in self.sequences.values()
        )

    def looks(self) -> tuple[Look, ...]:
        """What is seen now."""
        several = len(self.sequences) > 1
        return tuple(
            Look(_name(t) if several else "", s.images, s.least, s.most, s.low, s.high)
            for t, s in self.sequences.items()
        )


def looking(plan: Plan, store: Store, settings: Settings, progress: Progress) -> Prefix:
    """The prefix of a run that is looked at while it goes on; it is met by the rule of the settings."""
    looked = Looking(plan, store, settings, progress)
    return Prefix(plan, store, progress.failed, looked.add, ends=settings.until is not None)


# --------------------------------------------------------------------------- in the end


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Which images of a run count: the first ones at which the rule was met, else all that are complete. ``left``: unanswered requests."""

    edits: int
    images: int
    of: int
    met: bool
    left: int

    def record(self, settings: Settings, plan: Plan) -> UntilRecord:
        """As it stands in ``result.json``."""
        assert settings.until is not None
        assert plan.order_seed is not None
        made: UntilRecord = {
            "half_width": settings.until,
            "order_seed": plan.order_seed,
            "treatments": settings.family,
            "met": self.met,
            "images": self.images,
            "of": self.of,
        }
        if self.left:
            made["left"] = self.left
        return made


def stop_of(plan: Plan, store: Store, settings: Settings) -> Stop:
    """Which images count, by the store alone: the same however the answers came, and however often the run was begun."""
    prefix = looking(plan, store, settings, Progress())
    prefix.advance()
    images = max(prefix.complete, 1)  # of none nothing could be said, not even why
    left = 0
    if not prefix.met:
        for missing, _ in _later(plan, store, prefix.images[prefix.complete :]):
            left += len(missing)
    return Stop(
        edits=sum(map(len, prefix.images[:images])),
        images=images,
        of=len(prefix.images),
        met=prefix.met,
        left=left,
    )


def unused(plan: Plan, store: Store, stop: Stop) -> int:
    """How many requests about images that do not count are answered in the store."""
    prefix = Prefix(plan, store, {}, lambda edits: False)
    return sum(n for _, n in _later(plan, store, prefix.images[stop.images :]))


def _later(plan: Plan, store: Store, images: Sequence[Sequence[Edit]]) -> Iterator[tuple[set[bytes], int]]:
    """(keys that are missing, number of those that are not) of some images, a few at a time."""
    for start in range(0, len(images), AT_A_TIME):
        arms = [arm for edits in images[start : start + AT_A_TIME] for arm in arms_of(edits)]
        requests = {r.key: r for card in plan.panel.members for r in plan.requests(card, arms)}
        left = asks_left(plan, store, list(requests.values()))
        missing = {key for key in requests if left.get(key, 0) is not None}
        yield missing, len(requests) - len(missing)


def told(until: UntilRecord) -> str:
    """What became of the rule, in a sentence."""
    half, images, of = f"{100 * until['half_width']:g} points", until["images"], until["of"]
    each = "the ISR" if until["treatments"] == 1 else f"the ISR of each of {until['treatments']} treatments"
    order = f"images were asked in an order by seed {until['order_seed']}, and intervals hold at every look"
    if until["met"]:
        return f"stopped by its rule: {each} is known to within {half} after {images} of {of} images; {order}"
    if images >= of:
        return f"the rule (half-width of at most {half}) is not met by all {of} images: more images are needed; {order}"
    return (
        f"not finished: the rule (half-width of at most {half}) is not met by {images} of {of} images so far; "
        f"run the same command again to go on; {order}"
    )
