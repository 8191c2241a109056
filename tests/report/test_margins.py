"""What stands in the margins of a printed page is text, whatever the data hold."""

from __future__ import annotations

from pathlib import Path

from isr.report.margins import css_string, margins
from isr.report.runs import read_report_run
from tests.runs import recorded_run


def test_the_margins_of_a_page_hold_texts_of_the_data_as_texts(tmp_path: Path) -> None:
    read = read_report_run(recorded_run(tmp_path, images=2, prompts=1))
    rule = margins('a"} </style><script>alert(1)</script>', [read])
    assert not set("<>") & set(rule)
    assert rule.count('"') == 2 * 5
    assert css_string('a"\\|b') == '"a\\22 \\5c \\7c \\200b b"'
    assert str(read.record["finished_at"])[:10].replace("-", "\\2d ") in rule
