"""Loads editors: any local folder or hub id, safetensors only, no code that comes with a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

from isr.errors import InputError, UsageError
from isr.files import files_below
from isr.reading import Unreadable, read_json
from isr.text import did_you_mean
from sifm_ref.checkpoints import checkpoint_value, fingerprint, shown_place
from sifm_ref.editor import Editor, Settings, WhiteBox
from sifm_ref.failures import first_line, is_others, memory, others_code
from sifm_ref.own_editor import FunctionEditor, code_of, is_code, own_adapter, shown_code
from sifm_ref.registry import module_of, names, require_torch, typed

SINGLE = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
LIGHTER = "end what else uses the device, or give --dtype fp16 or bf16, or another --device"
_VARIANT = re.compile(r"\.([a-z0-9_]+)(-\d+-of-\d+)?\.safetensors$")
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "fp64": "float64"}


SMALL = 128  # pixels: on pictures no larger, threads wait for each other longer than they work


def bound_threads(threads: int) -> None:
    """Lets torch use so many threads in this process; 0: as many as it takes by itself."""
    if threads:
        import torch

        torch.set_num_threads(threads)


def threads_here() -> int:
    """How many threads torch uses in this process. Sums of floats depend on it, so that actors use as many."""
    import torch

    return torch.get_num_threads()


def threads_for(side: int, said: str | None) -> int:
    """How many threads work on pictures whose longer side is ``side``: one on small ones, else torch's own choice (0).

    said: ``OMP_NUM_THREADS``, which is the user's word and stands.
    """
    return 1 if side <= SMALL and not said else 0


def adapter(name: str) -> type[Editor]:
    """The adapter behind a name. Raises ``UsageError`` if there is none."""
    require_torch()
    if is_code(name):
        return own_adapter(name)
    found: type[Editor] = module_of("editors", name).Adapter
    return found


def parse(spec: str, revision: str | None = None, *, code: bool = False) -> tuple[str, str]:
    """(adapter, folder or hub id) of ``name``, ``name=place``, or a place whose files (at ``revision``) say what it is.

    code: whether the name may be that of a file's class or function (``path.py:NAME``), which is code to be run.
    """
    name, sign, place = spec.partition("=")
    if is_code(name):
        return _own(name, place, code)
    if sign and place:
        return name, place
    if spec in names("editors"):
        return spec, adapter(spec).default
    cls = class_of(spec, revision)
    for known in names("editors"):
        if cls in adapter(known).pipelines:
            return known, spec
    there = sorted({c for known in names("editors") for c in adapter(known).pipelines})
    raise UsageError(
        f"editor {spec}: expected a pipeline that an adapter knows ({', '.join(there)}); found {cls!r}; write an adapter "
        "for it (docs/extending.md)"
    )


def _own(name: str, place: str, code: bool) -> tuple[str, str]:
    if not code:
        raise UsageError(
            f"editor {name}: expected an editor's name, a folder or a hub id; found code of a file, which only --editor on the "
            "command line may name, or a study with --allow-code"
        )
    cls = own_adapter(name)
    place = place or getattr(cls, "default", "")
    if not place and not issubclass(cls, FunctionEditor):
        raise UsageError(f"editor {name}: expected a checkpoint behind it; found none; give {name}=FOLDER")
    return name, place


def class_of(place: str, revision: str | None = None) -> str:
    """The class of the pipeline in a folder or behind a hub id, as its files say.

    Raises ``InputError`` for a checkpoint in one file, a folder that is not there or is no checkpoint, and a hub id
    that cannot be had; ``UsageError`` for what is none of these.
    """
    index = Path(place) / "model_index.json"
    if Path(place).is_dir():
        try:
            return str(read_json(index)["_class_name"])
        except (ValueError, KeyError, TypeError) as error:
            found = error.found if isinstance(error, Unreadable) else type(error).__name__
            raise InputError(
                f"{index}: expected a diffusers checkpoint; found {found}; check the folder"
            ) from error
    if place.endswith(SINGLE) or Path(place).is_file():
        raise InputError(
            f"editor {place}: expected a diffusers folder; found a checkpoint in one file; make a folder of it: "
            f"StableDiffusionPipeline.from_single_file({place!r}).save_pretrained('FOLDER') in Python, with the pipeline's "
            "own class"
        )
    if place.startswith((".", "/", "~")):
        raise InputError(f"editor {place}: expected a folder; found none there; check the path")
    if "/" not in place:
        raise UsageError(
            f"editor: expected one of {', '.join(names('editors'))}, a folder or a hub id; found {place!r}; "
            f"{did_you_mean(place, names('editors'), 'isr immunize . --list shows what there is')}"
        )
    return _class_on_hub(place, revision)


def _class_on_hub(repo: str, revision: str | None) -> str:
    from diffusers import DiffusionPipeline

    try:
        config = DiffusionPipeline.load_config(repo, revision=revision)
    except (
        Exception
    ) as error:  # the hub's client raises many kinds; all mean that the repository cannot be had
        raise InputError(f"editor {repo}: expected a hub id that can be reached; {_no_hub(error)}") from error
    return str(config["_class_name"])


def _no_hub(error: BaseException) -> str:
    """Why the files of a hub id are not to be had, and what to do."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return (
            "HF_HUB_OFFLINE is set, and the files are not in the cache; download them where there is a network, unset "
            "it, or give a folder"
        )
    return f"found {first_line(error)}; check the name, the revision, the login and the connection, or give a folder"


def load(spec: str, settings: Settings | None = None) -> Editor:
    """The editor that ``spec`` means (see ``parse``), its weights loaded and frozen.

    Raises ``UsageError`` for a wrong name or setting, and where memory runs out; ``InputError`` where the files are not
    there, hold no safetensors, or are of another kind of pipeline.
    """
    import diffusers
    import torch

    settings = settings or Settings()
    name, place = parse(spec, settings.revision, code=settings.code)
    cls = adapter(name)
    if settings.dtype not in DTYPES:
        raise UsageError(f"dtype: expected one of {', '.join(DTYPES)}; found {settings.dtype!r}")
    chosen = typed(settings.settings, cls.defaults, f"editor {name}", "setting")
    cls.check_settings({**cls.defaults, **chosen}, f"editor {name}")
    if issubclass(cls, FunctionEditor):
        return _of_function(cls, name, settings, chosen)
    pipeline = getattr(cls, "loads", None) or cls.pipelines[0]
    if place != getattr(cls, "default", ""):
        check_class(cls, name, place, settings.revision)
    nothing = dict.fromkeys(cls.dropped)
    if "safety_checker" in nothing:
        nothing["requires_safety_checker"] = False
    local = Path(place).is_dir()
    try:
        with _silent() if local else nullcontext(), memory(f"loading {spec}", LIGHTER):
            pipe = getattr(diffusers, pipeline).from_pretrained(
                place,
                use_safetensors=True,
                local_files_only=local,
                revision=settings.revision,
                variant=settings.variant,
                **{_dtype_keyword(): getattr(torch, DTYPES[settings.dtype])},
                **nothing,
            )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"editor {spec}: expected a checkpoint for {pipeline} with safetensors; {_no_weights(place, error)}"
        ) from error
    return wrap(cls, pipe, settings, adapter_name=name, place=place)


def _of_function(
    cls: type[FunctionEditor], name: str, settings: Settings, chosen: Mapping[str, Any]
) -> Editor:
    """The editor that a function is: its weights are whatever its file says."""
    shown = settings.name or shown_name(cls, name, "", chosen)
    editor = cls(None, name=shown, settings=chosen)
    editor.checkpoint = code_of(name)
    editor.identity = {"adapter": name.rpartition(":")[2], "code": editor.checkpoint, "dtype": settings.dtype}
    return editor


def check_class(cls: type[Editor], name: str, place: str, revision: str | None = None) -> None:
    """Refuses a checkpoint of another kind of pipeline: parts of one class may load into another, and edit otherwise."""
    known = {p for c in cls.__mro__ for p in vars(c).get("pipelines", ())} | {getattr(cls, "loads", "")} - {
        ""
    }
    found = class_of(place, revision)
    if found not in known:
        fits = [n for n in names("editors") if found in adapter(n).pipelines]
        raise InputError(
            f"editor {name}={place}: expected a checkpoint of {' or '.join(sorted(known))}; found one of {found}; "
            + (
                f"give --editor {fits[0]}={place}"
                if fits
                else "take another checkpoint, or write an adapter for it"
            )
        )


def _no_weights(place: str, error: BaseException) -> str:
    """Why a checkpoint cannot be loaded, and what to do."""
    if not Path(place).is_dir():
        return _no_hub(error)
    variants = sorted({m[1] for f in files_below(Path(place)) if (m := _VARIANT.search(f.name))})
    if variants and "no file named" in str(error):
        return f"found files of the variant {' and '.join(variants)}; add --variant {variants[0]}"
    text = " ".join(str(error).split())
    shown = text if len(text) <= 300 else text[:300].rsplit(" ", 1)[0] + " ..."
    return f"found {type(error).__name__}: {shown}; check the folder's files"


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
        with memory(f"moving {place} to {device}", LIGHTER):
            pipe.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device: expected one that is there; found {device!r} ({error})") from error
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False).eval()
    chosen = typed(settings.settings, cls.defaults, f"editor {adapter_name}", "setting")
    name = settings.name or shown_name(
        cls,
        adapter_name,
        place,
        chosen,
        dtype=settings.dtype,
        revision=settings.revision,
        variant=settings.variant,
    )
    with others_code(*([f"editor {adapter_name}"] if is_others(cls) else [])):
        editor = cls(pipe, name=name, settings=chosen)
    found = fingerprint(place, pipe)
    variant = {"variant": settings.variant} if settings.variant else {}
    own = {"code": code_of(adapter_name)} if is_code(adapter_name) else {}
    editor.identity = {
        "adapter": adapter_name.rpartition(":")[2] if own else adapter_name,
        **own,
        "pipeline": type(pipe).__name__,
        "diffusers": metadata.version("diffusers"),
        "dtype": settings.dtype,
        **variant,
        **found,
    }
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
    variant: str | None = None,
) -> str:
    """What an editor is called where nobody says: adapter, checkpoint unless it is the default, all that is changed.

    Two editors that would edit differently get two names, so that their edits are never taken for one unit.
    """
    changed = {k: v for k, v in chosen.items() if v != cls.defaults[k]}
    if dtype != "fp32":
        changed["dtype"] = dtype
    changed |= {k: v for k, v in (("revision", revision), ("variant", variant)) if v}
    said = ",".join(f"{k}={v}" for k, v in sorted(changed.items()))
    return _called(name, place, getattr(cls, "default", "")) + (f"[{said}]" if said else "")


def _called(name: str, place: str, default: str) -> str:
    name = shown_code(name) if is_code(name) else name
    if place == default or not place:
        return name
    shown = shown_place(place)
    return shown if shown.partition("@")[0] == name else f"{name}={shown}"
