"""Keys go only where their owner sends them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from isr.errors import AuthenticationError, InputError, SecretError, UsageError
from isr.judging.card_secrets import could_be_key
from isr.judging.card_sections import Endpoint
from isr.judging.cards import Card, load_card
from isr.judging.keys import allow, bound_pairs, check_pair, config_file, endpoint_key, read_config
from tests.samples import a_card

CANARY = "sk-canary0123456789abcdef"
OPENAI = ("https://api.openai.com/v1", "OPENAI_API_KEY")


def card(base_url: str, variable: str) -> Card:
    return a_card(endpoint=Endpoint(base_url=base_url, api_key_env=variable))


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of one's own, and keys that must not get out."""
    path = tmp_path / "own" / "config.toml"
    monkeypatch.setenv("ISR_CONFIG", str(path))
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, CANARY)
    monkeypatch.delenv("ISR_API_KEY", raising=False)
    return path


def test_bound_pairs_are_those_of_the_built_in_cards() -> None:
    assert bound_pairs() == {
        ("api.openai.com", "OPENAI_API_KEY"),
        ("generativelanguage.googleapis.com", "GEMINI_API_KEY"),
        ("127.0.0.1", "ISR_API_KEY"),
        ("openrouter.ai", "OPENROUTER_API_KEY"),
        ("dashscope-intl.aliyuncs.com", "DASHSCOPE_API_KEY"),
        ("dashscope.aliyuncs.com", "DASHSCOPE_API_KEY"),
        ("resource.openai.azure.com", "AZURE_OPENAI_API_KEY"),
    }


@pytest.mark.parametrize("name", ["gpt-4o", "gemini-2.5-flash"])
def test_built_in_cards_get_their_key(name: str) -> None:
    assert endpoint_key(load_card(name)) == CANARY


@pytest.mark.parametrize(
    ("base_url", "variable"),
    [
        ("https://evil.example/v1", "OPENAI_API_KEY"),
        ("https://api.openai.com.evil.example/v1", "OPENAI_API_KEY"),
        ("https://api-openai.com/v1", "OPENAI_API_KEY"),
        ("https://evil.example/api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://evil.example#api.openai.com", "OPENAI_API_KEY"),
        ("https://api.openai.com./v1", "OPENAI_API_KEY"),
        ("https://generativelanguage.googleapis.com/v1", "OPENAI_API_KEY"),
        ("https://api.openai.com/v1", "GEMINI_API_KEY"),
        ("https://api.openai.com/v1", "AWS_SECRET_ACCESS_KEY"),
        ("http://127.0.0.1:8000/v1", "OPENAI_API_KEY"),
        ("http://localhost:8000/v1", "OPENAI_API_KEY"),
    ],
)
def test_any_other_pair_is_refused(base_url: str, variable: str) -> None:
    with pytest.raises(SecretError, match=f"isr judges allow .* {variable}") as caught:
        endpoint_key(card(base_url, variable))
    assert CANARY not in str(caught.value)


def test_the_host_is_compared_without_case() -> None:
    assert endpoint_key(card("https://API.OpenAI.com/v1", "OPENAI_API_KEY")) == CANARY


def test_a_pair_that_the_user_allowed(config: Path) -> None:
    mine = card("https://my.example/v1", "OPENAI_API_KEY")
    with pytest.raises(SecretError):
        check_pair(mine)
    assert allow("My.Example", "OPENAI_API_KEY") == config
    assert endpoint_key(mine) == CANARY
    with pytest.raises(SecretError):
        check_pair(card("https://other.example/v1", "OPENAI_API_KEY"))
    with pytest.raises(SecretError):
        check_pair(card("https://my.example/v1", "GEMINI_API_KEY"))


def test_allowing_keeps_what_stands_there(config: Path) -> None:
    config.parent.mkdir()
    config.write_text('judge = "karten/Prüfer 🚗.toml"\n[allow]\n"a.example" = ["X"]\n', "utf-8")
    for _ in range(2):
        allow("b.example", "Y")
        allow("a.example", "Z")
    assert read_config() == {
        "judge": "karten/Prüfer 🚗.toml",
        "allow": {"a.example": ["X", "Z"], "b.example": ["Y"]},
    }


@pytest.mark.parametrize("host", ["::1", "[::1]", " LOCALHOST ", "127.0.0.1", "my-host_1.example"])
def test_what_is_allowed_is_what_a_card_has_as_its_host(host: str) -> None:
    allow(host, "OPENAI_API_KEY")
    named = host.strip() if ":" not in host or "[" in host else f"[{host}]"
    assert endpoint_key(card(f"https://{named}:8443/v1", "OPENAI_API_KEY")) == CANARY


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("api.example.org:8443", "isr judges allow api.example.org VARIABLE"),
        ("127.0.0.1:8000", "isr judges allow 127.0.0.1 VARIABLE"),
        ("https://API.example.org/v1", "isr judges allow api.example.org VARIABLE"),
        ("api.example.org/v1", "isr judges allow api.example.org VARIABLE"),
        ("me:hunter22@api.example.org", "isr judges allow HOST VARIABLE"),
        ("[::1]:8000", "isr judges allow HOST VARIABLE"),
        ("http://[::1", "isr judges allow HOST VARIABLE"),
        ("a b", "isr judges allow HOST VARIABLE"),
        ("", "isr judges allow HOST VARIABLE"),
        (CANARY, "isr judges allow HOST VARIABLE"),
    ],
)
def test_a_host_that_no_card_can_have_is_refused(host: str, hint: str, config: Path) -> None:
    with pytest.raises(UsageError, match="expected a host without scheme, port or path") as caught:
        allow(host, "OPENAI_API_KEY")
    assert str(caught.value).endswith(f"write: {hint}")
    assert CANARY not in str(caught.value)
    assert "hunter22" not in str(caught.value)
    assert not config.exists()


@pytest.mark.parametrize("name", [CANARY, "AIzaSyCanary0123456789", "hf_canary0123456789", "a b", "1A", ""])
def test_a_key_in_the_place_of_its_variable_is_neither_recorded_nor_shown(name: str, config: Path) -> None:
    with pytest.raises(UsageError, match="the NAME of a variable") as caught:
        allow("my.example", name)
    assert "anary" not in str(caught.value)
    assert not config.exists()


@pytest.mark.parametrize("value", ["sk-canary\nX-Evil: 1", "sk-canary key", "sk-canary\x7f", "sk-canary’"])
def test_a_key_that_no_header_can_carry(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(AuthenticationError, match="printable ASCII in the environment variable") as caught:
        endpoint_key(card(*OPENAI))
    assert "canary" not in str(caught.value)


def test_a_key_is_sent_over_https_only() -> None:
    with pytest.raises(SecretError, match="https only") as caught:
        endpoint_key(card("http://api.openai.com/v1", "OPENAI_API_KEY"))
    assert CANARY not in str(caught.value)
    allow("10.0.0.7", "OPENAI_API_KEY")
    with pytest.raises(SecretError, match="https only"):
        endpoint_key(card("http://10.0.0.7:8000/v1", "OPENAI_API_KEY"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "[::1]"])
def test_this_machine_may_be_asked_over_http_and_without_a_key(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = card(f"http://{host}:8000/v1", "ISR_API_KEY")
    allow(local.endpoint.host, "ISR_API_KEY")
    assert endpoint_key(local) == ""
    monkeypatch.setenv("ISR_API_KEY", "  mine\n")
    assert endpoint_key(local) == "mine"


@pytest.mark.parametrize("host", ["127.0.0.1.evil.example", "localhost.evil.example", "0x7f.1", "128.0.0.1"])
def test_other_machines_are_not_this_one(host: str) -> None:
    allow(host, "OPENAI_API_KEY")
    with pytest.raises(SecretError, match="https only"):
        endpoint_key(card(f"http://{host}/v1", "OPENAI_API_KEY"))


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_missing_variable(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(AuthenticationError, match="environment variable OPENAI_API_KEY; found none"):
        endpoint_key(card(*OPENAI))


def test_a_card_without_a_variable_sends_no_key() -> None:
    assert endpoint_key(card("http://anywhere.example/v1", "")) == ""


# The configuration


def test_where_the_configuration_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISR_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_file() == tmp_path / "isr" / "config.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert config_file() == tmp_path / "home" / ".config" / "isr" / "config.toml"
    assert read_config() == {}


@pytest.mark.parametrize(
    "text",
    [
        "judge = ",
        "endpoint = 'x'",
        "judge = 3",
        "allow = 3",
        "allow = ['my.example']",
        "[allow]\n'my.example' = 'OPENAI_API_KEY'",  # as one text, every part of it would count as allowed
        "[allow]\n'my.example' = [1]",
    ],
)
def test_a_configuration_that_is_none(text: str, config: Path) -> None:
    config.parent.mkdir()
    config.write_text(text)
    with pytest.raises(InputError, match=r"config\.toml"):
        check_pair(card("https://my.example/v1", "OPENAI_API_KEY"))
    with pytest.raises(InputError, match=r"config\.toml"):
        allow("x", "Y")
    assert config.read_text() == text


def test_everything_that_is_wrong_in_it_is_told_by_its_line(config: Path) -> None:
    config.parent.mkdir()
    config.write_text('# mine\njudg = "x"\njudge = 3\n\n[allow]\n"my.example" = "K"\n')
    with pytest.raises(InputError) as caught:
        read_config()
    assert [str(p).removeprefix(f"{config}:") for p in caught.value.problems] == [
        "2: 'judg': expected the keys judge and allow; found another one; did you mean judge?",
        "3: 'judge': expected the name of a card; found 3; correct it",
        "6: 'allow.my.example': expected [VARIABLE, ...], names of environment variables; found 'K'; correct or remove it",
    ]


def test_a_configuration_that_is_a_link_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those have it who keep such files elsewhere; and it is there whole or not at all."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "config.toml").write_text('judge = "gpt-4o"\n')
    (tmp_path / "config.toml").symlink_to("kept/config.toml")
    monkeypatch.setenv("ISR_CONFIG", str(tmp_path / "config.toml"))
    assert allow("example.org", "A_KEY") == tmp_path / "config.toml"
    assert (tmp_path / "config.toml").is_symlink()
    assert read_config() == {"judge": "gpt-4o", "allow": {"example.org": ["A_KEY"]}}
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["config.toml"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such files")
def test_a_configuration_that_is_a_pipe_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "config.toml")
    monkeypatch.setenv("ISR_CONFIG", str(tmp_path / "config.toml"))
    with pytest.raises(InputError, match="a pipe, which is no regular file; correct or remove the file"):
        read_config()


@pytest.mark.parametrize(
    ("name", "could"),
    [
        ("OPENAI_API_KEY", False), ("my_key", False), ("AZURE_OPENAI_KEY_2", False), ("Token", False),
        ("key2", False), ("SOMEONE_ELSES_AUTHORIZATION", False),
        ("canarycanarycanary99", True), ("CANARY0123456789abcdef", True), ("aB3dE5fG7hI9", True),
        ("AKIAIOSFODNN7EXAMPLE", True), ("x_aB3dE5fG7hI9_y", True), ("_0123456789abcdef", True),
    ],
)  # fmt: skip
def test_what_may_be_a_key_is_not_repeated(name: str, could: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message that says how to allow a variable is one to be copied: a key would go with it."""
    assert could_be_key(name) is could
    for place in ("https://x.example/v1", "https://api.openai.com/v1"):
        if (place, name) == OPENAI:
            continue
        with pytest.raises(SecretError) as caught:
            check_pair(card(place, name))
        assert (name in str(caught.value)) is not could
    monkeypatch.setenv(name, "x")  # a variable that is set is the name of one, whatever it looks like
    with pytest.raises(SecretError, match=f"isr judges allow x.example {name}"):
        check_pair(card("https://x.example/v1", name))


@pytest.mark.parametrize("text", ["canarycanarycanary99", "endpoint.api_key_env.x=canarycanarycanary99"])
def test_no_override_is_repeated(text: str) -> None:
    with pytest.raises(UsageError, match=r"--set .*\.\.\.: ") as caught:
        load_card("gpt-4o", [text])
    assert "canary" not in str(caught.value)
