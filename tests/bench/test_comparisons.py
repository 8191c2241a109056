"""The declared family: a case worked by hand, and equality with ``isr compare`` on the same runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isr.bench.comparisons import MAIN, Pair, compared, lines
from isr.scoring.compare import compare
from isr.scoring.finished import EditRow, FinishedRun, contenders
from isr.scoring.sampling import Sampling
from isr.stats.paired import compare_methods
from isr.types import Treatment, Unit

SIFM = Treatment("sifm", "paper-1", "0.03", "a")
NOISE = Treatment("noise", "uniform-1", "0.03", "a")
LABELS = {SIFM: "SIFM", NOISE: "noise"}
SIGNATURE = "isr=0|semantic=v1|perceptual=v1|judge=oracle|rule=single|parser=1|images=1|repeats=1"


def run(outcomes: dict[Treatment | None, list[float]], editor: str = "a", purifier: str = "") -> FinishedRun:
    """A run over images of two prompts each; ``None``: the control edits."""
    rows: dict[Treatment | None, dict[Unit, EditRow]] = {}
    for treatment, values in outcomes.items():
        for i, value in enumerate(values):
            unit = Unit(f"image{i // 2}", f"p{i % 2}", editor, "0", purifier)
            ends = (0.0, 1.0) if math.isnan(value) else (value, value)
            rows.setdefault(treatment, {})[unit] = EditRow(unit, value, {}, ends)
    controls = rows.pop(None, {})
    named = {t: r for t, r in rows.items() if t is not None}
    return FinishedRun(
        path=Path(editor + purifier),
        digest=editor + purifier,
        signature=SIGNATURE,
        treatments=named,
        controls=controls,
    )


def pair(second: str, editor: str = "a", purifier: str = "") -> Pair:
    return Pair(editor=editor, purifier=purifier, eps=0.03, surrogate="a", first="SIFM", second=second)


def test_by_hand() -> None:
    """Four images of two prompts. SIFM - none by image: 2, 2, 2, 1; SIFM - noise: 1, 1, 0, 0.

    The sums' signs: none: 2^4 patterns, |sum| = 7 only if all agree: p = 2/16. noise: two images differ, 2^2 patterns,
    |sum| = 2 in two of four: p = 2/4. Holm over both: 2 x 2/16 = 1/4; max(1/4, 2/4) = 1/2.
    """
    found = compared(
        MAIN,
        "oracle",
        [pair("noise"), pair("none")],
        [run({SIFM: [1, 1, 1, 1, 1, 1, 1, 0], NOISE: [1, 0, 0, 1, 1, 1, 1, 0], None: [0] * 8})],
        LABELS,
        level=0.95,
    )
    noise, none = (m.found for m in found.members)
    assert (noise.p_value, none.p_value) == (0.5, 0.125)
    assert (noise.p_holm, none.p_holm) == (0.5, 0.25)
    assert noise.difference.value == pytest.approx(2 / 8)
    assert none.difference.value == pytest.approx(7 / 8)
    assert [(m.as_dict()["wins"], m.as_dict()["losses"]) for m in found.members] == [(2, 0), (7, 0)]
    assert (noise.difference.n, noise.difference.clusters) == (8, 4)
    assert "family=main:2:holm:missing=1|" in found.signature
    text = "\n".join(lines(found))
    assert "SIFM - noise" in text
    assert "+87.5 pp" in text


def test_holm_runs_over_all_editors_and_purifiers() -> None:
    ours, theirs, control = [1.0] * 8, [0.0] * 8, [0.0] * 8
    runs = [run({SIFM: ours, NOISE: theirs, None: control}, editor=e) for e in "ab"]
    pairs = [pair(s, e) for e in "ab" for s in ("noise", "none")]
    found = compared(MAIN, "oracle", pairs, runs, LABELS, level=0.95)
    assert [m.found.p_value for m in found.members] == [0.125] * 4
    assert [m.found.p_holm for m in found.members] == [0.5] * 4  # 4 x 2/16
    alone = compared(MAIN, "oracle", pairs[:1], runs, LABELS, level=0.95).members[0].found
    joint = found.members[0].found
    assert joint.difference == alone.difference
    assert joint.simultaneous != alone.simultaneous


def test_untested_members_count_the_same_in_every_command() -> None:
    """A family of three, one of which can be tested: 3 x its p, by `isr compare` and by `isr bench`."""
    image = np.repeat(np.arange(7), 2)
    sides = {"a": np.ones(14), "b": np.zeros(14), "c": np.full(14, np.nan)}
    library = compare_methods(sides, image, pairs=[("a", "b"), ("a", "c"), ("b", "c")])
    assert [one.p_value for one in library] == [2 / 2**7, None, None]
    assert [one.p_holm for one in library] == [3 * 2 / 2**7, None, None]
    three = Treatment("c", "", "0.03", "a")
    one = run({SIFM: [1.0] * 14, NOISE: [0.0] * 14, three: [math.nan] * 14})
    pairs = [
        replace(pair("noise"), first=f, second=s)
        for f, s in (("SIFM", "noise"), ("SIFM", "c"), ("noise", "c"))
    ]
    bench = compared(MAIN, "oracle", pairs, [one], {**LABELS, three: "c"}, level=0.95)
    compare_command = compare(contenders([one]), one.instrument)
    assert [m.found.p_holm for m in bench.members] == [3 * 2 / 2**7, None, None]
    assert sorted(c.p_holm or 0 for c in compare_command.family) == [0, 0, 3 * 2 / 2**7]
    assert "|family=3:holm:missing=1|" in compare_command.signature


def test_as_isr_compare_says() -> None:
    draw = np.random.default_rng(1)
    some = {t: draw.integers(0, 2, 24).astype(float).tolist() for t in (SIFM, NOISE)}
    some[SIFM][3] = math.nan
    one = run({**some, None: [0.0] * 24})
    ours = compared(MAIN, "oracle", [pair("noise")], [one], LABELS, level=0.95).members[0].found
    theirs = compare(contenders([one]), one.instrument, baseline="noise").family[0]
    assert ours.difference == theirs.difference
    assert ours.simultaneous == theirs.simultaneous
    assert (ours.p_value, ours.p_holm, ours.p_method) == (theirs.p_value, theirs.p_holm, theirs.p_method)
    assert ours.undecided == theirs.undecided == 1
    assert ours.notes == theirs.notes


def test_prompts_clusters_and_margins_as_isr_compare_says() -> None:
    draw = np.random.default_rng(2)
    one = run({t: draw.integers(0, 2, 24).astype(float).tolist() for t in (SIFM, NOISE)})
    for rows in one.treatments.values():
        for unit, row in rows.items():
            row.columns["person"] = f"p{int(unit.image_id[5:]) // 2}"
    sides = contenders([one])
    drawn = Sampling.of(sides, "random", "person", 0.4)
    family = compared(MAIN, "oracle", [pair("noise")], [one], LABELS, level=0.95, drawn=drawn)
    ours = family.members[0].found
    theirs = compare(
        sides, one.instrument, baseline="noise", prompts="random", cluster="person", margin=0.4
    ).family[0]
    assert (ours.difference, ours.simultaneous) == (theirs.difference, theirs.simultaneous)
    assert (ours.p_value, ours.within, ours.difference.clusters) == (theirs.p_value, theirs.within, 6)
    assert ours.within is not None
    assert family.members[0].as_dict()["within"] == ours.within._asdict()
    for part in ("|prompts=random|", "|cluster=person|", "|test=t|", "|margin=0.4|"):
        assert part in family.signature
    text = "\n".join(lines(family))
    assert " clusters" in text
    assert "margin of 40 pp, by verdicts: " in text


def test_bounds_stand_where_too_many_pairs_are_undecided() -> None:
    """3 of 24 pairs are open, of 21 the first fails alone on 12 and the second on none: 12/21 is no value; (12 +- 3)/24 are its bounds."""
    first = [1.0] * 12 + [0.0] * 9 + [math.nan] * 3
    one = run({SIFM: first, NOISE: [0.0] * 21 + [0.0] * 3, None: [0.0] * 24})
    family = compared(MAIN, "oracle", [pair("noise")], [one], LABELS, level=0.95)
    text = "\n".join(lines(family))
    row = next(line for line in text.splitlines() if "SIFM - noise" in line)
    assert row.split()[3:8] == ["bounds", "+50.0", "to", "+62.5", "-"]
    assert "57.1" not in text  # 12 of 21
    assert "bounds: more than 5% of the pairs are undecided" in text


def test_units_are_never_mixed() -> None:
    """The same image and prompt under another purifier, or by another editor, is another unit."""
    runs = [
        run({SIFM: [1.0] * 8, NOISE: [0.0] * 8, None: [0.0] * 8}),
        run({SIFM: [0.0] * 8, NOISE: [1.0] * 8, None: [0.0] * 8}, purifier="jpeg:quality=75"),
    ]
    pairs = [pair("noise"), pair("noise", purifier="jpeg:quality=75")]
    found = compared(MAIN, "oracle", pairs, runs, LABELS, level=0.95)
    assert [m.found.difference.value for m in found.members] == [1.0, -1.0]
    assert [m.found.difference.n for m in found.members] == [8, 8]


def test_a_declared_pair_without_edits_is_told() -> None:
    found = compared(MAIN, "oracle", [pair("none"), pair("none", "b")], [run({SIFM: [1.0] * 8, None: [0.0] * 8})], LABELS, level=0.95)  # fmt: skip
    missing = found.members[1].found
    assert missing.p_value is None
    assert missing.p_holm is None
    tested = found.members[0].found
    assert tested.p_value is not None
    assert tested.p_holm == 2 * tested.p_value  # the family is what was declared: two
    assert any("1 of them without a p-value count as p = 1" in line for line in lines(found))
    assert missing.difference.value is None
    assert any("no pair" in line for line in lines(found))


def test_what_is_on_one_side_only_is_told() -> None:
    found = compared(MAIN, "oracle", [pair("none")], [run({SIFM: [1.0] * 8, None: [0.0] * 6})], LABELS, level=0.95)  # fmt: skip
    assert found.members[0].found.difference.n == 6
    assert any("2 units are on one side only" in n for n in found.members[0].found.notes)


def test_only_the_first_judges_family_is_the_claim() -> None:
    runs = [run({SIFM: [1.0] * 8, None: [0.0] * 8})]
    for claim, said in (
        (True, "oracle (the study's claims)"),
        (False, "oracle (no claims: what rests on the judge)"),
    ):
        found = compared(MAIN, "oracle", [pair("none")], runs, LABELS, level=0.95, claim=claim)
        assert found.as_dict()["claim"] is claim
        assert said in next(lines(found))


def test_a_note_calls_methods_by_the_studys_names() -> None:
    """SIFM fails by whole images, noise by single edits."""
    whole, single = [float(i // 2 % 2) for i in range(24)], [float(i % 2) for i in range(24)]
    found = compared(MAIN, "oracle", [pair("noise")], [run({SIFM: whole, NOISE: single})], LABELS, level=0.95)
    (note,) = [n for n in found.members[0].found.notes if "different patterns" in n]
    assert note.startswith("SIFM and noise fail in different patterns")
