"""How long it takes to read labels: Label Studio's export of N annotations (default 8,000), and the same as a table.

    python benchmarks/label_import.py 8000 64000

Twice as many take twice as long: no step looks at all labels for each label.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import read_labels, write_labels
from isr.people.labelstudio import export_labels


def labels(count: int) -> Labels:
    """Labels of three raters."""
    return Labels(
        tuple(
            Label(
                edit_id=f"{n // 3:06}", rater=f"rater{n % 3}", semantic=Mark("fails"), perceptual=Mark("fine")
            )
            for n in range(count)
        )
    )


def main() -> None:
    """Prints a line for each size and format."""
    for count in map(int, sys.argv[1:] or ["8000"]):
        made = labels(count)
        with tempfile.TemporaryDirectory() as folder:
            studio, table = Path(folder) / "export.json", Path(folder) / "labels.csv"
            studio.write_text(export_labels(made), "utf-8")
            write_labels(table, made)
            for name, path in (("Label Studio", studio), ("CSV", table)):
                begun = time.perf_counter()
                assert len(read_labels(path).rows) == count
                print(f"{name}: {count:,} labels read in {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main()
