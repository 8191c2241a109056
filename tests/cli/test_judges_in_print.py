"""No text that leaves `isr` names a judge without its model: a card may be called after one model and ask another."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import write_labels
from tests.chat_server import serving
from tests.directories import card_text, make_directory
from tests.runs import the_run

CARD, MODEL = "qwen-of-last-year", "test-model"


def isr(*args: object, expect: int = 0) -> str:
    done = CliRunner().invoke(cli, [str(a) for a in args], catch_exceptions=False)
    assert done.exit_code == expect, done.output
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An edit directory, a card with a misleading name, a run of it, labels, a bundle."""
    root = tmp_path_factory.mktemp("named")
    make_directory(root / "e", images=12, prompts=1, methods=("sifm", "noise"))
    with serving() as server:
        (root / f"{CARD}.toml").write_text(card_text(server.base_url))
        printed = isr("score", root / "e", "--judge", root / f"{CARD}.toml", "--quiet")
        (root / "score.txt").write_text(printed)
        dry = isr("score", root / "e", "--judge", root / f"{CARD}.toml", "--quiet", "--dry-run")
        (root / "dry.txt").write_text(dry)
        (root / "qualify.txt").write_text(
            isr(
                "qualify",
                root / f"{CARD}.toml",
                root / "e",
                "--images",
                4,
                "--repeats",
                2,
                "--quiet",
                expect=1,
            )  # unfit
        )
        rows = [
            Label(edit_id=line.split(",")[0], rater=r, semantic=Mark("fails"), perceptual=Mark("fine"))
            for line in (the_run(root / "e.isr") / "edits.csv").read_text().splitlines()[1:]
            if ",protected," in line
            for r in ("a", "b")
        ]
        write_labels(root / "labels.csv", Labels(tuple(rows)))
        isr("bundle", root / "e.isr", "--images", "--out", root / "sent.zip")
        again = ("--judge", root / f"{CARD}.toml", "--set", "decoding.temperature=0.5")
        (root / "second.txt").write_text(isr("score", root / "sent.zip", *again, "--quiet", "--no-report"))
        (root / "rejudged.txt").write_text(
            isr("verify", root / "sent.zip", "--rejudge", 4, "--seed", 1, *again)
        )
        yield root


def _page(root: Path) -> str:
    """The sentences of the page, without its tables of data and its scripts."""
    text = (the_run(root / "e.isr") / "report.html").read_text("utf-8")
    return html.unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL))


def _captions(root: Path) -> str:
    pytest.importorskip("matplotlib", reason="needs isr-eval[figures]")
    isr("report", root / "e.isr", "--figures", root / "figures")
    return (root / "figures" / "captions.txt").read_text("utf-8")


TEXTS: dict[str, Callable[[Path], str]] = {
    "score": lambda r: (r / "score.txt").read_text(),
    "both judges": lambda r: (r / "second.txt").read_text().partition("BOTH JUDGES")[2],
    "asked again": lambda r: (r / "rejudged.txt").read_text().partition("asked again")[2],
    "dry run": lambda r: (r / "dry.txt").read_text(),
    "qualify": lambda r: (r / "qualify.txt").read_text(),
    "methods": lambda r: isr("report", r / "e.isr", "--methods"),
    "latex": lambda r: isr("report", r / "e.isr", "--latex"),
    "page": _page,
    "runs": lambda r: isr("runs", r / "e"),
    "agree": lambda r: isr("agree", "--labels", r / "labels.csv", "--judge", r / "e.isr"),
    "compare": lambda r: isr("compare", r / "e.isr"),
    "verify": lambda r: isr("verify", r / "sent.zip"),
    "report of a bundle": lambda r: isr("report", r / "sent.zip", "--methods"),
    "comparison in LaTeX": lambda r: isr("compare", r / "e.isr", "--latex"),
    "captions of figures": lambda r: _captions(r),
    "calibrate": lambda r: isr("calibrate", r / "e.isr", "--labels", r / "labels.csv", "--design", "random"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_names_a_judge_names_its_model(name: str, place: Path) -> None:
    text = TEXTS[name](place)
    assert CARD in text  # or there is nothing to ask for
    assert text.index(MODEL) < text.index(CARD) + len(CARD) + 300  # in the same breath, not pages later


def test_every_sentence_for_a_paper_does(place: Path) -> None:
    text = isr("report", place / "e.isr", "--methods")
    said = [s for s in re.split(r"(?<=\.)\s+(?=[A-Z])", text) if CARD in s and not s.startswith("Signature:")]
    assert said
    for sentence in said:
        for part in (MODEL, "revision not pinned", "temperature 0", "answers of 20", "127.0.0.1"):
            assert part in sentence
