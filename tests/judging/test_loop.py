"""The judging loop against a real HTTP server with seeded faults."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isr
from isr.judging.keys import allow
from isr.judging.store import Store
from isr.scoring.text import render
from tests.chat_server import TRANSIENT, serving
from tests.directories import make_directory
from tests.processes import CompletedProcess, run
from tests.runs import the_run

REASON_OF = {
    "refusal": "refusal",
    "structured_refusal": "refusal",
    "broken_json": "not_json",
    "prose": "not_json",
    "content_filter": "content_filter",
    "truncated": "truncated",
    "empty": "empty",
    "off_scale": "off_scale",
    "missing_field": "missing_field",
    "contradiction": "contradiction",
}


def undecided(result: isr.Result) -> Counter[str]:
    """Undecided answers of all treatments and of the control, by reason."""
    found: Counter[str] = Counter()
    for part in (*result.treatments, *([result.control] if result.control else [])):
        for entry in part.counts["undecided"]:
            found[entry["reason"]] += entry["n"]
    return found


def command(*args: str) -> CompletedProcess[str]:
    return run([sys.executable, "-m", "isr", *args])


@pytest.mark.parametrize("faults", ["lessons", "all"])
def test_faults_fabricate_nothing_and_lose_nothing(
    tmp_path: Path, card: Callable[..., str], faults: str
) -> None:
    make_directory(
        tmp_path / "e", images=25, prompts=3
    )  # 75 edits + 75 controls, two questions: 300 requests
    with serving(faults=faults, seed=1) as server:
        result = isr.score(tmp_path / "e", judge=card(server))
        stats = server.stats()
        again = isr.score(tmp_path / "e", judge=card(server))
        assert server.stats()["calls"] == stats["calls"]  # terminal answers are not asked again
    assert again.to_json() == result.to_json()
    forced = sum(n for fault, n in stats["faulted"].items() if fault in TRANSIENT)
    assert stats["requests"] == 300
    assert stats["calls"] <= 1.02 * (300 + forced)
    expected: Counter[str] = Counter()
    for fault, n in stats["faulted"].items():
        if fault not in TRANSIENT:
            expected[REASON_OF[fault]] += n
    # every faulty answer is undecided by its own reason; everything else was decided: nothing lost or made up
    assert undecided(result) == expected
    assert sum(expected.values()) > 15
    log = (the_run(tmp_path / "e.isr") / "edits.csv").stat().st_size
    assert log + (tmp_path / "e.isr" / "isr.db").stat().st_size < 2_000_000


def test_a_request_that_gets_no_reply_is_asked_again(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)  # 4 requests
    with serving() as server:
        server.change(faults={"silent": 1.0})  # the first try of each is never answered
        # on a busy machine a later try may be late too; so many in a row are not
        result = isr.score(tmp_path / "e", judge=card(server, timeout_s=1, max_attempts=100))
        stats = server.stats()
    assert not undecided(result)
    assert stats["faulted"] == {"silent": 4}
    assert len(stats["answered"]) == 4
    assert stats["calls"] >= 4 + 4


def test_an_outage_leaves_edits_undecided_and_the_next_run_fills_exactly_those(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=10, prompts=2)  # 80 requests
    with serving(seed=3) as server:
        # a third of the requests meets a dead upstream for as long as it lasts
        server.change(faults={"down": 0.3})
        judge = card(server, max_attempts=2, concurrency=4)
        first = command("score", str(tmp_path / "e"), "--judge", judge, "--json")
        assert first.returncode == 3, first.stderr
        assert "run the same command again" in first.stderr
        result = json.loads(first.stdout)
        missing = sum(
            u["n"] for p in (*result["treatments"], result["control"]) for u in p["counts"]["undecided"]
        )
        answered = sum(server.stats()["answered"].values())
        assert answered + missing == 80
        assert 8 < missing < 40
        server.change(faults={})
        second = command("score", str(tmp_path / "e"), "--judge", judge, "--json")
        assert second.returncode == 0, second.stderr
        stats = server.stats()
    assert sum(stats["answered"].values()) == 80
    assert max(stats["answered"].values()) == 1  # what had been answered was not asked again
    done = json.loads(second.stdout)
    assert done["treatments"][0]["counts"] == {
        "edits": 20,
        "decided": 20,
        "undecided": [],
        "headline": "value",
    }


def test_a_dead_host_stops_the_run_early(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=30, prompts=3)
    with serving(faults="down") as server:
        done = command("score", str(tmp_path / "e"), "--judge", card(server, max_attempts=1, concurrency=2))
        calls = server.stats()["calls"]
    assert done.returncode == 3
    assert "nothing was ever answered at" in done.stderr
    assert "503 (upstream is down)" in done.stderr
    assert calls == 6  # requests that are tried once each; not 360
    assert re.search(r"^  ISR +-  no decided edit", done.stdout, re.MULTILINE)  # nothing decided is no number


def test_a_wrong_model_name_stops_at_once_and_spends_nothing(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=10, prompts=2)
    with serving() as server:
        judge = card(server, concurrency=1)
        done = command("score", str(tmp_path / "e"), "--judge", judge, "--set", "model=no-such-model")
        stats = server.stats()
    assert done.returncode == 2
    assert "does not serve 'no-such-model'" in done.stderr
    assert stats["calls"] == 1
    with Store(tmp_path / "e.isr" / "isr.db", read_only=True) as store:
        assert store.count() == 0


def test_a_host_that_rejects_the_form_of_every_request_stops_the_run(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=10, prompts=2)
    with serving() as server:
        server.change(faults={"rejected": 1.0})
        with pytest.raises(isr.RejectedError, match="response_format is not supported"):
            isr.score(tmp_path / "e", judge=card(server, concurrency=2))
        assert server.stats()["calls"] <= 6


def test_retry_after_beyond_the_bound_is_given_up(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    with serving(long_retry_after=130) as server:
        server.change(faults={"long_wait": 1.0})
        result = isr.score(tmp_path / "e", judge=card(server, max_retry_after_s=100))
        assert (
            server.stats()["calls"] == 8
        )  # 2 edits + 2 controls, two questions; each asked once, then given up
    assert undecided(result) == Counter({"rate_limited": 8})
    assert result.treatments[0].estimates["isr"].value is None


def test_concurrency_is_bounded_and_halved_on_429(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=30, prompts=2)
    with serving(latency_s=0.005) as server:
        isr.score(tmp_path / "e", judge=card(server, concurrency=6))
        assert server.stats()["most_in_flight"] <= 6


def test_repeats_take_a_majority_and_use_further_seeds(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=12, prompts=2)
    with serving() as server:
        once = isr.score(tmp_path / "e", judge=card(server))
        thrice = isr.score(tmp_path / "e", judge=card(server), repeats=3)
        stats = server.stats()
    assert stats["requests"] == 3 * 24 * 2 * 2  # repeat 0 was in the store already
    assert stats["calls"] == stats["requests"]
    assert "repeats=3" in thrice.signature
    assert "repeats=1" in once.signature
    assert not once.reliability
    entry = thrice.reliability[0]
    assert entry["measures"] == "serving noise at temperature 0"
    # the server fails two thirds of all bodies, so unanimity has probability 8/27 + 1/27 = 1/3
    assert 0.3 < entry["not_unanimous"].value < 0.95
    assert entry["not_unanimous"].low < entry["not_unanimous"].value < entry["not_unanimous"].high
    # two of three answers differ in two of three pairs: with K = 3 the flip rate is 2/3 of the share not unanimous
    assert entry["flip_rate"].value == pytest.approx(2 / 3 * entry["not_unanimous"].value)
    assert entry["noise_share"] > 0.5
    assert "of a single verdict's variance is noise" in entry["advice"]
    text = render(thrice)
    assert "alpha across repeats" in text
    assert entry["advice"] in text
    assert isr.Result.load(tmp_path / "e.isr").to_json() == thrice.to_json()


def test_reask_asks_once_more_and_says_so(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=10, prompts=2)
    with serving(seed=5) as server:
        server.change(faults={"refusal": 0.2})
        plain = isr.score(tmp_path / "e", judge=card(server))
        refused = undecided(plain)["refusal"]
        assert refused > 3
        before = server.stats()["calls"]
        server.change(faults={})
        again = isr.score(tmp_path / "e", judge=card(server), reask=["refusal"])
        assert server.stats()["calls"] == before + refused
        assert not undecided(again)
        assert "|reask=refusal" in again.signature
        third = isr.score(tmp_path / "e", judge=card(server), reask=["refusal"])
        assert server.stats()["calls"] == before + refused
        # without --reask the first answers stand
        assert isr.score(tmp_path / "e", judge=card(server)).to_json() == plain.to_json()
    assert third.to_json() == again.to_json()


def test_a_budget_stops_before_it_is_exceeded(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=10, prompts=2)
    judge_dir = tmp_path / "e"
    with serving() as server:
        # each answer reports 1500 + 60 tokens at 1 and 2 USD per million: 0.00162 USD
        done = command("score", str(judge_dir), "--judge", card(server), "--budget-usd", "0.3")
        spent = json.loads((the_run(tmp_path / "e.isr") / "run.json").read_text())["usage"]["usd"]
        calls = server.stats()["calls"]
    assert done.returncode == 3
    assert "budget of 0.3 USD" in done.stderr
    assert 0 < calls < 80
    assert spent == pytest.approx(calls * 0.00162)
    assert spent <= 0.3


def test_a_budget_needs_prices(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    with serving() as server:
        path = Path(card(server))
        path.write_text(path.read_text().partition("[price]")[0])
        done = command("score", str(tmp_path / "e"), "--judge", str(path), "--budget-usd", "1")
        assert server.stats()["calls"] == 0
    assert done.returncode == 2
    assert "--set price.input=USD" in done.stderr


def test_dry_run_counts_what_is_missing_and_asks_nobody(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=3, prompts=2)
    with serving() as server:
        judge = card(server)
        first = command("score", str(tmp_path / "e"), "--judge", judge, "--dry-run", "--json")
        assert json.loads(first.stdout)[0]["requests"] == 24
        assert server.stats()["calls"] == 0
        isr.score(tmp_path / "e", judge=judge, limit=2)
        second = command("score", str(tmp_path / "e"), "--judge", judge, "--dry-run", "--json")
    total = json.loads(second.stdout)[0]
    assert total["requests"] == 24 - 8  # two edits, protected and control, two questions
    assert total["most_output_tokens"] == 16 * 512
    assert total["image_tokens"] is None  # the card names no rule, and none is guessed


def test_identical_images_are_asked_once(tmp_path: Path, card: Callable[..., str]) -> None:
    rows = make_directory(tmp_path / "e", images=4, prompts=2, methods=("a", "b"))
    for row in rows:  # both methods leave the edit as it was
        if row["method"] == "b":
            row["file_name"] = str(row["file_name"]).replace("-1.png", "-0.png")
            row["edit_id"] = f"b-{row['file_name']}"
    (tmp_path / "e" / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with serving() as server:
        meant = ("edit-in-treatments", "edit-shared")
        result = isr.score(tmp_path / "e", judge=card(server), accept=meant)
        assert server.stats()["calls"] == (8 + 8) * 2
    a, b = (t.estimates["isr"].value for t in result.treatments)
    assert a == b


def test_a_rate_limited_host_is_waited_for(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=4, prompts=2)  # 32 requests, 8 at once
    with serving() as server:
        server.change(at_once=2)
        result = isr.score(tmp_path / "e", judge=card(server))
        stats = server.stats()
    assert not undecided(result)
    assert sum(stats["answered"].values()) == 32
    assert 0 < stats["limited"] < 64  # it really was limited, and was not hammered


def test_a_short_outage_loses_nothing(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=3, prompts=2)  # 24 requests, 8 at once
    with serving() as server:
        server.change(outage_calls=20)
        # whichever requests meet the outage, none can meet all of it in all of its attempts
        result = isr.score(tmp_path / "e", judge=card(server, max_attempts=21))
        assert server.stats()["limited"] == 20
    assert not undecided(result)


def test_a_key_that_is_revoked_midway_keeps_and_scores_what_was_received(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=10, prompts=2)  # 80 requests
    with serving(latency_s=0.02) as server:
        server.change(fatal_after=30)
        done = command("score", str(tmp_path / "e"), "--judge", card(server), "--json")
        answered = sum(server.stats()["answered"].values())
    assert done.returncode == 3
    assert "401 (key revoked): 127.0.0.1 refused a request without a key" in done.stderr
    assert "Traceback" not in done.stderr
    with Store(tmp_path / "e.isr" / "isr.db", read_only=True) as store:
        assert store.count() == answered  # also what was in flight when the first 401 came
    counts = json.loads(done.stdout)["treatments"][0]["counts"]
    assert {u["reason"] for u in counts["undecided"]} == {"not_asked"}


def test_a_full_store_needs_no_key(
    tmp_path: Path, card: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    monkeypatch.setenv("ISR_API_KEY", "sk-0123456789abcdef0123")
    with serving() as server:
        path = Path(card(server))
        path.write_text(path.read_text().replace("[endpoint]\n", '[endpoint]\napi_key_env = "ISR_API_KEY"\n'))
        first = isr.score(tmp_path / "e", judge=str(path))
    text = path.read_text().replace("127.0.0.1", "api.example.org").replace("http:", "https:")
    path.write_text(text)  # the address is no part of the judge; that host has no key here
    monkeypatch.delenv("ISR_API_KEY")
    allow("api.example.org", "ISR_API_KEY")
    again = isr.score(tmp_path / "e", judge=str(path))
    assert again.to_json() == first.to_json()
    with pytest.raises(isr.AuthenticationError, match="ISR_API_KEY"):
        isr.score(tmp_path / "e", judge=str(path), out=tmp_path / "new")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget_usd": float("nan")}, "budget_usd=: expected a number or None; found nan"),
        ({"budget_usd": -1}, "budget_usd=: expected a number of at least 0"),
        ({"interval": "bogus"}, "interval=: expected one of logit-t"),
        ({"prompts": "some"}, "prompts=: expected one of fixed, random"),
        ({"estimand": "median"}, "estimand="),
        ({"level": "0.9"}, "level="),
        ({"limit": 2.5}, "limit="),
        ({"repeats": 1.0}, "repeats="),
        ({"interval": "wilson", "prompts": "random"}, "takes edits as independent"),
    ],
)
def test_bad_options_are_refused_before_anything_is_asked(
    tmp_path: Path, card: Callable[..., str], options: dict[str, Any], words: str
) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)
    with serving() as server:
        with pytest.raises(isr.UsageError, match=re.escape(words)):
            isr.score(tmp_path / "e", judge=card(server), **options)
        assert server.stats()["calls"] == 0


def test_names_and_paths_from_python(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    with serving() as server:
        result = isr.score(tmp_path / "e", judge=Path(card(server)), by="editor", out=str(tmp_path / "out"))
    assert result.treatments[0].groups[0].by == {"editor": "painter"}


def test_an_unwritable_output_is_refused_before_images_are_read(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)
    (tmp_path / "afile").write_text("")
    with serving() as server:
        done = command(
            "score", str(tmp_path / "e"), "--judge", card(server), "--out", str(tmp_path / "afile")
        )
        assert server.stats()["calls"] == 0
    assert done.returncode == 2
    assert "expected a folder that can be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_300_edits_with_long_answers_stay_small(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=100, prompts=3)  # 300 edits and 300 controls: 1,200 answers
    with serving() as server:
        server.change(reasoning_length=560)
        done = command("score", str(tmp_path / "e"), "--judge", card(server, concurrency=32))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "e.isr" / "isr.db").stat().st_size + len(done.stderr) < 2_000_000


def test_where_nothing_listens_the_run_ends_after_two_tries_and_says_where(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=3, prompts=2)
    with serving() as server:
        path, origin = card(server), server.base_url
    done = command("-v", "score", str(tmp_path / "e"), "--judge", path)
    assert done.returncode == 3
    assert done.stderr.count("was given up") == 0
    assert done.stderr.count("trying again") <= 8  # once for each place in flight
    assert re.search(
        rf"nothing was ever answered at {re.escape(origin)}: start the server or correct", done.stderr
    )


@pytest.mark.parametrize(
    ("thinking", "thinks", "words"),
    [
        ("true", "told", ""),
        ("256", "told", ""),
        ("false", "told", ""),
        ("true", "never", "decoding.thinking is on, and none of the first 20 answers shows a thought"),
        ("false", "always", "decoding.thinking is off, and each of the first 20 answers shows thoughts"),
    ],
)
def test_a_judge_that_does_not_think_as_its_card_says_stops_the_run(
    tmp_path: Path, card: Callable[..., str], thinking: str, thinks: str, words: str
) -> None:
    make_directory(tmp_path / "e", images=5, prompts=3)  # 60 requests
    with serving() as server:
        server.change(thinks=thinks)
        judge = card(server, concurrency=4)
        options = ("--judge", judge, "--set", f"decoding.thinking={thinking}")
        done = command("score", str(tmp_path / "e"), *options)
        calls = server.stats()["calls"]
    assert done.returncode == (3 if words else 0), done.stderr
    assert calls == 60 if not words else 20 <= calls < 20 + 4  # what was in flight has arrived
    assert words in done.stderr
    assert ("score with a new --out" in done.stderr) == bool(words)
    with Store(tmp_path / "e.isr" / "isr.db", read_only=True) as store:
        assert store.count() == calls  # and is kept


def test_a_short_run_without_the_thoughts_of_its_card_is_warned_of(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=1, prompts=2)  # 8 requests
    with serving() as server:
        server.change(thinks="never")
        judge = card(server)
        done = command("score", str(tmp_path / "e"), "--judge", judge, "--set", "decoding.thinking=true")
    assert done.returncode == 0, done.stderr
    assert "none of 8 answers shows a thought" in done.stderr
    assert "--reasoning-parser" in done.stderr
