"""The sheet of pictures holds every unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from isr.bench.contact_sheet import GAP, SIDE, contact_sheet
from isr.bench.metric_check import study
from tests.bench.runs import measured_run
from tests.runs import HOSTILE


def test_the_sheet_shows_four_pictures_and_hostile_text(tmp_path: Path) -> None:
    def hostile(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["prompt"] = HOSTILE if row["prompt_id"] == "0" else row["prompt"]

    found = study([measured_run(tmp_path, images=4, prompts=4, change=hostile)])
    contact_sheet(found.units, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 4 * SIDE + 5 * GAP
        assert sheet.height > len(found.units) * SIDE
    assert not list(tmp_path.glob("*.partial"))
    (tmp_path / "edits" / "edits" / "0-0-0.png").write_bytes(b"no picture")
    contact_sheet(found.units, tmp_path / "sheet.png")
    contact_sheet([], tmp_path / "empty.png")
    assert "<script>" not in found.markdown()
    assert "\u202e" not in found.text()
