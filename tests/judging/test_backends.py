"""Judge backends: what they say of themselves, whose name it is, and what passes the border."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import isr
from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from isr.bundle.opened import Verification
from isr.bundle.verify import verify
from isr.canonical import sha256_bytes
from isr.errors import CardError, JudgeError, StoreError, TransportError, TransportReason, UsageError
from isr.judging.backends import Traits, backend_of, extra_of, open_judge, open_writer, traits
from isr.judging.cards import load_card
from isr.judging.prices import require_prices
from isr.scoring.bundle_file import Bundle
from tests.directories import make_directory
from tests.plugins import asked, install
from tests.processes import CompletedProcess, run
from tests.runs import the_run
from tests.samples import a_card

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder on the import path, whose modules are forgotten in the end."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def score(site: Path, *args: str) -> CompletedProcess[str]:
    """``isr score`` as a user types it, with the plug-ins of ``site`` installed."""
    path = os.pathsep.join([str(site), str(ROOT)])
    return run([sys.executable, "-m", "isr", "score", *args], env={**os.environ, "PYTHONPATH": path})


# --------------------------------------------------------------------------- what a backend says of itself


def test_the_built_in_backends_say_what_they_are() -> None:
    recorded = Traits(free=True, files=("answers",))
    found = {
        name: traits(name)
        for name in (
            "hf_transformers",
            "openai_chat",
            "recorded_scores",
            "replay",
            "shapes_oracle",
            "vllm_engine",
        )
    }
    assert found == {
        "hf_transformers": Traits(free=True),
        "openai_chat": Traits(served_by_name=True, writes=True),
        "recorded_scores": recorded,
        "replay": recorded,
        "shapes_oracle": Traits(free=True),
        "vllm_engine": Traits(free=True),
    }


def test_the_extra_that_a_backend_runs_on(site: Path) -> None:
    found = {name: extra_of(name) for name in ("openai_chat", "hf_transformers", "vllm_engine", "replay")}
    assert found == {
        "openai_chat": "",
        "hf_transformers": "transformers",
        "vllm_engine": "vllm",
        "replay": "",
    }
    install(site, "EXTRA = 1")
    with pytest.raises(CardError, match="EXTRA expected a text"):
        extra_of("theirs")


def test_every_built_in_backend_says_it_in_a_light_module() -> None:
    """Traits are read for a card's identity: no model's library may be loaded for them."""
    code = (
        "import sys; from isr.judging.backends import traits\n"
        "for name in ('hf_transformers', 'vllm_engine', 'replay', 'recorded_scores', 'shapes_oracle'): traits(name)\n"
        "print([m for m in ('torch', 'transformers', 'vllm', 'openai', 'scipy.stats') if m in sys.modules])"
    )
    done = run([sys.executable, "-c", code], check=True)
    assert done.stdout.strip() == "[]"


def test_a_backend_that_says_nothing_costs_money(site: Path) -> None:
    card = install(site)
    assert traits("theirs") == Traits()
    with pytest.raises(UsageError, match=r"expected prices in the card\(s\) theirs"):
        require_prices((load_card(str(card)),))


@pytest.mark.parametrize(
    "said", ["FREE = 'yes'", "FREE = 1", "FILES = 'answers'", "FILES = (1,)", "SERVED_BY_NAME = None"]
)
def test_a_trait_of_another_type_is_refused(site: Path, said: str) -> None:
    install(site, said)
    with pytest.raises(CardError, match=rf"backend 'theirs': {said.split()[0]} expected"):
        traits("theirs")


def test_a_paid_plug_in_without_prices_and_a_budget_is_refused_before_it_is_asked(
    tmp_path: Path, site: Path
) -> None:
    card = install(site)
    make_directory(tmp_path / "e", images=2, prompts=1)
    done = score(site, str(tmp_path / "e"), "--judge", str(card), "--budget-usd", "0.0001")
    assert done.returncode == 2, done.stderr
    assert "--budget-usd: expected prices in the card(s) theirs; found none" in done.stderr
    assert asked(card) == 0
    # with prices the budget is kept: 0.0001 USD at 1 USD a token pays for nothing
    priced = ("--set", "price.input=1e6", "--set", "price.output=1e6")
    done = score(site, str(tmp_path / "e"), "--judge", str(card), "--budget-usd", "0.0001", *priced)
    assert "the budget of 0.0001 USD does not cover another request" in done.stderr
    assert (done.returncode, asked(card)) == (3, 0)


def test_a_free_plug_in_takes_any_budget(tmp_path: Path, site: Path) -> None:
    card = install(site, "FREE = True")
    make_directory(tmp_path / "e", images=2, prompts=1)
    done = score(site, str(tmp_path / "e"), "--judge", str(card), "--budget-usd", "0.0001")
    assert done.returncode == 0, done.stderr
    assert asked(card) == 8  # 2 units x (protected, control) x 2 questions


def test_a_file_that_a_plug_in_names_is_its_content(site: Path, tmp_path: Path) -> None:
    card = install(site, "FILES = ('notes',)")
    (tmp_path / "notes.txt").write_text("one")
    card.write_text(
        card.read_text() + f'[engine]\nnotes = "{tmp_path}/notes.txt"\nanswers = "a word"\n', "utf-8"
    )
    one = load_card(str(card))
    assert one.identity["engine"] == {"notes": sha256_bytes(b"one"), "answers": "a word"}
    (tmp_path / "notes.txt").write_text("two")
    assert load_card(str(card)).digest != one.digest


def test_an_absolute_model_is_a_name_where_the_backend_is_a_server(site: Path) -> None:
    install(site, "SERVED_BY_NAME = True")
    install(site, name="local")
    assert a_card(backend="theirs", model="/data/m").checkpoint is None
    assert a_card(backend="theirs", model="/data/m").served_name == "/data/m"
    assert a_card(backend="local", model="/data/m").checkpoint == Path("/data/m")


# --------------------------------------------------------------------------- whose name it is


@pytest.mark.parametrize("name", ["replay", "openai_chat"])
def test_a_package_takes_no_built_in_name(site: Path, name: str) -> None:
    install(site, name=name, module="impostor")
    expected = (
        rf"judge: backend '{name}': expected one backend of that name; found 2: isr\.judges\.{name} of isr itself, "
        r"impostor:open_judge of the package impostor; uninstall one"
    )
    with pytest.raises(CardError, match=expected):
        backend_of(a_card(backend=name))


def test_two_packages_do_not_share_a_name(site: Path) -> None:
    install(site, module="first")
    install(site, module="second")
    with pytest.raises(CardError, match=r"found 2: .*package first.*package second"):
        open_judge(a_card(backend="theirs"))


@pytest.mark.parametrize("name", ["nonsense", "_local", "toml", "os.path", "..", "hf-x"])
def test_a_name_of_no_backend(name: str) -> None:
    with pytest.raises(CardError, match="'backend' expected a"):
        traits(name)


def test_a_package_that_lacks_something_says_so(site: Path) -> None:
    install(site, "import a_package_that_nobody_has")
    with pytest.raises(
        CardError, match=r"theirs_judge:open_judge of the package theirs_judge cannot be imported"
    ):
        backend_of(a_card(backend="theirs"))
    install(site, "del open_judge", name="without")
    with pytest.raises(CardError, match=r"'without' is none: .* has no function open_judge"):
        backend_of(a_card(backend="without"))


def test_only_a_backend_that_writes_is_a_writer(site: Path) -> None:
    install(site)
    with pytest.raises(
        CardError, match="judge: expected a card whose backend writes words; found backend 'theirs'"
    ):
        open_writer(a_card(backend="theirs"))


# --------------------------------------------------------------------------- the border

FAULTS = {
    "a reason of its own": (
        'raise TransportError("overloaded", "try later")',
        r"TransportError: reason expected one of rate_limited, server_error, .*; found 'overloaded'",
    ),
    "a finish of its own": (
        'return Answer(GOOD, "max_tokens")',
        r"Answer: finish_reason expected one of stop, length, content_filter, rejected, too_long, other; found 'max_tokens'",
    ),
    "a bug": ("return {}['choices']", r"KeyError: 'choices'"),
    "no answer": ("return GOOD", r"TypeError: expected an isr\.Answer; found str"),
    "nothing": ("return None", r"TypeError: expected an isr\.Answer; found NoneType"),
    "no text": ('return Answer(None, "stop")', r"Answer\.text expected a text; found None"),
    "odd usage": (
        'return Answer(GOOD, "stop", usage={"prompt_tokens": "7"})',
        r"Answer\.usage expected whole numbers by name; found \{'prompt_tokens': '7'\}",
    ),
    "a missing file": ("return open('/nowhere')", r"FileNotFoundError: .*nowhere"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_no_vocabulary_holds_is_one_error_that_names_the_backend(
    tmp_path: Path, site: Path, fault: str
) -> None:
    code, expected = FAULTS[fault]
    card = install(site, f"class Judge(Judge):\n    def said(self, request):\n        {code}")
    make_directory(tmp_path / "e", images=2, prompts=1)
    with pytest.raises(
        JudgeError, match=rf"^theirs: the backend 'theirs' failed in ask \(.*{expected}"
    ) as error:
        isr.score(tmp_path / "e", judge=card)
    assert error.value.exit_code == 2
    assert error.value.__cause__ is not None
    assert not isinstance(error.value.__cause__, isr.IsrError)


def test_a_bug_is_one_line_for_the_user(tmp_path: Path, site: Path) -> None:
    card = install(site, "class Judge(Judge):\n    def said(self, request):\n        return {}['choices']")
    make_directory(tmp_path / "e", images=2, prompts=1)
    done = score(site, str(tmp_path / "e"), "--judge", str(card), "--quiet")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    expected = (
        "isr: theirs: the backend 'theirs' failed in ask (KeyError: 'choices'); what was received is kept; correct "
        "the backend, then run the same command again"
    )
    assert done.stderr.splitlines() == [expected]


@pytest.mark.parametrize("what", ["open_judge", "close"])
def test_bugs_around_the_asking_are_told_as_well(tmp_path: Path, site: Path, what: str) -> None:
    bugs = {
        "open_judge": "def open_judge(card):\n    return card.nonsense",
        "close": "class Judge(Judge):\n    async def close(self):\n        raise KeyError('socket')",
    }
    card = load_card(str(install(site, bugs[what])))
    with pytest.raises(JudgeError, match=rf"theirs: the backend 'theirs' failed in {what} \("):
        asyncio.run(open_judge(card).close())


def test_own_errors_and_cancellation_pass_the_border(site: Path) -> None:
    more = """
    import asyncio
    class Judge(Judge):
        async def ask(self, request, images):
            raise request
    """
    judge = open_judge(load_card(str(install(site, more))))
    for error in (
        TransportError("timeout", "t"),
        JudgeError("j"),
        StoreError("s"),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
    ):
        with pytest.raises(type(error)) as seen:
            asyncio.run(_asked(judge, error))
        assert seen.value is error


async def _asked(judge: Any, request: Any) -> None:
    try:
        await judge.ask(request, None)
    except KeyboardInterrupt as error:  # which asyncio.run would take for the user's own
        raise error from None


def test_a_panel_that_nobody_answers_exits_3(tmp_path: Path, site: Path) -> None:
    """Every kind of failure: each is undecided for now, and the user is told to run again."""
    reasons = ", ".join(f'"{r}"' for r in TransportReason if r != "not_asked")
    more = f"""
    import itertools
    NEXT = itertools.cycle(({reasons}))
    FREE = True
    class Judge(Judge):
        def said(self, request):
            raise TransportError(next(NEXT), "no reply", retryable=False)
    """
    install(site, more)
    for name in ("a", "b"):
        shutil.copy(site / "theirs.toml", site / f"{name}.toml")
    (site / "b.toml").write_text((site / "b.toml").read_text().replace('"m"', '"other"'))
    (site / "both.toml").write_text('backend = "panel"\nmembers = ["a.toml", "b.toml"]\nrule = "strict"\n')
    make_directory(tmp_path / "e", images=3, prompts=1, controls=False)
    done = score(site, str(tmp_path / "e"), "--judge", str(site / "both.toml"))
    assert done.returncode == 3, done.stderr
    assert "run the same command again" in done.stderr
    result = json.loads((the_run(tmp_path / "e.isr") / "result.json").read_text())
    (part,) = result["treatments"]
    counted: Counter[str] = Counter()
    for entry in part["counts"]["undecided"]:
        counted[entry["reason"]] += entry["n"]
    assert set(counted) <= set(TransportReason)
    assert sum(counted.values()) == 12  # 3 edits x 2 questions x 2 judges


# --------------------------------------------------------------------------- bundles of backends that are not here


def test_a_bundle_verifies_where_its_backend_is_not_installed(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = install(site, "FREE = True\nFILES = ('notes',)")
    (tmp_path / "notes.txt").write_text("one")
    card.write_text(card.read_text() + f'[engine]\nnotes = "{tmp_path}/notes.txt"\nlevel = 3\n', "utf-8")
    make_directory(tmp_path / "e", images=2, prompts=1)
    isr.score(tmp_path / "e", judge=card)
    run, out = tmp_path / "e.isr", tmp_path / "run.zip"
    write_bundle(gather(run), run / "isr.db", out)
    assert str(tmp_path) not in Bundle(out).read("cards/theirs.json").decode()
    assert checked(out).faults == []
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(site)])
    del sys.modules["theirs_judge"]
    with pytest.raises(CardError):
        traits("theirs")
    there = checked(out)
    assert there.faults == []
    assert any("the backend 'theirs' is not installed here" in note for note in there.notes)


def checked(path: Path) -> Verification:
    with Bundle(path) as opened:
        return verify(opened)[0]
