"""The configuration in force: each value and where it comes from. Of a key only whether its variable is set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isr.digests import cache_folder
from isr.edits.directory import Settings, read_settings
from isr.errors import CardError, InputError
from isr.judging.cards import builtin_names, load_panel
from isr.judging.keys import config_file, read_config
from isr.judging.rubrics import DEFAULTS
from isr.redaction import without_keys
from isr.text import plain

DEFAULT = "default"
MOVES_CACHE = ("XDG_CACHE_HOME", "LOCALAPPDATA")
PLACES = {
    "ISR_CONFIG": "the configuration's file",
    "XDG_CONFIG_HOME": "the folder of the configuration's folder",
    "XDG_CACHE_HOME": "the folder of digests that were computed, and of the hub's files",
    "LOCALAPPDATA": "the same on Windows",
    "HF_HOME": "the hub's folder",
    "HF_HUB_CACHE": "the hub's files",
    "OMP_NUM_THREADS": "threads of one computation",
    "RAY_ADDRESS": "the cluster of --engine ray",
    "SSL_CERT_FILE": "authorities that sign a server's certificate",
}
"""Variables that name a file or a folder; their values may be shown."""
HIDDEN = {
    "HTTPS_PROXY": "a proxy for what goes out by https",
    "ALL_PROXY": "the same",
    "HF_TOKEN": "the hub's key",
}


@dataclass(frozen=True)
class Value:
    """One value in force and its source: a file's path, or ``default``."""

    name: str
    value: str
    source: str


@dataclass(frozen=True)
class Variable:
    """An environment variable that is read. ``value``: of a place only; of a key it is never known here."""

    name: str
    is_set: bool
    what: str
    value: str = ""


@dataclass(frozen=True)
class Configuration:
    """Everything that is chosen for a user before a command's own options."""

    file: Path
    there: bool
    values: tuple[Value, ...]
    variables: tuple[Variable, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "file": {"path": str(self.file), "exists": self.there},
            "values": [{"name": v.name, "value": v.value, "source": v.source} for v in self.values],
            "environment": [
                {"name": v.name, "set": v.is_set, "for": v.what, **({"value": v.value} if v.value else {})}
                for v in self.variables
            ],
        }

    def text(self) -> str:
        """The same as lines for a terminal."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"configuration: {self.file}{'' if self.there else ' (there is none)'}"
        width = max(len(v.name) for v in self.values)
        yield from (plain(f"  {v.name:{width}}  {v.value}  ({v.source})") for v in self.values)
        yield "environment variables"
        width = max(len(v.name) for v in self.variables)
        for v in self.variables:
            state = (v.value or "set") if v.is_set else "not set"
            yield f"  {v.name:{width}}  {state}  ({v.what})"


def configuration(directory: Path | None = None) -> Configuration:
    """What is in force, with what an edit directory's ``isr.toml`` says. Raises ``InputError`` for a file that says what none may."""
    path, config = config_file(), read_config()
    values = [
        Value("judge", config["judge"], str(path)) if config.get("judge")
        else Value("judge", "none: --judge names one", DEFAULT)
    ]  # fmt: skip
    values += [
        Value(f"allow {host}", without_keys(", ".join(names)), str(path))
        for host, names in sorted(config.get("allow", {}).items())
    ]
    values += _of_directory(directory)
    cache = cache_folder()
    moved = [n for n in MOVES_CACHE if os.environ.get(n) and cache and cache.is_relative_to(os.environ[n])]
    where = f"${moved[0]}" if moved else DEFAULT
    values.append(Value("digests", str(cache) if cache else "kept nowhere: no home", where))
    return Configuration(path, path.exists(), tuple(values), tuple(_variables(config)))


def _of_directory(directory: Path | None) -> Iterator[Value]:
    usual = Settings()
    if directory is not None and not directory.is_dir():
        raise InputError(f"{directory}: expected an edit directory; found no folder; check the path")
    said = usual if directory is None else read_settings(directory)
    for name, value, default in (
        ("rubrics", ", ".join(said.rubrics), ", ".join(DEFAULTS)),
        ("by", ", ".join(said.by), "no groups"),
        ("level", "" if said.level == usual.level else f"{said.level:g}", f"{usual.level:g}"),
    ):
        source = str(directory / "isr.toml") if value and directory is not None else DEFAULT
        yield Value(name, value or default, source)


def _variables(config: dict[str, Any]) -> Iterator[Variable]:
    for name, what in PLACES.items():
        value = os.environ.get(name, "")
        yield Variable(name, bool(value), what, without_keys(value))
    for name, what in HIDDEN.items():
        yield Variable(name, name in os.environ, what)
    cards: dict[str, list[str]] = {}
    for card_name in builtin_names():
        try:
            for card in load_panel(card_name, complete=False).members:
                if card.endpoint.api_key_env:
                    cards.setdefault(card.endpoint.api_key_env, []).append(card.name)
        except CardError:
            continue  # isr doctor says what is wrong with it
    for host, names in config.get("allow", {}).items():
        for name in names:
            cards.setdefault(name, []).append(host)
    for name, users in sorted(cards.items()):
        first = sorted(set(users))
        more = f" and {len(first) - 2} more" if len(first) > 2 else ""
        there = bool(os.environ.get(name, "").strip())
        yield Variable(without_keys(name), there, f"a key, for {', '.join(first[:2])}{more}")
