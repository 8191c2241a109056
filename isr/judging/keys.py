"""Which key may go to which host. The only room that reads a key.

A built-in card binds its variable to its hosts. Any other pair of host and variable must have been allowed
once by the user (``isr judges allow HOST VARIABLE``), so that no card can carry a key off.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from isr.errors import AuthenticationError, InputError, Problem, SecretError, UsageError
from isr.files import write_text
from isr.judging.card_secrets import KEY_PREFIX, could_be_key, shown
from isr.judging.short_forms import RESOURCE
from isr.reading import MAX_TOML, Unreadable, read_text, toml_of
from isr.text import did_you_mean

if TYPE_CHECKING:
    from isr.judging.card_sections import Endpoint
    from isr.judging.cards import Card


def config_file() -> Path:
    """The user's own configuration: ``$ISR_CONFIG``, else ``config.toml`` in the user's config folder for isr."""
    if override := os.environ.get("ISR_CONFIG"):
        return Path(override)
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "isr" / "config.toml"


CONFIG = ("judge", "allow")


def read_config() -> dict[str, Any]:
    """The user's configuration: ``judge`` (the default judge) and ``allow`` (host -> variables).

    Raises ``InputError`` with everything that is wrong in the file, by its lines.
    """
    path = config_file()
    try:
        text = read_text(path, MAX_TOML)
        config = toml_of(text, path)
    except Unreadable as error:
        if error.missing:
            return {}
        raise InputError(f"{path}: expected TOML; found {error.found}; correct or remove the file") from error
    if problems := list(_config_problems(config, text, path)):
        raise InputError(f"{path}: {len(problems)} problem(s)", problems)
    return config


def _config_problems(config: Mapping[str, Any], text: str, path: Path) -> Iterator[Problem]:
    def where(key: str) -> str:
        line = re.search(rf"""^[ \t]*\[?[ \t]*["']?{re.escape(key)}["']?[ \t]*[]=.]""", text, re.MULTILINE)
        return f"{path}:{text.count(chr(10), 0, line.start()) + 1}" if line else str(path)

    for key in sorted(set(config) - set(CONFIG)):
        hint = did_you_mean(key, CONFIG, "remove it")
        yield Problem(where(key), key, f"the keys {' and '.join(CONFIG)}", "another one", hint)
    judge, allowed = config.get("judge", ""), config.get("allow", {})
    if not isinstance(judge, str):
        yield Problem(where("judge"), "judge", "the name of a card", shown(judge), "correct it")
    if not isinstance(allowed, dict):
        yield Problem(
            where("allow"), "allow", "a table of HOST = [VARIABLE, ...]", shown(allowed), "correct it"
        )
        return
    for host, names in allowed.items():
        if not _are_names(names):
            expected = "[VARIABLE, ...], names of environment variables"
            yield Problem(where(host), f"allow.{host}", expected, shown(names), "correct or remove it")


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def allow(host: str, variable: str) -> Path:
    """Records that the key in ``variable`` may be sent to ``host``, on any port. Returns the file that says so.

    Raises ``UsageError`` if no card's host can ever be ``host``, or ``variable`` is no name of a variable.
    """
    if not is_variable(variable):  # not repeated: it may be the key itself
        raise UsageError(
            "isr judges allow: expected a host and the NAME of a variable; found something else as the name; "
            "put the key into an environment variable and give that variable's name"
        )
    host = _plain_host(host)
    config = read_config()
    allowed = dict(config.get("allow", {}))
    allowed[host] = sorted({*allowed.get(host, []), variable})
    lines = [f"judge = {_toml(config['judge'])}"] if "judge" in config else []
    lines += ["[allow]", *(f"{_toml(h)} = {_toml(v)}" for h, v in sorted(allowed.items()))]
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path.resolve(), "\n".join(lines) + "\n")
    return path


def is_variable(name: str) -> bool:
    """Whether a text is the name of an environment variable, and not a key that happens to look like one."""
    return bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)) and not KEY_PREFIX.match(name)


def _plain_host(text: str) -> str:
    """The host as ``Endpoint.host`` has it: in lower case, an IPv6 address without brackets."""
    bare = text.strip().lower()
    inner = bare[1:-1] if bare.startswith("[") and bare.endswith("]") else bare
    key = KEY_PREFIX.match(text) and "." not in text
    if _is_ip(inner):
        return inner
    if re.fullmatch(r"[\w-]+(\.[\w-]+)*\.?", bare) and not key:
        return bare
    try:
        host = urlsplit(bare if "//" in bare else f"//{bare}").hostname or ""
    except ValueError:
        host = ""
    hint = host if not key and "@" not in bare and (host == "localhost" or "." in host) else "HOST"
    raise UsageError(
        "isr judges allow: expected a host without scheme, port or path (a key is allowed to a host, whatever "
        f"the port); found something else; write: isr judges allow {hint} VARIABLE"
    )


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _toml(value: str | list[str]) -> str:
    """A text or a list of texts in TOML; JSON's pairs of surrogates are no TOML, so nothing is escaped in vain."""
    return json.dumps(value, ensure_ascii=False)


def _is_bound(host: str, variable: str) -> bool:
    """Whether a built-in card binds the variable to the host, or to all names under which one firm serves its users."""
    one, _, rest = host.partition(".")
    users_own = f"{RESOURCE.lower()}.{rest}" if one else ""
    return not {(host, variable), (users_own, variable)}.isdisjoint(bound_pairs())


def bound_pairs() -> set[tuple[str, str]]:
    """(host, variable) pairs of the built-in cards; ``resource.`` before a host is any one name of its users."""
    pairs = set()
    for file in resources.files("isr.judges").iterdir():
        if file.name.endswith(".toml"):
            endpoint = toml_of(file.read_text("utf-8")).get("endpoint", {})
            if endpoint.get("api_key_env"):
                pairs.add(((urlsplit(endpoint["base_url"]).hostname or "").lower(), endpoint["api_key_env"]))
    return pairs


def check_pair(card: Card) -> None:
    """Raises ``SecretError`` if the card's key may not be sent to each of the card's hosts."""
    for endpoint in card.endpoint.each if card.endpoint.api_key_env else ():
        _check_pair(card.name, endpoint)


def _check_pair(name: str, endpoint: Endpoint) -> None:
    here = is_loopback(endpoint.host)
    if here and not os.environ.get(endpoint.api_key_env, "").strip() and is_variable(endpoint.api_key_env):
        return  # a server on this machine is asked without a key where there is none
    pair = ("127.0.0.1" if here else endpoint.host, endpoint.api_key_env)
    known = read_config().get("allow", {})
    allowed = [
        name
        for host, names in known.items()
        if host == endpoint.host or (here and is_loopback(host))
        for name in names
    ]
    if not _is_bound(*pair) and endpoint.api_key_env not in allowed:
        if could_be_key(endpoint.api_key_env):  # not repeated
            raise SecretError(
                f"{name}: 'endpoint.api_key_env' expected the NAME of an environment variable; found one that is "
                "not set, and may be a key itself; put the key into a variable, give that variable's name, and revoke "
                "the key if it was shared"
            )
        raise SecretError(
            f"{name}: the key in {endpoint.api_key_env} has not been allowed to go to {endpoint.host}; "
            f"if you trust that host with it: isr judges allow {endpoint.host} {endpoint.api_key_env}"
        )
    if endpoint.scheme != "https" and not here:
        port = urlsplit(endpoint.base_url).port or 80
        path = urlsplit(endpoint.base_url).path
        raise SecretError(
            f"{name}: a key is sent over https only, or to this machine; found {endpoint.base_url}; use https, or bring the "
            f"server here by ssh -N -L {port}:127.0.0.1:{port} {endpoint.host} and set "
            f"endpoint.base_url=http://127.0.0.1:{port}{path}"
        )


def endpoint_key(card: Card) -> str:
    """The key for the card's endpoint, or ``""`` for an endpoint without one.

    Raises ``SecretError`` if it may not go there, ``AuthenticationError`` if the variable holds none.
    A server on this machine may be asked without a key.
    """
    check_pair(card)
    variable = card.endpoint.api_key_env
    key = os.environ.get(variable, "").strip() if variable else ""
    if variable and not key and not is_loopback(card.endpoint.host):
        raise AuthenticationError(
            f"{card.name}: expected a key in the environment variable {variable}; found none"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise AuthenticationError(
            f"{card.name}: expected a key of printable ASCII in the environment variable {variable}; "
            f"found other characters or spaces within; set it again"
        )
    return key


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: what is sent there passes no network. ``0.0.0.0``, which servers print, is."""
    return host == "localhost" or (
        _is_ip(host) and (ip_address(host).is_loopback or ip_address(host).is_unspecified)
    )
