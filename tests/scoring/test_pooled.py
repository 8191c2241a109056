"""`isr compare --by`: differences over editors like these, and under a new editor."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from isr.api import compare as compare_runs
from isr.cli import cli
from isr.scoring.compare import compare
from isr.scoring.comparison import Comparison
from isr.scoring.finished import Contender, EditRow
from isr.scoring.pooled import PooledPair, lines, pool
from isr.scoring.sampling import Sampling
from isr.stats.difference import difference_interval
from isr.stats.pooling import common_correlation, group_differences, pool_groups
from isr.stats.rows import Prompts
from isr.types import Treatment, Unit
from tests.runs import recorded_run

IMAGES, PROMPTS = 15, 3


def study(
    editors: int = 5,
    *,
    checkpoint: Callable[[str, int], str] = lambda side, e: f"sha256:{e:064d}",
    lost: Callable[[int, int], bool] = lambda image, editor: False,
    open_: Callable[[int, int], bool] = lambda image, editor: False,
) -> list[Contender]:
    """Two methods; A fails more often under every editor, and the more the later. ``lost``: (image, editor) without edits."""
    rng = np.random.default_rng(0)
    tilt = rng.normal(size=IMAGES)
    found = []
    for side in "AB":
        rows = {}
        for e in range(editors):
            for i in range(IMAGES):
                for p in range(PROMPTS):
                    if lost(i, e):
                        continue
                    unit = Unit(f"i{i}", f"p{p}", f"e{e}", "", "")
                    outcome = float(tilt[i] + rng.normal() + (0.4 + 0.2 * e) * (side == "A") > 0.5)
                    columns = {
                        "editor": unit.editor,
                        "editor_checkpoint": checkpoint(side, e),
                        "kind": f"k{e % 2}",
                    }
                    ends = (0.0, 1.0) if open_(i, e) else (outcome, outcome)
                    rows[unit] = EditRow(unit, float("nan") if open_(i, e) else outcome, columns, ends)
        found.append(Contender(side, "r", Treatment(side, "", "", ""), rows))
    return found


def pooled(
    contenders: list[Contender],
    by: tuple[str, ...] = ("editor",),
    *,
    prompts: Prompts = "fixed",
    level: float = 0.95,
) -> tuple[PooledPair, Comparison]:
    found = compare(contenders, {"isr": "0.1.0"}, by=list(by), prompts=prompts, level=level)
    found = pool(found, contenders, by, Sampling.of(contenders, prompts, ""), level)
    return found.pooled[0], found


def differences(contenders: list[Contender]) -> tuple[list[float], list[str], list[str], list[str]]:
    a, b = contenders
    units = sorted(a.edits)
    d = [a.edits[u].outcome - b.edits[u].outcome for u in units]
    return d, [u.image_id for u in units], [u.editor for u in units], [u.prompt_id for u in units]


@pytest.mark.parametrize("prompts", ["fixed", "random"])
def test_it_is_what_the_arrays_give(prompts: Prompts) -> None:
    contenders = study()
    one, _ = pooled(contenders, prompts=prompts, level=0.9)
    d, image, editor, prompt = differences(contenders)
    each = group_differences(d, image, [int(e[1:]) for e in editor], prompt=prompt, prompts=prompts)
    expected = pool_groups(each.y, common_correlation(each.covariance), df=each.df, level=0.9, limits=(-1, 1))
    assert one.found == expected
    assert (one.first, one.second, one.column) == ("A", "B", "editor")
    assert one.groups == tuple(f"e{e}" for e in range(5))
    assert one.n == (IMAGES * PROMPTS,) * 5
    assert (one.refused, one.notes, one.identified) == ("", (), None)
    assert expected is not None
    own = [
        difference_interval([x for x, e in zip(d, editor, strict=True) if e == name], [
            i for i, e in zip(image, editor, strict=True) if e == name]).value
        for name in one.groups
    ]  # fmt: skip
    assert [g.own for g in expected.groups] == own


def test_three_editors_are_no_sample_of_editors() -> None:
    one, _ = pooled(study(3))
    assert one.found is None
    assert one.refused == "3 editors: 'transfers' is a claim about editors and needs at least 4"
    assert pooled(study(4))[0].found is not None
    other, _ = pooled(study(4), ("kind",))
    assert other.refused == "2 values of kind: a new one needs at least 4"
    single, _ = pooled(study(1))
    assert single.refused == "1 editor: 'transfers' is a claim about editors and needs at least 4"


def test_editors_are_counted_by_their_checkpoints() -> None:
    """Five names of three checkpoints are three editors; one name with two checkpoints is two."""
    few, found = pooled(study(5, checkpoint=lambda side, e: f"sha256:{e // 2:064d}"))
    assert few.refused.startswith("3 editors")
    assert few.groups == ("e0 = e1", "e2 = e3", "e4")
    assert "editors e0, e1 are one checkpoint: they count as one editor" in found.warnings
    contenders = study(3)
    for contender in contenders:
        for unit, row in contender.edits.items():
            if unit.editor == "e0":
                digit = int(unit.image_id[1:]) % 2 + 7
                row.columns["editor_checkpoint"] = f"sha256:{digit:064d}"  # type: ignore[index]
    more, found = pooled(contenders)
    assert more.found is not None
    assert more.found.k == 4
    assert "editor e0 is 2 checkpoints: it counts as 2 editors" in found.warnings


def test_a_pair_whose_sides_were_made_by_two_checkpoints_is_left_out() -> None:
    one, _ = pooled(
        study(5, checkpoint=lambda side, e: f"sha256:{e + (9 if side == 'B' and e == 4 else 0):064d}")
    )
    assert one.found is not None
    assert one.found.k == 4
    assert one.notes == (
        f"{IMAGES * PROMPTS} units have edits of two different editors, one on each side: they are left out here",
    )


def test_a_group_of_one_image_is_left_out_and_told() -> None:
    one, _ = pooled(study(5, lost=lambda image, editor: editor == 2 and image > 0))
    assert one.groups == ("e0", "e1", "e3", "e4")
    assert one.notes == ("e2: one image: left out here",)
    two = study(5, lost=lambda image, editor: editor == 2 and image > 1)
    for contender in two:
        for unit in [u for u in contender.edits if u.prompt_id == "p2"]:
            del contender.edits[unit]  # type: ignore[attr-defined]
    assert pooled(two, prompts="random")[0].notes == ()  # two images and two prompts are enough
    contenders = study(4)
    for contender in contenders:
        for unit in [u for u in contender.edits if u.editor == "e3" and u.prompt_id != "p0"]:
            del contender.edits[unit]  # type: ignore[attr-defined]
    assert pooled(contenders)[0].found is not None
    narrow, _ = pooled(contenders, prompts="random")
    assert narrow.notes == ("e3: one prompt of a sample: left out here",)
    assert narrow.refused.startswith("3 editors")


def test_undecided_outcomes_leave_the_mean_open() -> None:
    shut, _ = pooled(study())
    one, _ = pooled(study(open_=lambda image, editor: image == 0))
    assert one.found is not None
    assert shut.identified is None
    assert one.identified is not None
    assert one.new_identified is not None
    assert one.notes == (
        f"{5 * PROMPTS} of {5 * IMAGES * PROMPTS} shared units are undecided on a side and left out",
    )
    assert one.identified[0] < one.found.low < one.found.high < one.identified[1]
    assert one.new_identified[0] < one.found.new_low < one.found.new_high < one.new_identified[1]
    assert shut.found is not None
    assert one.identified[0] < shut.found.low < shut.found.high < one.identified[1]


def test_that_names_alone_told_editors_is_said_where_it_is_used() -> None:
    for count, told in ((4, True), (3, False)):
        _, found = pooled(study(count, checkpoint=lambda side, e: ""))
        assert any(w.startswith("editors told by names") for w in found.warnings) is told
    assert not any("told by names" in w for w in pooled(study(4))[1].warnings)


def test_combinations_of_columns_are_not_pooled() -> None:
    one, _ = pooled(study(), ("editor", "kind"))
    assert one.refused == "combinations of editor, kind are no sample of anything: give one column"


def test_the_same_edits_on_both_sides_are_not_pooled() -> None:
    (a, _) = study()
    twin = Contender("A again", a.run, a.treatment, a.edits)
    one, _ = pooled([a, twin])
    assert one.refused == "both sides are the same edits"


def test_the_words() -> None:
    one, _ = pooled(study())
    assert one.found is not None
    text = "\n".join(lines([one], 0.95))
    assert text.startswith(
        "\nover editors, taken as a sample of editors, by verdicts (equal weights, REML between them; each 95% interval by itself, not "
        "adjusted over pairs)\nA - B\n  over editors like these (k = 5): +"
    )
    assert re.search(
        r"k = 5\): \+\d+\.\d pp \(\S+ to \S+ pp\); a new editor: \S+ to \S+ pp; between editors sd \d+\.\d pp",
        text,
    )
    table = text.splitlines()[4:]
    assert table[0].split() == ["by", "itself", "with", "the", "others", "interval", "n"]
    assert [row.split()[0] for row in table[1:]] == list(one.groups)
    assert all(row.endswith(f" {IMAGES * PROMPTS}") for row in table[1:])
    assert len({len(row) for row in table}) == 1
    left_open, _ = pooled(study(open_=lambda image, editor: image == 0))
    assert re.search(
        r"whatever the undecided outcomes are: \S+ to \S+ pp; a new editor: \S+ to \S+ pp",
        "\n".join(lines([left_open], 0.95)),
    )
    kinds, _ = pooled(study(), ("kind",))
    assert list(lines([kinds], 0.9)) == [
        "",
        "over values of kind, taken as a sample of values of kind, by verdicts (equal weights, REML between them; each 90% interval by itself, not adjusted over pairs)",
        "A - B",
        "  2 values of kind: a new one needs at least 4",
    ]
    assert list(lines([], 0.95)) == []


def test_from_the_shell(tmp_path: Path) -> None:
    def four_editors(rows: list[dict[str, object]]) -> None:
        for row in rows:
            row["editor"] = f"e{int(str(row['prompt'])[-1]) % 4}"

    run = recorded_run(tmp_path, images=5, prompts=8, methods=("a", "b"), change=four_editors)
    done = CliRunner().invoke(cli, ["compare", str(run), "--by", "editor"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "over editors like these (k = 4): " in done.stdout
    assert "warning: editors told by names, not by checkpoints: e0, e1, e2, e3" in done.stdout
    done = CliRunner().invoke(cli, ["compare", str(run), "--by", "editor", "--json"], catch_exceptions=False)
    (one,) = json.loads(done.stdout)["pooled"]
    assert one["groups"] == ["e0", "e1", "e2", "e3"]
    assert one["found"]["k"] == 4
    assert [g["own"] for g in one["found"]["groups"]] == [
        s.comparison.difference.value for s in compare_runs(run, by=["editor"]).slices
    ]
    plain = CliRunner().invoke(cli, ["compare", str(run), "--json"], catch_exceptions=False)
    assert "pooled" not in json.loads(plain.stdout)
    assert (
        "like these (k" not in CliRunner().invoke(cli, ["compare", str(run)], catch_exceptions=False).stdout
    )


def test_contenders_without_a_common_unit_are_no_pair() -> None:
    a, b = study(4)
    apart = Contender(
        "C", b.run, Treatment("C", "", "", ""), {u._replace(seed="1"): r for u, r in b.edits.items()}
    )
    found = compare([a, b, apart], {"isr": "0.1.0"}, by=["editor"])
    found = pool(found, [a, b, apart], ["editor"], Sampling.of([a, b, apart], "fixed", ""), 0.95)
    assert [p.refused[:9] for p in found.pooled] == ["", "0 editors", "0 editors"]
