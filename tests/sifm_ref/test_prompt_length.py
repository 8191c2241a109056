"""Prompts longer than a text encoder reads are named: in the run, in the metadata, beside the ISR."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.cli import cli  # noqa: E402
from sifm_ref.editing import Job, edit  # noqa: E402
from sifm_ref.prompt_length import cut_off, told  # noqa: E402
from sifm_ref.units import Prompt  # noqa: E402
from tests.sifm_ref.checkpoints import EDITORS  # noqa: E402
from tests.sifm_ref.test_editing import handmade, rows  # noqa: E402

LONG = "make the circle red " * 40 + "turn day into night"
SHORT = "make the circle red"


class Letters:
    """A tokenizer whose tokens are letters, between a beginning (0) and an end (1)."""

    def __call__(self, text: str, **more: Any) -> Any:
        return type("Read", (), {"input_ids": [0, *map(ord, text), 1]})

    def decode(self, ids: list[int], **more: Any) -> str:
        return "".join(map(chr, ids))


def test_what_is_cut_is_what_the_longest_reader_leaves_off() -> None:
    """Of 6 tokens two are special: "abcdefgh" is read as "abcd", "ef" and more is not."""
    assert cut_off("abcdefgh", [(Letters(), 6)]) == "efgh"
    assert cut_off("abcd", [(Letters(), 6)]) == ""
    assert cut_off("abcdefgh", [(Letters(), 8), (Letters(), 6)]) == "gh"
    assert cut_off("abcdefgh", [(Letters(), 6), (Letters(), 100)]) == "", "one reads it all"
    assert cut_off("abcdefgh", []) == ""


@pytest.mark.parametrize("name", EDITORS)
def test_every_editor_counts_with_its_own_tokenizers(name: str, editor: Any) -> None:
    box = editor(name)
    ends, sentence = told(box, {LONG: "long", SHORT: "short"})
    if name == "qwen_image_edit":  # reads every prompt to its end
        assert not sentence
        return
    assert ends[LONG].replace(" ", "").endswith("turndayintonight")
    assert ends[SHORT] == "", "also where T5 is to read but 16 tokens, here one a letter: CLIP reads it all"
    assert "prompts are longer than the" in sentence
    assert "long: ..." in sentence
    (most,) = {limit for _, limit in box.readers() if limit == max(n for _, n in box.readers())}
    assert f"the {most} tokens that" in sentence


def test_cut_prompts_are_in_the_metadata_and_beside_the_isr(
    editor: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box, notes = editor("instruct_pix2pix"), list[str]()
    folder = handmade(tmp_path / "in", "a", size=64)
    prompts = (Prompt("*", LONG, "long"), Prompt("*", SHORT, "short"))
    job = Job(directories=(folder,), out=tmp_path / "out", prompts=prompts)
    edit(job, box, on_note=notes.append)
    assert [n for n in notes if n.startswith("1 of 2 prompts are longer than the 77 tokens")]
    assert "truncated" not in caplog.text, "libraries said it once for each picture"
    found = {r["prompt_id"]: r["prompt_truncated"] for r in rows(job.out)}
    assert found["short"] == ""
    assert LONG.replace(" ", "").endswith(found["long"].replace(" ", ""))
    done = CliRunner().invoke(cli, ["score", str(job.out), "--judge", "shapes-oracle", "--quiet", "--json"])
    (remark,) = [r for r in json.loads(done.stdout)["remarks"] if "did not read to the end" in r]
    assert remark.startswith("1 of 2 edits have prompts that their editor did not read to the end")
    (run,) = (tmp_path / "out.isr" / "runs").iterdir()
    assert "did not read to the end" in (run / "report.html").read_text("utf-8")
