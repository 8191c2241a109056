"""What belongs together by names alone: exact rules, and both candidates named where two could apply."""

from __future__ import annotations

from pathlib import Path

import pytest

from isr.edits.matching import Match, Picture, apart, match, require_units
from isr.edits.prompt_tables import PromptRow
from isr.errors import InputError


def paths(*names: str) -> list[Path]:
    return [Path(f"{n}.png") for n in names]


def prompted(found: Match) -> dict[str, str]:
    return {Path(str(r["file_name"])).stem: str(r["prompt"]) for r in found.rows}


def test_by_the_beginning_of_the_name() -> None:
    prompts = [PromptRow("cat", "a"), PromptRow("dog", "c")]
    found = match(paths("cat", "cat_3-sifm", "cat-x", "cat.y", "cat z", "dog_1_2"), prompts, {})
    assert prompted(found) == {
        "cat": "a", "cat_3-sifm": "a", "cat-x": "a", "cat.y": "a", "cat z": "a", "dog_1_2": "c",
    }  # fmt: skip
    assert not any(found.unmatched.values())


def test_equal_names_are_no_guess_where_all_are_equal_and_used() -> None:
    prompts = [PromptRow("cat", "a"), PromptRow("cat_3", "b")]
    assert prompted(match(paths("cat", "cat_3"), prompts, {})) == {"cat": "a", "cat_3": "b"}
    slugs = [PromptRow("cat", n, {"prompt_id": n}) for n in ("make-it-blue", "make-it-blue-and-bright")]
    edits = paths("cat_make-it-blue", "cat_make-it-blue-and-bright")
    assert sorted(prompted(match(edits, slugs, {})).values()) == ["make-it-blue", "make-it-blue-and-bright"]
    with pytest.raises(InputError, match="nothing was written"):  # cat_3 may be cat with seed 3
        match(paths("cat_1", "cat_3"), prompts, {})


def test_the_seed_of_one_photo_and_the_name_of_another() -> None:
    """``portrait_2`` is the photo of that name, or ``portrait`` with seed 2: both are named."""
    edits = paths("portrait_1", "portrait_2", "portrait_2_1", "portrait_2_2")
    sources = {"source_file_name": paths("portrait", "portrait_2")}
    prompts = [PromptRow(e.stem, "p") for e in edits]
    with pytest.raises(InputError) as caught:
        match(edits, prompts, sources)
    assert [p.where for p in caught.value.problems] == [f"portrait_2{end}.png" for end in ("", "_1", "_2")]
    assert {p.field for p in caught.value.problems} == {"--source"}
    assert "found portrait_2.png and portrait.png; say which part" in str(caught.value)


def test_the_control_edit_of_another_prompt() -> None:
    """The control edit of one prompt is missing, and its name begins with another's."""
    edits = paths("cat_blue", "cat_blue_and_bright")
    prompts = [PromptRow(e.stem, e.stem) for e in edits]
    with pytest.raises(InputError) as caught:
        match(edits, prompts, {"control_file_name": paths("cat_blue")})
    (problem,) = caught.value.problems
    assert "cat_blue for cat_blue_and_bright (_and_bright)" in problem.found
    assert "cat_blue for cat_blue (no ending)" in problem.found


def test_letters_that_macos_takes_apart() -> None:
    found = match(
        paths("cafe\u0301-x"), [PromptRow("caf\u00e9", "p")], {"source_file_name": paths("caf\u00e9")}
    )
    assert len(found.rows) == 1
    assert not any(found.unmatched.values())


def test_one_control_edit_for_three_prompts() -> None:
    edits = paths("cat_1", "cat_2", "cat_3")
    prompts = [PromptRow("cat", n, {"prompt_id": n}) for n in "123"]
    with pytest.raises(InputError, match="is it another prompt's"):
        match(edits, prompts, {"control_file_name": paths("cat")})


def test_one_control_edit_for_two_seeds() -> None:
    edit, other = (Picture(f"{n}.png", Path(f"{n}.png")) for n in "ab")
    control, source = Picture("c.png", Path("c.png")), Picture("s.png", Path("s.png"))
    both = {"source_file_name": source, "control_file_name": control, "prompt": "p"}
    rows = [{"file_name": edit, "seed": "1", **both}, {"file_name": other, "seed": "2", **both}]
    with pytest.raises(InputError, match=r"c\.png: '--control': .* found one for a\.png and b\.png"):
        require_units(rows, {})
    rows = [{"file_name": edit, "method": "a", **both}, {"file_name": other, "method": "b", **both}]
    require_units(rows, {})  # methods share their control edits
    with pytest.raises(InputError, match=r"b\.png: expected an image, prompt, seed or method of its own"):
        require_units(rows, {"method": "a"})


def test_a_file_of_two_kinds() -> None:
    file, other = paths("a", "b")
    assert apart({"--edits": {file: 5, other: 5}, "--control": {file: 9}}) == {
        "--edits": [other],
        "--control": [file],
    }
    with pytest.raises(
        InputError, match=r"a\.png: '--control': expected files of one kind; found --edits and --control"
    ):
        apart({"--edits": {file: 5}, "--control": {file: 5}})


def test_only_whole_words_match() -> None:
    found = match(paths("cats", "ca", "cat3", "_cat"), [PromptRow("cat", "a")], {})
    assert found.rows == ()
    assert len(found.unmatched["edits without a prompt"]) == 4
    assert found.unmatched["prompts without an edit"] == ("cat: a",)


def test_prompts_with_ids() -> None:
    prompts = [PromptRow("cat", "red", {"prompt_id": "1"}), PromptRow("cat", "blue", {"prompt_id": "2"})]
    found = match(paths("cat_1", "cat-2", "cat_2-sifm", "cat", "cat_12"), prompts, {})
    assert prompted(found) == {"cat_1": "red", "cat-2": "blue", "cat_2-sifm": "blue"}
    assert found.rows[0]["prompt_id"] == "1"
    assert found.unmatched["edits without a prompt"] == ("cat.png", "cat_12.png")


def test_several_prompts_without_ids_are_not_guessed_at() -> None:
    found = match(paths("cat"), [PromptRow("cat", "red"), PromptRow("cat", "blue")], {})
    assert found.rows == ()
    assert found.unmatched["edits with several prompts"] == ("cat.png",)


def test_other_files() -> None:
    others = {
        "source_file_name": [Path("s/cat.png"), Path("s/bird.png")],
        "control_file_name": [Path("c/cat_1.webp")],
    }
    found = match(paths("cat_1-sifm", "cat_2"), [PromptRow("cat", "p")], others)
    first, second = found.rows
    assert (str(first["source_file_name"]), str(first["control_file_name"])) == ("s/cat.png", "c/cat_1.webp")
    assert str(second["source_file_name"]) == "s/cat.png"
    assert "control_file_name" not in second
    assert {k: v for k, v in found.unmatched.items() if v} == {
        "edits without a file for control_file_name": ("cat_2.png",),
        "files for source_file_name without an edit": ("s/bird.png",),
    }
    report = found.report()
    assert report.startswith(
        "2 edits matched\nsource_file_name: 1 file(s), each used 2 times\ncontrol_file_name: 1 file(s), each used once\n"
        "  cat_1-sifm.png: prompt=p, source_file_name=s/cat.png, control_file_name=c/cat_1.webp\n"
    )
    assert "  s/bird.png" in report
    assert "several prompts" not in report  # what has nothing to tell is left out


def test_a_report_names_the_first_and_counts_the_rest() -> None:
    names = tuple(f"{i}.png" for i in range(1000))
    told = Match((), {"edits without a prompt": names, "prompts without an edit": ()}).report().splitlines()
    assert told[1] == "edits without a prompt: 1000"
    assert told[2:] == [*(f"  {n}" for n in names[:50]), "  and 950 more"]
