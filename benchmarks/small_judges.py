"""Minutes that small judges take for 100 edits on this machine's CPU alone, computed from their size: a table.

python benchmarks/small_judges.py [--side 512]
"""

from __future__ import annotations

import argparse

from isr.judging.cards import builtin_names, load_card
from isr.judging.image_tokens import RULES
from isr.judging.local_time import SMALL, seconds, speed
from isr.scoring.dry_run import SHORT

TEXT = 780  # tokens of the text of a question by semantic/v1 or perceptual/v1
QUESTIONS = 2


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--side", type=int, default=512, help="of the square pictures, in pixels")
    given = options.parse_args()
    here = speed(1.0)
    print(f"{here.operations / 1e9:.0f} billion operations/s in float32, {here.bytes / 1e9:.1f} GB/s")
    print("| card | billion weights | tokens of a picture | minutes for 100 edits | with control edits |")
    print("|---|---|---|---|---|")
    for name in builtin_names():
        card = load_card(name)
        if 0 < card.parameters <= SMALL:
            picture = RULES[card.price.image_tokens](given.side, given.side)
            least, most = seconds(
                card.parameters, 100 * QUESTIONS * (TEXT + 2 * picture), 100 * QUESTIONS * SHORT, here
            )
            both = " | ".join(f"{k * least / 60:,.0f} to {k * most / 60:,.0f}" for k in (1, 2))
            print(f"| `{name}` | {card.parameters:g} | {picture} | {both} |")


if __name__ == "__main__":
    main()
