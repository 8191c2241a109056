"""What 0.1.0 (3f9dc66) said is said today: keys, digests, verdicts, estimates, signatures; what it wrote is read.

``record.py`` made the files in ``0.1.0/``. A difference is an error unless ``CHANGES`` names it with its reason.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from isr.cli import cli
from isr.errors import InputError, UsageError
from tests.golden.commands import LATER, ORACLE, SCORES

OLD = Path(__file__).parent / "0.1.0"
CHANGES: tuple[tuple[str, str, str], ...] = (
    # (command, what of it: path of a JSON value or the text itself, why)
    (
        "compare*", r"\.signature: family=\d+:holm\|parser=1 -> (by=\w+\|)?estimates=2\|family=\d+:holm:missing=1\|parser=2",
        "the policy and the groups are in the signature; parser 2",
    ),
    (
        "*", r"\.signature: parser=1 -> (estimates=2\|)?parser=2",
        "parser 2 reads answers through the marks of protocols; rules 2 give the interval of the identified set",
    ),
    ("*", r'.*\.estimates\.\w+\.identified: "\(absent\)" -> \[[-0-9.e]+, [-0-9.e]+\]', "undecided edits: the identified set"),
    (
        "*", r".*\.(low|high|method|design_effect|n_effective|notes|notes\[\d\]): .*",
        "rules 2: unequal images; with equal ones nothing changes (tests/stats); what rules 1 made is verified by them (below)",
    ),
    (
        "recorded|panel", r".*\.estimates\.\w+(?<!_conditional)(?<!_worst)\.(value|n): .*",
        "where the bounds coincide the value is they",
    ),
    ("agree", r'.*\.(left_out|notes): "\(absent\)" -> ("")|(\[\])', "why a pair is no member of the family; what a judge's figures rest on"),
    (
        "plan", r"\.(rests_on\.factor|plans\[\d\]\.(images|answer|half_width|notes|notes\[\d\])): .*",
        "a pilot's variance is taken at an upper bound, and the interval is the shipped one",
    ),
    ("compare*", r'\.judges: "\(absent\)" -> .*', "by whom the edits were judged"),
    ("compare*|agree", r'.*\.within: "\(absent\)" -> null', "no margin was asked for"),
    ("compare*|agree", r'.*\.open: "\(absent\)" -> .*', "what undecided pairs leave open"),
    ("compare-by", r'\.pooled: "\(absent\)" -> \[.*', "over groups like these; here why there is no such claim"),
    ("compare-by", r'\.conclusion: "\(absent\)" -> \{.*', "what the table for choosing comes to"),
    ("calibrate", r'.*\.identified: "\(absent\)" -> null', "no edit is undecided"),
    ("calibrate", r"\.signature:  -> estimates=2", "corrections for unequal images"),
    ("*", r'\.table: "\(absent\)" -> \{"edits\.csv": "sha256:[0-9a-f]{64}"\}', "a result holds its table's digest"),
    ("agree", r'.*\.(each|left_open|judges): "\(absent\)" -> .*', "judges against single raters, by model; what open edits do"),
    ("verify", r"\.(unproved|unproved\[\d\]): .*", "the author's page lies in a bundle and is not made again"),
    ("verify", r'\.proved\[0\]: "files: none of 58 .* -> "files: none of 59 .*"', "with the author's page"),
    ("verify", r'\.estimates: "\(absent\)" -> \{"treatments": .*', "the numbers that were verified"),
    ("random", r"\..*", "a limited run takes images in turn: it is of other edits (those of before, by its rule: below)"),
    (
        "first-rows", r"\.signature: limit=20\|parser=1 -> estimates=2\|limit=20:in-turn\|parser=2|\.notes\[\d\]: .*",
        "how the edits were taken is in the signature and in a note",
    ),
    ("agree", r"\.signature:  -> family=1:holm:missing=1\|least=10", "the policy is in the signature"),
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the data, in which every score was made again by this version."""
    root = tmp_path_factory.mktemp("golden") / "new"
    root.mkdir()
    for name in ("edits", "labels.csv", "answers.jsonl", "recorded.toml", "panel.toml"):
        copy = shutil.copytree if (OLD / name).is_dir() else shutil.copy
        copy(OLD / name, root / name)
    here = Path.cwd()
    os.chdir(root)
    yield root
    os.chdir(here)


def isr(*args: str, expect: int = 0) -> Result:
    """The command, run in this process."""
    done = CliRunner().invoke(cli, list(args), catch_exceptions=False)
    assert done.exit_code == expect, done.stderr
    return done


def changed(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Every difference of two JSON values, as ``path: old -> new``; of signatures, their parts."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from changed(old.get(key, "(absent)"), new.get(key, "(absent)"), f"{path}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from changed(a, b, f"{path}[{i}]")
    elif path.endswith("signature") and isinstance(old, str) and isinstance(new, str):
        gone, come = set(old.split("|")), set(new.split("|"))
        if gone != come:
            yield f"{path}: {'|'.join(sorted(gone - come))} -> {'|'.join(sorted(come - gone))}"
    elif old != new:
        yield f"{path}: {json.dumps(old)} -> {json.dumps(new)}"


def unnamed(command: str, differences: Iterator[str]) -> list[str]:
    """The differences that ``CHANGES`` does not name."""
    known = [what for name, what, _ in CHANGES if re.fullmatch(name.replace("*", ".*"), command)]
    return [d for d in differences if not any(re.fullmatch(what, d) for what in known)]


@pytest.fixture(scope="module")
def scored(place: Path) -> dict[str, str]:
    """What each ``isr score`` prints now."""
    return {name: isr(*command).stdout for name, command in SCORES.items()}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_the_same(name: str, scored: dict[str, str]) -> None:
    old = json.loads((OLD / "printed" / f"{name}.json").read_text("utf-8"))
    assert unnamed(name, changed(old, json.loads(scored[name]))) == []


def test_a_limited_score_of_the_same_edits_is_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``random`` by the rule of 0.1.0: the first rows."""
    monkeypatch.setattr("isr.scoring.run.in_turn", lambda edits, most: tuple(edits[:most]))
    old = json.loads((OLD / "printed" / "random.json").read_text("utf-8"))
    command = ["first-rows" if word == "random" and before == "--out" else word
               for before, word in zip(("", *SCORES["random"]), SCORES["random"], strict=False)]  # fmt: skip
    assert unnamed("first-rows", changed(old, json.loads(isr(*command).stdout))) == []


@pytest.mark.parametrize("name", ["oracle", "recorded"])
def test_every_verdict_is_the_same(name: str, scored: dict[str, str], place: Path) -> None:
    assert (place / name / "edits.csv").read_bytes() == (OLD / name / "edits.csv").read_bytes()


def test_every_request_key_is_the_same(scored: dict[str, str], place: Path) -> None:
    """Scored on a copy of the old store, nothing is asked; and the new store exports the old one's keys."""
    shutil.copy(OLD / "oracle" / "isr.db", place / "old.db")
    isr(*ORACLE, "--out", "again", "--store", "old.db")
    record = json.loads((place / "again" / "run.json").read_text("utf-8"))
    assert record["requests"] == {"from_store": 72, "answered": 0, "retries": 0, "given_up": 0}
    rows = [
        [json.loads(line) for line in isr("store", "export", str(store)).stdout.splitlines()]
        for store in ("old.db", "oracle/isr.db")
    ]
    old, new = ({row["key"]: row["content"] for row in some if "part" not in row} for some in rows)
    assert len(old) == 72
    assert old == new


@pytest.mark.parametrize("name", LATER)
def test_a_later_command_says_the_same(name: str, scored: dict[str, str], place: Path) -> None:
    if name == "verify" and not (place / "oracle.bundle.zip").exists():
        isr("bundle", "oracle", "--images")
    now = isr(*LATER[name]).stdout
    (file,) = (OLD / "printed").glob(f"{name}.*")
    if file.suffix == ".json":
        assert unnamed(name, changed(json.loads(file.read_text("utf-8")), json.loads(now))) == []
    else:
        lines = (as_before(now), file.read_text("utf-8").replace("|parser=1|", "|parser=2|"))
        assert len(lines[0].splitlines()) == len(lines[1].splitlines())
        if name != "csv":
            assert lines[0] == lines[1]
            return
        for now_row, before in zip(*(csv.DictReader(io.StringIO(t)) for t in lines), strict=True):
            moved = {k for k in before if now_row[k] != before[k]} - {"low", "high", "method", "notes"}
            # the one rate of which nothing is undecided though 5 edits are: its value is now that of its bounds
            assert moved <= ({"value", "n"} if now_row["bound_low"] == now_row["bound_high"] else set())


def as_before(text: str) -> str:
    """A text without what rules 2 of estimates add: a part of the signature; in the CSV, empty columns where nothing is open.

    And without what a methods section now says of whom its intervals speak, and with the judge named by its identity and not by its
    program.
    """
    text = re.sub(r"^% [^:\n]+: judged by .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(
        r"(?<=judged by )(shapes-oracle) \(the program shapes_oracle, revision 2\)",
        r"\1 (sha256:c64282e50f4c)",
        text,
    )
    text = _without_comparison(text)
    text = re.sub(r"The intervals speak of new source images .*? nor of what people would say\. ", "", text)
    text = text.replace(" (CR2, Kish's degrees of freedom where images have unequal numbers of edits)", "")
    text = text.replace(
        "count as undecided; a point estimate leaves them out unless they cannot change it.",
        "are counted as undecided and are in no point estimate.",
    )
    tipping = r"; it would be none if \d+% of the undecided outcomes went against it"
    lines = re.sub(tipping, "", text.replace("|estimates=2", "")).splitlines(keepends=True)
    if not lines[0].startswith("run,part,"):
        return "".join(lines)
    rows = list(csv.reader(lines))
    at = [rows[0].index(f"identified_{end}") for end in ("low", "high")]
    at += [rows[0].index(name) for name in ("p", "p_holm", "wins", "losses")]
    at += [rows[0].index("shown")]  # how other outputs show the number: as a point or as a range
    # rows that 0.1.0 had not: the pair's own, the mean grade, and groups (of which its CSV said nothing)
    rows = [r for r in rows if r[2] not in ("difference", "source_kept") and "; " not in r[1]]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([c for i, c in enumerate(r) if i not in at] for r in rows)
    return out.getvalue()


def _without_comparison(text: str) -> str:
    """A table or a methods text without what stands under it since: the methods compared, and what short names leave out.

    In LaTeX every number of a difference is now in math mode, and a row is called by what tells it from the others.
    """
    table, end, beneath = text.partition("\\end{tabular}\n")
    if not end:
        return re.sub(r"\n\nMethods were compared .*\n", "\n", text)
    table = re.sub(r"\[\$([-+.\d]+)\$, \$([-+.\d]+)\$\]", r"[\1, \2]", table)
    note = beneath.partition("\\footnotesize ")[2].partition(".}\n")[0]
    for short, _, rest in (one.partition(": ") for one in note.split("; ")):
        table = table.replace(f"\n{short} & ", f"\n{short}, {rest} & ")
    return table + end


def test_what_was_written_before_is_read(scored: dict[str, str], place: Path) -> None:
    """Results folders and bundles of 0.1.0: compared, reported, bundled and verified."""
    for name in ("oracle", "recorded", "measured"):
        shutil.copytree(OLD / name, place / "before" / name)
    shutil.copytree(OLD / "edits", place / "before" / "edits")
    shutil.copy(OLD / "oracle.bundle.zip", place / "before")
    old = json.loads(isr("compare", "before/oracle", "--json").stdout)
    new = json.loads(isr("compare", "oracle", "--json").stdout)
    assert unnamed("compare", changed(old, new)) == []
    with pytest.raises(UsageError, match="parser"):  # another parser may read an answer otherwise
        isr("compare", "oracle", "before/oracle", "--json")
    shutil.copytree(place / "before" / "oracle", place / "before" / "twin")
    both = json.loads(isr("compare", "before/oracle", "before/twin", "--json").stdout)
    assert len(both["family"]) == 6  # two treatments of each of the two: every pair
    isr("report", "before/oracle", "before/recorded")
    assert "shapes-oracle" in (place / "before/oracle/report.html").read_text("utf-8")
    isr("report", "before/measured")
    verified = json.loads(isr("verify", "before/oracle.bundle.zip", "--json").stdout)
    undigested = [
        u for u in verified["unproved"] if u.startswith("that the 72 answers are as they were received")
    ]
    verified["unproved"].remove(
        *undigested
    )  # said since a bundle holds the digests of its answers, which this one lacks
    assert verified.pop("estimates")["treatments"]  # printed since
    assert verified == json.loads((OLD / "printed" / "verify.json").read_text("utf-8"))
    isr("bundle", "before/oracle", "--out", "before/again.zip", "--images")
    isr("verify", "before/again.zip")
    isr("bundle", "before/recorded", "--out", "before/recorded.zip")
    isr("verify", "before/recorded.zip")  # undecided edits: its estimates are made again by rules 1


def test_a_mixed_folder_of_0_1_0_is_refused(tmp_path: Path) -> None:
    """Its result holds no digest of its table; judges and counts still tell that another run's table lies there."""
    shutil.copytree(OLD / "oracle", tmp_path / "mixed")
    shutil.copy(OLD / "recorded" / "edits.csv", tmp_path / "mixed")
    for command in (["compare", str(tmp_path / "mixed")], ["report", str(tmp_path / "mixed")]):
        with pytest.raises(
            InputError, match=r"not the table of this result\.json \(judges: shapes-oracle and recorded"
        ):
            CliRunner().invoke(cli, command, catch_exceptions=False)
    table = (OLD / "oracle" / "edits.csv").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "mixed" / "edits.csv").write_text("".join(table[:-1]), "utf-8")
    with pytest.raises(InputError, match="edits and decided ones"):
        CliRunner().invoke(cli, ["compare", str(tmp_path / "mixed")], catch_exceptions=False)
