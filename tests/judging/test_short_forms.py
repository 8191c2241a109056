"""A host and a model without a file: ``ollama:qwen3-vl`` is the host's card with that model in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import isr
from isr.errors import CardError, SecretError, UsageError
from isr.judging.cards import Card, builtin_names, load_card, load_panel
from isr.judging.keys import allow, check_pair
from isr.judging.short_forms import name_of, parted, typed
from isr.scoring.dry_run import dry_run
from isr.scoring.options import Options
from isr.scoring.run import Watch
from tests.chat_server import serving
from tests.directories import make_directory
from tests.runs import the_run
from tests.samples import write_toml

HOSTS = {  # where people's servers listen unless they are told otherwise
    "azure": ("https://RESOURCE.openai.azure.com/openai/v1", "AZURE_OPENAI_API_KEY"),
    "dashscope": ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "dashscope-cn": ("https://dashscope.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "llamacpp": ("http://127.0.0.1:8080/v1", ""),
    "lmstudio": ("http://127.0.0.1:1234/v1", ""),
    "ollama": ("http://127.0.0.1:11434/v1", ""),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "sglang": ("http://127.0.0.1:30000/v1", ""),
    "vllm": ("http://127.0.0.1:8000/v1", "ISR_API_KEY"),
}


def test_the_hosts_cards_are_these() -> None:
    found = {}
    for name in builtin_names():
        card = load_card(name)
        if card.endpoint.base_url and not card.model:
            found[name] = (card.endpoint.base_url, card.endpoint.api_key_env)
    assert found == HOSTS


@pytest.mark.parametrize("host", HOSTS)
def test_a_hosts_card_says_nothing_that_is_true_of_one_model_only(host: str) -> None:
    card = load_card(host)
    of_a_model = ("revision", "serves", "verified_on", "retires_on", "price")
    assert {name: getattr(card, name) for name in of_a_model} == {
        name: getattr(Card(name="", backend="openai_chat"), name) for name in of_a_model
    }
    assert card.deployment == host  # so that no two hosts' answers are one judge's
    assert f"--judge {host}:" in card.needs
    assert f"--judge {host}:" in " ".join(card.notes.split())
    assert card.decoding.max_tokens >= 4096  # most of their models think


def test_the_model_is_all_that_differs() -> None:
    card = load_card("ollama:qwen3-vl:8b")
    host = load_card("ollama")
    assert card.name == "ollama-qwen3-vl-8b"
    assert card.model == "qwen3-vl:8b"
    assert card.model_copy(update={"name": "ollama", "model": ""}).model_dump() == host.model_dump()
    assert card.digest == load_card("ollama", ["model=qwen3-vl:8b"]).digest
    assert card.digest != load_card("sglang:qwen3-vl:8b").digest


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("openrouter:qwen/qwen3.6-27b", "openrouter-qwen-qwen3.6-27b"),
        ("ollama:hf.co/unsloth/Qwen3-VL-8B-GGUF:Q4_K_M", "ollama-hf.co-unsloth-Qwen3-VL-8B-GGUF-Q4_K_M"),
        ("llamacpp:C:\\models\\a b.gguf", "llamacpp-C-models-a-b.gguf"),
        ("lmstudio:модель", "lmstudio--"),
        ("gpt-4.1", "gpt-4.1"),
        ("ollama:", "ollama"),
    ],
)
def test_a_name_is_fit_for_print_and_for_paths(given: str, name: str) -> None:
    assert name_of(*parted(given)) == name


@pytest.mark.parametrize(
    "name",
    [
        "ollama:qwen3-vl:8b",
        "openrouter:qwen/qwen3.6-27b",
        "azure:my-lab/gpt-4.1",
        "sglang:модель",
        "vllm:a b",
    ],
)
def test_what_was_typed_is_known_again(name: str) -> None:
    assert typed(load_card(name)) == name


def test_other_cards_were_typed_by_name_or_path(tmp_path: Path) -> None:
    beside = 'backend = "openai_chat"\nmodel = "m"\ndeployment = "ollama"\n'
    assert typed(load_card(write_toml(tmp_path, beside, "ollama-m"))) == ""
    assert [name for name in builtin_names() if typed(load_card(name))] == []
    assert typed(load_card("ollama:m", ["model=other"])) == ""


def test_other_fields_are_set_as_usual() -> None:
    sets = [
        "decoding.max_tokens=99",
        "endpoint.base_url=http://127.0.0.1:5/v1",
        "revision=abc",
        "model=other",
    ]
    card = load_card("sglang:Qwen/Qwen3.5-9B", sets)
    assert (card.decoding.max_tokens, card.endpoint.base_url) == (99, "http://127.0.0.1:5/v1")
    assert (card.revision, card.model) == ("abc", "other")


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_without_a_model_says_how_to_name_one(name: str) -> None:
    with pytest.raises(CardError, match=f"--judge {name}:.*or --set model=MODEL"):
        load_panel(name)
    assert load_panel(name, complete=False).members[0].name == name  # to look at


@pytest.mark.parametrize("name", ["gpt-4.1:gpt-4o", "replay:x", "qwen3.5-9b-vllm:x", "gemini-successors:x"])
def test_only_a_host_takes_a_model(name: str) -> None:
    with pytest.raises(UsageError, match="expected the card of a host that serves any model"):
        load_card(name)


def test_an_unknown_host_is_told_what_there_is() -> None:
    with pytest.raises(CardError, match=r"--judge nowhere: .*ollama"):
        load_card("nowhere:qwen3-vl")


def test_a_panel_names_short_forms(tmp_path: Path) -> None:
    members = '["ollama:qwen3-vl:8b", "openrouter:qwen/qwen3.6-27b", "gpt-4.1"]'
    panel = load_panel(write_toml(tmp_path, f'backend = "panel"\nmembers = {members}\nrule = "majority"\n'))
    assert [c.name for c in panel.members] == ["ollama-qwen3-vl-8b", "openrouter-qwen-qwen3.6-27b", "gpt-4.1"]
    bare = write_toml(tmp_path, 'backend = "panel"\nmembers = ["ollama", "gpt-4.1"]\n', "bare")
    with pytest.raises(CardError, match="--judge ollama:MODEL"):
        load_panel(bare)


# Azure: the address holds a name of the user's own


def test_azure_takes_the_resource_before_the_deployment() -> None:
    card = load_card("azure:my-lab/gpt-4.1")
    assert card.endpoint.base_url == "https://my-lab.openai.azure.com/openai/v1"
    assert card.model == "gpt-4.1"
    check_pair(card)  # the key is bound: no isr judges allow
    named = load_panel("azure:gpt-4.1", ["endpoint.base_url=https://my-lab.openai.azure.com/openai/v1"])
    assert named.members[0].digest == card.digest


def test_azure_without_a_resource_says_where_it_stands() -> None:
    with pytest.raises(
        CardError, match=r"azure:RESOURCE/DEPLOYMENT, or --set endpoint.base_url=https://my-lab"
    ):
        load_panel("azure:gpt-4.1")


@pytest.mark.parametrize(
    "resource",
    ["evil.example", "evil.example#", "a@evil.example", "evil?", "-lab", "", "lab:443", "a b", "läb"],
)
def test_a_resource_is_one_part_of_a_hosts_name(resource: str) -> None:
    with pytest.raises(UsageError, match="expected the first part of your endpoint's host"):
        load_card(f"azure:{resource}/gpt-4.1")


@pytest.mark.parametrize(
    "address",
    [
        "https://my-lab.openai.azure.com.evil.example/v1", "https://openai.azure.com/v1",
        "https://a.b.openai.azure.com/v1", "https://openai.azure.com.evil.example/v1", "https://evil.example/v1",
    ],
)  # fmt: skip
def test_the_key_of_azure_goes_to_resources_of_azure_only(address: str) -> None:
    card = load_card("azure:my-lab/gpt-4.1", [f"endpoint.base_url={address}"])
    with pytest.raises(SecretError, match="has not been allowed to go to"):
        check_pair(card)
    allow(card.endpoint.host, "AZURE_OPENAI_API_KEY")
    check_pair(card)


def test_no_other_key_goes_to_a_resource_of_azure(tmp_path: Path) -> None:
    text = 'backend = "openai_chat"\nmodel = "m"\n[endpoint]\napi_key_env = "OPENAI_API_KEY"\n'
    card = load_card(write_toml(tmp_path, text + 'base_url = "https://my-lab.openai.azure.com/openai/v1"\n'))
    with pytest.raises(SecretError, match="OPENAI_API_KEY has not been allowed"):
        check_pair(card)


# From end to end


def test_a_host_and_a_model_are_scored_without_a_file(tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    with serving(behaviour="fine") as server:
        address = f"endpoint.base_url={server.base_url}"
        result = isr.score(tmp_path / "e", judge="sglang:test-model", sets=[address])
        assert [j["name"] for j in result.judges] == ["sglang-test-model"]
        assert "judge=sglang-test-model:sha256:" in result.signature
        assert the_run(tmp_path / "e.isr").name.startswith("sglang-test-model-")
        assert server.stats()["calls"] == 8  # 2 images, 2 arms, 2 questions
        isr.score(tmp_path / "e", judge="sglang:test-model", sets=[address])
        assert server.stats()["calls"] == 8


def test_a_dry_run_counts_for_a_short_form(tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    options = Options(directory=tmp_path / "e", judge="openrouter:qwen/qwen3.6-27b")
    (total,) = dry_run(options, Watch())
    assert (total.judge, total.requests, total.usd_low) == ("openrouter-qwen-qwen3.6-27b", 8, None)


def test_a_bare_host_spends_nothing_and_reads_nothing(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="judge=ollama:MODEL"):
        asyncio.run(isr.ascore(tmp_path / "none", judge="ollama"))
    assert not list(tmp_path.iterdir())
