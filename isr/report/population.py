"""Of whom an interval speaks, in the words of a methods section and by the run's own settings."""

from __future__ import annotations

from isr.report.runs import ReportRun

INDEPENDENT = ("wilson", "clopper-pearson", "jeffreys")


def population(run: ReportRun) -> str:
    """One to three sentences: new images like these; which prompts, editors, seeds and judge; and what is not spoken of."""
    s = run.settings
    sampled = s.get("prompts", "fixed") == "random"
    prompts = _counted(run, "prompt_id", "prompt")
    made = f"prompts like these {prompts}" if sampled else f"the same {prompts}"
    seeds = _counted(run, "seed", "seed")
    made += f" and the same {seeds}" if seeds != "seed" else ""
    editors = _counted(run, "editor", "editor")
    judge = "panel of judges" if len(run.result.judges) > 1 else "judge"
    whose, say = ("raters", "what a judge") if run.by_people else ("judges", "what people")
    judge = "raters" if run.by_people else judge
    others = f"other editors or {whose}" if sampled else f"other prompts, editors or {whose}"
    if s.get("interval") in INDEPENDENT:
        first = (
            f"The intervals take edits as independent: they speak of new edits with {made} by the same {editors}, judged by the same "
            f"{judge}, and are too narrow for new source images wherever these differ. They do not speak of {others}, nor of "
            f"{say} would say. "
        )
    else:
        first = (
            f"The intervals speak of new source images drawn as these were, edited with {made} by the same {editors} and judged by the "
            f"same {judge}; not of {others}, nor of {say} would say. "
        )
    return (
        first
        + (
            "Every image counts alike, however many edits it has. "
            if s.get("estimand") == "image-mean"
            else ""
        )
        + ("An edit without a source counts as an image of its own. " if _sourceless(run) else "")
    )


def _counted(run: ReportRun, column: str, word: str) -> str:
    """``5 prompts``; of a single one the word alone."""
    count = len({r.get(column, "") for r in run.rows})
    return word if count == 1 else f"{count} {word}s"


def _sourceless(run: ReportRun) -> bool:
    return any("have no source" in note for note in run.result.notes)
