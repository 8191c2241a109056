"""`isr compare` and `isr plan` on finished runs: pairing on units, refusals, numbers by hand."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import isr
from isr.cli import cli
from isr.scoring.places import find_run
from isr.stats.difference import difference_interval, margin_p_values
from isr.stats.sign_flip import sign_flip_test
from tests.chat_server import serving
from tests.directories import card_text, make_directory, write_metadata
from tests.processes import CompletedProcess, run
from tests.runs import bind, recorded_run, the_run


def command(*args: str) -> CompletedProcess[str]:
    return run([sys.executable, "-m", "isr", *args])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods scored in one directory, and the same scored apart under other file names."""
    root = tmp_path_factory.mktemp("runs")
    rows = make_directory(root / "both", images=20, prompts=3, methods=("sifm", "noise"))
    for name, eps in (("sifm", 7), ("noise", 21)):
        for row in rows:
            if row["method"] == name:
                path = f"protected/{name}-{Path(row['source_file_name']).name}"
                (root / "both" / "protected").mkdir(exist_ok=True)
                with Image.open(root / "both" / row["source_file_name"]) as image:
                    pixels = np.clip(np.asarray(image, np.int64) + eps, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / "both" / path)
                row |= {"protected_file_name": path, "surrogate": "ip2p", "immunize_seconds": eps}
    write_metadata(root / "both", rows)
    for name in ("sifm", "noise"):
        other = root / name
        for row in rows:
            if row["method"] == name:
                for column in ("file_name", "source_file_name", "control_file_name"):
                    copy = other / row[column].replace("edits/", f"edits/renamed-{name}-")
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes((root / "both" / row[column]).read_bytes())
        kept = [
            {k: v for k, v in r.items() if k != "protected_file_name"} for r in rows if r["method"] == name
        ]
        for row in kept:
            row["file_name"] = row["file_name"].replace("edits/", f"edits/renamed-{name}-")
        write_metadata(other, kept)
    with serving() as server:
        (root / "judge.toml").write_text(card_text(server.base_url))
        for name in ("both", "sifm", "noise"):
            isr.score(root / name, judge=str(root / "judge.toml"))
    return root


def outcomes(run: Path) -> dict[str, dict[tuple[str, str], int]]:
    with (find_run(run) / "edits.csv").open(newline="") as file:
        found: dict[str, dict[tuple[str, str], int]] = {}
        for r in csv.DictReader(file):
            if r["arm"] == "protected":
                found.setdefault(r["method"], {})[r["image_id"], r["prompt_id"]] = r["outcome"] == "immunized"
        return found


def comparison(*args: str) -> dict[str, Any]:
    done = command("compare", *args, "--json")
    assert done.returncode == 0, done.stderr
    out: dict[str, Any] = json.loads(done.stdout)
    return out


def test_the_difference_is_that_of_the_paired_units(runs: Path) -> None:
    found = comparison(str(runs / "both.isr"))["family"][0]
    table = outcomes(runs / "both.isr")
    units = sorted(table["noise"])
    d = np.array([table["noise"][u] - table["sifm"][u] for u in units], float)
    image = [u[0] for u in units]
    assert (found["first"], found["second"]) == ("noise", "sifm")
    expected = difference_interval(d, image)
    assert found["difference"]["value"] == pytest.approx(expected.value)
    assert found["difference"]["low"] == pytest.approx(expected.low)
    assert found["p_value"] == sign_flip_test(d, image).p_value
    assert found["p_holm"] == found["p_value"]  # a family of one


def test_runs_pair_on_units_whatever_the_files_are_called(runs: Path) -> None:
    together = comparison(str(runs / "both.isr"))
    apart = comparison(str(runs / "noise.isr"), str(runs / "sifm.isr"))
    assert apart["family"][0]["difference"] == together["family"][0]["difference"]
    assert apart["unpaired"][0] == {
        "first": "noise", "second": "sifm", "shared": 60, "only_first": 0, "only_second": 0,
    }  # fmt: skip


def test_the_same_digits_for_the_same_seed(runs: Path) -> None:
    args = (str(runs / "both.isr"), "--seed", "7")
    assert comparison(*args) == comparison(*args)


def test_choose_shows_distortion_transfer_and_cost(runs: Path) -> None:
    found = comparison(str(runs / "both.isr"), "--choose", "--by", "editor")
    noise, sifm = found["choices"]
    assert sifm["linf"] == pytest.approx(7 / 255, abs=1e-6)
    assert noise["linf"] == pytest.approx(21 / 255, abs=1e-6)
    assert sifm["costs"] == {"immunize_seconds": 7.0}
    assert sifm["transfer"] is not None  # every edit was made by "painter", not by the surrogate ip2p
    assert sifm["transfer"]["value"] == sifm["isr"]["value"]
    assert any("worst attack" in note for note in sifm["notes"])
    assert any("different measured distortion" in w for w in found["warnings"])
    assert found["slices"][0]["by"] == {"editor": "painter"}
    text = command("compare", str(runs / "both.isr"), "--choose").stdout
    assert "to choose from (all intervals hold together at 95%)" in text
    assert "warning: compared at different measured distortion" in text


def test_the_surrogate_is_told_by_its_checkpoint_not_by_its_name(runs: Path, tmp_path: Path) -> None:
    """`isr edit --set steps=4` names the surrogate otherwise; it is the white box all the same."""
    names = {"editor": "tiny@87fe91[steps=4]", "surrogate": "tiny@87fe91"}
    one = {"editor_checkpoint": "sha256:87fe91", "surrogate_checkpoint": "sha256:87fe91"}
    same = comparison(str(edited(runs / "both.isr", tmp_path / "same", **names, **one)), "--choose")
    for choice in same["choices"]:
        assert choice["transfer"] is None
        assert "other editors: no editor but the surrogate" in choice["notes"]
    assert not any("told by names" in w for w in same["warnings"])
    mixed = edited(
        runs / "both.isr", tmp_path / "mixed", editor="mine", surrogate="mine", surrogate_checkpoint="sha256:1",
        editor_checkpoint=lambda r: "sha256:1" if r["image_id"] < "image-0010" else "sha256:2",
    )  # fmt: skip
    found = comparison(str(mixed), "--choose")
    assert [c["transfer"]["n"] for c in found["choices"]] == [30, 30]  # 10 of 20 images with 3 prompts each
    assert any("one name, two checkpoints: noise, sifm" in w for w in found["warnings"])


def test_where_no_checkpoint_is_known_names_tell_and_it_is_said_once(runs: Path, tmp_path: Path) -> None:
    old = edited(runs / "both.isr", tmp_path / "old", editor="tiny@87fe91[steps=4]", surrogate="tiny@87fe91")
    text = command("compare", str(old), "--choose").stdout
    assert text.count("told by names, not by checkpoints: noise, sifm") == 1
    assert "sifm: other editors: no editor but the surrogate" in text
    assert "told by names" not in command("compare", str(old)).stdout  # nothing rests on it there


def test_a_fingerprint_of_before_is_not_known_and_it_is_said_loudly(runs: Path, tmp_path: Path) -> None:
    """Of the ends of files alone: a merged LoRA has the same one."""
    old = {"editor_checkpoint": "sha256:87fe91320fc09dc1", "surrogate_checkpoint": "sha256:87fe91320fc09dc1"}
    place = edited(runs / "both.isr", tmp_path / "old", editor="mine", surrogate="mine", **old)
    (warning,) = [w for w in comparison(str(place), "--choose")["warnings"] if "told by names" in w]
    assert "noise, sifm; their checkpoints were recorded by the ends of their files alone" in warning
    assert "whether editor and surrogate are the same weights is not known" in warning


def test_a_run_against_itself_is_zero_with_zero_width(runs: Path) -> None:
    found = comparison(str(runs / "sifm.isr"), str(runs / "sifm.isr"))["family"][0]
    assert [found["difference"][k] for k in ("value", "low", "high")] == [0, 0, 0]


def test_partly_shared_units_are_told_and_none_is_refused(runs: Path, tmp_path: Path) -> None:
    def moved(name: str, keep: int) -> Path:
        """The noise run with other image ids but for the first ``keep`` edits."""
        target = tmp_path / name
        target.mkdir()
        (target / "result.json").write_bytes((the_run(runs / "noise.isr") / "result.json").read_bytes())
        with (the_run(runs / "noise.isr") / "edits.csv").open(newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        for i, row in enumerate(rows):
            if i >= keep:
                row["image_id"] = f"other-{row['image_id']}"
        with (target / "edits.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, reader.fieldnames or [])
            writer.writeheader()
            writer.writerows(rows)
        return bind(target)

    some = command("compare", str(runs / "sifm.isr"), str(moved("some", 24)))
    assert some.returncode == 0
    assert (
        "not paired: 48 units of sifm, 48 of noise; 12 shared" in some.stdout
    )  # rows alternate between arms
    none = command("compare", str(runs / "sifm.isr"), str(moved("none", 0)))
    assert none.returncode == 2
    assert "no unit that two contenders share" in none.stderr


def test_other_instruments_are_refused(runs: Path, tmp_path: Path) -> None:
    with serving() as server:
        text = card_text(server.base_url).replace("[decoding]", "[decoding]\nseed = 5")
        (tmp_path / "judge.toml").write_text(text)
        isr.score(runs / "noise", judge=str(tmp_path / "judge.toml"), out=tmp_path / "other")
    done = command("compare", str(runs / "sifm.isr"), str(tmp_path / "other"))
    assert done.returncode == 2
    assert "same instrument" in done.stderr
    assert "judge:" in done.stderr


def test_one_treatment_cannot_be_compared(runs: Path) -> None:
    done = command("compare", str(runs / "sifm.isr"))
    assert done.returncode == 2
    assert "at least two treatments" in done.stderr


def test_plan_without_and_with_a_pilot(runs: Path) -> None:
    plain = json.loads(command("plan", "--half-width", "0.05", "--json").stdout)
    # D = 1 + 4 * 0.3 = 2.2; z: 1.96^2 * 2.2 * 0.25 / (0.0025 * 5) = 169.03, a few more for t with G - 1
    assert 169 <= plain["plans"][0]["images"] <= 174
    assert "guesses" in plain["rests_on"]["source"]
    run = str(runs / "both.isr")
    args = (
        "plan",
        "--half-width",
        "0.05",
        "--difference",
        "0.1",
        "--labels",
        "40",
        "--pilot",
        run,
        "--method",
        "sifm",
    )
    found = json.loads(command(*args, "--json").stdout)
    assert "60 edits of 20 images" in found["rests_on"]["source"]
    assert [set(p) >= {"wanted", "answer", "notes"} for p in found["plans"]] == [True] * 3
    assert found["plans"][2]["not_immunized"] + found["plans"][2]["immunized"] == 40
    against = command(*args, "--against", "noise")
    assert "pairs with the noise" in against.stdout


def plans(*args: str) -> list[dict[str, Any]]:
    done = command("plan", *args, "--json")
    assert done.returncode == 0, done.stderr
    out: list[dict[str, Any]] = json.loads(done.stdout)["plans"]
    return out


def test_plan_finds_prompts_and_labels_too(runs: Path) -> None:
    run = str(runs / "both.isr")
    # variance .3 - .04 = .26, ICC .3: between .078, within .182; G = 200, t = 1.972, z = .842:
    # room 200 * .04 / 2.814^2 - .078 = .932; within / room = .195, so one prompt is enough
    assert plans("--difference", "0.2", "--images", "200")[0]["per_image"] == 1
    few = plans("--difference", "0.05", "--images", "10")[0]
    assert few["per_image"] is None
    assert "too few whatever the number of prompts" in few["notes"][1]
    found = plans("--label-half-width", "0.2", "--pilot", run)[0]
    assert found["half_width"] <= 0.2
    fewer = plans("--labels", str(found["immunized"] + found["not_immunized"] - 1), "--pilot", run)[0]
    assert fewer["half_width"] is None or fewer["half_width"] > 0.2
    assert "not enough" in plans("--label-half-width", "0.001", "--pilot", run)[0]["answer"]


def test_plan_near_the_edge_is_no_normal_theory(runs: Path) -> None:
    # normal theory: 16 images for 2 % +- 5 points; the exact interval at 16 * 5 / 2.2 = 36 edits is wider
    assert plans("--half-width", "0.05", "--rate", "0.02")[0]["images"] > 20
    assert plans("--half-width", "0.05", "--rate", "0.5")[0]["images"] < 175


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "at least one of --half-width"),
        (["--labels", "10"], "expected a --pilot run"),
        (["--difference", "0.4", "--discordant", "0.3"], "at most the share of discordant edits"),
        (["--labels", "9", "--pilot", "RUN", "--human-rates", "x"], "two numbers from 0 to 1"),
        (["--labels", "9", "--pilot", "RUN", "--human-rates", "0,5"], "two numbers from 0 to 1"),
        (["--labels", "9", "--pilot", "RUN", "--human-rates", "0.1,nan"], "two numbers from 0 to 1"),
        (
            ["--half-width", "0.1", "--pilot", "RUN", "--method", "none"],
            "--method none: expected one of noise; sifm",
        ),
        (["--difference", "0.1", "--pilot", "RUN", "--against", "none"], "--against none: expected one of"),
    ],
)
def test_plan_says_what_is_missing(runs: Path, args: list[str], words: str) -> None:
    done = command("plan", *[a.replace("RUN", str(runs / "both.isr")) for a in args])
    assert done.returncode == 2
    assert words in done.stderr


def edited(run: Path, target: Path, **change: Any) -> Path:
    """A copy of a run's folder whose table of edits has other values in some columns."""
    target.mkdir(parents=True)
    (target / "result.json").write_bytes((find_run(run) / "result.json").read_bytes())
    with (find_run(run) / "edits.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    fields = [*(reader.fieldnames or []), *(c for c in change if c not in (reader.fieldnames or []))]
    for row in rows:
        row |= {k: v(row) if callable(v) else v for k, v in change.items()}
    with (target / "edits.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(rows)
    return bind(target)


def flipped(row: dict[str, str]) -> str:
    return {"immunized": "not_immunized", "not_immunized": "immunized"}.get(row["outcome"], row["outcome"])


def test_runs_of_one_name_are_told_apart(runs: Path, tmp_path: Path) -> None:
    a = edited(runs / "sifm.isr", tmp_path / "x" / "out")
    b = edited(runs / "sifm.isr", tmp_path / "y" / "out", outcome=flipped)
    found = comparison(str(a), str(b))["family"][0]
    assert (found["first"], found["second"]) == ("sifm [x/out]", "sifm [y/out]")
    values = list(outcomes(a)["sifm"].values())
    rate = sum(values) / len(values)
    assert found["difference"]["value"] == pytest.approx(2 * rate - 1)
    # three runs: each pair is its own
    three = comparison(str(a), str(b), str(runs / "sifm.isr"))["family"]
    assert [f["difference"]["value"] for f in three] == pytest.approx([2 * rate - 1, 0, 1 - 2 * rate])


def test_a_run_under_another_path_is_the_same_run(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "sifm.isr", tmp_path / "copy")
    for other in (f"{runs}/sifm.isr/../sifm.isr", str(tmp_path / "copy")):
        found = comparison(str(runs / "sifm.isr"), other)["family"][0]
        assert [found["difference"][k] for k in ("low", "value", "high")] == [0, 0, 0]
        assert found["first"] != found["second"]


def test_undecided_pairs_are_counted_apart_from_missing_units(runs: Path, tmp_path: Path) -> None:
    half = edited(
        runs / "noise.isr",
        tmp_path / "half",
        outcome=lambda r: "undecided" if r["image_id"] < "image-0010" else r["outcome"],
    )
    done = command("compare", str(runs / "sifm.isr"), str(half), "--choose")
    assert "30 of 60 shared units are undecided on a side and left out" in done.stdout
    found = comparison(str(runs / "sifm.isr"), str(half), "--choose")
    assert found["family"][0]["undecided"] == 30
    assert {c["name"]: c["undecided"] for c in found["choices"]} == {"sifm": 0, "noise": 30}
    none = edited(runs / "noise.isr", tmp_path / "none", outcome="undecided")
    assert "there is no difference" in command("compare", str(runs / "sifm.isr"), str(none)).stdout


def test_numbers_that_are_none_are_left_out(runs: Path, tmp_path: Path) -> None:
    odd = edited(
        runs / "noise.isr",
        tmp_path / "odd",
        immunize_seconds="nan",
        protected_psnr="nan",
        editor="",
        surrogate="ip2p",
    )
    other = edited(runs / "sifm.isr", tmp_path / "other", editor="")
    done = command("compare", str(odd), str(other), "--choose")
    assert done.returncode == 0
    assert "nan" not in done.stdout
    assert "distortion not measured" in done.stdout
    assert "other editors: no editor is named" in done.stdout
    assert comparison(str(odd), str(other), "--choose")["choices"][0]["transfer"] is None


@pytest.mark.slow
def test_the_white_box_is_a_checkpoint_whatever_its_name(runs: Path, tmp_path: Path) -> None:
    """``isr edit --set steps=4`` names the surrogate's own checkpoint otherwise: no other editor."""
    names = {"editor": "ip2p=model@87fe91[steps=4]", "surrogate": "ip2p=model@87fe91"}
    same = {"editor_checkpoint": "sha256:87fe91aa", "surrogate_checkpoint": "sha256:87fe91aa"}
    for change, note in (
        (names | same, "other editors: no editor but the surrogate"),
        (names, "other editors: no editor but the surrogate"),
        (names | same | {"editor_checkpoint": "sha256:87fe91bb"}, ""),
        ({"editor": "hq_edit", "surrogate": "ip2p"}, "other editors: told apart by name for 60 edits"),
    ):
        both = [
            str(edited(runs / f"{m}.isr", tmp_path / f"{m}{len(note)}{len(change)}", **change))
            for m in ("sifm", "noise")
        ]
        (choice, _) = comparison(*both, "--choose")["choices"]
        assert (choice["transfer"] is None) == note.endswith("surrogate")
        assert [n for n in choice["notes"] if n.startswith("other editors")] == [
            n for n in choice["notes"] if note and n.startswith(note)
        ]


def test_other_settings_of_the_runs_are_told(runs: Path, tmp_path: Path) -> None:
    isr.score(
        runs / "both",
        judge=str(runs / "judge.toml"),
        out=tmp_path / "random",
        prompts="random",
        store=runs / "both.isr" / "isr.db",
    )
    done = command("compare", str(tmp_path / "random"))
    assert "random was scored with prompts=random; here prompts are taken as fixed" in done.stdout
    assert "|prompts=fixed|" in done.stdout


def test_methods_that_fail_in_different_patterns_are_told_by_the_command(tmp_path: Path) -> None:
    """One by whole images, the other by every other edit; the note reaches whoever runs the command."""

    home = recorded_run(tmp_path, images=20, prompts=4, methods=("whole", "single"))
    with (home / "edits.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    for row in table:
        image, prompt = int(row["image_id"][-2:]), int(row["prompt"][-1])
        fails = (image if row["method"] == "whole" else prompt) % 2 == 0
        row["outcome"] = "immunized" if fails else "not_immunized"
    with (home / "edits.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    done = CliRunner().invoke(cli, ["compare", str(bind(home))], catch_exceptions=False)
    assert "single and whole fail in different patterns (design effects" in " ".join(done.output.split())


def test_prompts_as_a_sample_and_images_in_clusters(tmp_path: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["person"] = f"p{int(row['image_id'][-2:]) // 2}"  # two images of each person

    home = recorded_run(tmp_path, images=12, prompts=4, methods=("a", "b"), change=change)

    def compared(*words: str) -> str:
        done = CliRunner().invoke(cli, ["compare", str(home), *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    plain = compared()
    assert "about these prompts alone; --prompts random makes it a claim about prompts like these" in plain
    sampled = compared("--prompts", "random", "--choose")
    assert "p: t, images and prompts both as samples" in sampled
    assert "|prompts=random|" in sampled
    assert "|test=t|" in sampled
    assert "about these prompts alone" not in sampled
    found = json.loads(compared("--margin", "0.5", "--json"))["family"][0]
    for margin, claim in (("0.99", "equivalent within it"), ("0.001", "not shown to be within it")):
        said = compared("--margin", margin)
        assert f"margin of {100 * float(margin):g} pp, by verdicts: {claim}: adjusted p no worse " in said
        assert f"|margin={margin}|" in said
    table = outcomes(home)
    d = [table["a"][u] - table["b"][u] for u in sorted(table["a"])]
    alone = margin_p_values(d, [u[0] for u in sorted(table["a"])], 0.5)  # a family of one: as it is
    assert alone is not None
    assert found["within"] == pytest.approx(alone._asdict())
    said = compared("--cluster", "person")
    assert "clusters       p" in said
    assert "images" not in said.partition("about these prompts")[0]
    by_person = json.loads(compared("--cluster", "person", "--json"))
    assert by_person["family"][0]["difference"]["method"] == "paired t, clustered by person, prompts fixed"
    assert "|cluster=person|" in by_person["signature"]
    assert by_person["family"][0]["difference"]["clusters"] == 6
    assert json.loads(compared("--json"))["family"][0]["difference"]["clusters"] == 12
    with pytest.raises(isr.UsageError, match="it groups prompts, not images"):
        compared("--cluster", "prompt")
    with pytest.raises(isr.UsageError, match=r"expected a column of every run's edits\.csv"):
        compared("--cluster", "nobody")
