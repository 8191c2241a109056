"""The Python API says what the commands say, and a result carries its signature wherever it goes."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.errors import InputError, MissingExtraError, UsageError
from isr.scoring.frames import rows
from tests.runs import recorded_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_run(
        tmp_path_factory.mktemp("api"), images=6, prompts=3, methods=("sifm", "noise"), by=("editor",)
    )


def printed(*args: object) -> Any:
    done = CliRunner().invoke(cli, list(map(str, args)), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_compare_says_what_the_command_says(run: Path) -> None:
    said = json.loads(json.dumps(isr.compare(run, by=["editor"], seed=3).as_dict()))
    assert said == printed("compare", run, "--by", "editor", "--seed", "3", "--json")
    with pytest.raises(UsageError, match="at least one run"):
        isr.compare()


def test_plan_says_what_the_command_says(run: Path) -> None:
    assert json.loads(json.dumps(isr.plan(half_width=0.1, pilot=run).as_dict())) == printed(
        "plan", "--half-width", 0.1, "--pilot", run, "--json"
    )


def test_agree_and_calibrate_say_what_the_commands_say(run: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    ids = [f"edits/{i}-{p}-0.png" for i in range(6) for p in range(3)]
    lines = [f"{e},ann,image-{e[6:7]:0>4},{'fails' if n % 3 else 'fine'},fine" for n, e in enumerate(ids)]
    labels.write_text("\n".join(["edit_id,rater,image_id,semantic,perceptual", *lines]) + "\n", "utf-8")
    study = isr.agree(labels, [run], by="method", seed=1)
    assert json.loads(study.to_json()) == printed(
        "agree", "--labels", labels, "--judge", run, "--by", "method", "--seed", 1, "--json"
    )
    report = isr.calibrate(run, labels, design="random")
    assert json.loads(json.dumps(report.as_dict())) == printed(
        "calibrate", run, "--labels", labels, "--design", "random", "--json"
    )
    some = isr.calibrate(run, labels, design="random", where=["method=sifm"])
    assert json.loads(json.dumps(some.as_dict())) == printed(
        "calibrate", run, "--labels", labels, "--design", "random", "--where", "method=sifm", "--json"
    )
    with pytest.raises(InputError, match=r"expected the plan\.json of a sample"):
        isr.calibrate(run, labels, design="within_verdict", plan_file=labels)
    with pytest.raises(UsageError, match="judge_name='nobody'"):
        isr.calibrate(run, labels, design="random", judge_name="nobody")


def test_write_report(run: Path, tmp_path: Path) -> None:
    file = isr.write_report(run, out=tmp_path / "r.html", title="ours")
    assert "ours" in file.read_text("utf-8")
    with pytest.raises(UsageError, match="at least one run"):
        isr.write_report()


def test_every_estimate_of_a_result_carries_its_signature(run: Path) -> None:
    result = isr.Result.load(run)
    assert result.control is not None
    parts = [*result.treatments, result.control]
    every = [e for p in parts for one in (p, *p.groups) for e in one.estimates.values()]
    assert len(every) > 20
    assert {str(e.signature) for e in every} == {result.signature}
    assert "signature" not in every[0].as_dict()  # the result says it once
    assert every[0] == every[0].__class__(
        **{**every[0].as_dict(), "bounds": every[0].bounds, "notes": every[0].notes}
    )


def test_a_result_as_a_frame_and_as_html(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = isr.Result.load(run)
    said = list(rows(result))
    assert said == result.to_dicts()
    assert {r["arm"] for r in said} == {"protected", "control"}
    assert {r.get("by:editor") for r in said} == {None, "painter"}
    one = next(r for r in said if r["estimate"] == "isr" and r["method"] == "sifm" and not r.get("by:editor"))
    known = next(t for t in result.treatments if t.treatment.method == "sifm").estimates["isr"]
    assert (one["value"], one["low"], one["n"], one["signature"]) == (
        known.value,
        known.low,
        known.n,
        result.signature,
    )
    html = result._repr_html_()
    assert html.count("<tr>") == 1 + sum(len(p.estimates) for p in [*result.treatments, result.control] if p)
    assert result.signature in html
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = result.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == len(said)
    monkeypatch.setattr("isr.scoring.frames.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install pandas"):
        result.to_frame()


def test_no_public_value_is_longer_than_a_screen(run: Path, tmp_path: Path) -> None:
    """A repr says what a value is; the whole of it is ``as_dict``, ``to_frame`` or the command's text."""
    labels = tmp_path / "labels.csv"
    ids = [f"edits/{i}-{p}-0.png" for i in range(6) for p in range(3)]
    lines = [
        f"{e},{r},image-{e[6:7]:0>4},{'fails' if n % 3 else 'fine'},fine"
        for r in ("ann", "bob")
        for n, e in enumerate(ids)
    ]
    labels.write_text("\n".join(["edit_id,rater,image_id,semantic,perceptual", *lines]) + "\n", "utf-8")
    result = isr.Result.load(run)
    every = {
        "Result": result,
        "part": result.treatments[0],
        "control": result.control,
        "group": result.treatments[0].groups[0],
        "Estimate": result.treatments[0].estimates["isr"],
        "Signature": isr.Signature.parse(result.signature),
        "Comparison": isr.compare(run, by=["editor"]),
        "choosing": isr.compare(run, choose=True),
        "HumanScore": isr.score_labels(run.parent / "edits", labels, out=tmp_path / "people"),
        "Planned": isr.plan(half_width=0.1, pilot=run),
        "AgreementStudy": isr.agree(labels, [run]),
        "CorrectionReport": isr.calibrate(run, labels, design="random"),
        "EditDirectory": isr.load_edits(run.parent / "edits"),
        "ISR": isr.ISR(),
    }
    for name, value in every.items():
        said = repr(value)
        assert len(said) < 2000, (name, said)
        assert len(said.splitlines()) <= 10, (name, said)
        assert str(value) == said or name == "Signature"
    # 6 images x 3 prompts, two methods; the numbers are those of the table
    e = result.treatments[0].estimates["isr"]
    assert f"ISR {e.value:.1%} ({e.low:.1%}-{e.high:.1%}), n {e.n}, 6 images" in repr(result)
    assert result.signature in repr(result)
    assert "sifm" in repr(result)
    assert "noise" in repr(result)
    assert "sifm" in repr(every["Comparison"])
    assert "36 edits of 6 images" in repr(every["EditDirectory"])
    concluded = every["choosing"].conclusion
    assert concluded.text[0] in repr(every["choosing"])
    people = every["HumanScore"]
    assert "18 edits of 6 images, 2 raters; run: " in repr(people)  # 6 images x 3 prompts have labels
    for name, said in (("HumanScore", "ann"), ("AgreementStudy", "ann"), ("Planned", "rests on pilot")):
        html = every[name]._repr_html_()
        assert said in html
        assert html.count("<table>") == html.count("</table>") > 0
    study = every["AgreementStudy"]
    rows = study.to_dicts()  # semantic, perceptual, outcome: with the consensus and with each rater
    assert [(r["question"], r["with"]) for r in rows] == [
        (q, w) for q in study.questions for w in ("", "ann", "bob")
    ]
    (first, *_) = study.questions.values()
    assert rows[0]["percent"] == first.judges[0].agreement.percent.value
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    assert study.to_frame().equals(pandas.DataFrame(rows))


def test_a_repr_has_ten_lines_however_much_there_is(tmp_path: Path) -> None:
    methods = tuple(f"method {n}\x1b[2J" for n in range(9))
    result = isr.Result.load(recorded_run(tmp_path, images=2, prompts=1, methods=methods))
    said = repr(result)
    assert len(said.splitlines()) <= 10
    assert "and 4 more treatments" in said
    assert "\x1b" not in said + "".join(map(repr, result.treatments))


def test_names_from_data_are_text_in_html(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    run = recorded_run(
        tmp_path, images=2, prompts=2, change=lambda rows: [r.update(method=hostile) for r in rows]
    )
    assert hostile not in isr.Result.load(run)._repr_html_()


def test_an_unknown_keyword_is_an_error_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="juge"):
        isr.score(tmp_path, juge="x")  # type: ignore[call-arg]


def test_every_public_name_is_there_and_hides_no_builtin() -> None:
    for name in isr.__all__:
        assert getattr(isr, name) is not None
        assert name not in vars(builtins)
