"""``isr plan``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from isr.runs import Contender

_RATE = click.FloatRange(0, 1, min_open=True, max_open=True)


@dataclass(frozen=True)
class Guess:
    """What the plan rests on, and where it comes from."""

    rate: float
    icc: float
    per_image: float
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
    "--labels",
    type=click.IntRange(min=1),
    metavar="N",
    help="To share out: N human labels over the judge's verdicts.",
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
    help="Share of edits on which the two methods differ, without a pilot. Default: 0.3.",
)
@click.option(
    "--human-rates",
    default="0.1,0.9",
    show_default=True,
    metavar="A,B",
    help="Guess for --labels: share of edits people call immunized where the judge says not immunized, and where it says immunized.",
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
    isr plan --labels 150 --pilot edits.isr
    """
    import json

    from isr.errors import UsageError

    if not (o["half_width"] or o["difference"] or o["labels"]):
        raise UsageError(
            "isr plan: expected at least one of --half-width, --difference, --labels; found none"
        )
    chosen = _chosen(o["pilot"], o["method"]) if o["pilot"] else None
    guess = _guess(chosen, o)
    plans: list[dict[str, Any]] = []
    if o["half_width"]:
        plans.append(_for_half_width(guess, o))
    if o["difference"]:
        plans.append(_for_difference(chosen, guess, o))
    if o["labels"]:
        plans.append(_for_labels(chosen, guess, o))
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


def _chosen(pilot: Path, name: str) -> Contender:
    from isr.errors import UsageError
    from isr.runs import contenders, read_run

    found = contenders([read_run(pilot)])
    for contender in found:
        if not name or name in (contender.name, contender.treatment.method):
            return contender
    raise UsageError(f"--method {name}: expected one of {'; '.join(c.name for c in found)}")


def _guess(chosen: Contender | None, o: dict[str, Any]) -> Guess:
    import numpy as np

    from isr.calibration.planning import variance_components
    from isr.errors import UsageError

    if chosen is None:
        return Guess(
            o["rate"] or 0.5,
            0.3 if o["icc"] is None else o["icc"],
            o["per_image"] or 5.0,
            "guesses; a pilot run is better",
        )
    rows = [r for r in chosen.edits.values() if r.outcome == r.outcome]
    if not rows:
        raise UsageError(f"--pilot {chosen.run}: expected decided edits; found none")
    y = np.array([r.outcome for r in rows])
    image = _codes([r.unit.image_id for r in rows])
    icc = variance_components(y, image).icc
    rate = min(max(float(y.mean()), 0.5 / len(y)), 1 - 0.5 / len(y))
    known = 0.3 if icc is None else icc
    source = f"pilot {chosen.run}, {chosen.name}, {len(rows)} edits of {image.max() + 1} images"
    source += "" if icc is not None else "; ICC guessed: it cannot be estimated from this pilot"
    return Guess(
        o["rate"] or rate,
        known if o["icc"] is None else o["icc"],
        o["per_image"] or len(y) / (int(image.max()) + 1),
        source,
    )


def _codes(names: list[str]) -> Any:
    import numpy as np

    known: dict[str, int] = {}
    return np.array([known.setdefault(n, len(known)) for n in names], np.int64)


def _for_half_width(guess: Guess, o: dict[str, Any]) -> dict[str, Any]:
    from isr.calibration.planning import images_for_half_width

    plan = images_for_half_width(guess.rate, o["half_width"], guess.per_image, guess.icc, level=o["level"])
    answer = f"{plan.needed} images with {guess.per_image:g} edits each"
    wanted = f"ISR to within {100 * o['half_width']:g} percentage points ({o['level']:.0%} interval)"
    return {
        "wanted": wanted,
        "answer": answer,
        "images": plan.needed,
        "per_image": guess.per_image,
        "notes": list(plan.notes),
    }


def _for_difference(chosen: Contender | None, guess: Guess, o: dict[str, Any]) -> dict[str, Any]:
    from isr.calibration.planning import images_for_difference

    between, within, source = _spread(chosen, guess, o)
    plan = images_for_difference(
        o["difference"], between, within, guess.per_image, power=o["power"], level=o["level"]
    )
    return {
        "wanted": f"a difference of {100 * o['difference']:g} percentage points on the same edits, power {o['power']:.0%}",
        "answer": f"{plan.needed} images with {guess.per_image:g} edits each",
        "images": plan.needed,
        "per_image": guess.per_image,
        "notes": [f"variance between images {between:.4f}, within {within:.4f} ({source})", *plan.notes],
    }


def _spread(chosen: Contender | None, guess: Guess, o: dict[str, Any]) -> tuple[float, float, str]:
    """Variance of the paired differences between images and within, and where it comes from."""
    import numpy as np

    from isr.calibration.planning import variance_components
    from isr.errors import UsageError
    from isr.runs import read_run

    if chosen is None:
        total = max((o["discordant"] or 0.3) - o["difference"] ** 2, 1e-3)
        return (
            guess.icc * total,
            (1 - guess.icc) * total,
            "guessed from the share of discordant edits and the ICC",
        )
    other = _chosen(o["pilot"], o["against"]).edits if o["against"] else read_run(o["pilot"]).controls
    shared = [u for u in chosen.edits if u in other]
    pairs = [(u, chosen.edits[u].outcome - other[u].outcome) for u in shared]
    pairs = [(u, d) for u, d in pairs if d == d]
    name = o["against"] or "control edits"
    if len(pairs) < 2:
        raise UsageError(f"--against: expected units shared with {name}; found {len(pairs)} decided pairs")
    d = np.array([d for _, d in pairs])
    found = variance_components(d, _codes([u.image_id for u, _ in pairs]))
    if found.between is None or found.within is None or found.between + found.within == 0:
        raise UsageError(
            f"--pilot: the spread of the differences to {name} cannot be estimated from {len(pairs)} pairs "
            f"(one edit for each image, or no discordant pair); use a larger pilot, or --discordant and --icc without one"
        )
    return found.between, found.within, f"from {len(pairs)} pairs with the {name}"


def _for_labels(chosen: Contender | None, guess: Guess, o: dict[str, Any]) -> dict[str, Any]:
    from isr.calibration.planning import corrected_half_width, label_allocation, planned_design_effect
    from isr.errors import UsageError

    if chosen is None:
        raise UsageError("--labels: expected a --pilot run, whose verdicts the labels are shared over")
    try:
        low, high = (float(x) for x in o["human_rates"].split(","))
    except ValueError:
        raise UsageError(
            f"--human-rates: expected two numbers, e.g. 0.1,0.9; found {o['human_rates']!r}"
        ) from None
    outcomes = [r.outcome for r in chosen.edits.values() if r.outcome == r.outcome]
    counts = [outcomes.count(0.0), outcomes.count(1.0)]
    given = [int(n) for n in label_allocation(o["labels"], counts, [low, high])]
    notes = [f"of {counts[0]} and {counts[1]} edits with these verdicts; draw at random within each"]
    if all(g or not c for g, c in zip(given, counts, strict=True)):
        deff = planned_design_effect(guess.per_image, guess.icc)
        shares = [c / len(outcomes) for c in counts]
        half = corrected_half_width(shares, [low, high], given, len(outcomes), deff=deff, level=o["level"])
        notes.append(f"expected half-width of the judge-corrected ISR: {100 * half:.1f} percentage points")
    else:
        notes.append("too few labels: a verdict that occurs gets none, and the ISR could not be corrected")
    return {
        "wanted": f"{o['labels']} labels over the judge's verdicts (Neyman, at least 20 each where there are as many)",
        "answer": f"{given[0]} where the judge says not immunized, {given[1]} where it says immunized",
        "not_immunized": given[0],
        "immunized": given[1],
        "notes": notes,
    }
