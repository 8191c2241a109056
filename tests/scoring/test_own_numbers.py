"""A bundle is read as a run only where its result is what its own table gives."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from isr.bundle.unbundle import unbundle
from isr.canonical import sha256_bytes
from isr.errors import InputError
from isr.scoring.bundle_file import EDITS, Bundle
from isr.scoring.bundled import released
from isr.scoring.own_numbers import require_own_numbers
from isr.scoring.stored import read_stored
from tests.bundle.bundles import rewritten
from tests.runs import recorded_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    run = recorded_run(home, images=3, prompts=2, methods=("one", "two"))
    write_bundle(gather(run), run / "isr.db", home / "x.zip")
    return home / "x.zip"


def forged(path: Path, change: Callable[[dict[str, Any]], object], table: str = "") -> Path:
    """A bundle with another result, and its own list made to fit; ``table``: a word of edits.csv for another."""
    old, _, new = table.partition(">")

    def changed(name: str, data: bytes) -> bytes:
        if name == "edits.csv" and table:
            return data.replace(old.encode(), new.encode(), 1)
        if name != "result.json":
            return data
        raw = json.loads(data)
        change(raw)
        if table:
            with Bundle(path) as bundle:
                own = bundle.read("edits.csv").replace(old.encode(), new.encode(), 1)
            raw["table"]["edits.csv"] = sha256_bytes(own)
        return json.dumps(raw).encode()

    return rewritten(path, changed, relist=True)


def isr(raw: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = raw["treatments"][0]["estimates"]["isr"]
    return found


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda raw: isr(raw).update(value=0.9), "treatments[0].estimates.isr.value"),
        (lambda raw: isr(raw).update(low=None), "treatments[0].estimates.isr.low"),
        (lambda raw: isr(raw).update(bounds=[0.0, 1.0]), "treatments[0].estimates.isr.bounds"),
        (
            lambda raw: raw["treatments"][1]["estimates"]["isr_semantic"].update(n=7),
            "treatments[1].estimates.isr_semantic.n",
        ),
        (
            lambda raw: raw["control"]["estimates"]["control"].update(value=0.001),
            "control.estimates.control.value",
        ),
        (lambda raw: raw["treatments"][0]["counts"].update(decided=1), "treatments[0].counts.decided"),
        (
            lambda raw: raw["treatments"][0]["counts"].update(headline="bounds"),
            "treatments[0].counts.headline",
        ),
        (lambda raw: raw["data"].update(edits=1000), "data.edits"),
        (lambda raw: raw["treatments"].pop(), "treatments"),
        (lambda raw: raw.update(control=None), "control"),
        (lambda raw: raw.pop("rule"), "result.json"),
    ],
)
def test_another_number_than_the_tables_is_named(
    change: Callable[[dict[str, Any]], object], where: str, made: Path
) -> None:
    path = forged(made, change)
    with released(), pytest.raises(InputError) as refused:
        read_stored(path)
    text = str(refused.value)
    assert where in text
    assert f"isr verify {path}" in text
    assert "isr-bundle-" not in text


def test_an_outcome_that_its_verdicts_do_not_give_is_named(made: Path) -> None:
    path = forged(made, lambda raw: None, table=",not_immunized,>,immunized,")
    with released(), pytest.raises(InputError, match="the outcome of its verdicts"):
        read_stored(path)


def test_edits_that_are_missing_are_counted_and_named(made: Path) -> None:
    """12 edits, of which the last line is taken away."""

    def change(name: str, data: bytes) -> bytes:
        return b"".join(data.splitlines(keepends=True)[:-1]) if name == EDITS else data

    path = rewritten(made, change, relist=True)
    with (
        released(),
        pytest.raises(InputError, match=r"the 12 edits of its result; found 11.*1 are missing: "),
    ):
        read_stored(path)


def test_nothing_of_a_forged_bundle_is_unpacked(made: Path, tmp_path: Path) -> None:
    path = forged(made, lambda raw: isr(raw).update(value=0.9))
    with Bundle(path) as bundle, pytest.raises(InputError, match="contradicts itself"):
        unbundle(bundle, tmp_path / "edits", made.parent / "edits")
    assert list(tmp_path.iterdir()) == []


def test_a_sound_bundle_is_read_and_it_is_said_once_that_nothing_was_verified(
    made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Bundle(made) as bundle:
        require_own_numbers(bundle)
    with caplog.at_level(logging.WARNING, "isr"), released():
        read_stored(made)
        read_stored(made)
    assert caplog.messages == [f"{made}: read as its author wrote it; isr verify {made} checks it"]
