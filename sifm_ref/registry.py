"""Finds methods, editors and purifiers by name: a file of this package, an entry point, or (methods) a file's path."""

from __future__ import annotations

import importlib.util
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property, partial
from importlib import import_module, metadata, resources
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from isr.canonical import sha256_bytes, sha256_json
from isr.errors import MissingExtraError, UsageError
from isr.foreign import ForeignCodeError, loaded, module_of_bytes
from isr.reading import Unreadable, read_bytes
from isr.text import did_you_mean
from sifm_ref.budget import number_of
from sifm_ref.checkpoints import shown_place
from sifm_ref.failures import OWN

Kind = Literal["methods", "editors", "purifiers"]
PLACE = {
    "place": True
}  # metadata of a configuration's field that names a file, whose digest is a field beside it
THEIRS = ("released", "published")  # names of presets that are its authors' own, by their code or their text
EXTRA = "pip install 'isr-eval[sifm]'"


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method's function with its configuration. ``preset`` names where ``config`` began; ``""``: it has none."""

    name: str
    function: Callable[..., Any]
    config: Any = None
    preset: str = ""
    code: str = ""  # digest of a foreign file's bytes
    adapts: Callable[[Any, Any], str] = lambda editor, config: ""  # of the method's module, as ``adaptation``
    base: Any = None  # the preset as it stands in the module
    released: tuple[str, Any] = ("", None)  # of its authors: the preset's name and its descent

    def adaptation(self, editor: Any) -> str:
        """What is ours in this method, with its configuration and on this editor, where its authors did otherwise.

        What the module says of itself, where the loop is another than theirs, and every field that is not the preset's.
        """
        return "; ".join(filter(None, [self.loss_adaptation(editor), self._loop_adaptation()]))

    def loss_adaptation(self, editor: Any) -> str:
        """The same without a word on the loop: of a method whose loop is replaced."""
        said = [text for text in differences(self.config, self.base) if not text.startswith("descent.")]
        return "; ".join(
            filter(None, [self.adapts(editor, self.config), f"set: {', '.join(said)}" if said else ""])
        )

    def _loop_adaptation(self) -> str:
        loop, (word, other) = getattr(self.config, "descent", None), self.released
        if loop is None or other == loop or not hasattr(loop, "text"):
            return ""
        if other is not None:
            return f"{loop.text}, {word}: {other.text}"
        return loop.text if loop != getattr(self.base, "descent", loop) else ""

    @property
    def rests_on(self) -> str:
        """A digest of the contents of files that its configuration names (a picture, another method); ``""``: of none."""
        known = fields(self.config) if is_dataclass(self.config) else ()
        made = {f.name: getattr(self.config, f.name) for f in known if not f.init}
        return sha256_json(made) if any(made.values()) else ""

    def digest(self, norm: str) -> str:
        """``preset-<12 hex>`` of everything but the budget's radius that decides what the method does."""
        said = [self.name, self.code, plain(self.config), norm]
        return f"{self.preset or 'own'}-{sha256_json(said)[7:19]}"


def require_torch() -> None:
    """Raises ``MissingExtraError`` unless the packages of the extra ``sifm`` are there."""
    missing = [name for name in ("torch", "diffusers", "transformers") if not importlib.util.find_spec(name)]
    if missing:
        raise MissingExtraError(f"sifm_ref: expected {', '.join(missing)}; found none; {EXTRA}")


def names(kind: Kind) -> list[str]:
    """What there is of a kind: files whose names begin with a letter, then entry points."""
    files = (f.name for f in resources.files(f"sifm_ref.{kind}").iterdir())
    own = [f[:-3] for f in files if f.endswith(".py") and not f.startswith("_")]
    return sorted({*own, *(e.name for e in metadata.entry_points(group=f"sifm_ref.{kind}"))})


def module_of(kind: Kind, name: str) -> ModuleType:
    """The module behind a name. Raises ``UsageError`` with the nearest names there are."""
    _require_known(kind, name)
    for entry in metadata.entry_points(group=f"sifm_ref.{kind}", name=name):
        module = entry.value.partition(":")[0]
        try:
            return loaded(partial(import_module, module))
        except ForeignCodeError as error:
            raise UsageError(
                f"{kind[:-1]} {name}: expected a module that can be imported; found {module} ({error}); correct or uninstall it"
            ) from error
    return import_module(f"sifm_ref.{kind}.{name}")


def _require_known(kind: Kind, name: str) -> None:
    if name not in names(kind):
        hint = did_you_mean(name, names(kind), "choose one of them")
        raise UsageError(f"{kind[:-1]}: expected one of {', '.join(names(kind))}; found {name!r}; {hint}")


def method(
    spec: str, preset: str = "", settings: Mapping[str, str] | None = None, *, called: str = ""
) -> Method:
    """The method that ``spec`` names (``sifm``, or ``path.py:function``), with a preset and changed fields.

    called: what tables call one of a file; its digest still tells two of one name apart.
    """
    if called and ":" not in spec:
        raise UsageError(
            f"--name {called}: expected a method of a file (path.py:FUNCTION); found {spec!r}, which has a name"
        )
    if ":" in spec:
        path, _, function = spec.rpartition(":")
        module, code = of_file(Path(path), "method")
        name = called or function
    else:
        _require_known("methods", spec)  # which can be said on any machine
        require_torch()
        module, name, code = module_of("methods", spec), spec, ""
        function = next(
            (e.value.partition(":")[2] for e in metadata.entry_points(group="sifm_ref.methods", name=spec)),
            "",
        )
    found = getattr(module, function or name, None)
    if not callable(found):
        raise UsageError(
            f"method {spec}: expected a function {function or name}; found none; "
            f"{did_you_mean(function or name, [n for n in vars(module) if not n.startswith('_')], 'check the name')}"
        )
    presets: Mapping[str, Any] = getattr(module, "PRESETS", {})
    if preset and preset not in presets:
        raise UsageError(
            f"preset: method {name} has {', '.join(presets) or 'no presets'}; found {preset!r}; "
            f"{did_you_mean(preset, presets, 'choose one')}"
        )
    chosen = preset or next(iter(presets), "")
    config = changed(presets.get(chosen), settings or {}, f"method {name}")
    return Method(
        name=name,
        function=found,
        config=config,
        preset=chosen,
        code=code,
        adapts=getattr(module, "adaptation", lambda editor, config: ""),
        base=presets.get(chosen),
        released=next(
            ((n, presets[n].descent) for n in THEIRS if hasattr(presets.get(n), "descent")), ("", None)
        ),
    )


def of_file(path: Path, what: str) -> tuple[ModuleType, str]:
    """The module in a file of one's own, and the digest of its bytes. Raises ``UsageError``. what: a method or an editor."""
    try:
        source = read_bytes(path) if path.suffix == ".py" else None
    except Unreadable:
        source = None
    if source is None:
        raise UsageError(f"{what}: expected path.py:NAME; found {str(path)!r}, which is no Python file")
    mark = sha256_bytes(f"{path.resolve()}\0".encode() + source)[7:23]
    try:
        return module_of_bytes(f"{OWN}{path.stem}_{mark}", path, source), sha256_bytes(source)
    except ForeignCodeError as error:
        raise UsageError(
            f"{what}: expected a file that can be imported; found {path} ({error}); install what it needs, or correct it"
        ) from error


def differences(config: Any, base: Any, where: str = "") -> list[str]:
    """The fields of a configuration that are not those of another one, as ``name=value``; places of files are left out."""
    found = []
    for f in fields(config) if is_dataclass(base) else ():
        if not f.init or f.metadata.get("place"):
            continue
        one, other = getattr(config, f.name), getattr(base, f.name)
        if is_dataclass(one):
            found += differences(one, other, f"{where}{f.name}.")
        elif one != other:
            text = ",".join(map(str, one)) if isinstance(one, tuple) else str(one)
            found.append(f"{where}{f.name}={text}")
    return found


def plain(value: Any) -> Any:
    """A configuration as JSON values; a field that is the ``PLACE`` of a file is left out, as its digest says what it is."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if not f.metadata.get("place")}
    return [plain(v) for v in value] if isinstance(value, tuple | list) else value


def changed(config: Any, settings: Mapping[str, str], where: str) -> Any:
    """A frozen configuration with fields replaced, given as texts: ``{"descent.steps": "10"}``.

    Raises ``UsageError`` that lists every unknown field and every value of a wrong type.
    """
    faults: list[str] = []
    for name, text in settings.items():
        try:
            config = _with(config, name.split("."), text)
        except (KeyError, ValueError) as error:
            faults.append(f"  {name}={text}: {error.args[0]}")
    if faults:
        raise UsageError("\n".join([f"{where}: {len(faults)} setting(s) that cannot be", *faults]))
    return config


def _with(config: Any, path: list[str], text: str) -> Any:
    known = [f.name for f in fields(config)] if is_dataclass(config) else []
    if path[0] not in known:
        hint = did_you_mean(path[0], known)
        raise KeyError(
            f"expected a field out of {', '.join(known) or '(it has none)'}; found {path[0]!r}{f'; {hint}' if hint else ''}"
        )
    assert not isinstance(config, type)
    now = getattr(config, path[0])
    if len(path) > 1:
        return replace(config, **{path[0]: _with(now, path[1:], text)})
    if is_dataclass(now):
        inner = ", ".join(f"{path[0]}.{f.name}" for f in fields(now))
        raise ValueError(f"expected one of {inner}")
    return replace(config, **{path[0]: like(now, text)})


def like(now: Any, text: str) -> Any:
    """``text`` as a value of the type of ``now``; ``ValueError`` says what was expected."""
    if isinstance(now, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(f"expected true or false; found {text!r}")
        return text.lower() == "true"
    if isinstance(now, tuple):
        parts = [p.strip() for p in text.split(",") if p.strip()]
        return tuple(like(now[0], p) for p in parts) if now else tuple(parts)
    for kind in (int, float):
        if isinstance(now, kind):
            try:
                value = int(text) if kind is int else number_of(text)
            except ValueError:
                raise ValueError(f"expected a number ({kind.__name__}); found {text[:40]!r}") from None
            _require_finite(value)
            return value
    return text


def _require_finite(value: object) -> None:
    """``ValueError`` for NaN and infinity: no record of a run could hold them, and no picture comes of them."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected a finite number; found {value!r}")
    if isinstance(value, tuple | list):
        for item in value:
            _require_finite(item)


def typed(said: Mapping[str, Any], defaults: Mapping[str, Any], where: str, what: str) -> dict[str, Any]:
    """What is said, texts as values of the types of the ``defaults`` of their names.

    Raises ``UsageError`` that lists every unknown name and every value of a wrong type. ``where``, ``what``: of whom
    and of which kind they are, for its text.
    """
    faults, out = [], {}
    for key, value in said.items():
        if key not in defaults:
            hint = did_you_mean(key, defaults)
            faults.append(
                f"  {key}: expected one of {', '.join(defaults) or '(it has none)'}{f'; {hint}' if hint else ''}"
            )
            continue
        try:
            out[key] = like(defaults[key], value) if isinstance(value, str) else value
            _require_finite(out[key])
        except ValueError as error:
            faults.append(f"  {key}: {error}")
    if faults:
        raise UsageError("\n".join([f"{where}: {len(faults)} {what}(s) that cannot be", *faults]))
    return out


@dataclass(frozen=True)
class Purifier:
    """A purifier with its parameters; ``text`` is its canonical name: ``jpeg:quality=75``, with local
    folders by their names and fingerprints (``final@3fa2c1``), as read when it is first asked for."""

    name: str
    function: Callable[..., Any]
    parameters: Mapping[str, Any]

    @cached_property
    def text(self) -> str:
        parts = ",".join(f"{k}={_told(v)}" for k, v in sorted(self.parameters.items()))
        return f"{self.name}:{parts}" if parts else self.name

    def __call__(self, image: Any, *, seed: int, editor: Any) -> Any:
        return self.function(image, seed=seed, editor=editor, **self.parameters)


def _told(value: Any) -> Any:
    """A parameter in a purifier's name; a folder may stand behind an adapter's name: ``sd_img2img=FOLDER``."""
    if not isinstance(value, str) or not value:
        return value
    name, sign, place = value.rpartition("=")
    return f"{name}{sign}{shown_place(place)}" if place else value


def purifier(spec: str) -> Purifier | None:
    """The purifier that ``name:key=value,...`` means, defaults filled in; ``None`` for ``""`` and ``none``."""
    name, _, rest = spec.partition(":")
    if name in ("", "none"):
        return None
    function = getattr(module_of("purifiers", name), name)
    defaults = {
        p.name: p.default
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.default is not p.empty
    }
    said = {key: value for key, _, value in (part.partition("=") for part in rest.split(",") if part)}
    return Purifier(name, function, defaults | typed(said, defaults, f"purifier {name}", "parameter"))
