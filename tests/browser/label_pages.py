"""What the tests of the labelling page do on it."""

from __future__ import annotations

from typing import Any

from tests.browser.conftest import until


def sign_in(page: Any, name: str) -> None:
    page.fill("#name", name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#work:not([hidden])")


def shown(page: Any) -> None:
    """Waits until the pictures are there: before that no answer is taken."""
    until(
        page,
        "document.documentElement.dataset.finished || [...document.querySelectorAll('figure img')].every("
        "(i) => i.closest('figure').hidden || (i.complete && i.naturalWidth > 0))",
    )


def press(page: Any, key: str) -> None:
    """Presses a key and waits until it is kept."""
    shown(page)
    before = page.evaluate("document.documentElement.dataset.idle ?? null")
    page.keyboard.press(key)
    until(page, "(before) => (document.documentElement.dataset.idle ?? null) !== before", before)
