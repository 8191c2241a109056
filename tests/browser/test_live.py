"""The live page in a real browser, of real runs against a server with faults: a storm, and every way to end."""

from __future__ import annotations

import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'label' is not installed")

from isr.judging.progress import Progress
from isr.web.figures import of_progress
from isr.web.live import Reading, make_app
from isr.web.serve import beside, guarded
from tests.browser.conftest import scroll_to, until
from tests.chat_server import Running, serving
from tests.directories import make_directory, write_metadata
from tests.processes import STDOUT, Popen, finish, read_until, run, started
from tests.runs import the_run

pytestmark = pytest.mark.slow
ADDRESS = r"http://127\S+token=\S+"
HOSTILE = '<img src=x onerror="window.pwned=1"> שלום'


def score(directory: Path, judge: str, *options: str) -> list[str]:
    return [sys.executable, "-u", "-m", "isr", "score", str(directory), "--judge", judge, *options]


def state(page: Any, name: str) -> None:
    until(page, f"document.documentElement.dataset.state === '{name}'")


def text(page: Any, selector: str) -> str:
    return str(page.inner_text(selector))


def asks_no_more(page: Any) -> None:
    """A clock of the test's own in the page: in ten of its minutes nothing is asked."""
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "/api/status" in r.url else None)
    page.clock.run_for(600_000)
    assert asked == []


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    root = tmp_path / "e"
    rows = make_directory(root, images=6, prompts=2)
    for row in rows[:1]:
        row["prompt"] = HOSTILE
    write_metadata(root, rows)
    return root


def watched(opened: Callable[..., Any], process: Popen[str]) -> Any:
    return opened(read_until(process.stderr, ADDRESS)[0])


def test_a_storm_is_told_while_it_lasts_and_the_end_with_its_result(
    directory: Path, card: Callable[..., str], opened: Callable[..., Any]
) -> None:
    with serving() as server:
        judge = card(server, concurrency=4, max_attempts=100)
        server.change(hold_after=6)
        with started(score(directory, judge, "--watch")) as process:
            page = watched(opened, process)
            state(page, "running")
            page.evaluate(
                "new MutationObserver(() => { (window.announced ??= []).push(document.getElementById('said').textContent); })"
                ".observe(document.getElementById('said'), {childList: true, characterData: true, subtree: true})"
            )
            server.change(hold_after=0, outage_calls=10**6)
            state(page, "waiting")
            said = text(page, "#words")
            assert re.match(r"No answer for \d+ s; \d+ retr\w+ in the last \d+ s; last error: 127", said)
            assert "503 (down for a while)" in said
            assert "left" not in text(page, "#lede")
            server.change(outage_calls=0)
            state(page, "finished")
            assert finish(process).returncode == 0
            folder = the_run(directory.with_name("e.isr"))
            assert text(page, "#lede") == "48 of 48 requests"
            assert text(page, "#words") == "Every request has its answer."
            assert re.search(r"ISR [\d.]+% \(95% interval [\d.]+% to [\d.]+%\), n 12", text(page, "#results"))
            assert str(folder) in text(page, "#places")
            assert str(folder / "report.html") in text(page, "#places")
            assert "judge (test-model)" in text(page, "#newest")
            assert page.evaluate("[...document.querySelectorAll('.answer p[dir=auto]')].length") == 24
            assert page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
            announced = page.evaluate("window.announced")
            assert len(announced) == len(set(announced))  # never the same again
            assert len(announced) < 16, announced  # states and tenths, not seconds
            assert page.evaluate("window.pwned") is None


def test_undecided_stays_with_its_share_and_reasons(
    directory: Path, card: Callable[..., str], opened: Callable[..., Any]
) -> None:
    with serving() as server:
        server.change(faults={"refusal": 0.3})
        with started(score(directory, card(server), "--watch", "--no-report")) as process:
            page = watched(opened, process)
            state(page, "finished")
            assert finish(process).returncode == 0
    said = text(page, ".many")
    found = re.match(r"Undecided\s+(\d+) of 48, ([\d.]+)%\s+refusal (\d+)\s+Above 5%", said)
    assert found, said
    assert found[1] == found[3]
    assert abs(float(found[2]) - 100 * int(found[1]) / 48) < 0.06
    assert "too many are undecided for one value" in text(page, "#results")


def test_interrupt_failure_budget_crash_and_rule_differ(
    directory: Path, card: Callable[..., str], opened: Callable[..., Any]
) -> None:
    with serving() as server:
        judge = card(server, concurrency=2)
        server.change(hold_after=6)
        with started(score(directory, judge, "--watch", "--no-report")) as process:
            page = watched(opened, process)
            until(page, "document.querySelectorAll('.answer').length > 0")
            process.send_signal(signal.SIGINT)
            server.change(hold_after=0)
            state(page, "interrupted")
            assert text(page, "#words") == "Run the same command again to go on; what was answered is kept."
            assert finish(process).returncode == 130
        server.change(fatal_after=1)
        with started(score(directory, judge, "--watch", "--no-report")) as process:
            page = watched(opened, process)
            state(page, "failed")
            assert "key revoked" in text(page, "#words")
            assert finish(process).returncode == 2
        server.change(fatal_after=0)
        with started(score(directory, judge, "--watch", "--no-report", "--budget-usd", "0.01")) as process:
            page = watched(opened, process)
            state(page, "stopped")
            assert text(page, "#words").startswith("The budget of 0.01 USD does not cover another request; ")
            assert finish(process).returncode == 3
        server.change(hold_after=server.stats()["calls"] + 4)
        with started(score(directory, judge, "--watch", "--no-report")) as process:
            page = watched(opened, process)
            until(page, "document.getElementById('lede').textContent.includes('of 48 requests')")
            process.kill()
            process.wait()
            state(page, "gone")
            said = text(page, "#words")
            assert said.startswith("The process ended without finishing; run the same command again to go on")
            assert "of 48 requests" in text(page, "#lede")  # what was seen last stays
        page.close()  # it would go on asking for a while
        lost = opened.troubles  # type: ignore[attr-defined]
        assert all("ERR_CONNECTION" in one or "ERR_EMPTY" in one or "ERR_SOCKET" in one for one in lost), lost
        lost.clear()
        server.change(hold_after=0)
        by_rule = score(directory, judge, "--watch", "--no-report", "--until", "half-width=0.49")
        with started(by_rule) as process:
            page = watched(opened, process)
            state(page, "finished")
            assert "rule" in text(page, "#words")
            finish(process)


def test_no_state_of_the_page_violates_a_rule_of_axe(
    tmp_path: Path, opened: Callable[..., Any], violations: Callable[[Any], list[str]]
) -> None:
    progress = Progress(total=40, answered=20, undecided=Counter(refusal=5), retries=3)
    results = ("sifm: ISR 40.0% to 60.0%",)
    reading = Reading(tmp_path, tmp_path / "isr.db", None, dict)
    now = of_progress(progress)
    app = make_app(reading, lambda: now, "a run")
    config, listening, address = guarded(app, 0)
    with beside(config, listening):
        for shown in ("running", "waiting", "stopped"):
            now |= {"state": shown, "words": "" if shown == "running" else f"{HOSTILE}; run it again"}
            now |= {
                "results": results if shown == "stopped" else (),
                "folder": "/far/away" if shown == "stopped" else "",
            }
            page = opened(address, color_scheme="dark" if shown == "waiting" else "light")
            state(page, shown)
            assert violations(page) == []
            assert page.evaluate("[document.querySelectorAll('main img').length, window.pwned ?? null]") == [
                0,
                None,
            ]
            assert "5 of 20, 25.0%" in text(page, ".many")
            page.close()


def served(directory: Path, *options: str) -> list[str]:
    return [sys.executable, "-u", "-m", "isr", "report", str(directory), "--serve", *options]


def scored(server: Running, directory: Path, judge: str, out: Path) -> None:
    run(score(directory, judge, "--out", str(out), "--no-report"), check=True)
    command = [sys.executable, "-m", "isr", "report", str(out), "--assets", "link"]
    run(command, check=True)


def test_a_finished_run_elsewhere_is_served_with_its_pictures_and_its_report(
    directory: Path, tmp_path: Path, card: Callable[..., str], opened: Callable[..., Any]
) -> None:
    out = tmp_path / "far" / "results"
    with serving() as server:
        scored(server, directory, card(server), out)
    with started(served(out), stderr=STDOUT) as process:
        page = opened(read_until(process.stdout, ADDRESS)[0])
        state(page, "finished")
        assert text(page, "#lede") == "48 of 48 requests"
        assert "ISR " in text(page, "#results")
        until(
            page,
            "document.images.length === 24 && [...document.images].every((i) => i.complete && i.naturalWidth > 0)",
        )
        page.click("#places a")
        page.wait_for_selector("html[data-ready]")
        scroll_to(page, "gallery")
        page.wait_for_selector(".card img")
        until(
            page, "[...document.querySelectorAll('.card img')].every((i) => i.complete && i.naturalWidth > 0)"
        )
        outside = page.evaluate(
            "(paths) => Promise.all(paths.map((p) => fetch(p).then((r) => r.status, () => 'refused')))",
            [f"/files{out}/result.json", f"/files{directory}/metadata.jsonl", "/files/etc/passwd"],
        )
        assert outside == ["refused"] * 3  # the report may fetch nothing
        page.go_back()
        state(page, "finished")
        outside = page.evaluate(
            "(paths) => Promise.all(paths.map((p) => fetch(p).then((r) => r.status, () => 'refused')))",
            [f"/files{out}/result.json", f"/files{directory}/metadata.jsonl", "/files/etc/passwd"],
        )
        assert outside == [404] * 3
    opened.troubles.clear()  # type: ignore[attr-defined]  # what was refused is told in the console


def test_a_run_whose_process_is_gone_is_told_so_and_data_may_be_named(
    directory: Path, tmp_path: Path, card: Callable[..., str], opened: Callable[..., Any]
) -> None:
    out = tmp_path / "results"
    with serving() as server:
        server.change(hold_after=12)
        command = score(directory, card(server, concurrency=2), "--out", str(out), "--no-report", "--watch")
        with started(command) as process:
            first = watched(opened, process)
            until(first, "document.querySelectorAll('.answer').length > 3")
            with started(served(out, "--data", str(directory)), stderr=STDOUT) as server_of_run:
                page = opened(read_until(server_of_run.stdout, ADDRESS)[0])
                state(page, "running")
                until(
                    page,
                    "document.images.length && [...document.images].every((i) => i.complete && i.naturalWidth > 0)",
                )
                first.close()
                process.kill()
                process.wait()
                state(page, "gone")
                assert (
                    text(page, "#words")
                    == "The process ended without finishing; run the same command again to go on."
                )
                server.change(hold_after=0)
                again = [one for one in command if one != "--watch"]
                run(again, check=True)
                page.reload()
                state(page, "finished")
                assert text(page, "#lede") == "48 of 48 requests"
                page.close()  # before its server ends
    opened.troubles.clear()  # type: ignore[attr-defined]  # the first page's server was killed


def test_a_tab_backs_off_and_then_asks_no_more(
    directory: Path, card: Callable[..., str], browser: Any
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    with serving() as server:
        server.change(hold_after=6)
        with started(score(directory, card(server), "--watch", "--no-report")) as process:
            page.goto(read_until(process.stderr, ADDRESS)[0])
            until(page, "document.documentElement.dataset.state === 'running'")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "/api/status" in r.url else None)
    for _ in range(40):  # minutes of the page's own clock
        page.clock.run_for(60_000)
        if "reload this page" in text(page, "#words"):
            break
    assert 3 < len(asked) < 12
    asks_no_more(page)
    context.close()
