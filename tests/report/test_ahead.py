"""Pictures that were made beside a run are those that the report would have made, and are made again where files changed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isr.judging.edits import load_edits
from isr.report import assets, shrinking
from isr.report.ahead import Ahead
from isr.report.page import Options, render
from isr.report.runs import ReportRun, read_report_run
from isr.types import Edit
from tests.runs import recorded_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportRun:
    """A run of 4 sources and 3 prompts, whose pictures are all made smaller."""
    monkeypatch.setattr(assets, "WHOLE_MOST", 0)
    return read_report_run(recorded_run(tmp_path))


def edits(run: ReportRun) -> list[Edit]:
    assert run.root is not None
    return list(load_edits(run.root).edits)


class Decoded:
    """The files that were decoded, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[Path] = []
        monkeypatch.setattr(shrinking, "read_file", self.read)

    def read(self, file: Path) -> bytes:
        self.files.append(file)
        return file.read_bytes()


def finished(ahead: Ahead) -> None:
    thread = ahead._thread
    assert thread is not None
    thread.join()


def test_a_report_takes_what_is_ready_and_is_the_same(
    run: ReportRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.root is not None
    page = render([run], run.root.parent, Options())
    assert "data:image/webp" in page
    decoded = Decoded(monkeypatch)
    with Ahead() as ahead:
        ahead.begin(run.root, edits(run))
        finished(ahead)
        assert {file.name for file in decoded.files} == {
            Path(ref.path).name for e in edits(run) for ref in (e.source, e.control, e.edited) if ref
        }
        decoded.files.clear()
        assert render([run], run.root.parent, Options(ready=ahead.end())) == page
    sample = len(set(decoded.files))
    assert sample <= 12  # what the expected size is estimated from; nothing else was decoded again


def test_what_is_not_ready_is_made_and_the_page_is_the_same(run: ReportRun) -> None:
    assert run.root is not None
    page = render([run], run.root.parent, Options())
    ahead = Ahead()
    ahead.begin(run.root, edits(run)[:4])  # other groups than those of all edits, too
    ready = ahead.end()
    assert render([run], run.root.parent, Options(ready=ready)) == page


def test_a_file_that_changed_is_made_again(run: ReportRun) -> None:
    assert run.root is not None
    with Ahead() as ahead:
        ahead.begin(run.root, edits(run))
        finished(ahead)
        before = render([run], run.root.parent, Options(ready=dict(ahead.ready)))
        file = run.root / edits(run)[0].edited.path
        with Image.open(file) as image:
            width, height = image.size
        file.unlink()
        Image.fromarray(np.full((height, width, 3), 77, np.uint8)).save(file)
        os.utime(file, ns=(1, 1))
        after = render([run], run.root.parent, Options(ready=ahead.end()))
    assert after != before
    assert after == render([run], run.root.parent, Options())


def test_an_end_before_the_first_picture_leaves_everything_to_the_report(run: ReportRun) -> None:
    assert run.root is not None
    ahead = Ahead()
    ahead._left.set()
    ahead.begin(run.root, edits(run))
    assert ahead.end() == {}
    assert Ahead().end() == {}
