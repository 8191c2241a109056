"""Labels meet the edits of several methods: by pixels, of one arm, as they were drawn; or they are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isr.canonical import sha256_json
from isr.errors import DesignError, InputError
from isr.people.confirm import confirm
from isr.people.labels import Labels
from isr.scoring.compare import compare
from isr.scoring.finished import Contender
from isr.types import Treatment
from tests.people.confirm_samples import (
    KIND,
    PLAIN,
    RANDOM,
    STRICT,
    WITHIN,
    confirmed,
    contender,
    in_cells,
    label,
    sampled,
    units_of,
)


def test_labels_meet_pixels_and_never_names_alone() -> None:
    units = units_of(6, 2)
    a = contender("a", dict.fromkeys(units, 1.0))
    b = replace(contender("b", dict.fromkeys(units, 0.0)), edits={
        u: replace(r, columns={**r.columns, "edit_id": a.edits[u].columns["edit_id"]})
        for u, r in contender("b", dict.fromkeys(units, 0.0)).edits.items()
    })  # fmt: skip
    # both call their edits a0, a1, ...; a label without pixels may be of either
    with pytest.raises(InputError, match=r"12 label.* of other or of unknown images") as raised:
        confirmed([a, b], Labels(tuple(label(f"a{n}", True) for n in range(12))))
    assert "edits of a, b under this id" in str(raised.value)
    told_apart = Labels(
        tuple(label(f"a{n}", m == "a", edit_sha256=f"sha256:{m}{n}") for n in range(12) for m in "ab")
    )
    (pair,) = confirmed([a, b], told_apart).confirmed
    assert pair.labels == 12
    assert pair.corrected is not None
    assert pair.corrected.value == 1.0
    other = Labels((label("a0", True, edit_sha256="sha256:z"),))
    with pytest.raises(InputError, match="1 label"):
        confirmed([a, b], other)


def test_a_rater_who_contradicts_himself_is_refused_whatever_the_order() -> None:
    """One label with its pixels, one without: of the same edit; which file came last must not decide."""
    contenders, labels = sampled(2, (0.5, 0.5), (KIND, STRICT))
    named = Labels(tuple(replace(r, edit_sha256=f"sha256:{r.edit_id}") for r in labels.rows))
    same = confirmed(contenders, Labels((*named.rows, *labels.rows))).confirmed
    assert same == confirmed(contenders, labels).confirmed
    against = tuple(label(r.edit_id, not r.outcome) for r in labels.rows[:3])
    for rows in ((*named.rows, *against), (*against, *named.rows)):
        with pytest.raises(InputError, match="3 labels of one rater contradict each other"):
            confirmed(contenders, Labels(rows))


def test_a_label_of_pixels_is_of_no_edit_without_digest() -> None:
    """a has digests, b (of the same edit_ids) has none: labels that name a's pixels are a's alone."""
    units = units_of(6, 2)
    a, b = (contender("a", dict.fromkeys(units, o)) for o in (1.0, 0.0))
    blank = Contender("b", "r", Treatment("b", "", "", ""), {
        u: replace(r, columns={**r.columns, "edit_sha256": ""}) for u, r in b.edits.items()
    })  # fmt: skip
    own = Labels(tuple(label(f"a{n}", True, edit_sha256=f"sha256:a{n}") for n in range(12)))
    (pair,) = confirmed([a, blank], own).confirmed
    assert "no unit is labelled on both" in pair.refused
    only = replace(
        blank,
        name="c",
        edits={
            u: replace(r, columns={**r.columns, "edit_id": f"c{n}"})
            for n, (u, r) in enumerate(blank.edits.items())
        },
    )
    by_name = Labels((*own.rows, *(label(f"c{n}", False, edit_sha256=f"sha256:c{n}") for n in range(12))))
    found = confirmed([a, only], by_name)
    assert found.confirmed[0].labels == 12
    assert (
        "c: 12 labels name their pixels, and the run has no digests: they meet by edit_id alone"
        in found.warnings
    )


def test_labels_of_control_edits_are_not_of_the_protected_ones() -> None:
    contenders, labels = sampled(2, (0.5, 0.5), (KIND, STRICT))
    controls = Labels((*labels.rows, *(replace(r, arm="control", rater="bob") for r in labels.rows)))
    wrong = Labels(
        (*labels.rows, *(label(r.edit_id, not r.outcome, "bob", arm="control") for r in labels.rows))
    )
    plain = confirmed(contenders, labels).confirmed
    assert confirmed(contenders, controls).confirmed == plain
    assert confirmed(contenders, wrong).confirmed == plain
    with pytest.raises(InputError, match="control edits only"):
        confirmed(contenders, Labels(tuple(replace(r, arm="control") for r in labels.rows)))
    # a label that names no arm and the pixels of a control edit is of that one
    unnamed = Labels(
        (*labels.rows, *(label(r.edit_id, not r.outcome, "bob", edit_sha256="sha256:c") for r in labels.rows))
    )
    pixels = frozenset((r.edit_id, "sha256:c") for r in labels.rows)
    found = compare(contenders, {"isr": "0.1.0"})
    assert confirm(found, contenders, unnamed, RANDOM, drawn=PLAIN, controls=pixels).confirmed == plain
    # pixels of a control edit that are a protected edit's too are read as the protected edit's
    named = Labels(tuple(replace(r, edit_sha256=f"sha256:{r.edit_id}") for r in labels.rows))
    both = frozenset((r.edit_id, r.edit_sha256) for r in named.rows)
    assert confirm(found, contenders, named, RANDOM, drawn=PLAIN, controls=both).confirmed == plain


def test_what_labels_do_not_fit_is_refused() -> None:
    contenders, labels = sampled(2, (0.5, 0.5), (KIND, STRICT))
    elsewhere = Labels((*labels.rows, label("z1", True)))
    with pytest.raises(DesignError, match="1 of 161 labelled edits are none of the judged ones: z1"):
        confirmed(contenders, elsewhere)
    allowed = confirmed(contenders, elsewhere, choices=replace(RANDOM, allow_unmatched=True))
    assert "1 of 161 labelled edits are none of the judged ones: z1; they are left out" in allowed.warnings
    with pytest.raises(InputError, match="give the labels that were made of these runs"):
        confirmed(contenders, Labels((label("z1", True),)))
    guidelines = Labels(
        tuple(replace(r, guideline=f"g{r.edit_id[0]}") for r in labels.rows), notes=("3 rejected",)
    )
    with pytest.raises(InputError, match="several guidelines"):
        confirmed(contenders, guidelines)
    pooled = confirmed(contenders, guidelines, choices=replace(RANDOM, pool_guidelines=True))
    assert "labels of several guidelines were pooled: gA+gB" in pooled.warnings
    assert "3 rejected" in pooled.warnings
    assert "|guideline=gA+gB|" in pooled.signature
    uneven = Labels(tuple(replace(r, pi=0.4 if r.edit_id < "A5" else 0.5) for r in labels.rows))
    with pytest.raises(
        DesignError, match=r"A: expected labels drawn with one probability; found pi from 0.4 to 0.5"
    ):
        confirmed(contenders, uneven)
    strata = Labels(tuple(replace(r, stratum="s") for r in labels.rows))
    with pytest.raises(DesignError, match="160 labels name a plan or a stratum without their probability"):
        confirmed(contenders, strata)


def test_labels_within_verdict_are_held_against_their_plan() -> None:
    contenders, labels = in_cells(1)
    content = {"schema": "isr.plan/1", "instrument": {"judge": "sha256:j"}}
    planned = Labels(tuple(replace(r, plan=sha256_json(content)) for r in labels.rows))
    with pytest.raises(DesignError, match="give it with --plan"):
        confirmed(contenders, planned, choices=WITHIN)
    with pytest.raises(DesignError, match="expected the plan of the labels"):
        confirmed(contenders, planned, choices=replace(WITHIN, plan={"schema": "isr.plan/1"}))
    same = replace(WITHIN, plan={"plan": "x", "design": "y", **content}, instruments=[{"judge": "sha256:j"}])
    assert not any("nothing shows" in w for w in confirmed(contenders, planned, choices=same).warnings)
    with pytest.raises(DesignError, match="another instrument"):
        confirmed(contenders, planned, choices=replace(same, instruments=[{"judge": "sha256:k"}]))
