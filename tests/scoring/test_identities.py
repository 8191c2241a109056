"""Editors are what they are, whatever they are called."""

from __future__ import annotations

from isr.scoring.identities import editors

ONE, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SAMPLED = "sha256:" + "c" * 16


def row(name: str, checkpoint: str | None = None) -> dict[str, str]:
    return {"editor": name} | ({} if checkpoint is None else {"editor_checkpoint": checkpoint})


def test_two_names_of_one_checkpoint_are_one_editor() -> None:
    found = editors([row("ip2p", ONE), row("copy", ONE), row("other", OTHER)])
    assert found[row("ip2p", ONE)] == found[row("copy", ONE)] == "copy = ip2p"
    assert found[row("other", OTHER)] == "other"
    assert found.notes == ("editors copy, ip2p are one checkpoint: they count as one editor",)


def test_one_name_of_two_checkpoints_is_two_editors() -> None:
    found = editors([row("ip2p", ONE), row("ip2p", OTHER)])
    assert [found[row("ip2p", c)] for c in (ONE, OTHER)] == [f"ip2p (sha256:{x * 12})" for x in "ab"]
    assert found.notes == ("editor ip2p is 2 checkpoints: it counts as 2 editors",)


def test_a_name_without_a_checkpoint_is_the_editor_of_its_one_known_checkpoint() -> None:
    for unknown in (row("ip2p"), row("ip2p", ""), row("ip2p", SAMPLED)):
        found = editors([row("ip2p", ONE), unknown, row("copy", ONE)])
        assert found[unknown] == "copy = ip2p"


def test_a_name_of_several_checkpoints_without_one_stands_for_itself() -> None:
    found = editors([row("ip2p", ONE), row("ip2p", OTHER), row("ip2p")])
    assert found[row("ip2p")] == "ip2p (checkpoint not recorded)"
    assert found.notes == ("editor ip2p is 3 checkpoints: it counts as 3 editors",)


def test_without_any_checkpoint_names_decide_and_it_is_told() -> None:
    found = editors([row("ip2p[steps=4]"), row("ip2p[steps=8]"), row("sd", SAMPLED), row("")])
    assert found[row("ip2p[steps=4]")] == found[row("ip2p[steps=8]")] == "ip2p[steps=4] = ip2p[steps=8]"
    assert found[row("sd", SAMPLED)] == "sd"
    assert found[row("")] == "(empty)"
    assert found.notes == (
        "editors ip2p[steps=4], ip2p[steps=8] are one checkpoint by their names: they count as one editor",
    )
    assert found.by_name == (
        "editors told by names, not by checkpoints: (empty), ip2p[steps=4], ip2p[steps=8], sd; these edits have no whole editor_checkpoint"
    )


def test_editors_of_one_checkpoint_each_need_no_word() -> None:
    found = editors([row("a", ONE), row("b", OTHER), row("a", ONE)])
    assert (found.notes, found.by_name) == ((), "")


def test_checkpoints_that_begin_alike_are_shown_whole() -> None:
    """Two revisions of one repository, and digests with the same first digits."""
    pair = ["some-owner/some-repository@1", "some-owner/some-repository@2"]
    for one, other in (pair, [ONE, ONE[:-1] + "b"]):
        found = editors([row("e", one), row("e", other)])
        assert {found[row("e", c)] for c in (one, other)} == {f"e ({one})", f"e ({other})"}
