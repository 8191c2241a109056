"""The report's numbers, tables and sentences; the page itself is tested in a browser (tests/browser)."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import write_labels
from isr.report.assets import Assets
from isr.report.decompositions import decompositions
from isr.report.figures import forest
from isr.report.forest import blocks, judges, text_forest
from isr.report.gallery import gallery, packed, script_json
from isr.report.page import Options, write_report
from isr.report.paper import estimates_csv, latex, methods
from isr.report.people import people
from isr.report.runs import ReportRun, read_report_run
from isr.tables import tex
from tests import processes
from tests.runs import HOSTILE, answer, recorded_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    def change(rows: list[dict[str, object]]) -> None:
        for number, row in enumerate(rows):
            row["split"] = ("seen", "unseen")[number % 2]
        rows[0]["prompt"] = HOSTILE

    folder = recorded_run(tmp_path_factory.mktemp("report"), images=6, prompts=4, change=change)  # type: ignore[arg-type]
    return read_report_run(folder)


def test_the_forest_has_the_results_own_numbers_and_its_splits(run: ReportRun) -> None:
    whole, *parts = blocks([run])
    isr = run.result.treatments[0].estimates["isr"]
    first, control = whole.rows
    assert (first.value, first.low, first.high, first.n) == (isr.value, isr.low, isr.high, isr.n)
    assert [(b.title, [r.label for r in b.rows]) for b in (whole, *parts)] == [
        ("All edits", ["simulated", "control edits"]),
        ("simulated", ["split seen", "split unseen"]),
        ("control edits", ["split seen", "split unseen"]),
    ]
    assert sum(r.n for r in parts[0].rows) == isr.n
    assert control.kind == "control"
    figure = forest([whole, *parts], judges([run]), 0.95, run.result.signature)
    rows = list(csv.DictReader(io.StringIO(figure.csv)))
    assert float(rows[0]["value"]) == isr.value
    assert figure.svg.startswith("<svg")
    drawn = text_forest(run.result).splitlines()
    assert "#" in drawn[0]
    assert "o" in drawn[1]
    assert f"{100 * (isr.value or 0):.1f}%" in drawn[0]


@pytest.mark.parametrize("estimand", ["edit-mean", "image-mean"])
def test_undecided_edits_count_as_the_result_counts_them(tmp_path: Path, estimand: str) -> None:
    def change(rows: list[dict[str, object]]) -> None:
        for number, row in enumerate(rows):
            row["split"] = "seen" if number % 3 else "unseen"
        del rows[-3:]  # images of unequal sizes

    def say(number: int) -> dict[str, object]:
        return answer(number) | ({"verdict": "perhaps"} if number % 4 == 1 else {})

    folder = recorded_run(
        tmp_path,
        images=6,
        prompts=4,
        say=say,
        change=change,
        by=("split",),
        estimand=estimand,  # type: ignore[arg-type]
    )
    run = read_report_run(folder)
    part = run.result.treatments[0]
    rows = run.of(part.treatment)
    found = run.outcomes(rows)
    mixed = found.immunized_low & ~found.decided
    assert mixed.any()  # one question fails, the other is undecided: certainly immunized
    shown = {r.label: r for r in blocks([run])[1].rows}
    for group in part.groups:
        isr, value = group.estimates["isr"], group.by["split"]
        measured = run.rate([r for r in rows if r["split"] == value])
        row = shown[f"split {value}"]
        for one in (row, measured):
            assert (one.value, one.low, one.high, one.bounds, one.n) == (
                isr.value, isr.low, isr.high, isr.bounds, isr.n,
            )  # fmt: skip
        assert row.shown.is_range == (group.headline == "bounds")
    (_, counts), *_ = decompositions([run])
    assert sum(counts.values()) == part.counts["edits"]
    assert counts["undecided"] == part.counts["edits"] - part.counts["decided"]
    decided = [r for r in rows if r["outcome"] != "undecided"]
    both = sum(r["recorded:semantic"] == r["recorded:perceptual"] == "fails" for r in decided)
    assert counts["both"] == both
    assert counts["neither"] == sum(r["outcome"] == "not_immunized" for r in decided)


def test_the_page_is_one_file_without_any_address(run: ReportRun, tmp_path: Path) -> None:
    file = write_report([run], tmp_path / "report.html", Options(assets="none"))
    text = file.read_text()
    assert "Content-Security-Policy" in text
    assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", text)
    assert not re.search(r"<[^>]+\son\w+=", text.split("<script>")[0])
    data = re.search(r'id="data">([^<]*)<', text)
    assert data is not None
    entries = json.loads(zlib.decompress(base64.b64decode(data[1])))["entries"]
    assert len(entries) == 24
    assert text.count("<script") == 4
    for name in ("semantic/v1", "perceptual/v1", run.result.signature.split("|")[3]):
        assert name in text


def test_texts_cannot_end_a_script() -> None:
    assert "<" not in script_json({"a": "</script><!--", "b": "\u2028&"})
    assert json.loads(script_json(HOSTILE)) == HOSTILE
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed([HOSTILE]))


def test_pictures_stay_inside_the_directory_and_the_limit(run: ReportRun, tmp_path: Path) -> None:
    assert run.root is not None
    assets = Assets(page=tmp_path)
    assert assets.add(run.root, "../outside.png") == 0
    assert assets.add(run.root, "/etc/passwd") == 0
    number = assets.add(run.root, "edits/0-0-0.png")
    assert assets.urls[number].startswith("data:image/png;base64,")
    assert assets.add(run.root, "edits/0-0-0.png") == number
    small = Assets(page=tmp_path, most=10)
    number = small.add(run.root, "edits/0-0-0.png")
    linked = small.urls[number]
    assert linked.endswith("edits/0-0-0.png")
    assert "data:" not in linked


def test_the_table_and_the_sentence_for_a_paper(run: ReportRun) -> None:
    isr = run.result.treatments[0].estimates["isr"]
    table = latex([run])
    assert table.count("&") == 3 * 8
    assert f"{100 * (isr.value or 0):.1f} [{100 * (isr.low or 0):.1f}, {100 * (isr.high or 0):.1f}]" in table
    assert tex("50% of a_b & {c}") == r"50\% of a\_b \& \{c\}"
    rows = list(csv.DictReader(io.StringIO(estimates_csv([run]))))
    assert float(rows[0]["value"]) == isr.value
    assert all(r["signature"] == run.result.signature and r["n"] for r in rows)
    sentence = "".join(methods([run]))
    for word in (
        "recorded",
        "semantic/v1 (sha256:",
        "perceptual/v1",
        "95%",
        "24 edits of 6 source images",
        "undecided",
        "logit-t",
        run.result.signature,
    ):
        assert word in sentence


def test_several_runs_in_one_report(run: ReportRun, tmp_path: Path) -> None:
    other = read_report_run(recorded_run(tmp_path / "other", images=6, prompts=4))
    file = write_report([run, other], tmp_path / "both.html", Options(assets="link"))
    assert f"{other.name}: simulated" in file.read_text()


def test_labels_stay_with_the_pixels_that_were_labelled(run: ReportRun, tmp_path: Path) -> None:
    def change(rows: list[dict[str, object]]) -> None:
        for row in rows:
            file = tmp_path / "edits" / str(row["file_name"])
            with Image.open(file) as image:
                turned = image.transpose(Image.Transpose.ROTATE_180)
            turned.save(file)

    other = read_report_run(recorded_run(tmp_path, images=6, prompts=4, change=change))  # type: ignore[arg-type]
    rows = [[r for r in one.rows if r["arm"] == "protected"] for one in (run, other)]
    assert {r["edit_id"] for r in rows[0]} == {r["edit_id"] for r in rows[1]}
    assert not {r["edit_sha256"] for r in rows[0]} & {r["edit_sha256"] for r in rows[1]}
    labels = Labels(
        tuple(
            Label(
                edit_id=r["edit_id"],
                rater="ann",
                semantic=Mark("fails" if i % 2 else "fine"),
                perceptual=Mark("fine"),
                edit_sha256=r["edit_sha256"],
            )
            for i, r in enumerate(rows[0])
        )
    )
    file = tmp_path / "labels.csv"
    write_labels(file, labels)
    data = gallery([run, other], Assets(page=tmp_path, mode="none"), labels)
    assert [bool(e[-1]) for e in data["entries"]] == [True] * 24 + [False] * 24
    assert data["judges"] == ["recorded (edits, 1)", "recorded (edits, 2)"]
    found = people([run, other], file)
    assert [s.questions["semantic"].judges[0].judge for _, s in found.studies] == ["recorded (edits, 1)"]
    assert "no label" in found.trouble
    bare = replace(labels, rows=tuple(replace(r, edit_sha256="") for r in labels.rows))
    write_labels(file, bare)
    assert all(e[-1] for e in gallery([run, other], Assets(page=tmp_path, mode="none"), bare)["entries"])
    assert len(people([run, other], file).studies) == 2


def test_the_command(run: ReportRun, tmp_path: Path) -> None:
    def isr(*arguments: str) -> processes.CompletedProcess[str]:
        return processes.run([sys.executable, "-m", "isr", "report", *arguments])

    out = tmp_path / "r.html"
    done = isr(str(run.folder), "--out", str(out), "--assets", "none")
    assert done.returncode == 0, done.stderr
    assert out.is_file()
    assert isr(str(run.folder), "--latex").stdout == latex([run])
    assert isr(str(tmp_path)).returncode == 2
