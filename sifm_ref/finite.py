"""Pictures of finite numbers: what a pipeline's networks make is looked at while a picture is made."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from isr.errors import IsrError

_CAST = "invalid value encountered in cast"  # numpy's words where NaN is made a level of 0 to 255
PICTURE = "picture"
_REMEDIES = {
    "fp16": "edit into a new folder with --dtype bf16, or fp32: fp16 ends at 65504",
    "bf16": "edit into a new folder with --dtype fp32",
}
_SOUND = "check the checkpoint's files and the settings: no other --dtype is wider than this one"


class NotFiniteError(IsrError):
    """A picture was to be made of NaN or infinity. ``stage``: the first network that made them, or ``picture``."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        super().__init__(f"expected finite values; found NaN or infinity, first in {stage}")


def remedy(dtype: str) -> str:
    """What to do about NaN or infinity where the weights are of this type."""
    return _REMEDIES.get(dtype, _SOUND)


@contextmanager
def finite(editor: Any = None) -> Iterator[None]:
    """Raises ``NotFiniteError`` at the end of the block if a picture was made of NaN or infinity in it.

    Seen are the decoder of the VAE in the editor's pipeline, since levels hide infinity, and every cast of NaN to levels. The other
    networks of the pipeline are looked at for the name of the stage alone: padding may hold what no picture is made of.
    """
    seen: dict[
        str, Any
    ] = {}  # stage: whether all that it made is finite, in the order of their first results
    with ExitStack() as stack:
        for stage, module in _stages(getattr(editor, "pipe", None)):
            stack.callback(module.register_forward_hook(_looking(seen, stage)).remove)
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("error", message=_CAST, category=RuntimeWarning)
        try:
            yield
        except RuntimeWarning as warning:
            if _CAST not in str(warning):
                raise
            raise NotFiniteError(_first(seen)) from None
    if any(stage.endswith(".decoder") and not bool(sound) for stage, sound in seen.items()):
        raise NotFiniteError(_first(seen))


def _first(seen: Mapping[str, Any]) -> str:
    return next((stage for stage, sound in seen.items() if not bool(sound)), PICTURE)


def _stages(pipe: Any) -> Iterator[tuple[str, Any]]:
    """The networks of a pipeline with their names; of an autoencoder its two halves, which is how it is called."""
    components = getattr(pipe, "components", None)
    for name, part in components.items() if isinstance(components, Mapping) else ():
        halves = [
            h for h in ("encoder", "decoder") if hasattr(getattr(part, h, None), "register_forward_hook")
        ]
        if halves and hasattr(part, "decode"):
            yield from ((f"{name}.{half}", getattr(part, half)) for half in halves)
        elif hasattr(part, "register_forward_hook"):
            yield name, part


def _looking(seen: dict[str, Any], stage: str) -> Any:
    def hook(module: Any, args: Any, output: Any) -> None:
        tensor = _tensor(output)
        if tensor is not None:
            sound = tensor.isfinite().all()  # stays on its device: nothing waits for it
            seen[stage] = seen[stage] & sound if stage in seen else sound

    return hook


def _tensor(output: Any) -> Any:
    """The first tensor of floating-point numbers in what a network returns; ``None`` where there is none."""
    values = (
        output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple) else [output]
    )
    return next((v for v in values if hasattr(v, "is_floating_point") and v.is_floating_point()), None)
