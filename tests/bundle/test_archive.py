"""What lies in a bundle beside what is recomputed: the author's page, and the words for whoever opens it."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

from click.testing import CliRunner

from isr.cli import cli
from isr.scoring.bundle_file import Bundle
from tests.bundle.bundles import found


def packed(run: Path, out: Path, *more: str) -> Path:
    done = CliRunner().invoke(cli, ["bundle", str(run), "--out", str(out), *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return out


def shown(page: str) -> list[str]:
    """The addresses of the page's pictures."""
    (images,) = re.findall(r'<script[^>]*id="images"[^>]*>(.*?)</script>', page)
    return [url for url in json.loads(images)["urls"] if url]


def test_the_page_shows_the_images_of_the_bundle(run: Path, tmp_path: Path) -> None:
    """28 pictures, each by a relative link to a file that lies in the zip; nothing else is linked or embedded."""
    bundle = packed(run, tmp_path / "x.zip", "--images")
    with Bundle(bundle) as opened:
        page = opened.read("report.html").decode()
        assert sorted(shown(page)) == sorted(opened.images.values())
        assert len(shown(page)) == 28
    assert str(run.parent) not in page
    assert found(bundle).faults == []
    assert any(u.startswith("report.html: it is the author's page") for u in found(bundle).unproved)
    again = packed(run, tmp_path / "again" / "x.zip", "--images")
    assert again.read_bytes() == bundle.read_bytes()


def test_without_images_the_page_says_so(run: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed(run, tmp_path / "x.zip")) as archive:
        page = archive.read("report.html").decode()
    assert shown(page) == []
    assert "a bundle without images; isr report BUNDLE --data EDIT_DIR shows them" in page


def test_the_page_counts_the_labels_that_are_in_the_bundle(run: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("edit_id,rater,semantic,perceptual\n0-0-0,zacharias,fails,fine\n", "utf-8")
    with zipfile.ZipFile(packed(run, tmp_path / "x.zip", "--labels", str(labels))) as archive:
        assert "labels.csv" in archive.read("report.html").decode()
    with zipfile.ZipFile(packed(run, tmp_path / "y.zip")) as archive:
        assert "labels.csv" not in archive.read("report.html").decode()


def test_the_readme_names_commands_that_exist(run: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed(run, tmp_path / "x.zip")) as archive:
        text = archive.read("README.txt").decode()
    named = re.findall(r"^ +isr (\w+) x\.zip", text, re.MULTILINE)
    assert named == ["verify", "report", "score", "verify", "unbundle"]
    assert set(named) <= set(cli.list_commands(None))  # type: ignore[arg-type]
    for file in ("report.html", "result.json", "answers.jsonl", "images/"):
        assert f"\n{file} " in text
