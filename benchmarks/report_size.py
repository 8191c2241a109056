"""A report of 10,000 edits: time to write it, its size, first paint and a filter in headless Chromium.

    python benchmarks/report_size.py [--edits 10000]

Needs playwright and Debian's chromium for the last two; says so where they are missing.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

from isr.report.page import Options, write_report
from isr.report.runs import read_report_run
from tests.runs import bind, recorded_run

WORDS = [
    "the",
    "source",
    "shows",
    "a",
    "red",
    "car",
    "in",
    "a",
    "wet",
    "street",
    "the",
    "edit",
    "keeps",
    "sky",
    "houses",
    "and",
    "people",
    "but",
    "paints",
    "a",
    "blurred",
    "patch",
    "over",
    "the",
    "left",
    "door",
    "colour",
    "is",
    "wrong",
    "noise",
    "covers",
    "background",
    "face",
    "is",
    "distorted",
    "hands",
    "are",
    "fused",
    "texture",
    "looks",
    "natural",
    "what",
    "was",
    "asked",
    "for",
    "is",
    "plainly",
    "visible",
    "only",
    "half",
    "of",
    "it",
    "was",
    "changed",
    "nothing",
    "else",
    "was",
    "touched",
    "light",
    "is",
    "softer",
]


def enlarged(run: Path, edits: int, rng: random.Random) -> Path:
    """The run with as many edits as wanted: new names, prompts and reasonings of realistic length."""
    with (run / "edits.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    prompts = [f"make the {rng.choice(WORDS)} {rng.choice(WORDS)} {rng.choice(WORDS)}" for _ in range(200)]
    pattern = next(r for r in rows if r["arm"] == "protected")
    root, out = run.parent / "edits", []
    picture = root / pattern["file_name"]
    for number in range(edits):
        image, prompt = divmod(number, 20)
        new = dict(pattern) | {
            "edit_id": f"image-{image:05}-{prompt:02}",
            "image_id": f"image-{image:05}",
            "prompt": prompts[number % 200],
            "prompt_id": f"prompt-{number % 200}",
            "file_name": f"edits/{image:05}-{prompt:02}.png",
            "source_file_name": f"sources/{image:05}.png",
            "split": rng.choice(["seen", "unseen"]),
            "edit_sha256": f"sha256:{rng.getrandbits(256):064x}",
            "outcome": rng.choice(["immunized", "not_immunized", "not_immunized"]),
        }
        for question in ("semantic", "perceptual"):
            new[f"recorded:{question}"] = rng.choice(["fails", "fine", "fine"])
            new[f"recorded:{question}_reasoning"] = " ".join(rng.choices(WORDS, k=rng.randint(20, 50)))
            new[f"recorded:{question}_score"] = str(rng.randint(0, 4))
        control = new | {
            "arm": "control",
            "file_name": f"controls/{image:05}-{prompt:02}.png",
            "edit_sha256": "",
        }
        control |= dict.fromkeys(("method", "config", "eps", "surrogate"), "") | {"outcome": "not_immunized"}
        out += [new, control]
        for column, row in (("file_name", new), ("source_file_name", new), ("file_name", control)):
            path = root / row[column]
            if not path.exists():
                os.link(picture, path)
    with (run / "edits.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(out)
    return bind(run)


def paint(file: Path) -> tuple[float, float, float] | str:
    """(first contentful paint, gallery ready, slowest of some filters) in milliseconds."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return "no playwright: pip install playwright"
    chromium = shutil.which("chromium")
    if chromium is None:
        return "no chromium: apt-get install chromium"
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        page.goto(file.as_uri(), wait_until="commit")
        page.wait_for_selector("html[data-ready]", timeout=60_000)
        first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        ready = page.evaluate("performance.now()")
        page.evaluate("document.getElementById('gallery').scrollIntoView({behavior: 'instant'})")
        slowest = 0.0
        for element, value in (
            ("f-text", "blurred"),
            ("f-outcome", "0"),
            ("f-verdict", "semantic"),
            ("f-sort", "prompt"),
        ):
            slowest = max(slowest, page.evaluate(_FILTER, [element, value]))
        browser.close()
    return first, ready, slowest


_FILTER = """async ([id, value]) => {
  const element = document.getElementById(id);
  const began = performance.now();
  element.value = value;
  element.dispatchEvent(new Event('input', { bubbles: true }));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  return performance.now() - began;
}"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--edits", type=int, default=10_000)
    edits = parser.parse_args().edits
    with tempfile.TemporaryDirectory() as name:
        run = enlarged(recorded_run(Path(name)), edits, random.Random(0))
        for mode in ("none", "link"):
            began = time.perf_counter()
            file = write_report([read_report_run(run)], run / "report.html", Options(assets=mode))  # type: ignore[arg-type]
            seconds = time.perf_counter() - began
            print(
                json.dumps(
                    {
                        "assets": mode,
                        "edits": edits,
                        "seconds": round(seconds, 1),
                        "MB": round(file.stat().st_size / 1e6, 2),
                    }
                )
            )
        found = paint(file)
        if isinstance(found, str):
            print(found)
        else:
            print(
                json.dumps(
                    dict(
                        zip(
                            ("first_paint_ms", "ready_ms", "slowest_filter_ms"),
                            map(round, found),
                            strict=True,
                        )
                    )
                )
            )


if __name__ == "__main__":
    main()
