"""Loads editors: any local folder or hub id, safetensors only, no code that comes with a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from isr.errors import InputError, UsageError
from isr.reading import Unreadable, read_json
from sifm_ref.checkpoints import checkpoint_value, fingerprint, shown_place
from sifm_ref.editor import Editor, Settings, WhiteBox
from sifm_ref.registry import module_of, names, require_torch, typed

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "fp64": "float64"}


def adapter(name: str) -> type[Editor]:
    """The adapter behind a name. Raises ``UsageError`` if there is none."""
    require_torch()
    found: type[Editor] = module_of("editors", name).Adapter
    return found


def parse(spec: str, revision: str | None = None) -> tuple[str, str]:
    """(adapter, folder or hub id) of ``name``, ``name=place``, or a place whose files (at ``revision``) say what it is."""
    name, sign, place = spec.partition("=")
    if sign and place:
        return name, place
    if spec in names("editors"):
        return spec, adapter(spec).default
    index = Path(spec) / "model_index.json"
    if Path(spec).is_dir():
        try:
            cls = read_json(index)["_class_name"]
        except (ValueError, KeyError, TypeError) as error:
            found = error.found if isinstance(error, Unreadable) else type(error).__name__
            raise InputError(
                f"{index}: expected a diffusers checkpoint; found {found}; check the folder"
            ) from error
    elif "/" in spec:
        cls = _class_on_hub(spec, revision)
    else:
        raise UsageError(
            f"editor: expected one of {', '.join(names('editors'))}, a folder or a hub id; found {spec!r}"
        )
    for known in names("editors"):
        if cls in adapter(known).pipelines:
            return known, spec
    raise UsageError(
        f"editor {spec}: expected a pipeline that an adapter knows; found {cls!r}; name one: NAME={spec}"
    )


def _class_on_hub(repo: str, revision: str | None) -> str:
    from diffusers import DiffusionPipeline

    try:
        config = DiffusionPipeline.load_config(repo, revision=revision)
    except (
        Exception
    ) as error:  # the hub's client raises many kinds; all mean that the repository cannot be had
        raise InputError(f"editor {repo}: expected a hub id that can be reached; found {error}") from error
    return str(config["_class_name"])


def load(spec: str, settings: Settings | None = None) -> Editor:
    """The editor that ``spec`` means (see ``parse``), its weights loaded and frozen.

    Raises ``UsageError`` for a wrong name or setting, ``InputError`` where the files are not there or hold no
    safetensors.
    """
    import diffusers
    import torch

    settings = settings or Settings()
    name, place = parse(spec, settings.revision)
    cls = adapter(name)
    if settings.dtype not in DTYPES:
        raise UsageError(f"dtype: expected one of {', '.join(DTYPES)}; found {settings.dtype!r}")
    pipeline = getattr(cls, "loads", None) or cls.pipelines[0]
    nothing = dict.fromkeys(cls.dropped)
    if "safety_checker" in nothing:
        nothing["requires_safety_checker"] = False
    local = Path(place).is_dir()
    try:
        with _silent() if local else nullcontext():
            pipe = getattr(diffusers, pipeline).from_pretrained(
                place,
                use_safetensors=True,
                local_files_only=local,
                revision=settings.revision,
                **{_dtype_keyword(): getattr(torch, DTYPES[settings.dtype])},
                **nothing,
            )
    except (OSError, ValueError, KeyError) as error:
        text = str(error).strip().splitlines()
        raise InputError(
            f"editor {spec}: expected a checkpoint for {pipeline} with safetensors; "
            f"found {type(error).__name__}: {' '.join(text)[:300]}; check the name, the files and the connection"
        ) from error
    return wrap(cls, pipe, settings, adapter_name=name, place=place)


def _dtype_keyword() -> str:
    """diffusers renamed ``torch_dtype`` to ``dtype``; the old name warns where the new one is known."""
    from diffusers.utils import deprecation_utils

    return "dtype" if hasattr(deprecation_utils, "_resolve_dtype") else "torch_dtype"


@contextmanager
def _silent() -> Iterator[None]:
    """Without the libraries' progress bars, which a local folder needs none of."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.enable_progress_bar()
        transformers_logging.enable_progress_bar()


def wrap(cls: type[Editor], pipe: Any, settings: Settings, *, adapter_name: str, place: str) -> Editor:
    """An editor around a pipeline that is loaded already: moved, frozen, its progress bars silent."""
    import torch

    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        pipe.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device: expected one that is there; found {device!r} ({error})") from error
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False).eval()
    chosen = typed(settings.settings, cls.defaults, f"editor {adapter_name}", "setting")
    name = settings.name or shown_name(
        cls, adapter_name, place, chosen, dtype=settings.dtype, revision=settings.revision
    )
    editor = cls(pipe, name=name, settings=chosen)
    found = fingerprint(place, pipe)
    editor.identity = {"adapter": adapter_name, "dtype": settings.dtype, **found}
    editor.checkpoint = checkpoint_value(found, settings.revision)
    if isinstance(editor, WhiteBox):
        editor.memory = settings.memory
    return editor


def shown_name(
    cls: type[Editor],
    name: str,
    place: str,
    chosen: Mapping[str, Any],
    *,
    dtype: str = "fp32",
    revision: str | None = None,
) -> str:
    """What an editor is called where nobody says: adapter, checkpoint unless it is the default, all that is changed.

    Two editors that would edit differently get two names, so that their edits are never taken for one unit.
    """
    changed = {k: v for k, v in chosen.items() if v != cls.defaults[k]}
    if dtype != "fp32":
        changed["dtype"] = dtype
    if revision:
        changed["revision"] = revision
    said = ",".join(f"{k}={v}" for k, v in sorted(changed.items()))
    return _called(name, place, cls.default) + (f"[{said}]" if said else "")


def _called(name: str, place: str, default: str) -> str:
    if place == default:
        return name
    shown = shown_place(place)
    return shown if shown.partition("@")[0] == name else f"{name}={shown}"
