"""What a user declares of a file of labels: which column says what, and which words mean ``fails`` and ``fine``.

``--columns "edit_id=Input.id, rater=WorkerId, semantic=Answer.shows_it"``: names of columns, whatever their capitals.
``{name}`` in a column stands for a part that differs: ``semantic={rater} shows it`` reads a sheet with a column for each
rater, ``edit_id=Input.id_{n}, semantic=Answer.shows_it_{n}`` several edits in a row. ``edit_id=Input.url as
*/edits/{edit_id}.png`` takes a part of a cell. ``rater='Ann'`` is the same for every row.

``--words "semantic: Yes=fine, No=fails; perceptual: Yes=fails, No=fine"``: words of each question, whatever their capitals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from isr.errors import InputError, UsageError
from isr.people.labels import KNOWN, QUESTIONS, WORDS
from isr.people.meeting import plain_number
from isr.text import did_you_mean

Words = Mapping[str, Mapping[str, str]]
"""By question: a word as people wrote it, folded -> ``fails``, ``fine`` or ``cannot_tell``."""
Columns = Mapping[str, Sequence[str]]
"""By what is wanted (``edit_id``, ``semantic``, ...): columns of which the first that the file has is taken."""

ASKED = (*QUESTIONS, "outcome")
TARGETS = (*KNOWN, "arm", "outcome")
"""What can be declared; ``outcome`` is of tables of verdicts only, for people answer the two questions."""
_TARGETS = "|".join(TARGETS)
_NEXT_COLUMN = re.compile(rf"[,;]\s*(?=(?:{_TARGETS})\s*=)")
_NEXT_QUESTION = re.compile(rf"[;,]\s*(?=(?:{'|'.join(ASKED)})\s*:)", re.IGNORECASE)
_WORD = re.compile(r"\s*(.+?)\s*=\s*(fails|fine|cannot[ _-]?tell)\s*(?:,|;?\Z)", re.IGNORECASE)
_HOLE = re.compile(r"\{(\w+)\}")


def folded(text: str) -> str:
    """A word or a column's name without what is no difference: capitals, spaces, 1.0 for 1."""
    return plain_number(" ".join(text.split()).casefold())


def word_of(text: str, words: Mapping[str, str]) -> str:
    """The label that a cell says, by the declared words or else by ours; ``""`` if it is neither."""
    said = folded(text)
    if said in words:
        return words[said]
    own = re.sub(r"[\s-]", "_", said)
    return own if own in WORDS else ""


def parse_words(given: Sequence[str]) -> dict[str, dict[str, str]]:
    """The words of ``--words``. Raises ``UsageError``."""
    out: dict[str, dict[str, str]] = {}
    for text in given:
        for part in filter(None, _NEXT_QUESTION.split(text.strip())):
            question, colon, rest = part.partition(":")
            name = folded(question)
            pairs = list(_pairs(rest)) if colon and name in ASKED else []
            if not pairs or None in pairs:
                raise UsageError(
                    f'--words: expected "semantic: Yes=fine, No=fails; perceptual: ..."; found {part.strip()!r}; '
                    f"name the question, and for each word one of {', '.join(WORDS)}"
                )
            for word, meaning in filter(None, pairs):
                known = out.setdefault(name, {}).setdefault(folded(word), meaning)
                if known != meaning:
                    raise UsageError(f"--words: expected one meaning of {word!r}; found two; drop one")
    return out


def _pairs(text: str) -> Iterator[tuple[str, str] | None]:
    """The words of a question with what each means; words may hold commas. ``None`` for what is no such pair."""
    at = 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            yield None
            return
        yield found[1], word_of(found[2].replace("cannottell", "cannot_tell"), {})
        at = found.end()


def parse_columns(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The columns of ``--columns``. Raises ``UsageError``."""
    out: dict[str, tuple[str, ...]] = {}
    for text in given:
        for part in filter(None, _NEXT_COLUMN.split(text.strip())):
            name, equals, column = part.partition("=")
            target = name.strip().casefold()
            if not equals or target not in TARGETS or not column.strip():
                raise UsageError(
                    f'--columns: expected "edit_id=COLUMN, rater=COLUMN, semantic=COLUMN, ..."; found {part.strip()!r}; '
                    f"name one of {', '.join(TARGETS)}"
                )
            if target in out:
                raise UsageError(f"--columns: expected {target} once; found it twice; drop one")
            out[target] = (column.strip(),)
    return out


@dataclass(frozen=True)
class View:
    """One label of a row: the column of each thing that it says, and what the columns' names say themselves."""

    columns: Mapping[str, str]
    fixed: Mapping[str, str]
    patterns: Mapping[str, re.Pattern[str]]

    def cells(self, row: Mapping[str, str]) -> dict[str, str]:
        """What the label of a row says, by name; what the row does not say is left out."""
        out = dict(self.fixed)
        for target, column in self.columns.items():
            value = row.get(column, "")
            if value and target in self.patterns:
                found = self.patterns[target].fullmatch(value)
                value = found[1] if found else ""
            if value:
                out[target] = value
        return out


def views(wanted: Columns, declared: Columns, present: Sequence[str], name: str) -> list[View]:
    """The labels in every row of a file, by its columns.

    wanted: where a format keeps things, as far as its file has them. declared: what the user says; every one of these
    columns must be there (``InputError``).
    """
    chosen: dict[str, str] = {}
    fixed: dict[str, str] = {}
    patterns: dict[str, re.Pattern[str]] = {}
    for target in TARGETS:
        for column in declared.get(target, wanted.get(target, ())):
            plain, _, shape = ("", "", "") if _matching(column, present) else column.rpartition(" as ")
            plain = plain or column
            if column[:1] in "'\"" and column[-1:] == column[:1] and len(column) > 2:
                fixed[target] = column[1:-1]
            elif _matching(plain, present):
                chosen[target] = plain
                if plain != column:
                    patterns[target] = _shape(target, shape)
            else:
                continue
            break
        else:
            if target in declared:
                there = ", ".join(present[:30])
                raise InputError(
                    f"{name}: --columns {target}: expected a column of the file ({there}); found "
                    f"{declared[target][0]!r}; {did_you_mean(declared[target][0], present, 'correct the name')}"
                )
    return list(_views(chosen, fixed, patterns, present))


def _views(
    chosen: Mapping[str, str],
    fixed: Mapping[str, str],
    patterns: Mapping[str, re.Pattern[str]],
    present: Sequence[str],
) -> Iterator[View]:
    asked = [q for q in ASKED if q in chosen]
    if not any(_HOLE.search(chosen[q]) for q in asked):
        columns = {t: next(iter(_matching(c, present)))[0] for t, c in chosen.items()}
        yield View(columns, fixed, patterns)
        return
    bound: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for question in asked:
        for column, holes in _matching(chosen[question], present):
            bound.setdefault(tuple(sorted(holes.items())), {})[question] = column
    for binding, answers in bound.items():
        said = dict(binding)
        rest = {t: _filled(c, said) for t, c in chosen.items() if t not in asked}
        others = {t: found[0][0] for t, c in rest.items() if (found := _matching(c, present))}
        own = {t: v for t, v in said.items() if t in KNOWN}
        yield View({**answers, **others}, {**fixed, **own}, patterns)


def _filled(column: str, said: Mapping[str, str]) -> str:
    """A column's name with every ``{name}`` that is known."""
    return _HOLE.sub(lambda m: said.get(m[1], m[0]), column)


def _matching(column: str, present: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """The columns of a file that are the named one, with what stands for each ``{name}`` in it."""
    if not _HOLE.search(column):
        return [(p, {}) for p in present if p == column] or [
            (p, {}) for p in present if folded(p) == folded(column)
        ]
    shape = re.compile(_shaped(" ".join(column.split())), re.IGNORECASE)
    return [(p, found.groupdict()) for p in present if (found := shape.fullmatch(p))]


def _shaped(text: str) -> str:
    parts = _HOLE.split(text)
    seen: set[str] = set()
    out = []
    for number, part in enumerate(parts):
        if number % 2 == 0:
            out.append(re.escape(part))
        else:
            out.append(f"(?P={part})" if part in seen else f"(?P<{part}>.+?)")
            seen.add(part)
    return "".join(out)


def _shape(target: str, shape: str) -> re.Pattern[str]:
    """A cell's shape: ``*`` is anything, ``{edit_id}`` the part that is meant. Raises ``UsageError`` without it."""
    before, hole, after = shape.strip().partition("{" + target + "}")
    if not hole or "{" in before + after:
        raise UsageError(
            f"--columns {target}: expected one {{{target}}} in the shape of a cell; found {shape.strip()!r}; "
            f"such as: {target}=COLUMN as */edits/{{{target}}}.png"
        )
    any_of = (r"[\s\S]*".join(map(re.escape, part.split("*"))) for part in (before, after))
    start, end = any_of
    return re.compile(rf"{start}([^/\\]+?){end}")
