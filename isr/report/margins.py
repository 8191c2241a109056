"""What stands in the margins of each printed page: title, date, signature, page number."""

from __future__ import annotations

from collections.abc import Sequence

from isr.report.runs import ReportRun
from isr.text import plain

TITLE = 90  # characters
SIGNATURES = 520  # of all runs together; the whole ones stand under "For the paper"


def margins(title: str, runs: Sequence[ReportRun]) -> str:
    """The ``@page`` rule of a report. Dates are those of the runs, never that of the writing."""
    dates = sorted({str(run.record.get("finished_at") or "")[:10] for run in runs} - {""})
    date = f"finished {dates[0]}" if len(dates) == 1 else f"finished {' to '.join(dates[:: len(dates) - 1])}" if dates else "date not recorded"  # fmt: skip
    said = list(dict.fromkeys(run.result.signature for run in runs))
    most = SIGNATURES // len(said)
    boxes = {
        "top-left": css_string(f"ISR, {_short(title, TITLE)}"),
        "top-right": css_string(date),
        "bottom-left": css_string(" | ".join(_short(one, most) for one in said)),
        "bottom-right": '"page " counter(page) " of " counter(pages)',
    }
    return "@page {" + "".join(f" @{name} {{ content: {text}; }}" for name, text in boxes.items()) + " }\n"


def css_string(text: str) -> str:
    """A text of the data as a string of CSS within a style element: whatever is no plain letter or digit is escaped.

    A line may break behind each ``|``, as a signature has them.
    """
    escaped = (c if c.isascii() and c.isalnum() else f"\\{ord(c):x} " for c in plain(text))
    return '"' + "".join(escaped).replace("\\7c ", "\\7c \\200b ") + '"'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
