"""The configuration in force: every value with its source, and of a key never more than whether it is set."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.doctor.configuration import HIDDEN, PLACES, configuration
from isr.errors import InputError
from tests.directories import make_directory
from tests.test_reading import sources

KEY = "sk-canary0123456789abcdefghijkl"
TEXT = 'judge = "gpt-4.1"\n[allow]\n"api.example.org" = ["EXAMPLE_KEY"]\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*PLACES, *HIDDEN, "EXAMPLE_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "own.toml"
    monkeypatch.setenv("ISR_CONFIG", str(path))
    return path


def shown(*arguments: str | Path) -> str:
    done = CliRunner().invoke(cli, ["config", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_without_a_file_all_are_defaults(config: Path) -> None:
    text = shown()
    assert f"configuration: {config} (there is none)\n" in text
    assert "  judge    none: --judge names one  (default)\n" in text
    assert "  rubrics  semantic/v1, perceptual/v1  (default)\n" in text
    assert {v.source for v in configuration().values} == {"default"}


def test_each_value_has_its_source(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(TEXT, "utf-8")
    make_directory(tmp_path / "e", images=1, prompts=1)
    (tmp_path / "e" / "isr.toml").write_text('by = ["editor"]\nlevel = 0.9\n', "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = json.loads(shown(tmp_path / "e", "--json"))
    assert said["file"] == {"path": str(config), "exists": True}
    values = {v["name"]: (v["value"], v["source"]) for v in said["values"]}
    assert values["judge"] == ("gpt-4.1", str(config))
    assert values["allow api.example.org"] == ("EXAMPLE_KEY", str(config))
    assert values["by"] == ("editor", str(tmp_path / "e" / "isr.toml"))
    assert values["level"] == ("0.9", str(tmp_path / "e" / "isr.toml"))
    assert values["rubrics"][1] == "default"
    assert values["digests"][1] == "$XDG_CACHE_HOME"
    variables = {v["name"]: v for v in said["environment"]}
    assert variables["ISR_CONFIG"]["value"] == str(config)
    assert variables["EXAMPLE_KEY"] == {
        "name": "EXAMPLE_KEY",
        "set": False,
        "for": "a key, for api.example.org",
    }


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_no_key_is_shown(config: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    config.write_text(TEXT.replace('["EXAMPLE_KEY"]', f'["EXAMPLE_KEY", "{KEY}"]'), "utf-8")
    for name in ("EXAMPLE_KEY", "OPENAI_API_KEY", "HTTPS_PROXY", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, KEY)
    text = shown(*arguments)
    assert KEY not in text
    if not arguments:
        assert "  OPENAI_API_KEY        set  (a key, for gpt-4.1, gpt-4o)\n" in text


def test_what_is_wrong_is_told_with_its_place(config: Path, tmp_path: Path) -> None:
    config.write_text('judge = "x"\njudg = 3\n', "utf-8")
    with pytest.raises(InputError, match=r"own\.toml:2: 'judg'"):
        configuration()
    config.unlink()
    with pytest.raises(InputError, match="expected an edit directory; found no folder"):
        configuration(tmp_path / "none")


def test_every_variable_that_isr_reads_is_listed() -> None:
    read = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv"):
                first = node.args[0]
                if isinstance(first, ast.Constant) and path.startswith("isr/"):
                    read.add(first.value)
    assert {"ISR_CONFIG", "HF_HOME"} <= read <= {*PLACES, *HIDDEN}
