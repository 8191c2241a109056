"""How far an editor reads a prompt: what its text encoders leave off, in the words of its own tokenizers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sifm_ref.editor import Editor

SHOWN = 3
_SAID = ("truncated because", "sequence length is longer than")  # by libraries, once for each picture


def cut_off(prompt: str, readers: Sequence[tuple[Any, int]]) -> str:
    """The end of a prompt that no text encoder reads; ``""`` where one reads it all, or none is known.

    ``readers``: tokenizers with the number of tokens that are read, the special ones included (``Editor.readers``).
    """
    ends = [_end(prompt, tokenizer, limit) for tokenizer, limit in sorted(readers, key=lambda r: r[1])]
    return ends[-1] if ends and all(ends) else ""


def _end(prompt: str, tokenizer: Any, limit: int) -> str:
    ids = tokenizer(prompt, truncation=False, verbose=False).input_ids
    if len(ids) <= limit:
        return ""
    left = tokenizer.decode(ids[limit - 1 : -1], skip_special_tokens=True).strip()
    return left or prompt[-1:]


def told(editor: Editor, texts: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """What is cut off of each text, and one sentence for the user, which calls the texts by the names that are given
    to them; ``""`` where nothing is."""
    readers = editor.readers()
    ends = {text: cut_off(text, readers) for text in texts}
    cut = {text: end for text, end in ends.items() if end}
    if not cut:
        return ends, ""
    some = ", ".join(f"{texts[text]}: ...{end[:60]!r}" for text, end in list(cut.items())[:SHOWN])
    more = f" and {len(cut) - SHOWN} more" if len(cut) > SHOWN else ""
    most = max(limit for _, limit in readers)
    return ends, (
        f"{len(cut)} of {len(ends)} prompts are longer than the {most} tokens that {editor.name} reads, while judges "
        f"read them whole; what it does not read is in the column prompt_truncated ({some}{more}); shorten them"
    )


@contextmanager
def untold(editor: Editor) -> Iterator[None]:
    """Without what libraries say of cut prompts at every picture."""
    names = (type(editor.pipe).__module__, "transformers.tokenization_utils_base")
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(_is_new)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_is_new)


def _is_new(record: logging.LogRecord) -> bool:
    return not any(said in record.getMessage() for said in _SAID)
