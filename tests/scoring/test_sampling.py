"""Clusters of images: what is one, what is none, and what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from isr.errors import UsageError
from isr.scoring.compare import compare
from isr.scoring.finished import Contender, EditRow
from isr.scoring.sampling import Sampling
from isr.stats.difference import difference_interval
from isr.types import Treatment, Unit


def contender(name: str, persons: dict[str, str], column: str = "person") -> Contender:
    rows = {
        unit: EditRow(
            unit,
            float((ord(name) * 3 + len(image) * 5 + int(image[1:] or 0, 36) * 7 + p * 11) % 5 < 2),
            {"edit_id": f"{name}{image}{p}", column: person},
        )
        for image, person in persons.items()
        for p in range(3)
        for unit in [Unit(image, f"p{p}", "e", "", "")]
    }
    return Contender(name, "r", Treatment(name, "", "", ""), rows)


def test_an_empty_cell_is_no_cluster() -> None:
    """Three images of no named person are three clusters, also where an image is called like a person."""
    persons = {"i1": "ann", "i2": "ann", "i3": "", "i4": "", "ann": ""}
    drawn = Sampling.of([contender("a", persons), contender("b", persons)], "fixed", "person")
    units = [Unit(i, "p", "e", "", "") for i in persons]
    codes = drawn.images(units).tolist()
    assert codes[0] == codes[1]
    assert len(set(codes)) == 4
    assert list(drawn.told()) == [
        "--cluster person: 3 images have an empty cell; each stands as a cluster of its own"
    ]


def test_an_empty_cell_contradicts_nothing() -> None:
    full, empty = {"i1": "ann", "i2": "bob"}, {"i1": "", "i2": "bob"}
    for order in ((full, empty), (empty, full)):
        drawn = Sampling.of([contender(n, p) for n, p in zip("ab", order, strict=True)], "fixed", "person")
        assert drawn.cluster == {"i1": "ann", "i2": "bob"}
        assert list(drawn.told()) == []


def test_what_is_no_cluster_is_refused() -> None:
    a, b = contender("a", {"i1": "ann", "i2": "bob"}), contender("b", {"i1": "bob", "i2": "bob"})
    with pytest.raises(UsageError, match="found i1 in ann and bob, and p0 in ann and bob"):
        Sampling.of([a, b], "fixed", "person")
    with pytest.raises(UsageError, match=r"a column of every run's edits\.csv; found none in that of b"):
        Sampling.of([a, contender("b", {"i1": "ann"}, "who")], "fixed", "person")
    with pytest.raises(UsageError, match="every cell is empty"):
        Sampling.of([contender("a", {"i1": "", "i2": ""})], "fixed", "person")
    for column in ("outcome", "arm"):
        with pytest.raises(UsageError, match="found what the judge said"):
            Sampling.of([a], "fixed", column)


def test_the_clusters_are_what_everything_rests_on_and_is_called_by() -> None:
    persons = {f"i{n}": f"p{n % 5}" for n in range(20)}
    sides = [contender(n, persons) for n in "ab"]
    plain, found = (compare(sides, {"isr": "x"}, cluster=c, choose=True) for c in ("", "person"))
    units = sorted(sides[0].edits)
    d = np.array([sides[0].edits[u].outcome - sides[1].edits[u].outcome for u in units])
    expected = difference_interval(d, [persons[u.image_id] for u in units])
    one = found.family[0]
    assert (one.difference.low, one.difference.high) == (expected.low, expected.high)
    assert (plain.family[0].difference.clusters, one.difference.clusters) == (20, 5)
    assert "|cluster=person|" in found.signature
    assert "cluster=" not in plain.signature
    assert found.choices[0].isr.clusters == 5
    words = [
        one.difference.method,
        one.p_method,
        *one.notes,
        *one.difference.notes,
        found.choices[0].isr.method,
    ]
    assert not any("image" in w for w in words)
    assert one.difference.method == "paired t, clustered by person, prompts fixed"


def test_templates_are_clusters_of_prompts() -> None:
    """Two templates of two and one prompts: they are the sample of prompts, and never clusters of images."""
    units = [Unit(f"i{i}", f"p{p}", "e", "", "") for i in range(6) for p in range(3)]

    def side(name: str) -> Contender:
        rows = {
            u: EditRow(
                u, float((ord(name) + 3 * int(u.image_id[1]) + int(u.prompt_id[1])) % 4 < 2),
                {"edit_id": f"{name}{n}", "template": "t0" if u.prompt_id < "p2" else "t1"},
            )
            for n, u in enumerate(units)
        }  # fmt: skip
        return Contender(name, "r", Treatment(name, "", "", ""), rows)

    sides = [side("a"), side("b")]
    with pytest.raises(
        UsageError, match=r"groups prompts, not images .*: expected --prompts random beside it"
    ):
        Sampling.of(sides, "fixed", "template")
    drawn = Sampling.of(sides, "random", "template")
    assert drawn.asked(units[:3]).tolist() == [0, 0, 1]
    assert len(set(drawn.images(units).tolist())) == 6
    found = compare(sides, {"isr": "x"}, prompts="random", cluster="template")
    d = np.array([sides[0].edits[u].outcome - sides[1].edits[u].outcome for u in sorted(units)])
    asked = ["t0" if u.prompt_id < "p2" else "t1" for u in sorted(units)]
    expected = difference_interval(d, [u.image_id for u in sorted(units)], prompt=asked, prompts="random")
    assert (found.family[0].difference.low, found.family[0].difference.high) == (expected.low, expected.high)
    assert "|prompt-cluster=template|" in found.signature
    assert "|cluster=" not in found.signature
    for one in sides:
        for unit, row in one.edits.items():
            row.columns["template"] = "" if unit.prompt_id == "p2" else "t0"
    blank = Sampling.of(
        sides, "random", "template"
    )  # in no template: a prompt of its own, and no cluster of images
    assert blank.asked(units[:3]).tolist() == [1, 1, 0]
    assert list(blank.told()) == [
        "--cluster template: 1 prompts have an empty cell; each stands as a cluster of its own"
    ]
