"""Which cards can run on which machine, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from isr.doctor.machine import Gpu, Machine, Package, Place
from isr.doctor.text import render
from isr.doctor.verdicts import Verdict, verdict, verdicts
from isr.judging.cards import builtin_names, load_card, load_panel
from tests.samples import write_toml

DAY = date(2026, 11, 27)
VLLM = Package("vllm", ">=0.31,<0.34", "0.32.1")
TRANSFORMERS = (
    Package("torch", ">=2.6", "2.13.0+cu130"),
    Package("transformers", "<5.24,>=5.16.1", "5.23.0"),
)
H100 = Gpu("H100", 78.0, 80.0)
FULL = Machine(
    isr="0.1.0", python="3.12.1", system="Linux x86_64", extras={"vllm": (VLLM,), "transformers": TRANSFORMERS},
    gpus=(H100,), gpu_fault="", keys={"OPENAI_API_KEY": True, "GEMINI_API_KEY": False},
    listening={"127.0.0.1:8000": True, "127.0.0.1:11434": False}, weights=frozenset(),
    place=Place("edits.isr/isr.db", "ext4", False, True),
)  # fmt: skip
BARE = replace(FULL, extras={}, gpus=(), gpu_fault="nvidia-smi names none", keys={}, listening={})


def said(name: str, machine: Machine = FULL, **sets: str) -> Verdict:
    return verdict(load_card(name, [f"{k}={v}" for k, v in sets.items()]), machine, DAY)


@pytest.mark.parametrize(
    "name", ["gpt-4.1", "qwen3.5-9b", "qwen3.5-9b-vllm", "qwen3.5-9b-transformers", "vllm:m"]
)
def test_what_is_there_can_run(name: str) -> None:
    assert said(name).can
    assert said(name).why == ()


@pytest.mark.parametrize("name", [n for n in builtin_names() if n not in ("replay", "shapes-oracle")])
def test_nothing_runs_on_a_bare_machine_without_a_word(name: str) -> None:
    (found,) = verdicts([load_panel(name, complete=False)], BARE, DAY)
    assert not found.can
    assert found.why


def test_judges_that_need_nothing_run_everywhere() -> None:
    assert said("replay", BARE).can
    assert said("shapes-oracle", BARE).can


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gemini-3.1-pro", "GEMINI_API_KEY is not set: export GEMINI_API_KEY=..."),
        ("openrouter:qwen/qwen3.6-27b", "OPENROUTER_API_KEY is not set"),
        ("ollama:qwen3-vl:8b", "nothing listens at 127.0.0.1:11434: start its server"),
        ("sglang:m", "nothing listens at 127.0.0.1:30000"),
    ],
)
def test_what_is_missing_is_named(name: str, words: str) -> None:
    found = said(name)
    assert not found.can
    assert words in found.why[0]


def test_a_server_is_offered_only_where_vllm_can_start_it() -> None:
    silent = replace(FULL, listening={})
    assert "isr judges serve NAME --run" in said("qwen3.5-9b", silent).why[0]
    assert "isr judges serve" not in said("qwen3.5-9b", replace(silent, extras={})).why[0]
    assert "isr judges serve" not in said("vllm:m", silent).why[0]  # no revision: nothing to serve is named


def test_missing_and_other_versions() -> None:
    without = replace(FULL, extras={"vllm": (Package("vllm", ">=0.31,<0.34"),)})
    assert said("qwen3.5-9b-vllm", without).why == ("not installed: vllm; pip install 'isr-eval[vllm]'",)
    newer = replace(FULL, extras={"vllm": (replace(VLLM, installed="0.40.0"),)})
    (why,) = said("qwen3.5-9b-vllm", newer).why
    assert why == "vllm 0.40.0 is installed, >=0.31,<0.34 is needed; pip install 'isr-eval[vllm]'"


def test_memory_by_the_billions_in_the_name() -> None:
    # 27e9 parameters x 2 bytes = 50.3 GiB, and a quarter more: 62.9 GiB
    assert said("qwen3.6-27b-vllm").can
    small = replace(FULL, gpus=(Gpu("A6000", 46.0, 48.0),))
    (why,) = said("qwen3.6-27b-vllm", small).why
    assert "about 63 GiB of GPU memory are needed (weights of 50 GiB), 46 GiB are free" in why
    two = ["engine.tensor_parallel_size=2"]
    assert verdict(
        load_card("qwen3.6-27b-vllm", two), replace(FULL, gpus=(small.gpus[0],) * 2), DAY
    ).can  # 31 each
    (why,) = verdict(load_card("qwen3.6-27b-vllm", two), small, DAY).why
    assert why == "1 GPU(s) are seen, engine.tensor_parallel_size asks for 2"


def test_the_emptiest_gpus_count() -> None:
    gpus = (Gpu("A", 2.0, 80.0), H100)
    assert said("qwen3.6-27b-vllm", replace(FULL, gpus=gpus)).can


def test_a_small_model_runs_without_a_gpu(tmp_path: Path) -> None:
    cpu = replace(FULL, gpus=(), gpu_fault="torch is built for the CPU only")
    small = (
        'backend = "hf_transformers"\nmodel = "a/tiny-0.5B"\nrevision = "1"\n'  # 0.5e9 x 2 bytes = 0.9 GiB
    )
    found = verdict(load_card(write_toml(tmp_path, small)), cpu, DAY)
    assert found.can
    assert "on the CPU" in found.notes[0]
    (why,) = said("qwen3.5-9b-transformers", cpu).why
    assert why == "no GPU is seen (torch is built for the CPU only): an answer would take minutes"


def test_weights_that_are_here_and_those_to_come() -> None:
    card = load_card("qwen3.5-9b-vllm")
    here = replace(FULL, weights=frozenset({f"{card.model}@{card.revision}"}))
    assert "its weights are in this machine's cache of the hub" in verdict(card, here, DAY).notes
    assert any("about 17 GiB" in note for note in verdict(card, FULL, DAY).notes)  # 9e9 x 2 bytes


def test_a_retired_judge_cannot_run_on_the_day_itself() -> None:
    machine = replace(FULL, keys={"GEMINI_API_KEY": True})
    card = load_card("gemini-2.5-pro")  # until 2026-12-01
    before, on = (verdict(card, machine, date(2026, *day)) for day in ((11, 30), (12, 1)))
    assert before.can
    assert "retires on 2026-12-01" in before.notes
    assert not on.can
    assert on.why == ("retired on 2026-12-01: recorded answers can be scored, nothing new is asked",)


def test_a_panel_needs_all_of_its_members(tmp_path: Path) -> None:
    (found,) = verdicts([load_panel("gemini-successors")], FULL, DAY)
    missing = "GEMINI_API_KEY is not set: export GEMINI_API_KEY=..."
    assert found.why == tuple(
        f"its member {n} cannot run: {missing}" for n in ("gemini-4-argon", "gemini-3.8-flash")
    )
    (found,) = verdicts([load_panel("gemini-successors")], replace(FULL, keys={"GEMINI_API_KEY": True}), DAY)
    assert found == Verdict("gemini-successors", True)
    short = write_toml(tmp_path, 'backend = "panel"\nmembers = ["ollama:a", "vllm:b"]\n', "short")
    (found,) = verdicts([load_panel(short)], FULL, DAY)
    (why,) = found.why
    assert why.startswith("its member ollama-a cannot run: nothing listens at 127.0.0.1:11434")


def test_a_host_without_a_model_says_how_to_name_one() -> None:
    assert "name the model: --judge vllm:MODEL" in said("vllm").notes


def test_a_backend_that_is_not_there_is_told(tmp_path: Path) -> None:
    card = load_card(write_toml(tmp_path, 'backend = "no_such_thing"\nmodel = "m"\n'))
    found = verdict(card, FULL, DAY)
    assert not found.can
    assert "no_such_thing" in found.why[0]


def test_the_text_says_each_cause_once_with_all_it_stops() -> None:
    names = ["gpt-4.1", "gpt-4o", "replay", "gemini-3-flash"]
    bare = replace(BARE, keys={"OPENAI_API_KEY": False, "GEMINI_API_KEY": False})
    text = render(bare, verdicts(map(load_panel, names), bare, DAY))
    assert text.count("OPENAI_API_KEY is not set") == 1
    assert "  gpt-4.1, gpt-4o\n      OPENAI_API_KEY is not set: export OPENAI_API_KEY=...\n" in text
    assert "GPUs\n  none is seen: nvidia-smi names none\n" in text
    assert "edits.isr/isr.db: ext4, local" in text
    assert "  replay " in text.split("judges that cannot")[0]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place("x", "nfs4", True, True), "nfs4, which several machines may share"),
        (Place("x", "", False, True), "a file system that is not known, local"),
        (Place("x", "ext4", False, False), "this folder cannot be written to"),
    ],
)
def test_the_text_names_the_file_system(place: Place, words: str) -> None:
    assert words in render(replace(FULL, place=place), ())
