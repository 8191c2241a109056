"""`isr agree --errors-on`: where a judge errs, with labels that were chosen somehow, and what is refused."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import bdtr

from benchmarks.judge_errors import regressed, study
from isr.api import agree
from isr.cli import cli
from isr.errors import UsageError
from isr.people.judge_errors import ErrorModel, JudgeErrors, Term, lines
from isr.people.judgements import EditInfo, Judgements
from isr.people.labels import Label, Labels, Mark
from isr.stats.multiplicity import holm_family
from isr.stats.regression import clustered_fit, coefficients
from isr.types import Tri
from tests.runs import recorded_run

EVEN = (0.2, 0.2, 0.2, 0.2)


def with_columns(judge: Judgements, **columns: list[str]) -> Judgements:
    """The judge with more columns of its edits, in their order."""
    edits = {
        name: replace(info, columns={**info.columns, **{c: v[i] for c, v in columns.items()}})
        for i, (name, info) in enumerate(judge.edits.items())
    }
    return replace(judge, edits=edits)


def model(found: JudgeErrors, kind: str) -> ErrorModel:
    (one,) = (m for m in found.models if m.kind == kind)
    return one


def term(found: JudgeErrors, kind: str, column: str, level: str = "") -> Term:
    (one,) = (t for t in model(found, kind).terms if (t.column, t.level) == (column, level))
    return one


def test_it_is_the_regression_of_errors_by_hand() -> None:
    judge, labels = study(np.random.default_rng(3), (0.1, 0.2, 0.3, 0.4), "all")
    found = regressed(judge, labels)
    said = np.array([int(o) for o in judge.outcomes.values()])
    people = np.array([row.outcome for row in labels.rows])
    columns = [e.columns for e in judge.edits.values()]
    psnr = np.array([float(c["protected_psnr"]) for c in columns])
    words = np.array([len(c["prompt"].split()) for c in columns], np.float64)
    editor = np.array([c["editor"] for c in columns])
    image = np.array([e.image_id for e in judge.edits.values()])
    for kind, keep in (("errors", people >= 0), ("misses", people == 1), ("false alarms", people == 0)):
        x = np.column_stack([
            np.ones(keep.sum()), *(editor[keep] == e for e in "bcd"), psnr[keep] / psnr.std(), words[keep] / words.std()
        ])  # fmt: skip
        fit = clustered_fit((said != people)[keep], x, image[keep].tolist(), floor=True)
        expected = coefficients(fit)[1:]
        one = model(found, kind)
        assert (one.n, one.errors) == (keep.sum(), (said != people)[keep].sum())
        assert one.share == pytest.approx((said != people)[keep].mean())
        for got, wanted in zip(one.terms, expected, strict=True):
            assert (got.value, got.low, got.high, got.p_value, got.df) == pytest.approx(
                (wanted.value, wanted.low, wanted.high, wanted.p_value, wanted.df), rel=1e-6
            )
    names = [(t.column, t.level, t.against) for t in one.terms]
    assert names == [
        ("editor", "b", "a"),
        ("editor", "c", "a"),
        ("editor", "d", "a"),
        ("protected_psnr", "", f"per sd ({psnr.std():.3g})"),
        ("prompt_words", "", f"per sd ({words.std():.3g})"),
    ]
    assert one.terms[0].n == ((editor == "b") & (people == 0)).sum()
    assert one.terms[0].images == np.unique(image[(editor == "b") & (people == 0)]).size
    terms = [t for m in found.models for t in m.terms]
    assert len(terms) == 15
    assert [t.p_holm for t in terms] == list(holm_family([t.p_value for t in terms]))
    assert found.weights.startswith("every judged edit is labelled: all weigh alike")
    assert found.notes == (
        "prompt_words has one value for each of 5 prompts: what is said of it is about these prompts alone",
    )


@pytest.mark.proof
def test_a_judge_that_errs_under_one_editor_is_found_and_one_that_does_not_is_not() -> None:
    """docs/statistics.md has the shares over 1,000 runs; here 30 of each."""
    rng = np.random.default_rng(4)
    found = claims = 0
    for _ in range(30):
        d = term(regressed(*study(rng, (0.15, 0.15, 0.15, 0.5), "all")), "errors", "editor", "d")
        found += d.p_holm is not None and d.p_holm < 0.05 and (d.value or 0) > 0
        none = regressed(*study(rng, (0.15,) * 4, "all"))
        claims += any((t.p_holm or 1) < 0.05 for m in none.models for t in m.terms)
    assert found >= 24
    assert bdtr(30 - claims, 30, 0.95) > 1e-3 or claims < 2


# ---------------------------------------------------------------------- labels that were chosen by verdict


def test_labels_within_verdict_are_weighted_by_the_labelled_share_of_their_verdict() -> None:
    """One edit in five is called immunized, and half of the labels are of these: raw shares of errors are wrong."""
    rng = np.random.default_rng(5)
    raw, weighted, truth = [], [], []
    for _ in range(20):
        judge, labels = study(rng, EVEN, "within verdict", immunized=0.1)
        one = model(regressed(judge, labels), "misses")
        raw.append(one.errors / one.n)
        weighted.append(one.share or 0)
        truth.append(0.2)
    assert abs(np.mean(weighted) - 0.2) < 0.06
    assert np.mean(raw) < 0.12


def test_the_weights_by_hand() -> None:
    judge, labels = study(np.random.default_rng(6), EVEN, "within verdict", immunized=0.2)
    found = regressed(judge, labels)
    labelled = {row.edit_id: row.outcome for row in labels.rows}
    said = {e: int(o) for e, o in judge.outcomes.items()}
    share = {v: sum(said[e] == v for e in labelled) / sum(s == v for s in said.values()) for v in (0, 1)}
    total = sum(1 / share[said[e]] for e in labelled)
    assert model(found, "errors").share == pytest.approx(
        sum((said[e] != y) / share[said[e]] for e, y in labelled.items()) / total
    )
    assert found.weights == (
        f"each edit weighs the inverse of the labelled share of its verdict ({share[1]:.0%} of immunized, {share[0]:.0%} of not immunized)"
    )


def test_known_probabilities_come_first() -> None:
    judge, labels = study(np.random.default_rng(7), EVEN, "random")
    some = Labels(tuple(replace(r, pi=0.2 if i % 2 else 0.8) for i, r in enumerate(labels.rows)))
    found = regressed(judge, some)
    assert found.weights == "each edit weighs the inverse of its probability of a label (pi)"
    wrong = np.array([int(judge.outcomes[r.edit_id]) != r.outcome for r in some.rows])
    pi = np.array([r.pi for r in some.rows], np.float64)
    assert model(found, "errors").share == pytest.approx((wrong / pi).sum() / (1 / pi).sum())
    part = Labels((replace(labels.rows[0], pi=0.5), *labels.rows[1:]))
    assert regressed(judge, part).refused == (
        "expected 'pi' of every labelled edit, or of none; found 1 of 150; fill it in, or leave the column out"
    )


def test_labels_whose_choice_is_not_known_are_refused() -> None:
    judge, labels = study(np.random.default_rng(8), EVEN, "random")
    for change in ({"stratum": "a / immunized"}, {"plan": "sha256:1"}):
        named = Labels((replace(labels.rows[0], **change), *labels.rows[1:]))
        found = regressed(judge, named)
        assert (
            found.refused
            == "the labels name a plan or a stratum, and no probabilities: give them in the column pi"
        )
        assert found.models == ()
    one_sided = Labels(tuple(r for r in labels.rows if judge.outcomes[r.edit_id] is Tri.YES))
    assert regressed(judge, one_sided).refused == (
        "no edit that the judge calls not immunized has a label: errors among them cannot be counted; label some"
    )
    nobody = Labels(tuple(replace(r, semantic=Mark("cannot_tell")) for r in labels.rows))
    assert (
        regressed(judge, nobody).refused
        == "no edit whose outcome both the judge and the consensus of people decide"
    )


def test_a_judge_that_only_ever_says_one_thing_needs_labels_of_that_alone() -> None:
    judge, labels = study(np.random.default_rng(8), EVEN, "random")
    always = replace(judge, outcomes=dict.fromkeys(judge.outcomes, Tri.YES))
    found = regressed(always, labels)
    assert (
        found.weights
        == "each edit weighs the inverse of the labelled share of its verdict (50% of immunized)"
    )
    assert (
        model(found, "misses").refused
        == f"expected 10 errors and 10 right verdicts; found 0 and {model(found, 'misses').n}"
    )


def test_undecided_answers_are_no_errors() -> None:
    judge, labels = study(np.random.default_rng(9), EVEN, "all")
    first = dict.fromkeys(list(judge.outcomes)[:50], Tri.UNKNOWN)
    found = regressed(replace(judge, outcomes={**judge.outcomes, **first}), labels)
    assert model(found, "errors").n == 250
    assert found.notes[0] == "50 of 300 labelled edits are undecided by the judge: they are in no model"
    open_ = Labels(
        tuple(replace(r, semantic=Mark("cannot_tell")) if i < 70 else r for i, r in enumerate(labels.rows))
    )
    found = regressed(replace(judge, outcomes={**judge.outcomes, **first}), open_, ("editor",))
    assert found.notes[:2] == (
        "50 of 300 labelled edits are undecided by the judge: they are in no model",
        "20 of 300 labelled edits have no consensus of people: they are in no model",
    )


# ---------------------------------------------------------------------- terms that cannot be told


def test_terms_that_cannot_be_told_are_refused_with_a_reason_and_stay_in_the_family() -> None:
    judge, labels = study(np.random.default_rng(10), (0.3,) * 4, "all")
    editor = [e.columns["editor"] for e in judge.edits.values()]
    image = [e.image_id for e in judge.edits.values()]
    rare = ["rare" if i in ("i0", "i1", "i2") else "usual" for i in image]
    some = ["some" if int(i[1:]) < 5 else "usual" for i in image]
    more = with_columns(
        judge, twin=[f"{e}!" for e in editor], flat=["1"] * 300, one=["x"] * 300, rare=rare, some=some,
    )  # fmt: skip
    found = regressed(more, labels, ("editor", "twin", "flat", "one", "rare", "some"))
    collinear = "collinear with the terms before it, which carry what belongs to both"
    refused = {(t.column, t.level, t.against): t.refused for t in model(found, "errors").terms if t.refused}
    assert refused == {
        ("twin", "b!", "a!"): collinear,
        ("twin", "c!", "a!"): collinear,
        ("twin", "d!", "a!"): collinear,
        ("flat", "", "per sd (0)"): "no variation",
        ("one", "x", "nothing else"): "no variation",
        ("rare", "rare", "usual"): "rare rare has 3 images here, fewer than 5",
        ("some", "some", "usual"): "some some has 2 images here, fewer than 5",
    }
    assert model(found, "errors").n == 275
    assert "rare rare: its 15 edits are left out" in model(found, "errors").notes
    family = [t for m in found.models for t in m.terms]
    assert [t.p_holm for t in family] == list(holm_family([t.p_value for t in family]))
    assert sum(t.p_holm is None for t in family) >= 3 * 7
    alone = regressed(more, labels, ("editor",))
    assert term(alone, "errors", "editor", "b").value is not None


def test_a_level_of_few_degrees_of_freedom_has_no_p_value() -> None:
    """Five images have the level, one of them most of its edits."""
    judge, labels = study(np.random.default_rng(11), (0.3,) * 4, "all")
    images = [e.image_id for e in judge.edits.values()]
    first = {i: images.index(i) for i in set(images)}
    level = [
        "few" if i == "i0" or (i in ("i1", "i2", "i3", "i4") and n == first[i]) else "usual"
        for n, i in enumerate(images)
    ]
    one = term(regressed(with_columns(judge, level=level), labels, ("level",)), "errors", "level", "few")
    assert one.refused.startswith("rests on ")
    assert one.refused.endswith(" degrees of freedom, fewer than 4")
    assert (one.value, one.p_value) == (None, None)


def test_a_weak_baseline_refuses_what_is_held_against_it() -> None:
    """People call immunized what editors a to d made, but of a (the most frequent) only two images."""
    judge, labels = study(np.random.default_rng(12), (0.3,) * 4, "all", immunized=0.6)
    columns = {e: i.columns["editor"] for e, i in judge.edits.items()}
    columns = {e: "a" if c == "b" else c for e, c in columns.items()}
    judge = with_columns(judge, editor=list(columns.values()))
    images = {e: i.image_id for e, i in judge.edits.items()}
    rows = tuple(
        replace(r, semantic=Mark("fine"))
        if columns[r.edit_id] == "a" and images[r.edit_id] not in ("i0", "i1")
        else r
        for r in labels.rows
    )
    found = regressed(judge, Labels(rows), ("editor",))
    assert {t.level: t.refused for t in model(found, "misses").terms}.keys() == {"c", "d"}
    assert all(t.refused.startswith("editor a has ") for t in model(found, "misses").terms)
    assert all(t.against == "a" and t.value is not None for t in model(found, "errors").terms)


def test_few_errors_refuse_a_model() -> None:
    judge, labels = study(np.random.default_rng(13), (0.0,) * 4, "all")
    found = regressed(judge, labels)
    one = model(found, "errors")
    assert one.refused == "expected 10 errors and 10 right verdicts; found 0 and 300"
    assert all(t.refused == one.refused for t in one.terms)
    assert one.share == 0


def test_errors_that_a_column_tells_exactly_leave_no_variance() -> None:
    judge, labels = study(np.random.default_rng(14), EVEN, "all")
    wrong = [str(int(judge.outcomes[r.edit_id] != r.outcome)) for r in labels.rows]
    one = term(regressed(with_columns(judge, wrong=wrong), labels, ("wrong:levels",)), "errors", "wrong", "1")
    assert one.refused == "the columns tell every error: no variance is left"


# ---------------------------------------------------------------------- columns


def test_missing_and_infinite_values_are_left_out_and_told() -> None:
    judge, labels = study(np.random.default_rng(15), EVEN, "all")
    psnr = ["inf"] * 10 + [""] * 5 + [str(i % 7) for i in range(285)]
    kind = ["", "x", "y"] * 100
    found = regressed(with_columns(judge, psnr=psnr, kind=kind), labels, ("psnr", "kind"))
    assert found.notes == (
        "15 of 300 edits have no finite value of psnr: they are left out",
        "100 of 300 edits have no value of kind: they are left out",
    )
    assert model(found, "errors").n == 190
    assert found.models[0].terms[0].against == f"per sd ({np.std([i % 7 for i in range(285)]):.3g})"


def test_numbers_that_are_names_are_levels_and_budget_is_eps() -> None:
    judge, labels = study(np.random.default_rng(16), EVEN, "all")
    judge = with_columns(judge, eps=["0.03", "0.06", "0.09"] * 100)
    numbers = regressed(judge, labels, ("budget",)).models[0].terms
    assert [(t.column, t.level) for t in numbers] == [("eps", "")]
    names = regressed(judge, labels, ("budget:levels",)).models[0].terms
    assert [(t.column, t.level, t.against) for t in names] == [
        ("eps", "0.06", "0.03"),
        ("eps", "0.09", "0.03"),
    ]
    own = with_columns(judge, budget=["u", "v"] * 150)
    assert [t.column for t in regressed(own, labels, ("budget",)).models[0].terms] == ["budget"]


def test_a_column_that_is_not_there_or_has_too_many_levels_is_an_error() -> None:
    judge, labels = study(np.random.default_rng(17), EVEN, "all")
    with pytest.raises(
        UsageError, match=r"--errors-on colour: .* there are editor, prompt, protected_psnr, and prompt_words"
    ):
        regressed(judge, labels, ("colour",))
    with pytest.raises(UsageError, match="at most 20 levels; found 21"):
        regressed(with_columns(judge, k=[f"k{i % 21}" for i in range(300)]), labels, ("k",))
    assert (
        len(
            regressed(with_columns(judge, k=[f"k{i % 20}" for i in range(300)]), labels, ("k",))
            .models[0]
            .terms
        )
        == 19
    )


# ---------------------------------------------------------------------- words, and the command


def test_the_words() -> None:
    judge, labels = study(np.random.default_rng(18), (0.15, 0.15, 0.15, 0.5), "all")
    judge = with_columns(judge, flat=["1"] * 300)
    found = regressed(judge, labels, ("editor", "flat"))
    text = list(lines([found, replace(found, judge="other", refused="why not")], 0.95))
    assert text[:5] == [
        "",
        "WHERE judge ERRS, on editor, flat",
        "  points of the share of errors (linear probability models; errors clustered on the image, CR2)",
        "  p adjusted by Holm over the 12 terms of the three models",
        f"  {found.weights}",
    ]
    one = model(found, "errors")
    at = text.index(f"  errors of all edits: {one.errors} of 300 edits of 60 images ({one.share:.1%})")
    assert text[at + 1].split() == ["points", "95%", "interval", "df", "p", "Holm", "edits", "images"]
    d = one.terms[2]
    assert d.value is not None
    assert re.match(rf"    editor d - a +{re.escape(f'{100 * d.value:+.1f} pp')} ", text[at + 4])
    assert text[at + 5] == "    flat per sd (0)  refused: no variation"
    assert len({len(line) for line in text[at + 1 : at + 5]}) == 1
    assert text[-2:] == ["WHERE other ERRS, on editor, flat", "  refused: why not"]


def labels_file(run: Path, file: Path, turn: int) -> Path:
    """Labels of every edit of a run: the judge's own outcome, but for every ``turn``-th edit."""
    table = (run / "edits.csv").read_text("utf-8").splitlines()
    rows = [r for r in csv.DictReader(table) if r["arm"] == "protected"]
    swap: Mapping[str, str] = {"immunized": "fine", "not_immunized": "fails"}
    same = {"immunized": "fails", "not_immunized": "fine"}
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["edit_id", "rater", "semantic", "perceptual"])
        for i, r in enumerate(rows):
            word = (swap if i % turn == 0 else same)[r["outcome"]]
            writer.writerow([r["edit_id"], "ann", word, "fine"])
    return file


def test_from_the_shell(tmp_path: Path) -> None:
    def more(rows: list[dict[str, object]]) -> None:
        for i, row in enumerate(rows):
            row["editor"] = "ab"[i % 2]

    run = recorded_run(tmp_path, images=12, prompts=5, change=more)
    labels = labels_file(run, tmp_path / "labels.csv", 4)
    args = ["agree", "--labels", str(labels), "--judge", str(run), "--errors-on", "editor, prompt_words"]
    done = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert done.exit_code == 0
    assert "WHERE recorded ERRS, on editor, prompt_words" in done.stdout
    assert "|errors-on=editor,prompt_words" in done.stdout
    done = CliRunner().invoke(cli, [*args, "--json"], catch_exceptions=False)
    (one,) = json.loads(done.stdout)["errors"]
    assert [m["kind"] for m in one["models"]] == ["errors", "misses", "false alarms"]
    assert one["models"][0]["errors"] == 15
    plain = CliRunner().invoke(cli, [*args[:-2], "--json"], catch_exceptions=False)
    assert "errors" not in json.loads(plain.stdout)
    found = agree(labels, [run], errors_on=["editor", "prompt_words"])
    assert [e.judge for e in found.errors] == ["recorded"]


def test_labels_of_control_edits_are_no_part_of_it() -> None:
    judge, labels = study(np.random.default_rng(19), EVEN, "all")
    beside = tuple(replace(r, arm="control", semantic=Mark("fine")) for r in labels.rows)
    judge = replace(judge, controls=replace(judge, edits={e: EditInfo() for e in judge.edits}))
    assert regressed(judge, Labels((*labels.rows, *beside))) == regressed(judge, labels)


def test_more_raters_are_joined_by_the_rule_of_the_study() -> None:
    judge, labels = study(np.random.default_rng(20), EVEN, "all")
    others = tuple(replace(r, rater=name) for name in ("bob", "eve") for r in labels.rows)
    assert regressed(judge, Labels((*labels.rows, *others))) == regressed(judge, labels)
    assert isinstance(labels.rows[0], Label)
