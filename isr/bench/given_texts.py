"""Which text of a prompt's row each editor and each method of a study is given: the choice, and what is odd about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from isr.bench.study import EditorPart, MethodPart, Study, editor_spec
from sifm_ref.loading import adapter, parse
from sifm_ref.registry import module_of, names

if TYPE_CHECKING:
    from isr.bench.material.folder import Material

PROMPT = "prompt"


def text_column(method: MethodPart, surrogate: EditorPart) -> str:
    """The column of the seen prompt that a method is given on a surrogate; ``""``: the prompt itself."""
    return method.text or surrogate.prompt


def editor_columns(study: Study) -> set[str]:
    """The columns that editors read: an unseen prompt has its own text there, or none."""
    return {e.prompt for e in study.editors if e.prompt}


def lines(study: Study, root: Path, material: Material | None) -> Iterator[str]:
    """The choice in words, with a warning wherever an editor or a method reads another kind of text than it is given."""
    if not editor_columns(study) and not any(m.text for m in study.methods):
        yield "text: every editor and method is given prompt"
    for editor in study.editors:
        if editor_columns(study):
            yield f"text: editor {editor.name} is given {editor.prompt or PROMPT}"
        if not editor.prompt and _reads(editor, root) == "caption":
            yield (
                f"warning: editor {editor.name} makes pictures of captions, and is given instructions: its edits will mostly "
                "fail, and every ISR on it rise; name a column of target captions (editors.prompt)"
            )
        if material and (lacking := material.without(editor.prompt)):
            yield (
                f"warning: {lacking} of {len(material.prompts)} prompts have no {editor.prompt}: editor {editor.name} is "
                "given the prompt itself there"
            )
    for method in study.methods:
        if _wants_content(method) and not method.text:
            yield (
                f"warning: method {method.name} wants the words of what is in the picture, and is given an instruction's or "
                "an edit's; name a column of captions (methods.text)"
            )
        if not editor_columns(study) and not any(m.text for m in study.methods):
            continue
        on = [e for e in study.editors if e.surrogate and e.name in (method.surrogates or (e.name,))]
        columns = list(dict.fromkeys(text_column(method, e) or PROMPT for e in on))
        yield f"text: method {method.name} is given {' or '.join(columns)} of the seen prompt" + (
            "" if len(columns) < 2 else ", as its surrogate"
        )
    if study.images.unseen and study.images.unseen.writer and not study.images.unseen.captions:
        for column in sorted(editor_columns(study)):
            yield (
                f"warning: unseen prompts that are written have no {column}: editors that read it are given the prompt "
                f'itself there; add images.unseen.captions = "{column}"'
            )


def _reads(editor: EditorPart, root: Path) -> str:
    """``instruction`` or ``caption``; ``""`` where only a hub could say."""
    spec = editor_spec(editor, root)
    name, _, place = spec.rpartition("=")
    if editor.is_code:
        return adapter(parse(spec, code=True)[0]).reads
    known = next((n for n in (spec, name) if n in names("editors")), "")
    if not known and Path(place).is_dir():
        known = parse(spec)[0]
    return adapter(known).reads if known else ""


def _wants_content(method: MethodPart) -> bool:
    if method.is_code or method.set.get("content"):
        return False
    return getattr(module_of("methods", method.method), "READS", "") == "content"
