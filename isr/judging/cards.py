"""Judge cards: which model, with which settings, is the instrument.

The identity of a judge is everything that can change its answers. Limits, price and address are not in it.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from isr.canonical import sha256_json, short
from isr.edits.images import ImagePolicy
from isr.errors import CardError, Problem, UsageError
from isr.files import file_digest
from isr.foreign import ForeignCodeError, loaded
from isr.judging.backends import NAME as BACKEND_NAME
from isr.judging.backends import Traits, by_path, identity_of, traits
from isr.judging.card_problems import field_problems
from isr.judging.card_secrets import not_finite, secrets, shown, shown_setting
from isr.judging.card_sections import Decoding, Endpoint, Images, Limits, Price, Section
from isr.judging.checkpoints import checkpoint_digest
from isr.judging.field_errors import NO_FIELD, field_errors, fields_of
from isr.judging.short_forms import filled, name_of, parted, require_model, typed
from isr.reading import MAX_TOML, TooDeep, Unreadable, read_text, toml_of
from isr.text import did_you_mean

PANEL = "panel"
RULES = ("strict", "majority", "any", "per_question")
ENTRY_POINTS = "isr.judges"
EXAMPLE = "ollama"  # a host, for messages

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


class Card(Section):
    """One judge. ``name`` is the file's, with what was overridden of its identity; everything else is the file's content.

    ``serves``: the model names that the endpoint may report, each with or without a date, a build or a vendor
    (``isr.judging.served``); another name, or none, stops the run, since hosts have silently routed retired models to others.
    ``retires_on``: from that day on nothing new is asked of it (``isr.judging.retirement``).
    """

    name: str
    backend: str
    model: str = ""
    revision: str = ""
    deployment: str = ""
    verified_on: str = ""
    retires_on: str = ""
    notes: str = ""
    needs: str = ""
    serves: tuple[str, ...] = ()
    parameters: float = Field(
        0, ge=0
    )  # billions of weights, where known: from it the dry run computes minutes
    members: tuple[str, ...] = ()
    rule: Literal["strict", "majority", "any", "per_question"] = "strict"
    endpoint: Endpoint = Endpoint()
    decoding: Decoding = Decoding()
    images: Images = Images()
    engine: Mapping[str, Any] = Field(default_factory=dict)
    limits: Limits = Limits()
    price: Price = Price()
    folder: str = Field("", exclude=True)  # where the card's file lies: relative paths start there
    file: str = Field("", exclude=True)  # the name of its file alone, where the name says more
    overrides: tuple[str, ...] = Field((), exclude=True)  # as they were given

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that can change this judge's answers; part of every request's key.

        A model in a folder is its files' content: the same on every machine, whatever the folder is called.
        """
        files = self.traits.files if self.engine else ()
        return {
            **self.as_written,
            **self._of_backend(),
            "model": self.model if self.checkpoint is None else checkpoint_digest(self),
            "engine": {k: _file_digest(self, v) if k in files else v for k, v in self.engine.items()},
        }

    @property
    def as_written(self) -> dict[str, Any]:
        """The fields of the identity with the names of files in the place of their content."""
        return {
            "backend": self.backend,
            "model": self.model,
            "revision": self.revision,
            "deployment": self.deployment,
            "decoding": _since(self.decoding, "logprobs", "thinking", "thinking_name"),
            "images": _since(self.images, "processor"),
            "engine": dict(self.engine),
        }

    def _of_backend(self) -> dict[str, Any]:
        try:
            return identity_of(self.backend, self.folder)
        except CardError as error:
            raise CardError(f"{self.name}: {error}") from error

    @cached_property
    def traits(self) -> Traits:
        """What the card's backend says of itself. Raises ``CardError`` if there is none of that name."""
        try:
            return traits(self.backend, self.folder)
        except CardError as error:
            raise CardError(f"{self.name}: {error}") from error

    @cached_property
    def digest(self) -> str:
        """Digest of the identity."""
        return sha256_json(self.identity)

    @property
    def signature(self) -> str:
        return f"{self.name}:{short(self.digest)}"

    @property
    def checkpoint(self) -> Path | None:
        """The folder of a model that is named by a path (``./model``, ``../model``); else ``None``.

        An absolute path is a folder too, but for a model behind a server: there it is a name.
        """
        absolute = self.model.startswith("/") and not self.traits.served_by_name
        return Path(self.folder, self.model) if absolute or _is_relative(self.model) else None

    @property
    def served_name(self) -> str:
        """The name under which a server offers this model: the card's own, where the model is a folder."""
        return self.model if self.checkpoint is None else self.stem

    @property
    def stem(self) -> str:
        """The name of the card's file, whatever was overridden."""
        return self.file or self.name

    @property
    def given(self) -> str:
        """The card as it is named on a command line from here: its name, its short form, or its path; with what was set."""
        by_file = os.path.join(self.folder, f"{self.stem}.toml")
        named = typed(self) or (os.path.relpath(by_file) if self.folder else self.stem)
        return shlex.join([named, *(part for one in self.overrides for part in ("--set", one))])

    @property
    def policy(self) -> ImagePolicy:
        """The part of ``[images]`` that decides which bytes are sent."""
        i = self.images
        return ImagePolicy(i.max_side, i.format, i.quality, i.layout)


def _since(section: Section, *later: str) -> dict[str, Any]:
    """A section without the fields that came later and are not set: older identities stay what they were."""
    plain = type(section)()
    unset = {name for name in later if getattr(section, name) == getattr(plain, name)}
    return section.model_dump(mode="json", exclude=unset)


def _is_relative(model: str) -> bool:
    return model.startswith(("./", "../"))


def _file_digest(card: Card, path: object) -> str:
    try:
        return file_digest(Path(str(path)))
    except Unreadable as error:
        raise CardError(f"{card.name}: expected a file in engine; found {path!r} ({error.found})") from None


@dataclass(frozen=True)
class Panel:
    """The judges of a run and the rule that joins their verdicts; a single judge is a panel of one."""

    name: str
    members: tuple[Card, ...]
    rule: str

    @property
    def signature(self) -> str:
        return ",".join(card.signature for card in self.members)


def builtin_names() -> list[str]:
    """Names of the cards that ship with the package or that an installed package registers."""
    folder = resources.files("isr.judges")
    names = {p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")}
    return sorted(names | {p.name for p in metadata.entry_points(group=ENTRY_POINTS)})


def load_card(name_or_path: str, overrides: Sequence[str] = ()) -> Card:
    """The card of a built-in or registered name, of ``HOST:MODEL``, or of a ``.toml`` file, with ``key=value`` overrides.

    Raises ``CardError`` with every problem of the file at once.
    """
    raw, name, where = _read(name_or_path)
    model, before = raw.get("model"), deepcopy(raw)
    folder = os.path.abspath(os.path.dirname(name_or_path)) if name_or_path.endswith(".toml") else ""
    for text in overrides:
        _override(raw, text)
        if text.startswith("model=") and _is_relative(str(raw["model"])):  # from where the user stands
            raw["model"] = "./" + os.path.relpath(str(raw["model"]), folder or ".")
    if any(text.startswith("endpoint.base_urls=") for text in overrides):
        raw["endpoint"].pop("base_url", None)
    if raw.get("model") != model:
        _clear(raw, [text.partition("=")[0].strip() for text in overrides])
    card = _checked(raw, name, where, folder, [text.partition("=")[0].strip() for text in overrides])
    if not overrides:
        return card
    try:
        alone = _checked(before, name, where, folder)
    except CardError:  # a card that needs what was set
        alone = Card(name=name, backend=card.backend)
    return card.model_copy(
        update={"name": name + _set_otherwise(alone, card), "file": name, "overrides": tuple(overrides)}
    )


def _set_otherwise(before: Card, card: Card) -> str:
    """What was overridden of a judge's identity, fit for a path: ``+model=llava-13b``; ``""`` where nothing was.

    A file is its content, a model in a folder the folder's name: no name says where they lie.
    """
    was, now = (dict(_flat(one.as_written)) for one in (before, card))
    other = {k: now.get(k) for k in {**was, **now} if was.get(k) != now.get(k)}
    if before.model != card.model and not card.revision:
        other.pop("revision", None)  # another model has none of the first one's
    if "model" in other and card.checkpoint is not None:
        other["model"] = os.path.basename(os.path.abspath(card.checkpoint))
    for name in (f"engine.{field}" for field in (card.traits.files if card.engine else ())):
        if other.get(name):
            other[name] = _file_digest(card, other[name]).partition(":")[2][:12]
    return "".join(f"+{k}={_fit(v)}" for k, v in other.items())


def _flat(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _fit(value: object) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(value)).strip("-")[:40]


def load_panel(name_or_path: str, overrides: Sequence[str] = (), *, complete: bool = True) -> Panel:
    """The panel that a card names; an ordinary card is a panel of itself.

    complete: raises ``CardError`` for a host's card without a model.
    """
    card = load_card(name_or_path, overrides if not _is_panel(name_or_path) else ())
    if card.backend != PANEL:
        if complete:
            require_model(card)
        return Panel(card.name, (card,), "single")
    if overrides:
        raise UsageError(f"--set on the panel {card.name}: set fields on cards of its members instead")
    folder = Path(name_or_path).parent if name_or_path.endswith(".toml") else None
    members = []
    for member in card.members:
        beside = folder / member if folder is not None and member.endswith(".toml") else None
        members.append(load_card(str(beside) if beside is not None else member))
        require_model(members[-1])
    nested = [m.name for m in members if m.backend == PANEL]
    names = [m.name for m in members]
    same = len({m.digest for m in members}) != len(members)  # a judge under two names has two votes
    if nested or same or len(set(names)) != len(names) or len(members) < 2:
        found = f"the members {', '.join(names) or '(none)'}"
        raise CardError(
            f"{card.name}: this panel cannot be used",
            [
                Problem(
                    card.name,
                    "members",
                    "two or more different judges that are not panels",
                    found,
                    "edit the card",
                )
            ],
        )
    return Panel(card.name, tuple(members), card.rule)


def _is_panel(name_or_path: str) -> bool:
    return _read(name_or_path)[0].get("backend") == PANEL


def _read(name_or_path: str) -> tuple[dict[str, Any], str, str]:
    host, model = "", ""
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        try:
            text, name, where = read_text(path, MAX_TOML), path.stem, name_or_path
        except Unreadable as error:
            raise CardError(
                f"{path}: expected a readable judge card; found {error.found}; check the path"
            ) from error
    else:
        host, model = parted(name_or_path)
        text, name, where = _builtin_text(host, model), name_of(host, model), f"judge card {name_or_path}"
    try:
        raw = toml_of(text, where)
        return filled(raw, host, model) if model else raw, name, where
    except Unreadable as error:
        raise CardError(str(error)) from error


def _builtin_text(name: str, model: str = "") -> str:
    if _NAME.match(name):
        file = resources.files("isr.judges").joinpath(f"{name}.toml")
        if file.is_file():
            return file.read_text("utf-8")
        for point in metadata.entry_points(group=ENTRY_POINTS, name=name):
            try:
                return loaded(lambda point=point: read_text(Path(str(point.load())), MAX_TOML))  # type: ignore[misc]
            except (ForeignCodeError, Unreadable) as error:
                raise CardError(
                    f"--judge {name}: expected the path of a card at {point.value}; found {error}; correct or uninstall "
                    f"the package"
                ) from error
    given = name if _NAME.match(name) else shown(name)
    near = did_you_mean(name, builtin_names())
    hints = [f"before the colon stands a host, as in {EXAMPLE}:MODEL;"] if model else []
    hints += [near] if near else []
    raise CardError(
        f"--judge {given}: expected the name of a card or a path ending in .toml; found neither; "
        f"{' '.join([*hints, 'isr judges lists all'])}"
    )


def _override(raw: dict[str, Any], text: str) -> None:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UsageError(f"--set {shown_setting(text)}: expected key=value, e.g. decoding.temperature=0.7")
    *sections, last = key.strip().split(".")
    if len(sections) > 8:
        raise UsageError(
            f"--set {key[:40]}...: expected a field of a card; found {len(sections)} sections; correct it"
        )
    target = raw
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise UsageError(f"--set {shown_setting(text)}: {section!r} is not a section of a card")
    try:
        target[last] = toml_of(f"v = {value}")["v"]
    except TooDeep as error:
        raise UsageError(f"--set {key}: expected a value; found {error.found}; correct it") from error
    except Unreadable:
        target[last] = value  # a bare word is a string: --set model=my-model


OF_THE_MODEL = ("revision", "serves", "verified_on", "retires_on", "price", "parameters", "notes")
"""Fields of a card that are true of its model only: another model has none of them until it is given its own."""


def _clear(raw: dict[str, Any], given: Sequence[str]) -> None:
    """Takes out what was said of another model, unless it was set beside the new one."""
    for name in OF_THE_MODEL:
        if name in given:
            continue
        own = [g.partition(".")[2] for g in given if g.startswith(f"{name}.")]
        kept = {k: v for k, v in raw.get(name, {}).items() if k in own} if own else {}
        raw.pop(name, None)
        if kept:
            raw[name] = kept


def _as_set(problem: Problem, sets: Sequence[str]) -> Problem:
    """The problem of a field that ``--set`` gave, told of that option."""
    field = problem.field
    for key in sets:
        if field == key or key.startswith(f"{field}.") or field.startswith(f"{key}."):
            if problem.found != NO_FIELD:
                return replace(problem, where="--set", fix="correct the option")
            hint = did_you_mean(
                key, sorted({*fields_of(Card)} - {"name", "folder"}), "isr judges show CARD names them"
            )
            return Problem("--set", key, "a field of a card", NO_FIELD, hint)
    return problem


def _checked(raw: dict[str, Any], name: str, where: str, folder: str, sets: Sequence[str] = ()) -> Card:
    problems = [*secrets(raw, where), *not_finite(raw, where)]
    endpoint = raw.get("endpoint")
    if (
        isinstance(endpoint, dict)
        and isinstance(endpoint.get("base_urls"), list)
        and "base_url" not in endpoint
    ):
        raw = {**raw, "endpoint": {**endpoint, "base_url": next(iter(endpoint["base_urls"]), "")}}
    for own in {"name", "folder", "file", "overrides"} & set(raw):
        problems.append(Problem(where, own, "no such field: a card is named by its file", "one", "remove it"))
    secret = {p.field for p in problems}
    try:
        card = Card.model_validate_json(_as_json({**raw, "name": name, "folder": folder}), strict=True)
    except ValidationError as error:
        whole = {**raw, "name": name, "folder": folder}
        more = field_errors(error, whole, Card, where, "edit the card", own=("name", "folder"))
        problems += [_as_set(p, sets) for p in more if p.field not in secret]
        raise CardError(f"{where}: {len(problems)} problem(s)", problems) from None
    problems += field_problems(card, where)
    if by_path(card.backend) and not folder:
        fix = "give the card itself by its path, or register the backend"
        problems.append(Problem(where, "backend", "the name of a backend", repr(card.backend), fix))
    elif not (BACKEND_NAME.match(card.backend) or by_path(card.backend)):
        problems.append(
            Problem(where, "backend", "a lower-case module name", repr(card.backend), "edit the card")
        )
    if problems:
        raise CardError(f"{where}: {len(problems)} problem(s)", problems)
    return card


def _as_json(raw: dict[str, Any]) -> bytes:
    import json

    return json.dumps(raw, default=str).encode()
