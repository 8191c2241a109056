"""A real browser: Debian's chromium, driven by Playwright. Skips with a reason where either is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isr.report.page import write_report
from isr.report.runs import read_report_run
from tests.gallery_runs import FORMULA, LONG, contrary, judged_runs, several_editors, undecided_often
from tests.processes import LIMIT_S, wait_for
from tests.runs import answer

AXE = Path(__file__).resolve().parents[2] / "build/axe/node_modules/axe-core/axe.min.js"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# not for the whole session: Playwright's event loop stays in this thread, and `asyncio.run` of later tests refuses
@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """A headless chromium, ended with the last test of this folder."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which ``make axe`` fetches from npm."""
    if not AXE.is_file():
        pytest.skip("no axe-core: make axe, which needs npm")
    return AXE.read_text("utf-8")


@pytest.fixture
def violations(axe: str) -> Callable[[Any], list[str]]:
    """Serious and critical violations that axe-core finds on a page."""

    def found(page: Any) -> list[str]:
        page.evaluate(axe)
        report = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{v['id']}: {v['help']}: {json.dumps([n['target'] for n in v['nodes']][:3])}"
            for v in report["violations"]
            if v["impact"] in ("serious", "critical")
        ]

    return found


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page in a context of its own; at the end no console error and no request to elsewhere may be left."""
    contexts: list[Any] = []
    troubles: list[str] = []

    def open_page(url: str, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(1000 * LIMIT_S)
        page = context.new_page()
        own = url.split("?")[0] if url.startswith("http") else "file:"
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on(
            "console",
            lambda m: troubles.append(f"console: {m.text}") if m.type in ("error", "warning") else None,
        )
        page.on(
            "request",
            lambda r: (
                None
                if r.url.startswith((own, "data:", "blob:"))
                else troubles.append(f"request: {r.url[:200]}")
            ),
        )
        page.goto(url)
        return page

    open_page.troubles = troubles  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert "\n".join(troubles) == ""


@pytest.fixture(scope="package")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two runs over 72 edits and ``report.html`` of both: two methods, two editors, three judges, many undecided."""

    def change(edits: Path, rows: list[dict[str, Any]]) -> None:
        for number, row in enumerate(rows):
            row |= {"split": ("seen", "unseen")[number % 2], "kind": ("portrait", "street")[number % 4 // 2]}
            row["eps"] = 0.03 if row["method"] == "alpha" else 0.06
            row["prompt"] = FORMULA if row["prompt"].endswith("2") else row["prompt"]
        several_editors(edits, rows, ("second editor",), purifier="jpeg-75")

    root = tmp_path_factory.mktemp("many")
    panels = {"single": [answer], "panel": [contrary, undecided_often]}
    runs = judged_runs(root, panels, methods=("alpha", LONG), change=change)
    write_report([read_report_run(run) for run in runs], root / "report.html")
    return root


def until(page: Any, condition: str, argument: object = None) -> None:
    """Waits for a condition; the pages' policy forbids Playwright's own way, which evaluates text inside them."""
    wait_for(lambda: page.evaluate(condition, argument), what=condition)


def scroll_to(page: Any, part: str) -> None:
    """Brings a part of a report into view, once the page is whole and has its height."""
    page.wait_for_selector("html[data-ready]")
    page.evaluate("(id) => document.getElementById(id).scrollIntoView({behavior: 'instant'})", part)
