"""The tables at the beginning of docs/judges.md: every command leads to a verdict, every field is one of a card.

Each command is typed as it stands there, at a server that behaves like the host it is for: only the address is
another one, and the key may go there.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from isr.judging.cards import load_card, load_panel
from isr.judging.keys import check_pair, is_loopback
from isr.reading import toml_of
from tests.directories import make_directory
from tests.judges.hosts.behaviours_hosts import KEY
from tests.judges.hosts.forking import Commands, commands
from tests.judges.hosts.server import Hosts, serving

DOCS = Path(__file__).resolve().parents[3] / "docs" / "judges.md"
BEHAVIOUR = {
    "gpt-4.1": "openai",
    "gemini-3.1-pro": "gemini",
    "qwen3.5-9b": "vllm",
}  # else the host's own name
MOST_STEPS = 2


@dataclass(frozen=True)
class Step:
    """What somebody has, and the commands to type."""

    have: str
    commands: tuple[str, ...]

    @property
    def judge(self) -> str:
        return re.findall(r"--judge (\S+)", self.commands[-1])[-1]

    @property
    def exported(self) -> set[str]:
        return {c.removeprefix("export ").partition("=")[0] for c in self.commands if c.startswith("export ")}


def table(number: int) -> list[list[str]]:
    """The rows of a table of the page, without its head."""
    blocks = re.findall(r"(?:^\|.*\n)+", DOCS.read_text("utf-8"), re.MULTILINE)
    rows = [line.strip().strip("|").split(" | ") for line in blocks[number].splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]


STEPS = [Step(have, tuple(re.findall(r"`([^`]+)`", typed))) for have, typed in table(0)]
FIELDS = [
    field for *_, change in table(1) for field in re.findall(r"`([a-z_]+\.[a-z_]+(?: = [^`]+)?)`", change)
]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    folder = tmp_path_factory.mktemp("steps")
    make_directory(folder / "edits", images=4, prompts=2)
    keys = sorted({name for step in STEPS for name in step.exported})
    config = folder / "config.toml"
    config.write_text(f'[allow]\n"127.0.0.1" = {keys}\n'.replace("'", '"'), "utf-8")
    env = {**os.environ, "ISR_CONFIG": str(config), **dict.fromkeys(keys, KEY)}
    with commands(folder, env) as isr:
        yield isr


def test_the_hosts_that_people_have_are_there() -> None:
    said = " ".join(step.have for step in STEPS)
    wanted = (
        "vLLM",
        "SGLang",
        "Ollama",
        "LM Studio",
        "llama.cpp",
        "OpenRouter",
        "OpenAI",
        "Gemini",
        "Azure",
        "DashScope",
    )
    assert [name for name in wanted if name not in said] == []


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS, ids=lambda s: s.have)
def test_two_steps_lead_to_a_verdict(step: Step, hosts: Hosts, command: Commands, tmp_path: Path) -> None:
    assert 1 <= len(step.commands) <= MOST_STEPS
    words = shlex.split(step.commands[-1])
    if "--run" in words:  # a server is started first: here one runs
        serve, words = words[1 : words.index("--run")], words[words.index("--") + 1 :]
        printed = command.isr(*serve)
        assert printed.code == 0, printed.text
        assert "--served-model-name" in printed.text
    assert words[:3] == ["isr", "score", "edits/"]
    host = step.judge.partition(":")[0]
    path = f"host-{BEHAVIOUR.get(host, host)}~{len(step.commands)}-{host}"
    typed = ["score", command.folder / "edits", *words[3:], "--no-report", "--quiet", "--out", tmp_path]
    done = command.isr(*typed, "--set", f"endpoint.base_url={hosts.base_url(path)}")
    assert done.code == 0, done.text
    assert hosts.stats(path) == {"calls": 32, "requests": 32, "answered": 32, "flagged": 0}, done.text
    assert "8 edits of 4 images" in done.text
    assert "undecided" not in done.text


@pytest.mark.parametrize("step", STEPS, ids=lambda s: s.have)
def test_the_key_that_is_exported_may_go_to_the_host_of_the_card(step: Step, command: Commands) -> None:
    (card,) = load_panel(step.judge).members
    check_pair(card)  # no isr judges allow
    needed = set() if is_loopback(card.endpoint.host) else {card.endpoint.api_key_env}
    assert step.exported == needed
    words = shlex.split(step.commands[-1].rpartition(" -- ")[2])
    dry = command.isr("score", command.folder / "edits", *words[3:], "--dry-run", "--quiet")
    assert dry.code == 0, dry.text
    assert "32 requests" in dry.text


def test_a_wrong_key_is_told_by_its_variable(hosts: Hosts, command: Commands, tmp_path: Path) -> None:
    """The server does look at the key: so the steps above have sent it."""
    typed = (
        "score",
        command.folder / "edits",
        "--judge",
        "openrouter:qwen/qwen3.6-27b",
        "--quiet",
        "--out",
        tmp_path,
    )
    url = hosts.base_url("host-openrouter~none")
    done = command.isr(*typed, "--set", f"endpoint.base_url={url}", "--set", "endpoint.api_key_env=")
    assert done.code == 2
    assert "401" in done.text


@pytest.mark.parametrize("field", FIELDS)
def test_every_remedy_names_a_field_of_a_card(field: str) -> None:
    name, _, value = field.partition(" = ")
    section, _, key = name.partition(".")
    card = load_card("ollama:m", [f"{name}={value}"] if value else [])
    found = getattr(getattr(card, section), key)
    assert not value or json.loads(json.dumps(found)) == toml_of(f"v = {value}")["v"]
