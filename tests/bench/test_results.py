"""Results are of the study, the images and the edits that are there now; shown on finished folders without torch."""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isr.bench.cells import plan
from isr.bench.dry_run import plan_dict, plan_lines
from isr.bench.making import edit_cells, immunize_cells
from isr.bench.material.folder import find
from isr.bench.opening import expected, marks
from isr.bench.progress import Board
from isr.bench.results import places, split_names
from isr.bench.state import Bench, Order
from isr.bench.steps import run
from isr.bench.study import Study
from isr.bench.workers import Loading, _Editors, advised, place
from isr.errors import InputError, Problem, UsageError
from isr.files import file_digest
from isr.scoring.run import Watch
from sifm_ref.records import DIGESTS
from tests.directories import make_directory, picture, write_metadata


class Quiet:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def update(self, board: Board) -> None:
        """Nothing."""

    @contextmanager
    def scoring(self, watch: Watch) -> Iterator[None]:
        yield


def study(**changes: Any) -> Study:
    return Study.model_validate(
        {
            "name": "little",
            "judges": ["recorded.toml"],
            "images": {"folder": "scenes", "prompts": "prompts.csv", "resolution": 64},
            "editors": [{"name": "painter", "editor": "painter", "device": "cpu"}],
            "methods": [{"name": "noise", "method": "noise", "eps": [0.03]}],
            **changes,
        }
    )


def opened(root: Path, *steps: str, **changes: Any) -> Bench:
    """What ``isr bench --only STEPS`` begins with."""
    wanted = study(**changes)
    order = Order(file=root / "study.toml", out=root / "little.bench", jobs=1, steps=steps)
    found = plan(wanted, marks(wanted, root))
    return Bench(
        order=order, study=wanted, plan=found, material=find(root / "scenes", root / "prompts.csv", order.out)
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bench whose images are immunized and whose edits are made, by hand; a judge that says yes to everything."""
    (tmp_path / "scenes").mkdir()
    lines = ["name,prompt,prompt_id,split"]
    for n in range(3):
        picture(n, 64).save(tmp_path / "scenes" / f"image-{n:04}.png")
        lines += [f"image-{n:04},make it colour {p},{p},{('seen', 'unseen')[p]}" for p in range(2)]
    (tmp_path / "prompts.csv").write_text("\n".join(lines) + "\n", "utf-8")
    judge(tmp_path)
    made(opened(tmp_path, "images"))
    return tmp_path


def judge(root: Path, answers: str | None = None) -> None:
    """A card of recorded answers; its answers can be changed afterwards."""
    file = root / "answers.jsonl"
    if not (root / "recorded.toml").is_file():
        (root / "recorded.toml").write_text(
            f'backend = "replay"\n[engine]\nanswers = {json.dumps(str(file))}\n', "utf-8"
        )
    file.write_text(answers or "", "utf-8")


def made(bench: Bench) -> None:
    """Writes what workers would have written, and that they did."""
    run(bench, Quiet())
    for cell in immunize_cells(bench):
        cell.folder.mkdir(parents=True)
        row = {"method": "noise", "config": "c0", "eps": "0.03", "surrogate": "painter"}
        write_metadata(cell.folder, [row])
        cell.remember()
    for cell in edit_cells(bench):
        rows = make_directory(cell.folder, images=3, prompts=2, methods=("noise",))
        for row in rows:
            p = row["prompt"][-1]
            row |= {"config": "c0", "surrogate": "painter", "purifier": "", "seed": 0}
            row |= {d: file_digest(cell.folder / row[c]) for c, d in DIGESTS["edit"].items() if c in row}
            row |= {"prompt_id": p, "split": ("seen", "unseen")[int(p)], "edit_versions": "torch=1"}
        write_metadata(cell.folder, rows)
        cell.remember()


def answer_all(bench: Bench, most: int | None = None) -> None:
    """Records an answer to every question, or to the first ones."""
    from isr.judging.cards import load_panel
    from isr.judging.edits import load_edits
    from isr.judging.plan import Plan, arms_of
    from isr.judging.rubrics import load_pair

    root, lines = bench.order.root, []
    for scoring in bench.plan.scorings:
        edits = bench.out / scoring.editing.folder
        panel = load_panel(str(root / "recorded.toml"))
        asked = Plan(root=edits, edits=load_edits(edits).edits, rubrics=load_pair(), panel=panel)
        for number, request in enumerate(asked.requests(panel.members[0], arms_of(asked.edits))):
            grades = {"source_kept": 3} if request.question == "semantic" else {}
            said = {"reasoning": f"{number}", "score": 3, **grades, "verdict": "fine"}
            answer = {"text": json.dumps(said), "finish_reason": "stop"}
            lines.append(json.dumps({"content": request.content, "answer": answer}))
    judge(root, "\n".join(lines[:most]) + "\n")


def scored(root: Path, most: int | None = None) -> Bench:
    answer_all(opened(root), most)
    bench = opened(root, "score", "results")
    assert run(bench, Quiet()) is not None
    return bench


def results(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "little.bench" / "results.json").read_text("utf-8"))
    return found


def test_results_are_made_again_of_the_same_study(root: Path) -> None:
    assert scored(root).record.exit_code == 0
    before = (root / "little.bench" / "results.json").read_bytes()
    run(opened(root, "results"), Quiet())
    assert (root / "little.bench" / "results.json").read_bytes() == before
    assert results(root)["notes"] == []
    tables = (root / "little.bench" / "results.md").read_text("utf-8")
    named = re.findall(r"(?:judged by|comparisons? by) recorded\b.{0,16}", tables)
    assert named
    assert all("recorded (the program" in said for said in named), (
        named
    )  # no table names a judge without its model


def test_results_of_another_study_are_refused(root: Path) -> None:
    scored(root)
    before = (root / "little.bench" / "results.json").read_bytes()
    with pytest.raises(InputError, match="edits as the study says") as refused:
        run(opened(root, "results", seeds=[0, 1]), Quiet())
    assert "without --only, or with edit,score in it" in str(refused.value)
    with pytest.raises(UsageError, match="those of another"):
        run(opened(root, "score", seeds=[0, 1]), Quiet())
    with pytest.raises(InputError, match="scores of other edits"):
        run(opened(root, "results", level=0.9), Quiet())
    assert (root / "little.bench" / "results.json").read_bytes() == before


def test_a_changed_picture_or_prompt_is_refused_by_every_step(root: Path) -> None:
    scored(root)
    table = (root / "prompts.csv").read_text("utf-8")
    (root / "prompts.csv").write_text(table.replace("make it colour 1", "another"), "utf-8")
    with pytest.raises(InputError, match="others than when this bench was begun"):
        run(opened(root, "results"), Quiet())
    (root / "prompts.csv").write_text(table, "utf-8")
    picture(77, 64).save(root / "scenes" / "image-0000.png")
    for step in ("score", "results"):
        with pytest.raises(InputError, match="others than when this bench was begun"):
            run(opened(root, step), Quiet())


def test_partial_scores_never_pass_for_whole_ones(root: Path) -> None:
    """Some replies are missing: exit 3 and a note, in results.json too, whenever the results are written."""
    first = scored(root, most=10).record
    assert first.exit_code == 3
    assert len(first.notes) == 1
    assert results(root)["notes"] == first.notes
    again = opened(root, "results")
    run(again, Quiet())
    assert (again.record.exit_code, again.record.notes) == (3, first.notes)
    assert results(root)["notes"] == first.notes
    assert scored(root).record.exit_code == 0
    assert results(root)["notes"] == []


def test_an_edit_with_other_pixels_is_refused(root: Path) -> None:
    bench = scored(root)
    edit = next((bench.out / bench.plan.editings[0].folder / "edits").glob("*.png"))
    Image.new("RGB", (64, 64)).save(edit)
    for steps in (("results",), ("score", "results")):
        with pytest.raises(InputError, match=r"1 edit\(s\) are other than were made; nothing was done"):
            run(opened(root, *steps), Quiet())


def test_an_edit_of_an_earlier_version_with_other_pixels_is_scored_again(root: Path) -> None:
    """Its row keeps no digests, so it is not known which picture was made: only that another was scored."""
    for table in (root / "little.bench" / "edits").glob("*/metadata.jsonl"):
        rows = [json.loads(line) for line in table.read_text("utf-8").splitlines()]
        write_metadata(
            table.parent, [{k: v for k, v in r.items() if k not in DIGESTS["edit"].values()} for r in rows]
        )
    bench = scored(root)
    edit = next((bench.out / bench.plan.editings[0].folder / "edits").glob("*.png"))
    pixels = Image.open(edit).copy()
    pixels.putpixel((0, 0), (1, 2, 3))
    pixels.save(edit)
    with pytest.raises(InputError, match="scores of other edits"):
        run(opened(root, "results"), Quiet())
    show = Quiet()
    answer_all(opened(root))
    run(opened(root, "score", "results"), show)
    assert any(s.startswith("score: ") for s in show.said)
    show = Quiet()
    run(opened(root, "score", "results"), show)
    assert not any(s.startswith("score: ") for s in show.said)


def test_nothing_stale_lies_beside_what_is_new(root: Path) -> None:
    out = scored(root).out
    stale = [out / "disagreements.png", out / "tables" / "VI.csv", out / "tables" / "VI.tex"]
    for path in stale:
        path.write_text("old", "utf-8")
    (out / "report.html").write_text("old", "utf-8")
    (out / "tables" / "mine.txt").write_text("kept", "utf-8")
    run(opened(root, "results"), Quiet())
    assert not [p for p in stale if p.exists()]
    assert (out / "report.html").read_text("utf-8") != "old"
    assert (out / "tables" / "mine.txt").is_file()
    assert not [p for p in places(out) if "disagreements" in p]


def test_every_run_and_every_study_is_kept(root: Path) -> None:
    scored(root)
    run(opened(root, "images", level=0.9), Quiet())
    out = root / "little.bench"
    kept = json.loads((out / "run.json").read_text("utf-8"))
    assert [r["steps"] for r in kept["runs"]] == [["images"], ["score", "results"], ["images"]]
    assert {"versions", "platform", "seconds", "at"} <= set(kept["runs"][1])
    begun = json.loads((out / "bench.json").read_text("utf-8"))
    assert begun["study"]["level"] == 0.95
    assert [s["level"] for s in begun["later"]] == [0.9]


def test_the_versions_that_made_the_edits_are_told(root: Path) -> None:
    out = scored(root).out
    assert json.loads((out / "run.json").read_text("utf-8"))["edit_versions"] == ["torch=1"]


def test_a_folder_of_an_older_version_is_read(root: Path) -> None:
    out = root / "little.bench"
    begun = json.loads((out / "bench.json").read_text("utf-8"))
    (out / "bench.json").write_text(json.dumps({"schema": begun["schema"], "study": begun["study"]}), "utf-8")
    old = {
        "schema": "isr.bench-run/1",
        "at": "then",
        "seconds": {"immunize": 9.0},
        "seconds_each": {"x": 2.0},
    }
    (out / "run.json").write_text(json.dumps(old), "utf-8")
    run(opened(root, "images"), Quiet())
    kept = json.loads((out / "run.json").read_text("utf-8"))
    assert kept["runs"][0] == {"at": "then", "seconds": {"immunize": 9.0}}
    assert kept["seconds_each"]["x"] == 2.0


def test_folders_that_are_no_bench(root: Path) -> None:
    out = root / "little.bench"
    (out / "bench.json").write_text("{", "utf-8")
    with pytest.raises(InputError, match="expected the studies of a bench"):
        run(opened(root, "images"), Quiet())
    bench = opened(root, "images")
    bench = replace(bench, order=replace(bench.order, out=root / "killed"))
    (root / "killed").mkdir()
    (root / "killed" / ".bench.json.77.partial").touch()  # killed as it began
    run(bench, Quiet())
    assert (root / "killed" / "bench.json").is_file()
    bench = replace(bench, order=replace(bench.order, out=root / "scenes"))
    with pytest.raises(UsageError, match="found other files"):
        run(bench, Quiet())


@given(st.sets(st.text(min_size=1, max_size=6)))
def test_every_split_has_a_file_of_its_own(splits: set[str]) -> None:
    names = split_names(splits)
    assert set(names) == splits
    assert len({n.casefold() for n in names.values()}) == len(splits)


def test_only_splits_that_collide_get_a_digest() -> None:
    names = split_names({"a b", "a-b", "seen", "unseen"})
    assert (names["seen"], names["unseen"]) == ("seen", "unseen")
    assert names["a b"] != names["a-b"]
    assert all(n.startswith("a-b-") for n in (names["a b"], names["a-b"]))


def test_workers_share_the_gpus() -> None:
    assert [place("auto", n, 2) for n in range(4)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert [place("auto", n, 1) for n in range(2)] == ["auto", "auto"]  # loading decides
    assert place("cuda:1", 0, 4) == "cuda:1"
    assert place("cpu", 3, 4) == "cpu"


class Cyclic:
    """What an editor is for the garbage collector: it refers to itself."""

    def __init__(self) -> None:
        self.self = self


def test_an_editor_is_gone_before_the_next_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[bool] = []
    loaded: list[weakref.ref[Cyclic]] = []

    def load(self: Any, wanted: Loading) -> Cyclic:
        gone.append(all(r() is None for r in loaded))
        loaded.append(weakref.ref(one := Cyclic()))
        return one

    monkeypatch.setattr(_Editors, "_load", load)
    editors = _Editors(1)
    for name in ("a", "b"):
        editors.open(Loading(spec=name, name=name), lambda said: None)
    assert gone == [True, True]


def test_a_dry_run_counts_what_a_folder_and_its_unseen_prompts_make(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    judge(tmp_path)
    names = [f"image-{n:04}" for n in range(3)]
    for n, name in enumerate(names):
        picture(n, 64).save(tmp_path / "scenes" / f"{name}.png")
    table = "".join(f"{n},make it colour 0,a,seen\n" for n in names)
    (tmp_path / "prompts.csv").write_text("name,prompt,prompt_id,split\n" + table, "utf-8")
    more = "".join(f"{n},paint it {i}\n" for n in names for i in range(2))
    (tmp_path / "unseen.csv").write_text("name,prompt\n" + more, "utf-8")
    part = {"folder": "scenes", "prompts": "prompts.csv", "unseen": {"file": "unseen.csv", "count": 2}}
    wanted = study(images=part)
    order = Order(file=tmp_path / "study.toml", out=tmp_path / "little.bench", jobs=1)
    found = plan(wanted, marks(wanted, tmp_path))
    bench = Bench(order=order, study=wanted, plan=found, material=None, expected=expected(wanted, order))
    told = plan_dict(bench)
    # 3 images x (1 seen + 2 unseen); 9 edits and 9 controls, two questions each
    assert told["images"] == {"n": 3, "pairs": 9, "known": False}
    assert [c["edits"] for c in told["edit"]] == [9]
    assert [c["questions"] for c in told["score"]] == [36]
    assert told["stops"] == []
    assert told["writer"] is None
    assert "data set" not in "\n".join(plan_lines(bench))
    for n in range(20):  # what an earlier study left
        file = bench.out / found.immunizations[0].folder / ".records" / f"{n}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert plan_dict(bench)["immunize"][0]["done"] == 3
    assert "the run would stop: --out" in "\n".join(plan_lines(bench))  # no bench, and not empty
    (tmp_path / "unseen.csv").write_text("name,prompt\n" + more + "ghost,x\n", "utf-8")
    with pytest.raises(InputError, match="ghost"):
        expected(wanted, order)


def test_an_image_left_unchanged_is_told_with_what_to_do() -> None:
    problem = Problem("s0.png", "", "a perturbation within 0.03", "none", "take larger steps")
    told = advised(InputError("1 image(s) were left unchanged by sifm", [problem]))
    assert "left unchanged by sifm. A comparison needs every image" in str(told)
    assert "take these images out of the study's folder and prompts" in str(told)
    assert "s0.png" in str(told)
    other = InputError("something else")
    assert advised(other) is other
