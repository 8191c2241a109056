"""Who is asked again after an actor died, and how often."""

from __future__ import annotations

from isr.actors.suspects import BARREN, NODES, TRIES, Death, Suspects


def test_what_was_in_an_actor_that_died_is_asked_again_alone() -> None:
    suspects = Suspects()
    suspects.died(["a", "b"], Death.PROCESS)
    assert suspects.is_alone("a")
    assert suspects.is_alone("b")
    assert not suspects.is_alone("c")
    assert suspects.is_given_up("a") is None
    suspects.succeeded("a")  # it was not that one
    assert not suspects.is_alone("a")
    suspects.died(["b"], Death.MEMORY)
    assert suspects.is_given_up("b") is Death.MEMORY
    assert suspects.is_given_up("a") is None


def test_a_node_that_dies_blames_nobody_for_long() -> None:
    suspects = Suspects()
    for _ in range(NODES - 1):
        suspects.died(["a"], Death.NODE)
    assert not suspects.is_alone("a")
    assert suspects.is_given_up("a") is None
    assert suspects.barren == 0
    suspects.died(["a"], Death.NODE)
    assert suspects.is_given_up("a") is Death.NODE


def test_a_lack_of_memory_counts_as_a_try() -> None:
    suspects = Suspects()
    suspects.ran_out("a")
    assert suspects.is_alone("a")
    assert suspects.is_given_up("a") is None
    suspects.died(["a"], Death.PROCESS)
    assert TRIES == 2
    assert suspects.is_given_up("a") is Death.PROCESS


def test_actors_that_end_whatever_they_are_asked() -> None:
    suspects = Suspects()
    for n in range(BARREN):
        assert not suspects.is_hopeless()
        suspects.died([n], Death.PROCESS)
    assert suspects.is_hopeless()
    suspects.succeeded("x")
    assert not suspects.is_hopeless()
