"""``isr plan``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from isr.scoring.finished import Contender

MOST_IMAGES = 10_000_000
_RATE = click.FloatRange(0, 1, min_open=True, max_open=True)


@dataclass(frozen=True)
class Guess:
    """What the plan rests on, and where it comes from. ``cv``: of the numbers of edits of the images."""

    rate: float
    icc: float
    per_image: float
    cv: float
    source: str


@click.command(short_help="How many images, prompts and labels a wanted precision needs.")
@click.option("--half-width", type=_RATE, metavar="H", help="Wanted: an ISR known to within plus or minus H.")
@click.option(
    "--difference",
    type=_RATE,
    metavar="D",
    help="Wanted: to detect that two methods differ by D on the same edits.",
)
@click.option(
    "--images",
    type=click.IntRange(min=2),
    metavar="G",
    help="With --difference: images at hand; plans prompts for each instead of images.",
)
@click.option(
    "--label-half-width",
    type=_RATE,
    metavar="H",
    help="Wanted: a judge-corrected ISR to within plus or minus H; plans human labels on the pilot's edits.",
)
@click.option(
    "--labels",
    type=click.IntRange(min=1),
    metavar="N",
    help="To share out: N human labels over the judge's verdicts in the pilot.",
)
@click.option(
    "--pilot",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A finished run; its rates and spread replace the guesses.",
)
@click.option(
    "--method", default="", metavar="NAME", help="Treatment of the pilot to plan for. Default: its first."
)
@click.option(
    "--against",
    default="",
    metavar="NAME",
    help="Second treatment, for --difference. Default: the pilot's control edits.",
)
@click.option("--rate", type=_RATE, help="Expected ISR, without a pilot. Default: 0.5, the worst case.")
@click.option(
    "--icc",
    type=click.FloatRange(0, 1),
    help="Correlation of edits of one image, without a pilot. Default: 0.3.",
)
@click.option(
    "--per-image",
    type=click.FloatRange(min=1),
    help="Edits (prompts) for each image. Default: the pilot's, else 5.",
)
@click.option(
    "--discordant",
    type=_RATE,
    help="Share of edits on which the two methods differ, without a pilot. Default: 0.3, or D if that is more.",
)
@click.option(
    "--human-rates",
    default="0.1,0.9",
    show_default=True,
    metavar="A,B",
    help="Guess for labels: share of edits that people call immunized where the judge says not immunized, "
    "and where it says immunized.",
)
@click.option("--power", default=0.8, show_default=True, type=_RATE)
@click.option("--level", default=0.95, show_default=True, type=click.FloatRange(0.5, 1, max_open=True))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool, **o: Any) -> None:
    """How many images, prompts and labels are needed. Edits of one image are alike, so images count most.

    \b
    isr plan --half-width 0.05
    isr plan --half-width 0.05 --pilot edits.isr
    isr plan --difference 0.1 --pilot edits.isr --method sifm --against noise
    isr plan --difference 0.1 --pilot edits.isr --images 60
    isr plan --label-half-width 0.08 --pilot edits.isr
    isr plan --labels 150 --pilot edits.isr
    """
    import json

    from isr.errors import UsageError

    steps = {
        "half_width": _for_half_width,
        "difference": _for_difference,
        "label_half_width": _for_label_half_width,
        "labels": _for_labels,
    }
    if not any(o[name] for name in steps):
        wanted = ", ".join(f"--{name.replace('_', '-')}" for name in steps)
        raise UsageError(f"isr plan: expected at least one of {wanted}; found none")
    chosen = _chosen(o["pilot"], "--method", o["method"]) if o["pilot"] else None
    guess = _guess(chosen, o)
    plans = [step(chosen, guess, o) for name, step in steps.items() if o[name]]
    if as_json:
        click.echo(json.dumps({"schema": "isr.plan/1", "rests_on": asdict(guess), "plans": plans}, indent=1))
        return
    click.echo(
        f"rests on: rate {guess.rate:.2f}, ICC {guess.icc:.2f}, {guess.per_image:g} edits per image ({guess.source})"
    )
    for plan in plans:
        click.echo(f"\n{plan['wanted']}\n  {plan['answer']}")
        for note in plan["notes"]:
            click.echo(f"  {note}")


def _chosen(pilot: Path, option: str, name: str) -> Contender:
    from isr.errors import UsageError
    from isr.scoring.finished import contenders, read_run

    found = contenders([read_run(pilot)])
    for contender in found:
        if not name or name in (contender.name, contender.treatment.method):
            return contender
    if not found:
        raise UsageError(f"--pilot {pilot}: expected judged edits; found none; choose another run")
    raise UsageError(f"{option} {name}: expected one of {'; '.join(c.name for c in found)}")


def _guess(chosen: Contender | None, o: dict[str, Any]) -> Guess:
    import numpy as np

    from isr.errors import UsageError
    from isr.stats.planning import variance_components
    from isr.stats.rows import codes

    if chosen is None:
        icc = 0.3 if o["icc"] is None else o["icc"]
        return Guess(o["rate"] or 0.5, icc, o["per_image"] or 5.0, 0.0, "guesses; a pilot run is better")
    rows = [r for r in chosen.edits.values() if r.outcome == r.outcome]
    if not rows:
        raise UsageError(f"--pilot {o['pilot']}: expected decided edits; found none")
    y = np.array([r.outcome for r in rows])
    image = codes([r.unit.image_id for r in rows])
    sizes = np.bincount(image)
    icc = variance_components(y, image).icc
    rate = min(max(float(y.mean()), 0.5 / len(y)), 1 - 0.5 / len(y))
    source = f"pilot {o['pilot']}, {chosen.name}, {len(rows)} edits of {len(sizes)} images"
    source += "" if icc is not None else "; ICC guessed: it cannot be estimated from this pilot"
    known = 0.3 if icc is None else icc
    cv = 0.0 if o["per_image"] else float(sizes.std() / sizes.mean())
    per_image = o["per_image"] or float(sizes.mean())
    return Guess(o["rate"] or rate, known if o["icc"] is None else o["icc"], per_image, cv, source)


def _for_half_width(chosen: Contender | None, guess: Guess, o: dict[str, Any]) -> dict[str, Any]:
    from isr.stats.planning import images_for_half_width

    plan = images_for_half_width(
        guess.rate, o["half_width"], guess.per_image, guess.icc, cv=guess.cv, level=o["level"]
    )
    needed, notes = plan.needed, list(plan.notes)
    exact = _images_near_the_edge(guess, o["half_width"], o["level"], needed or 2)
    if needed is not None and exact is not None and exact > needed:
        notes.append(
            f"near 0 % or 100 % the interval is wider than the normal theory's {needed} images assume"
        )
        needed = exact
    if needed is None or needed >= MOST_IMAGES:
        needed = None
        notes.append(f"more than {MOST_IMAGES:,} images: not attainable")
    return {
        "wanted": f"ISR to within {100 * o['half_width']:g} percentage points ({o['level']:.0%} interval)",
        "answer": _images(needed, guess),
        "images": needed,
        "per_image": guess.per_image,
        "notes": notes,
    }


def _images(needed: int | None, guess: Guess) -> str:
    return "no number of images" if needed is None else f"{needed} images with {guess.per_image:g} edits each"


def _images_near_the_edge(guess: Guess, half: float, level: float, start: int) -> int | None:
    """Images for which the exact interval at the effective sample size, too, is as narrow as wanted."""
    import numpy as np

    from isr.stats.independent import clopper_pearson
    from isr.stats.planning import planned_design_effect

    deff = planned_design_effect(guess.per_image, guess.icc, guess.cv)
    images = np.unique(np.geomspace(start, min(MOST_IMAGES, start * 1000), 4000).astype(np.int64))
    n = images * guess.per_image / deff
    low, high = clopper_pearson(guess.rate * n, n, level=level)
    enough = (high - low) / 2 <= half
    rarer = min(guess.rate, 1 - guess.rate) * images * guess.per_image
    return int(images[np.argmax(enough)]) if enough.any() and rarer[0] < 5 * deff else None


def _for_difference(chosen: Contender | None, guess: Guess, o: dict[str, Any]) -> dict[str, Any]:
    from isr.stats.planning import images_for_difference, prompts_for_difference

    between, within, source = _spread(chosen, guess, o)
    wanted = f"a difference of {100 * o['difference']:g} percentage points on the same edits, power {o['power']:.0%}"
    rests = f"variance between images {between:.4f}, within {within:.4f} ({source})"
    if o["images"]:
        plan = prompts_for_difference(
            o["difference"], between, within, o["images"], power=o["power"], level=o["level"]
        )
        many = "no number of prompts" if plan.needed is None else f"{plan.needed} prompts for each image"
        answer = f"{many}, with {o['images']} images"
        return {
            "wanted": wanted,
            "answer": answer,
            "images": o["images"],
            "per_image": plan.needed,
            "notes": [rests, *plan.notes],
        }
    plan = images_for_difference(
        o["difference"], between, within, guess.per_image, power=o["power"], level=o["level"]
    )
    return {
        "wanted": wanted,
        "answer": _images(plan.needed, guess),
        "images": plan.needed,
        "per_image": guess.per_image,
        "notes": [rests, *plan.notes],
    }


def _spread(chosen: Contender | None, guess: Guess, o: dict[str, Any]) -> tuple[float, float, str]:
    """Variance of the paired differences between images and within, and where it comes from."""
    import numpy as np

    from isr.errors import UsageError
    from isr.scoring.finished import read_run
    from isr.stats.planning import variance_components
    from isr.stats.rows import codes

    if chosen is None or o["discordant"]:
        discordant = o["discordant"] or max(0.3, o["difference"])
        if discordant < o["difference"]:
            raise UsageError(
                f"--difference {o['difference']:g}: expected at most the share of discordant edits, since methods "
                f"can differ no more than that; found --discordant {discordant:g}"
            )
        total = max(discordant - o["difference"] ** 2, 1e-3)
        source = f"guessed from {discordant:.0%} discordant edits and the ICC"
        return guess.icc * total, (1 - guess.icc) * total, source
    other = (
        _chosen(o["pilot"], "--against", o["against"]).edits
        if o["against"]
        else read_run(o["pilot"]).controls
    )
    shared = [u for u in chosen.edits if u in other]
    pairs = [(u, chosen.edits[u].outcome - other[u].outcome) for u in shared]
    pairs = [(u, d) for u, d in pairs if d == d]
    name = o["against"] or "control edits"
    if len(pairs) < 2:
        raise UsageError(f"--against: expected units shared with {name}; found {len(pairs)} decided pairs")
    d = np.array([d for _, d in pairs])
    found = variance_components(d, codes([u.image_id for u, _ in pairs]))
    if found.between is None or found.within is None or found.between + found.within == 0:
        raise UsageError(
            f"--pilot: the spread of the differences to {name} cannot be estimated from {len(pairs)} pairs (one edit "
            f"for each image, or no discordant pair); add --discordant and --icc, or use a larger pilot"
        )
    return found.between, found.within, f"from {len(pairs)} pairs with the {name}"


@dataclass(frozen=True)
class _Verdicts:
    """Numbers of edits by the judge's verdict, and guesses of what people say within each."""

    counts: tuple[int, int]
    rates: tuple[float, float]

    def half_width(self, given: list[int], guess: Guess, level: float) -> float | None:
        """Expected half-width of the corrected ISR with so many labels; ``None`` if a verdict gets none."""
        from isr.stats.planning import corrected_half_width, planned_design_effect

        if any(c and not g for g, c in zip(given, self.counts, strict=True)):
            return None
        total = sum(self.counts)
        shares = [c / total for c in self.counts]
        deff = planned_design_effect(guess.per_image, guess.icc, guess.cv)
        return corrected_half_width(shares, self.rates, given, total, deff=deff, level=level)

    def share(self, labels: int) -> list[int]:
        from isr.stats.planning import label_allocation

        return [int(n) for n in label_allocation(labels, self.counts, self.rates)]


def _verdicts(chosen: Contender | None, o: dict[str, Any]) -> _Verdicts:
    from isr.errors import UsageError

    if chosen is None:
        raise UsageError(
            "isr plan: labels expected a --pilot run, whose verdicts they are shared over; found none"
        )
    try:
        low, high = (float(x) for x in o["human_rates"].split(","))
    except ValueError:
        low = high = -1.0
    if not (0 <= low <= 1 and 0 <= high <= 1):
        raise UsageError(
            f"--human-rates: expected two numbers from 0 to 1, e.g. 0.1,0.9; found {o['human_rates']!r}"
        )
    outcomes = [r.outcome for r in chosen.edits.values() if r.outcome == r.outcome]
    return _Verdicts((outcomes.count(0.0), outcomes.count(1.0)), (low, high))


def _for_labels(chosen: Contender | None, guess: Guess, o: dict[str, Any]) -> dict[str, Any]:
    verdicts = _verdicts(chosen, o)
    wanted = (
        f"{o['labels']} labels over the judge's verdicts (Neyman, at least 20 each where there are as many)"
    )
    return _label_plan(wanted, verdicts, verdicts.share(o["labels"]), guess, o["level"])


def _for_label_half_width(chosen: Contender | None, guess: Guess, o: dict[str, Any]) -> dict[str, Any]:
    verdicts = _verdicts(chosen, o)
    total = sum(verdicts.counts)
    wanted = f"a judge-corrected ISR to within {100 * o['label_half_width']:g} percentage points"

    def enough(labels: int) -> bool:
        half = verdicts.half_width(verdicts.share(labels), guess, o["level"])
        return half is not None and half <= o["label_half_width"]

    if not enough(total):
        plan = _label_plan(wanted, verdicts, verdicts.share(total), guess, o["level"])
        return plan | {"answer": f"labels on all {total} edits of the pilot are not enough: judge more edits"}
    low, high = 0, total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return _label_plan(wanted, verdicts, verdicts.share(high), guess, o["level"])


def _label_plan(
    wanted: str, verdicts: _Verdicts, given: list[int], guess: Guess, level: float
) -> dict[str, Any]:
    half = verdicts.half_width(given, guess, level)
    notes = [
        f"of {verdicts.counts[0]} and {verdicts.counts[1]} edits with these verdicts; draw at random within each"
    ]
    if half is None:
        notes.append("too few labels: a verdict that occurs gets none, and the ISR could not be corrected")
    else:
        notes.append(f"expected half-width of the judge-corrected ISR: {100 * half:.1f} percentage points")
    return {
        "wanted": wanted,
        "answer": f"{sum(given)} labels: {given[0]} where the judge says not immunized, {given[1]} where immunized",
        "not_immunized": given[0],
        "immunized": given[1],
        "half_width": half,
        "notes": notes,
    }
