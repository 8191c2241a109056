"""Which text editors and methods are given: the choice, what is odd about it, and that an edit is made by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from click.testing import CliRunner

from isr.bench.cells import Marks, plan
from isr.bench.given_texts import lines, text_column
from isr.bench.material.folder import Instruction, Material
from isr.bench.material.gather import gather
from isr.bench.material.unseen import UnseenPart
from isr.bench.study import ImagesPart, Study, read_study
from isr.cli import cli
from isr.edits.prompt_tables import read_prompts
from isr.errors import InputError
from tests.bench.papers import STUDIES
from tests.bench.test_cells import study
from tests.chat_server import serving

MARKS = Marks({}, {}, [("one", 1, "d"), ("two", 1, "d")])


def told(**changes: Any) -> list[str]:
    editors = [{"name": "SD3", "editor": "sd3_img2img", **changes.pop("editor", {})}]
    method = {"name": "SA", "method": "semantic_attack", **changes.pop("method", {})}
    return list(lines(study(editors=editors, methods=[method], **changes), Path(), None))


def material() -> Material:
    rows = [
        Instruction(
            "a", "make it red", "s", {"split": "seen", "edited_prompt": "a red cat", "caption": "a cat"}
        ),
        Instruction("a", "add snow", "u", {"split": "unseen"}),
    ]
    return Material((), tuple(rows))


def test_an_editor_of_captions_that_is_given_instructions_is_told() -> None:
    said = told()
    assert said[0] == "text: every editor and method is given prompt"
    assert [s.split(",")[0] for s in said[1:]] == [
        "warning: editor SD3 makes pictures of captions",
        "warning: method SA wants the words of what is in the picture",
    ]
    said = told(editor={"prompt": "edited_prompt"}, method={"text": "original_prompt"})
    assert said == [
        "text: editor SD3 is given edited_prompt",
        "text: method SA is given original_prompt of the seen prompt",
    ]


def test_a_method_is_given_what_its_surrogate_reads_or_a_text_of_its_own() -> None:
    found = study(
        editors=[
            {"name": "SD3", "editor": "sd3_img2img", "prompt": "edited_prompt"},
            {"name": "b", "editor": "x"},
        ],
        methods=[
            {"name": "SA", "method": "semantic_attack", "text": "caption"},
            {"name": "n", "method": "noise"},
        ],
    )
    given = {
        (m.name, e.name): material().given(text_column(m, e)) for m in found.methods for e in found.editors
    }
    assert given == {
        ("SA", "SD3"): {"a": "a cat"},
        ("SA", "b"): {"a": "a cat"},
        ("n", "SD3"): {"a": "a red cat"},
        ("n", "b"): {"a": "make it red"},
    }
    with pytest.raises(InputError, match="expected a column target, which an editor or a method"):
        material().given("target")
    assert material().without("edited_prompt") == 1


def test_a_text_makes_other_cells_and_none_the_same() -> None:
    plain, other = study(), study()
    assert "prompt" not in json.dumps(plain.choices()["editors"])
    folders = [c.folder for c in plan(plain, MARKS).immunizations]
    assert folders == [c.folder for c in plan(other, MARKS).immunizations]
    changed = study(editors=[{"name": "a", "editor": "x", "prompt": "edited_prompt"}], methods=[{"name": "SIFM", "method": "sifm", "role": "ours"}])  # fmt: skip
    base = study(
        editors=[{"name": "a", "editor": "x"}], methods=[{"name": "SIFM", "method": "sifm", "role": "ours"}]
    )
    assert [e.folder for e in plan(base, MARKS).editings] != [e.folder for e in plan(changed, MARKS).editings]
    assert [c.folder for c in plan(base, MARKS).immunizations] != [
        c.folder for c in plan(changed, MARKS).immunizations
    ]


def test_the_papers_study_gives_each_editor_what_it_reads() -> None:
    """SD3, image to image, a target caption; the instruction editors the instruction; SA the content."""
    found: Study = read_study(STUDIES / "2512.14320.toml")
    assert {e.name: e.prompt for e in found.editors} == {
        "SD3": "edited_prompt", "InstructPix2Pix": "", "HQ-Edit": "",
    }  # fmt: skip
    assert next(m for m in found.methods if m.name == "SA").text == "original_prompt"
    said = list(lines(found, STUDIES, None))
    assert not [s for s in said if s.startswith("warning")], said
    done = CliRunner().invoke(cli, ["bench", str(STUDIES / "2512.14320.toml"), "--dry-run"])
    assert "text: editor SD3 is given edited_prompt\n" in done.stdout


def test_unseen_prompts_have_captions_of_their_own(tmp_path: Path, card: Callable[..., str]) -> None:
    """What the seen prompt's edit is to show is no target of another prompt."""
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (64, 64), (9, 90, 9)).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "prompts.csv").write_text(
        "name,prompt,prompt_id,split,edited_prompt\na,make it red,s,seen,a red cat\n"
    )

    def texts(out: str, unseen: UnseenPart) -> dict[str, str]:
        part = ImagesPart(folder="pictures", prompts="prompts.csv", unseen=unseen)
        made = gather(part, tmp_path, tmp_path / out, lambda text: None, ["edited_prompt"])
        assert len(read_prompts(tmp_path / out / "gathered" / "prompts.csv")) == 1 + unseen.count
        return {p.prompt_id: p.columns.get("edited_prompt", "") for p in made.prompts}

    (tmp_path / "u.csv").write_text("name,prompt,edited_prompt\na,add snow,a cat in snow\na,add fog,\n")
    file = texts("file", UnseenPart(file="u.csv", count=2))
    assert file == {"s": "a red cat", "unseen-1": "a cat in snow", "unseen-2": ""}
    with serving() as server:
        written = texts("writer", UnseenPart(writer=card(server), count=2, captions="edited_prompt"))
        plain = texts("plain", UnseenPart(writer=card(server), count=2))
    assert written["s"] == "a red cat"
    assert all(written[f"unseen-{i}"].startswith("after make it number") for i in (1, 2))
    assert plain == {"s": "a red cat", "unseen-1": "", "unseen-2": ""}
