"""Errors in Python name keywords, errors of commands name options; neither speaks the other's language."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.errors import InputError, IsrError, Problem, UsageError
from isr.python_words import at_least, from_python, in_python
from isr.scoring.from_python import Interval
from isr.scoring.options import INTERVALS
from tests.runs import recorded_run

FUNCTIONS = ("score", "ascore", "compare", "agree", "calibrate", "plan", "write_report", "load_edits")
WORDS = ("wrong", 95, -1, 0, 1.5, float("nan"), ("wrong",), {"wrong": "wrong"})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a wrong value writes, such as a folder of that name, lies in no checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("words")
    found = recorded_run(root, images=3, prompts=2, methods=("sifm", "noise"))
    ids = [f"edits/{i}-{p}-0.png" for i in range(3) for p in range(2)]
    lines = [f"{e},ann,image-{e[6:7]:0>4},{'fails' if n % 3 else 'fine'},fine" for n, e in enumerate(ids)]
    (root / "labels.csv").write_text(
        "\n".join(["edit_id,rater,image_id,semantic,perceptual", *lines]) + "\n", "utf-8"
    )
    return found


def calls(run: Path) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Every public function with every keyword at every wrong value, beside arguments that are right."""
    root = run.parent
    labels = root / "labels.csv"
    right: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
        "score": [((root / "edits",), {"judge": root / "recorded.toml", "out": run})],
        "compare": [((run,), {}), ((run,), {"labels": labels, "design": "random"})],
        "agree": [((labels, [run]), {})],
        "calibrate": [((run, labels), {"design": "random"})],
        "plan": [((), {}), ((), {"half_width": 0.1}), ((), {"difference": 0.1, "pilot": run}),
                 ((), {"label_half_width": 0.1, "pilot": run}), ((), {"margin": 0.1, "discordant": 0.2})],
        "write_report": [((run,), {})],
        "load_edits": [((root / "edits",), {})],
    }  # fmt: skip
    for name, ways in right.items():
        signature = inspect.signature(getattr(isr, name))
        free = [p for p, q in signature.parameters.items() if q.kind is q.KEYWORD_ONLY and p != "on_progress"]
        for (args, given), keyword, value in itertools.product(ways, free, WORDS):
            if name in ("write_report", "agree") and keyword in ("out", "title", "seed"):
                continue  # which take what they get
            yield name, args, {**given, keyword: value}
        yield (
            name,
            ("nowhere", *ways[0][0][1:]) if ways[0][0] else (),
            {k: v for k, v in ways[0][1].items() if k != "out"},
        )
    yield "compare", (), {}
    yield "write_report", (), {}
    yield "agree", (labels, []), {}
    for keyword in ("caption", "source_caption", "dists_weights", "lpips_weights", "metric_models"):
        yield (
            "score",
            (root / "edits",),
            {"judge": root / "recorded.toml", "metrics": True, keyword: "nowhere"},
        )


def test_no_error_in_python_names_an_option(run: Path) -> None:
    seen = 0
    shell = re.compile(r"\bisr [a-z]+(?: [A-Za-z_./]+){0,3}(?: --[a-z-]+)+")
    for name, args, given in calls(run):
        try:
            getattr(isr, name)(*args, **given)
            continue
        except IsrError as error:
            found = str(error)
        seen += 1
        assert "--" not in shell.sub("", found), (
            name,
            given,
            found,
        )  # a command that is advised stays a command
    assert seen > 1000


def test_a_wrong_level_is_told_in_both_languages(run: Path) -> None:
    edits, card = run.parent / "edits", run.parent / "recorded.toml"
    said = "expected a number from 0.5 to below 1; found 95"
    with pytest.raises(UsageError, match=rf"^level=: {said}$"):
        isr.score(edits, judge=card, level=95)
    done = CliRunner().invoke(cli, ["score", str(edits), "--judge", str(card), "--level", "95"])
    printed = f"{done.stderr}{done.exception}"
    assert "--level" in printed
    assert said.partition(";")[0] in printed


async def _awaited(level: float) -> None:
    raise UsageError("--level: expected less; found --level")


def test_coroutines_speak_python_too() -> None:
    import asyncio

    with pytest.raises(UsageError, match=r"^level=: expected less; found level=$"):
        asyncio.run(from_python()(_awaited)(0.5))
    with pytest.raises(UsageError, match=r"^level=: expected a number; found 'x'$"):
        asyncio.run(from_python()(_awaited)("x"))  # type: ignore[arg-type]


def test_words_of_a_message() -> None:
    names = ("rubrics", "plan_file", "rater_prefixes", "sets", "design", "level", "judge", "replace")
    for text, wanted in {
        "--rubric nobody/v9: expected another": "rubrics=nobody/v9: expected another",
        "isr calibrate: expected --plan beside --design external": "isr.calibrate: expected plan_file= beside design='external'",
        "--rater-prefix: expected FILE": "rater_prefixes=: expected FILE",
        "--set ...: expected key=value": "sets=...: expected key=value",
        "give --judge RUN, or a study": "give judge=RUN, or a study",
        "found '--level'": "found '--level'",  # what a user wrote
        "run isr calibrate --out again": "run isr calibrate --out again",  # advice for a shell
        "run isr judges serve CARD --run": "run isr judges serve CARD --run",  # of any length
        "see isr judges check CARD --set a=b --json": "see isr judges check CARD --set a=b --json",
        "isr qualify ollama:qwen3-vl:8b edits/ --design random --out a, or --set x=1": (
            "isr qualify ollama:qwen3-vl:8b edits/ --design random --out a, or sets=x=1"
        ),
        "isr score: expected --judge CARD": "isr score: expected judge=CARD",  # no command that is advised
        "give --replace to write over it": "give replace=True to write over it",
        "--replace: expected True": "replace=: expected True",
        "a -- b and x--level": "a -- b and x--level",
    }.items():
        assert in_python(text, names, "calibrate", ("external",), ("replace",)) == wanted


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: isr.score("x", judg="y"), "isr.score() got an unexpected keyword argument 'judg'; did you mean judge?"),
        (lambda: isr.plan(prompts=3), "isr.plan() got an unexpected keyword argument 'prompts'; give per_image"),
        (lambda: isr.agree(), "isr.agree() missing a required argument: 'labels'"),
    ],
)  # fmt: skip
def test_a_wrong_keyword_is_told_with_the_function(call: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert said in str(caught.value)


def test_one_run_is_as_good_as_a_list_and_twice_is_once(run: Path) -> None:
    labels = run.parent / "labels.csv"
    one = isr.agree(labels, run)
    assert one == isr.agree([labels, labels], [run, run]) == isr.agree(labels, [run])


def test_a_value_that_holds_much_is_not_told_in_full(run: Path) -> None:
    with pytest.raises(UsageError) as caught:
        isr.compare(isr.Result.load(run))  # type: ignore[arg-type]
    assert str(caught.value) == "runs=: expected a text or a path; found a value of type Result"


def test_problems_are_said_in_python_and_what_was_found_stays() -> None:
    @from_python({"n": at_least(2)})
    def broken(kind: Literal["a", "b"] = "a", n: int = 2) -> None:
        raise InputError("--n: wrong", [Problem("--n 3", "n", "--kind", "--n", "leave --kind out")])

    with pytest.raises(InputError) as caught:
        broken()
    (problem,) = caught.value.problems
    assert (problem.where, problem.expected, problem.found, problem.fix) == (
        "n=3",
        "kind=",
        "--n",
        "leave kind= out",
    )
    for given, wanted in (
        ({"kind": "c"}, "one of a, b"),
        ({"n": 1}, "at least 2"),
        ({"n": True}, "a whole number"),
    ):
        with pytest.raises(UsageError, match=wanted):
            broken(**given)  # type: ignore[arg-type]


def test_help_says_what_every_keyword_means() -> None:
    text = " ".join((inspect.getdoc(isr.score) or "").split())
    parameters = inspect.signature(isr.score).parameters
    assert [name for name in parameters if name != "directory" and f" {name}: " not in text] == []
    assert parameters.keys() == inspect.signature(isr.ascore).parameters.keys()
    assert get_args(Interval) == INTERVALS
    for name in FUNCTIONS:
        assert inspect.getdoc(getattr(isr, name)), name
        assert all(
            p.annotation is not p.empty for p in inspect.signature(getattr(isr, name)).parameters.values()
        ), name


@pytest.mark.parametrize("name", ["score", "compare", "agree", "calibrate", "plan", "report"])
def test_no_error_of_a_command_names_a_keyword(name: str, run: Path) -> None:
    """The arguments of a function look like ``half_width=``; a command has ``--half-width``."""
    root = run.parent
    right: dict[str, list[str]] = {
        "score": [str(root / "edits"), "--judge", str(root / "recorded.toml"), "--out", str(run)],
        "compare": [str(run)],
        "agree": ["--labels", str(root / "labels.csv"), "--judge", str(run)],
        "calibrate": [str(run), "--labels", str(root / "labels.csv"), "--design", "random"],
        "plan": ["--half-width", "0.1", "--pilot", str(run)],
        "report": [str(run)],
    }
    keywords = {p for f in FUNCTIONS for p in inspect.signature(getattr(isr, f)).parameters}
    for option in cli.get_command(None, name).params:  # type: ignore[arg-type,union-attr]
        if option.param_type_name != "option" or getattr(option, "is_flag", False):
            continue
        done = CliRunner().invoke(cli, [name, *right[name], option.opts[-1], "wrong"])
        said = done.stderr + (str(done.exception) if isinstance(done.exception, IsrError) else "")
        assert f"isr.{name}" not in said
        assert not [k for k in keywords if re.search(rf"(?<![\w-]){k}=:", said)], said
