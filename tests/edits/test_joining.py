"""``isr init`` with templates: one way to read and complete every edit, or both are named and nothing is written."""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isr.cli import cli
from isr.judging.edits import load_edits
from tests.directories import picture
from tests.processes import run

ROOT = Path(__file__).resolve().parents[2]

TREE = ("--edits", "out/{method}/seed{seed}/{prompt_id}/{image}.png", "--source", "src/{image}.png")
CLEAN = ("--control", "out/clean/seed{seed}/{prompt_id}/{image}.png")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def paint(*names: str) -> None:
    """Pictures that all differ, by their names."""
    for name in names:
        path = Path(f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(zlib.crc32(name.encode())).save(path)


def tree(methods: Iterable[str], images: Iterable[str] = ("a", "b")) -> None:
    for image in images:
        paint(f"src/{image}")
        for method in methods:
            paint(*(f"out/{method}/seed{s}/{p}/{image}" for s in "12" for p in ("red", "blue")))
    Path("p.csv").write_text("prompt_id,prompt\nred,make it red\nblue,make it blue\n")


def init(*words: str, prompts: str | None = "p.csv", to: str = "new") -> Result:
    table = ("--prompts", prompts) if prompts else ()
    return CliRunner().invoke(cli, ["init", to, *words, *table])


def refused(*words: str, prompts: str | None = "p.csv", to: str = "new") -> str:
    before = sorted(Path().rglob("*"))
    done = init(*words, prompts=prompts, to=to)
    assert done.exit_code
    assert sorted(Path().rglob("*")) == before  # nothing was written
    return f"{done.output}{done.exception}"


def rows(directory: str = "new") -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(directory, "metadata.jsonl").read_text("utf-8").splitlines()]


def test_several_methods_in_one_call() -> None:
    tree(("sifm", "pge", "clean"))
    done = init(*TREE, *CLEAN)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(
        "16 edits matched\nsource_file_name: 2 file(s), each used 8 times\n"
        "control_file_name: 8 file(s), each used 2 times\n"
    )
    assert done.output.count("source_file_name=src/") == 3  # three rows to look at
    found = load_edits(Path("new"))
    assert {e.treatment.method for e in found.edits} == {"sifm", "pge"}
    assert {(e.unit.seed, e.unit.prompt_id) for e in found.edits} == {
        (s, p) for s in "12" for p in ("red", "blue")
    }
    assert len({e.unit.image_id for e in found.edits}) == 2
    one = next(r for r in rows() if r["file_name"] == "edits/sifm/seed2/red/b.png")
    assert one["control_file_name"] == "controls/seed2/red/b.png"
    assert "image_id" not in one  # the pixels of the source say it
    for name, copy in (("out/sifm", one["file_name"]), ("out/clean", one["control_file_name"])):
        assert Path(name, "seed2/red/b.png").read_bytes() == Path("new", copy).read_bytes()


def test_without_sources_the_name_is_the_image() -> None:
    tree(("sifm",))
    assert init(*TREE[:2]).exit_code == 0
    assert {r["image_id"] for r in rows()} == {"a", "b"}


def test_a_method_is_added() -> None:
    tree(("sifm", "clean"))
    one = ("--edits", "out/sifm/seed{seed}/{prompt_id}/{image}.png", *TREE[2:], *CLEAN)
    assert init(*one, "--column", "method=sifm").exit_code == 0
    before = rows()
    tree(("pge",))
    more = ("--edits", "out/pge/seed{seed}/{prompt_id}/{image}.png", *TREE[2:], *CLEAN)
    assert "found metadata.jsonl; choose another, or pass --add" in refused(*more, "--column", "method=pge")
    said = refused(*more, "--add", "--column", "method=sifm")  # the same method again
    assert "which is in the directory already with this image, prompt, seed and method" in said
    done = init(*more, "--add", "--column", "method=pge")
    assert done.output.endswith("added to new/metadata.jsonl; next: isr validate new\n")
    assert rows()[:8] == before
    assert {r["file_name"] for r in rows()[8:]} == {
        f"edits/pge/seed{s}/{p}/{i}.png" for s in "12" for p in ("red", "blue") for i in "ab"
    }
    assert {r["control_file_name"] for r in rows()[8:]} == {r["control_file_name"] for r in before}
    assert len(load_edits(Path("new")).edits) == 16
    assert "expected an edit directory with a metadata.jsonl to add to; found none" in refused(
        *more, "--add", to="none"
    )


def test_a_dry_run_writes_nothing() -> None:
    tree(("sifm", "clean"))
    done = init(*TREE, *CLEAN, "--dry-run")
    assert done.exit_code == 0
    assert done.output.endswith("nothing was written (--dry-run)\n")
    assert not Path("new").exists()


# Refusals: both candidates are named


def test_a_name_that_can_be_read_in_two_ways() -> None:
    """``portrait_2_x``: the photo ``portrait_2`` with ``x``, or ``portrait`` with ``2_x``."""
    paint("src/portrait", "src/portrait_2", "out/portrait_x", "out/portrait_2_x")
    Path("p.csv").write_text("style,prompt\nx,p\n2_x,q\n")
    said = refused("--edits", "out/{image}_{style}.png", "--source", "src/{image}.png")
    assert "out/portrait_2_x.png: expected one way to read and complete it" in said
    assert "src/portrait.png" in said
    assert "src/portrait_2.png" in said


def test_a_missing_source_is_not_replaced_by_another_reading() -> None:
    """The table knows the photo ``portrait_2``, whose file is gone: ``portrait`` with ``2_x`` is no better."""
    paint("src/portrait", "out/portrait_x", "out/portrait_2_x")
    Path("p.csv").write_text("image,prompt\nportrait,p\nportrait_2,q\n")
    said = refused("--edits", "out/{image}_{style}.png", "--source", "src/{image}.png")
    assert "with p.csv:2" in said
    assert "with p.csv:3" in said


def test_a_name_with_the_separator_in_it_is_read_as_its_source_is_called() -> None:
    paint("src/red_car", "out/red_car_oil")
    Path("p.csv").write_text("style,prompt\noil,p\n")
    assert init("--edits", "out/{image}_{style}.png", "--source", "src/{image}.png").exit_code == 0
    assert rows()[0]["source_file_name"] == "sources/red_car.png"


def test_digits_settle_it() -> None:
    paint("src/portrait", "src/portrait_2", "out/portrait_2", "out/portrait_2_2")
    Path("p.csv").write_text("image,prompt\nportrait,p\nportrait_2,q\n")
    assert init("--edits", "out/{image}_{seed}.png", "--source", "src/{image}.png").exit_code == 0
    assert {(r["file_name"], r["source_file_name"], r["seed"]) for r in rows()} == {
        ("edits/portrait_2.png", "sources/portrait.png", "2"),
        ("edits/portrait_2_2.png", "sources/portrait_2.png", "2"),
    }


def test_two_files_for_one_edit() -> None:
    tree(("sifm",), ("a",))
    picture(1).save("src/a.jpg")
    said = refused(*TREE[:2], "--source", "src/{image}.*")
    assert "with src/a.jpg; or with src/a.png" in said


def test_two_prompts_for_one_edit() -> None:
    tree(("sifm",), ("a",))
    Path("p.csv").write_text("prompt_id,prompt\nred,make it red\nred,paint it red\nblue,make it blue\n")
    assert "with p.csv:2; or with p.csv:3" in refused(*TREE)
    Path("p.csv").write_text("prompt_id,prompt\nred,make it red\nred,make it red\nblue,make it blue\n")
    assert init(*TREE, "--allow-unmatched").exit_code == 0  # a row that stands twice says one thing


def test_one_control_edit_for_several_prompts() -> None:
    tree(("sifm",))
    paint("clean/a", "clean/b")
    said = refused(*TREE, "--control", "clean/{image}.png")
    assert "expected a control edit for each image, prompt, seed and purifier" in said
    assert "{prompt_id} and {seed}" in said


def test_a_missing_control_edit_takes_no_other() -> None:
    tree(("sifm", "clean"))
    Path("out/clean/seed1/red/a.png").unlink()
    said = refused(*TREE, *CLEAN)
    assert "edits without a file for control_file_name: 1\n  out/sifm/seed1/red/a.png" in said
    assert init(*TREE, *CLEAN, "--allow-unmatched").exit_code == 0
    assert [r["file_name"] for r in rows() if "control_file_name" not in r] == ["edits/sifm/seed1/red/a.png"]


def test_files_that_two_options_name() -> None:
    tree(("sifm",))
    assert "expected files of one kind; found --edits and --control" in refused(*TREE, "--control", TREE[1])


def test_two_edits_of_one_unit_and_treatment() -> None:
    tree(("sifm",), ("a",))
    said = refused("--edits", "out/sifm/*/{prompt_id}/{image}.png", *TREE[2:])
    assert "out/sifm/seed2/blue/a.png: expected an image, prompt, seed or method of its own" in said
    assert "all the same as those of out/sifm/seed1/blue/a.png" in said


def test_a_failure_leaves_nothing() -> None:
    """The strip of one edit is none: what was copied before is removed again, and what stood there stays."""
    tree(("sifm",), ("a",))
    picture(3).resize((40, 16)).save("out/sifm/seed2/red/a.png")
    Path("new").mkdir()
    Path("new/notes.txt").write_text("mine")
    said = refused(*TREE, "--crop", "last")
    assert (
        "expected pictures side by side, each 16:16 as the source; found 40x16 pixels, 2.50 of them" in said
    )


def test_no_file_but_a_picture_is_copied(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A table, or a link in a folder that somebody else made, may name any file; the directory goes to others."""
    secret = tmp_path_factory.mktemp("home") / "key.png"
    secret.write_text("a private key")
    tree(("sifm",), ("a",))
    Path("t.csv").write_text(
        f"edit_id,prompt,source_file_name\n7,p,{secret}\n8,p,linked.png\n9,p,src/a.png\n"
    )
    Path("linked.png").symlink_to(secret)
    paint("e/7", "e/8", "e/9")
    said = refused("--edits", "e/{edit_id}.png", prompts="t.csv")
    assert f"{secret}: 'source_file_name': expected an image of type" in said
    assert "linked.png: 'source_file_name': expected an image of type" in said
    assert said.count("expected an image of type") == 2
    Path("out/sifm/seed1/red/a.png").unlink()
    Path("out/sifm/seed1/red/a.png").symlink_to(secret)
    assert "out/sifm/seed1/red/a.png: 'file_name': expected an image of type" in refused(*TREE)


def test_nothing_fits() -> None:
    tree(("sifm",))
    assert "--edits none/{image}.png: expected files that fit it; found none" in refused(
        "--edits", "none/{image}.png"
    )


# Tables


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.tsv", "id\ttext\tpic\n7\tmake it red, please\tdeep/a.png\n8\tblue\tdeep/b.png\n"),
        (
            "p.json",
            '{"7": {"text": "make it red, please", "pic": "deep/a.png"}, "8": {"text": "blue", "pic": "deep/b.png"}}',
        ),
        (
            "p.jsonl",
            '{"id": 7, "text": "make it red, please", "pic": "deep/a.png"}\n{"id": 8, "text": "blue", "pic": "deep/b.png"}\n',
        ),
        (
            "p.json",
            '[{"id": 7, "text": "make it red, please", "pic": "deep/a.png"}, {"id": "8", "text": "blue", "pic": "deep/b.png"}]',
        ),
    ],
)
def test_a_table_of_ones_own(name: str, text: str) -> None:
    """The user's column names, and a source that only the table knows."""
    paint("data/deep/a", "data/deep/b", "out/7", "out/8")
    Path("data", name).write_text(text)
    key = "key" if text.startswith("{") and name == "p.json" else "id"
    words = ("--edits", "out/{edit_id}.png", "--map", f"{key}=edit_id", "--map", "text=prompt")
    done = init(*words, "--map", "pic=source_file_name", prompts=f"data/{name}")
    assert done.exit_code == 0, done.output
    assert rows() == [
        {"file_name": "edits/7.png", "source_file_name": "sources/deep/a.png", "edit_id": "7", "prompt": "make it red, please"},
        {"file_name": "edits/8.png", "source_file_name": "sources/deep/b.png", "edit_id": "8", "prompt": "blue"},
    ]  # fmt: skip


def test_a_table_that_names_every_file() -> None:
    paint("data/out/7", "data/clean/7", "data/in/a")
    Path("data/pairs.csv").write_text(
        "result,clean,photo,prompt\nout/7.png,clean/7.png,in/a.png,make it red\n"
    )
    maps = ("result=file_name", "clean=control_file_name", "photo=source_file_name")
    assert init(*(w for m in maps for w in ("--map", m)), prompts="data/pairs.csv").exit_code == 0
    names = {"file_name": "edits/out/7.png", "control_file_name": "controls/clean/7.png"}
    assert rows() == [{**names, "source_file_name": "sources/in/a.png", "prompt": "make it red"}]


def test_the_script_of_the_document() -> None:
    """Ten lines in place of isr init: files stay where they are."""
    text = (ROOT / "docs" / "edit-directory.md").read_text("utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    paint("results/images/a", *(f"results/{m}/a_{c}" for m in ("sifm", "clean") for c in ("red", "blue")))
    assert run([sys.executable, "-c", script]).returncode == 0
    found = load_edits(Path("results"))
    assert len(found.edits) == 2
    assert all(e.source and e.control for e in found.edits)


def test_a_source_that_is_not_there() -> None:
    paint("out/7")
    Path("p.csv").write_text("edit_id,prompt,source_file_name\n7,p,gone.png\n")
    said = refused("--edits", "out/{edit_id}.png")
    assert "edits without a file for source_file_name: 1\n  out/7.png: gone.png" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--map", "nokey=edit_id"), "expected a column of p.csv; found n, prompt, prompt_id"),
        (("--map", "n"), "expected THEIRS=OURS"),
        (("--map", "n=prompt"), "expected a name that no other column has"),
        (("--map", "n={a}-{b}"), "p.csv:2: 'n': expected {a}-{b}, read in one way"),
    ],
)
def test_maps_that_fit_no_column(words: tuple[str, str], said: str) -> None:
    tree(("sifm",))
    Path("p.csv").write_text("prompt_id,prompt,n\nred,make it red,1\nblue,make it blue,2\n")
    assert said in refused(*TREE, *words)


def test_a_table_with_rows_of_lists() -> None:
    """As sessions of several turns are kept: the turn counts from 1."""
    paint("out/139_1", "out/139_2")
    Path("p.json").write_text('{"139": [{"prompt": "red"}, {"prompt": "blue"}]}')
    assert init("--edits", "out/{key}_{turn:d}.png", prompts="p.json").exit_code == 0
    assert [(r["turn"], r["prompt"]) for r in rows()] == [("1", "red"), ("2", "blue")]


def test_no_edits_and_no_table() -> None:
    tree(("sifm",))
    assert "name them with --edits, or give the table a column file_name" in refused()
    paint("out/x")
    assert "edits without a prompt: 1" in refused("--edits", "out/{image}.png", prompts=None)
