"""Runs that stop when it is known: which images count follows from the answers and the seed, and from nothing else."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isr
from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from isr.bundle.verify import verify
from isr.errors import InputError, UsageError
from isr.people.correct import correct
from isr.people.judgements import read_source
from isr.report.paper import methods
from isr.report.runs import read_report_run
from isr.scoring.bundle_file import Bundle
from isr.scoring.estimates import Settings
from isr.scoring.listing import runs_of
from isr.scoring.options import Options, check_options
from isr.scoring.run import Watch, run
from isr.scoring.text import render
from isr.signature import Signature
from isr.stats import BettingSequence
from tests.bundle.bundles import found, rewritten
from tests.chat_server import Running, serving
from tests.directories import card_text, make_directory, write_metadata
from tests.processes import started, wait_for
from tests.runs import answer, recorded_run, the_run

HALF = 0.2
RULE = f"half-width={HALF}"
Rows = list[dict[str, str]]


def place(image: str, seed: int) -> str:
    """The order of images, by its definition."""
    return hashlib.sha256(f'[{seed},"{image}"]'.encode()).hexdigest()


def rows_in(folder: Path) -> Rows:
    with (folder / "edits.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def protected(folder: Path) -> Rows:
    return [r for r in rows_in(folder) if r["arm"] == "protected"]


def ends(row: Mapping[str, str]) -> tuple[int, int]:
    """What an edit counts at least and at most, by the verdicts in the table."""
    said = [v for k, v in row.items() if k.endswith((":semantic", ":perceptual"))]
    return int("fails" in said), int("fails" in said or "undecided" in said)


def stops_at(
    rows: Rows, *, half: float = HALF, seed: int = 0, level: float = 0.95
) -> tuple[int, dict[str, Any]]:
    """From the table of ALL images: after how many of them the rule is met, and the sequences there."""
    names = sorted({r["method"] for r in rows})
    images = sorted({r["image_id"] for r in rows}, key=lambda i: place(i, seed))
    each = 1 - (1 - level) / len(names)
    pairs = {
        name: (BettingSequence(level=each, wanted=half), BettingSequence(level=each, wanted=half))
        for name in names
    }
    said: dict[str, Any] = {}
    for number, image in enumerate(images, 1):
        for name, (least, most) in pairs.items():
            of = np.array([ends(r) for r in rows if (r["image_id"], r["method"]) == (image, name)])
            least.add(of[:, 0].mean())
            most.add(of[:, 1].mean())
            said[name] = (float(least.low[0]), float(most.high[0]))
        if all((high - low) / 2 <= half + 1e-9 for low, high in said.values()):
            return number, said
    return len(images), said


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(faults="none", seed=4) as one:
        yield one


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, server: Running) -> Path:
    """A directory of 60 images x 2 prompts x 2 methods, and its run without a rule under ``whole``."""
    root = tmp_path_factory.mktemp("world")
    make_directory(root / "e", images=60, prompts=2, methods=("a", "b"), controls=False)
    (root / "judge.toml").write_text(card_text(server.base_url))
    server.change(
        faults={"refusal": 0.12, "broken_json": 0.12}
    )  # by the request's digest: the same in every run
    isr.score(root / "e", judge=root / "judge.toml", out=root / "whole")
    return root


def copied(world: Path, to: Path) -> Path:
    shutil.copytree(world / "e", to / "e")
    shutil.copy(world / "judge.toml", to)
    return to


def test_the_run_stops_where_the_answers_say_and_asks_no_others(
    world: Path, tmp_path: Path, server: Running
) -> None:
    wanted, said = stops_at(protected(world / "whole"))
    assert 5 < wanted < 50
    before = server.stats()["calls"]
    result = isr.score(world / "e", judge=world / "judge.toml", until=RULE, out=tmp_path / "o")
    asked = server.stats()["calls"] - before
    assert 8 * wanted <= asked < 8 * (wanted + 8) < 480  # 8 concurrent requests, each image has 8
    assert result.until == {
        "half_width": HALF, "order_seed": 0, "treatments": 2, "met": True, "images": wanted, "of": 60,
    }  # fmt: skip
    counted = rows_in(tmp_path / "o")
    images = sorted({r["image_id"] for r in protected(world / "whole")}, key=lambda i: place(i, 0))
    assert list(dict.fromkeys(r["image_id"] for r in counted)) == images[:wanted]
    for part in result.treatments:
        e = part.estimates["isr"]
        low, high = said[part.treatment.method]
        own = [ends(r) for r in protected(tmp_path / "o") if r["method"] == part.treatment.method]
        assert e.bounds == (np.mean([a for a, _ in own]), np.mean([b for _, b in own]))
        assert e.method == "betting confidence sequence"
        assert (e.clusters, e.level) == (wanted, 0.95)
        assert e.identified == (low, high)
        assert (e.low, e.high) == (min(low, e.value), max(high, e.value))
        assert e.bounds[0] < e.bounds[1]  # some are undecided
    assert "|until=half-width:0.2|order=image-seed:0|sequence=treatments:2" in result.signature
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    assert record["requests"]["for_later_images"] == asked - 8 * wanted
    assert not result.unfinished
    # nothing is lost: the answers beyond are in the store, and another question finds them
    more = server.stats()["calls"]
    isr.score(world / "e", judge=world / "judge.toml", store=tmp_path / "o" / "isr.db", out=tmp_path / "all")
    assert server.stats()["calls"] - more == 480 - asked


@pytest.mark.proof
def test_the_result_is_the_same_whatever_became_of_the_run(
    world: Path, tmp_path: Path, server: Running
) -> None:
    """Concurrency, the order of the metadata, a budget that ends it again and again, and kill -9: the same bytes."""
    undisturbed = isr.score(
        world / "e", judge=world / "judge.toml", until=RULE, out=tmp_path / "one"
    ).to_json()
    place_ = copied(world, tmp_path / "two")
    rows = [json.loads(line) for line in (place_ / "e" / "metadata.jsonl").read_text().splitlines()]
    write_metadata(place_ / "e", rows[::-1])
    options: dict[str, Any] = {"judge": place_ / "judge.toml", "until": RULE}
    cut = isr.score(place_ / "e", budget_usd=0.07, **options)
    assert cut.until is not None
    assert not cut.until["met"]
    assert cut.unfinished == {"not_asked": cut.until["left"]}
    assert "run the same command again to go on" in render(cut)
    (listed,) = runs_of(place_ / "e")
    assert "run the same isr score again" in listed.state
    before = sum(server.stats()["answered"].values())
    server.change(hold_after=before + 30)
    command = [sys.executable, "-m", "isr", "score", "e", "--judge", "judge.toml", "--until", RULE, "--quiet"]
    with started([*command, "--set", "limits.concurrency=3"], cwd=place_) as process:
        wait_for(
            lambda: sum(server.stats()["answered"].values()) >= before + 20, process, what="some answers"
        )
        process.kill()
    server.change(hold_after=0)
    last = isr.score(place_ / "e", sets="limits.concurrency=1", **options)
    assert last.to_json() == undisturbed
    assert (the_run(place_ / "e.isr") / "result.json").read_text() == undisturbed
    again = server.stats()["calls"]
    assert isr.score(place_ / "e", **options).to_json() == undisturbed
    assert server.stats()["calls"] == again


def test_a_seed_is_an_order_and_another_question(world: Path, tmp_path: Path) -> None:
    store = world / "whole" / "isr.db"
    first, other = (
        isr.score(
            world / "e",
            judge=world / "judge.toml",
            until=RULE,
            order_seed=s,
            store=store,
            out=tmp_path / f"{s}",
        )
        for s in (0, 7)
    )
    wanted, _ = stops_at(protected(world / "whole"), seed=7)
    assert other.until is not None
    assert other.until["images"] == wanted
    assert rows_in(tmp_path / "7")[0]["image_id"] != rows_in(tmp_path / "0")[0]["image_id"]
    assert first.signature.replace("image-seed:0", "image-seed:7") == other.signature


def test_a_stopped_run_is_read_reported_bundled_and_verified(world: Path, tmp_path: Path) -> None:
    out, store = tmp_path / "o", world / "whole" / "isr.db"
    result = isr.score(
        world / "e", judge=world / "judge.toml", until=RULE, store=store, out=out, by=["prompt_id"]
    )
    n = result.data["images"]
    assert isr.Result.load(out).to_json() == result.to_json()
    text = render(result)
    assert "images (of 60), 0 control edits" in text
    assert "95% sequence" in text
    assert f"is known to within 20 points after {n} of 60 images" in text
    sentence = "".join(methods([read_report_run(out, world / "e")]))
    assert "95% betting confidence sequences of image means" in sentence
    assert (
        f"stopped as soon as the half-width of the ISR of every treatment was at most 20 percentage points, after {n} of 60"
        in sentence
    )
    assert "the level split over 2 treatments" in sentence
    (listed,) = runs_of(out)
    assert listed.state == f"finished: stopped by its rule after {n} of 60 images"
    for part in [p for t in result.treatments for p in (t, *t.groups)]:
        for name, e in part.estimates.items():
            assert e.low is None or e.method == "betting confidence sequence", name
    contents = gather(out)
    write_bundle(contents, store, tmp_path / "b.zip")
    with Bundle(tmp_path / "b.zip") as bundle:  # of a store that holds the answers to all images
        answers = [row for _, row in bundle.lines("answers.jsonl") if "answer" in row]
    assert len(answers) == 8 * n
    assert found(tmp_path / "b.zip").sound, found(tmp_path / "b.zip").faults

    def later(name: str, data: bytes) -> bytes:
        """As if one image more had been asked: the run was stopped by something else."""
        return (
            data.replace(b'"images": %d,\n  "of"' % n, b'"images": %d,\n  "of"' % (n + 1))
            if name == "result.json"
            else data
        )

    tampered = rewritten(tmp_path / "b.zip", later, relist=True)
    assert any("until.images" in f for f in found(tampered).faults)
    nobody: Any = None
    for refused in (
        lambda: isr.compare(out),
        lambda: isr.compare(out, world / "whole"),
        lambda: correct(read_source(out)[-1], nobody, nobody),
    ):
        with pytest.raises(
            UsageError,
            match=r"expected a fixed number of images.*score the directory without (--until|until=)",
        ):
            refused()


def test_second_asks_belong_to_the_image(world: Path, tmp_path: Path, server: Running) -> None:
    """Where they are asked for, an image is complete with them: once more started, the run asks nothing and says the same."""
    place_ = copied(world, tmp_path / "r")
    options: dict[str, Any] = {"judge": place_ / "judge.toml", "until": RULE, "reask": ["refusal"]}
    first = isr.score(place_ / "e", **options)
    calls = server.stats()["calls"]
    assert isr.score(place_ / "e", **options).to_json() == first.to_json()
    assert server.stats()["calls"] == calls


def test_the_rule_may_not_be_met_by_all_images(world: Path, tmp_path: Path) -> None:
    store = world / "whole" / "isr.db"
    result = isr.score(
        world / "e",
        judge=world / "judge.toml",
        until="half-width=0.03",
        store=store,
        out=tmp_path / "o",
        limit=40,
    )
    assert result.until is not None
    assert (result.until["met"], result.until["images"], result.until["of"]) == (False, 10, 10)
    assert not result.unfinished
    assert "is not met by all 10 images" in render(result)
    assert "which all 10 images do not reach" in "".join(
        methods([read_report_run(tmp_path / "o", world / "e")])
    )
    (listed,) = runs_of(tmp_path / "o")
    assert listed.state == "finished, its rule not met by 10 of 10 images"
    with pytest.raises(UsageError, match=r"limit=42: expected whole images.*choose 40 or 44"):
        isr.score(world / "e", judge=world / "judge.toml", until=RULE, limit=42, out=tmp_path / "p")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": "half-width=0.5"}, "half-width=H"),
        ({"until": "width=0.05"}, "half-width=H"),
        ({"until": "half-width=nan"}, "half-width=H"),
        ({"until": RULE, "prompts": "random"}, "--prompts random: expected no --prompts"),
        ({"until": RULE, "interval": "wilson"}, "--interval wilson: expected no --interval"),
        ({"until": RULE, "metrics": True}, "--metrics: expected no --until"),
        ({"until": RULE, "order_seed": -1}, "--order-seed: expected a whole number"),
        ({"order_seed": 3}, "--order-seed: expected --until beside it"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_options(Options(directory=Path("nothing"), **options))


def test_unequal_images_are_refused_before_anything_is_asked_and_image_means_are_not(tmp_path: Path) -> None:
    def fewer(rows: list[dict[str, Any]]) -> None:
        del rows[3]

    with pytest.raises(
        UsageError, match=r"found 2 edits by simulated, eps 0.03 of image-0002 and 1 of image-0001"
    ):
        recorded_run(tmp_path, images=12, prompts=2, change=fewer, until="half-width=0.4")
    assert not list(tmp_path.glob("edits.isr/*.json"))
    shutil.rmtree(tmp_path / "edits")
    recorded_run(tmp_path, images=12, prompts=2, change=fewer, until="half-width=0.45", estimand="image-mean")
    result = isr.Result.load(tmp_path / "edits.isr")
    wanted, said = stops_at(protected_all(tmp_path), half=0.45)
    assert result.until is not None
    assert (result.until["images"], result.until["met"]) == (wanted, True)
    e = result.treatments[0].estimates["isr"]
    assert (e.low, e.high) == said["simulated"]
    assert e.value == pytest.approx(e.bounds[0])
    assert result.control is not None
    assert result.control.estimates["control"].method == "betting confidence sequence"
    assert result.treatments[0].estimates["uplift"].method == "betting confidence sequence"
    bare = result.treatments[0].estimates["isr_conditional"]
    assert bare.low is None
    assert bare.identified is None


def protected_all(root: Path) -> Rows:
    """The table of the recorded answers without a rule."""
    isr.score(root / "edits", judge=root / "recorded.toml", estimand="image-mean", out=root / "whole")
    return protected(root / "whole")


@pytest.fixture
def flaky(tmp_path: Path) -> Iterator[tuple[Running, Path]]:
    """A judge whose faults can be chosen, and 60 images of one edit."""
    make_directory(tmp_path / "edits", images=60, prompts=1, methods=("a",), controls=False)
    with serving(faults="none", seed=4) as server:
        (tmp_path / "judge.toml").write_text(card_text(server.base_url, max_attempts=2, max_wait_s=1))
        yield server, tmp_path


def scored(root: Path, name: str, store: str, **options: Any) -> isr.Result:
    return isr.score(
        root / "edits", judge=root / "judge.toml", out=root / name, store=root / store, until=RULE, **options
    )


@pytest.mark.parametrize("reask", [(), ("refusal",)])
def test_requests_without_a_reply_end_the_run_until_they_are_filled(
    flaky: tuple[Running, Path], reask: tuple[str, ...]
) -> None:
    """The result is of the images before, the run is not finished, its bundle holds; filled, it is as if nothing had been."""
    server, root = flaky
    server.change(faults={"refusal": 0.15})
    whole = scored(root, "whole", "whole.db", reask=reask)
    assert whole.until is not None
    assert whole.until["met"]
    assert not whole.unfinished
    server.change(faults={"refusal": 0.15, "down": 0.12})
    broken = scored(root, "flaky", "flaky.db", reask=reask)
    assert broken.until is not None
    assert not broken.until["met"]
    assert broken.unfinished["not_asked"] == broken.until["left"] > 0
    write_bundle(gather(root / "flaky"), root / "flaky.db", root / "flaky.zip")
    with Bundle(root / "flaky.zip") as bundle:
        verification, _ = verify(bundle)
    assert verification.faults == []
    server.change(faults={"refusal": 0.15})
    filled = scored(root, "flaky", "flaky.db", reask=reask)
    assert filled.to_json() == whole.to_json()


def test_requests_that_the_host_refuses_are_asked_again_at_once(flaky: tuple[Running, Path]) -> None:
    server, root = flaky
    server.change(faults={"rejected": 0.1})
    plain = scored(root, "plain", "plain.db")
    before = server.stats()["calls"]
    again = scored(root, "again", "again.db", reask=("request_rejected",))
    assert plain.until is not None
    assert again.until is not None
    assert again.until["met"]
    assert server.stats()["calls"] - before < 2 * 60  # not the whole directory


def test_the_rule_is_signed_with_every_digit(flaky: tuple[Running, Path]) -> None:
    _, root = flaky
    options: dict[str, Any] = {"judge": root / "judge.toml", "store": root / "s.db"}
    found = isr.score(root / "edits", out=root / "digits", until="half-width=0.234567891", **options)
    assert "|until=half-width:0.234567891|" in found.signature
    write_bundle(gather(root / "digits"), root / "s.db", root / "digits.zip")
    with Bundle(root / "digits.zip") as bundle:
        verification, _ = verify(bundle)
    assert verification.faults == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("|order=image-seed:0", ""),
        ("|order=image-seed:0", "|order=image-seed:x"),
        ("|order=image-seed:0", "|order=foo:0"),
        ("|sequence=treatments:1", "|sequence=treatments:0"),
        ("|sequence=treatments:1", "|sequence=treatments:x"),
        ("|until=half-width:0.2", "|until=half-width:9"),
        ("|until=half-width:0.2", ""),
    ],
)
def test_signatures_that_were_changed_by_hand_are_named(old: str, new: str) -> None:
    signed = "isr=1|interval=betting|level=0.95|estimates=2|until=half-width:0.2|order=image-seed:0|sequence=treatments:1"
    assert Settings.signed(Signature.parse(signed)).until == 0.2
    assert old in signed
    with pytest.raises(InputError, match="expected until, order and sequence of a run that stops by a rule"):
        Settings.signed(Signature.parse(signed.replace(old, new)))


def test_who_looks_looks_at_images_in_an_order_that_nobody_chose(tmp_path: Path) -> None:
    """The first half of the names fails, the others do not: in the order of names every look would be wrong."""

    def say(number: int) -> Mapping[str, Any]:
        fails = number < 80  # two questions about each of 40 images
        return {
            **answer(number),
            "reasoning": "x",
            "score": 0 if fails else 4,
            "verdict": "fails" if fails else "fine",
        }

    run_dir = recorded_run(tmp_path, images=80, prompts=1, say=say)
    plain = isr.Result.load(run_dir)
    watch = Watch(looks=True)
    options = Options(
        directory=tmp_path / "edits",
        judge=str(tmp_path / "recorded.toml"),
        out=tmp_path / "looked",
        store=tmp_path / "looked.db",
    )
    done = asyncio.run(run(options, watch))
    seen = [(look.low, look.high) for look in watch.progress.looks]
    assert done.result.to_json() == plain.to_json()
    assert seen
    rate = plain.treatments[0].estimates["isr"].value
    assert rate is not None
    assert all(low <= rate <= high for low, high in seen)
