"""Edit directories, read for the rubrics by which their edits will be judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from isr.edits.directory import EditDirectory, read_settings, settings_of
from isr.edits.directory import load_edits as load_directory
from isr.errors import EditDirectoryError, Problem, RubricError
from isr.judging.rubrics import DEFAULTS, Rubric, is_path, load_pair
from isr.types import Question


def load_edits(
    path: str | Path,
    *,
    rubrics: Sequence[str] | None = None,
    skip_invalid: bool = False,
    cache: Path | None = None,
    on_progress: Callable[[int], None] = lambda rows: None,
) -> EditDirectory:
    """The edits of the directory at ``path``, every file of it read and checked.

    ``rubrics`` decides whether sources are needed (default: those of ``isr.toml``, else semantic/v1 and
    perceptual/v1). Raises ``EditDirectoryError`` with every problem at once; with ``skip_invalid`` the rows
    that have problems are left out and listed in ``skipped``, unless none is left.
    """
    settings, _ = settings_of(Path(path))
    problems = list(_rubric_problems(settings.rubrics))
    pair = load_pair(tuple(rubrics) if rubrics else DEFAULTS if problems else settings.rubrics or DEFAULTS)
    return load_directory(
        path,
        needs_source=any("source" in rubric.images for rubric in pair.values()),
        skip_invalid=skip_invalid,
        cache=cache,
        on_progress=on_progress,
        settings_problems=problems,
    )


def rubrics_of(directory: Path, asked: Sequence[str] = ()) -> dict[Question, Rubric]:
    """The rubrics asked for, else those of the directory's ``isr.toml``, else the default ones.

    Raises ``RubricError``, or ``EditDirectoryError`` for an ``isr.toml`` that says what it must not.
    """
    if asked:
        return load_pair(tuple(asked))
    named = read_settings(directory).rubrics
    if problems := list(_rubric_problems(named)):
        raise EditDirectoryError(f"{directory / 'isr.toml'}: {len(problems)} problem(s)", problems)
    return load_pair(named or DEFAULTS)


def _rubric_problems(names: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with the rubrics that a data directory names: it may choose among the published ones."""
    if any(map(is_path, names)):
        fix = "name a published rubric; a file is given on the command line: --rubric PATH"
        yield Problem("isr.toml", "rubrics", "names of published rubrics", repr(list(names))[:80], fix)
    elif names:
        try:
            load_pair(tuple(names))
        except RubricError as error:
            said = str(error).replace("\n", " ")
            yield Problem("isr.toml", "rubrics", "published rubrics", said, "correct the value")
