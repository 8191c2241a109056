"""The options by which a command reads labels, and the labels that they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from isr.people.label_files import Reading
    from isr.people.labels import Labels

F = TypeVar("F", bound=Callable[..., Any])


def meaning_options(command: F) -> F:
    """``--words``, ``--columns`` and ``--rater-prefix``."""
    prefix = click.option(
        "--rater-prefix", "prefixes", multiple=True, metavar="FILE=PREFIX",
        help="What stands before the raters of one file of several: two servers' user 1 are two people.",
    )  # fmt: skip
    return words_options(prefix(command))


def words_options(command: F) -> F:
    """``--words``, ``--columns`` and ``--key``."""
    key = click.option(
        "--key", type=click.Path(path_type=Path), metavar="FILE",
        help="The key of blinded sheets (isr agree --template). Default: beside them, or above.",
    )  # fmt: skip
    words = click.option(
        "--words", multiple=True, metavar="QUESTION: WORD=fine, ...",
        help='What the raters\' words mean: "semantic: Yes=fine, No=fails; perceptual: ...".',
    )  # fmt: skip
    columns = click.option(
        "--columns", multiple=True, metavar="NAME=COLUMN, ...",
        help='Where a file says what: "edit_id=Input.id, rater=WorkerId, semantic=Answer.shows_it".',
    )  # fmt: skip
    return words(columns(key(command)))


def verdict_options(command: F) -> F:
    """``--judge-words`` and ``--judge-columns``."""
    words = click.option(
        "--judge-words", multiple=True, metavar="QUESTION: WORD=fails, ...",
        help='What a table of verdicts means: "outcome: protected=fails, edited=fine".',
    )  # fmt: skip
    columns = click.option(
        "--judge-columns", multiple=True, metavar="NAME=COLUMN, ...",
        help='Where a table of verdicts says what: "edit_id=file, outcome=verdict".',
    )  # fmt: skip
    return words(columns(command))


def verdicts_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """How tables of verdicts are read, for ``read_source``. Raises ``UsageError``."""
    from isr.people.declared import parse_columns, parse_words

    return {"words": parse_words(options["judge_words"]), "columns": parse_columns(options["judge_columns"])}


def reading_of(options: Mapping[str, Any]) -> Reading:
    """How labels are read, by the options that a command has. Raises ``UsageError``."""
    from isr.people.declared import parse_columns, parse_words
    from isr.people.label_files import Reading, parse_prefixes
    from isr.people.study_file import guideline_version, option_scales

    return Reading(
        scales=option_scales(options.get("scales", ())),
        words=parse_words(options["words"]),
        columns=parse_columns(options["columns"]),
        guideline=guideline_version(options.get("guideline", "")),
        prefixes=parse_prefixes(options.get("prefixes", ())),
        key=options.get("key"),
    )


def labels_of(options: Mapping[str, Any], files: Path | tuple[Path, ...]) -> Labels:
    """The labels in files, read as the options say. Raises ``InputError``, ``UsageError``."""
    from isr.people.label_files import load_labels

    return load_labels(files, reading_of(options))
