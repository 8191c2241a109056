"""What the server of a finished run gives: its report and pictures of its edit directory, and no other file."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("fastapi", reason="the extra 'label' is not installed")

from isr.web.served_report import PREFIX, address_of, served
from tests.directories import make_directory


def test_the_report_and_pictures_of_its_data_are_given_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "e"
    make_directory(root, images=1, prompts=1)
    report = tmp_path / "far é" / "report.html"
    report.parent.mkdir()
    report.write_text("<p>the report</p>", "utf-8")
    (report.parent / "result.json").write_text("{}", "utf-8")
    (tmp_path / "secret.png").write_bytes((root / "edits/0-0-0.png").read_bytes())
    (root / "link.png").symlink_to(tmp_path / "secret.png")

    def get(path: Path | str) -> tuple[bytes, str] | None:
        return served(str(path).lstrip("/"), report, root)

    path = unquote(address_of(report)).removeprefix(PREFIX)
    assert served(path, report, root) == (b"<p>the report</p>", "text/html; charset=utf-8")
    found = get(root / "edits/0-0-0.png")
    assert found is not None
    assert found[0].startswith(b"\x89PNG")
    assert get(f"{report.parent}/../e/edits/0-0-0.png") == found
    for other in (
        report.parent / "result.json",
        root / "metadata.jsonl",
        root / "link.png",
        tmp_path / "secret.png",
        f"{root}/../secret.png",
        "/etc/passwd",
        "",
    ):
        assert get(other) is None, other
    assert served(path, None, None) is None
