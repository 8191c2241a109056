"""What ``isr immunize`` and ``isr edit`` write is an ImageFolder: ``datasets`` loads it whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from sifm_ref.editing import Job, edit
from sifm_ref.immunizing import Job as Immunize
from sifm_ref.immunizing import immunize
from sifm_ref.pictures import Resize
from sifm_ref.units import Prompt
from tests.edits.test_imagefolder import require_whole
from tests.sifm_ref.photographs import write
from tests.sifm_ref.scenes import quick


def test_what_isr_immunize_and_isr_edit_make(editor: Any, tmp_path: Path) -> None:
    write(tmp_path / "photos")
    box = editor("instruct_pix2pix")
    made = tmp_path / "protected"
    immunize(Immunize(images=tmp_path / "photos", out=made, method=quick("noise"), resize=Resize(16)), box)
    number = len((made / "metadata.jsonl").read_text("utf-8").splitlines())
    assert number > 1
    require_whole(made, tmp_path / "hf", number, ("image", "source"))
    job = Job(directories=(made,), out=tmp_path / "edits", prompts=(Prompt("*", "a"), Prompt("*", "b")))
    assert edit(job, box) == 2 * number
    require_whole(
        tmp_path / "edits", tmp_path / "hf", 2 * number, ("image", "source", "control", "protected")
    )
