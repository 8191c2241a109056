"""A report of 2,000 hostile edits in headless Chromium: first paint, time until it is ready, and filters, at three widths.

    python -m benchmarks.report_filters [--edits 2000] [--widths 390 1440 3840] [--out DIR]

Prompts hold markup, right-to-left text, emoji and up to 6,000 characters; names are long words; 500 images, 4 methods in 2 editors.
Needs playwright and Debian's chromium. ``--out`` keeps the run and its report.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from isr.report.page import Options, write_report
from isr.report.runs import read_report_run
from tests.runs import bind, recorded_run

HOSTILE = (
    "<script>window.pwned = 1</script> make the <b>sky</b> 'red' & \"blue\"",
    "\u202eשנה את צבע השמים לאדום בבקשה\u202c",
    "make it 🎨 \N{FAMILY} colourful " * 8,
    "unbroken" * 40,
    "make the sky red, and keep everything else as it is. " * 113,  # 6,000 characters
    "=HYPERLINK(\"http://x\")",
    "make the house blue",
)  # fmt: skip
METHODS = ("sifm", "mist", "photoguard", "a-method-with-one-long-name-" * 5)
EDITORS = ("instruct-pix2pix", "FLUX.1 Kontext [dev] with a long name")


def hostile_run(folder: Path, edits: int) -> Path:
    """A finished run of so many protected edits, eight of one image, with their control edits."""
    run = recorded_run(folder)
    rng = random.Random(0)
    with (run / "edits.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pattern = next(r for r in rows if r["arm"] == "protected")
    picture = run.parent / "edits" / pattern["file_name"]
    out = []
    for number in range(edits):
        image, place = divmod(number, len(METHODS) * len(EDITORS))
        prompt = f"{HOSTILE[image % len(HOSTILE)]} {image if image % 3 else ''}"
        new = pattern | {
            "edit_id": f"image-{image:04}-{place}",
            "image_id": f"image-{image:04}",
            "prompt": prompt,
            "prompt_id": f"prompt-{image}",
            "method": METHODS[place % len(METHODS)],
            "editor": EDITORS[place // len(METHODS)],
            "file_name": f"edits/{image}-{place}.png",
            "source_file_name": f"sources/{image}.png",
            "split": rng.choice(["seen", "unseen"]),
            "edit_sha256": f"sha256:{rng.getrandbits(256):064x}",
        }
        fails = {}
        for question in ("semantic", "perceptual"):
            fails[question] = rng.random() < (0.2 + 0.5 * (image % 3 == 0))
            new[f"recorded:{question}"] = "fails" if fails[question] else "fine"
            new[f"recorded:{question}_reasoning"] = HOSTILE[rng.randrange(4)] * rng.randint(1, 3)
            new[f"recorded:{question}_score"] = str(rng.randint(0, 4))
        new["outcome"] = "immunized" if any(fails.values()) else "not_immunized"
        out.append(new)
        if place % len(METHODS) == 0:
            unprotected = dict.fromkeys(("method", "config", "eps", "surrogate"), "")
            control = new | unprotected | {"arm": "control", "file_name": f"controls/{image}-{place}.png"}
            out.append(control)
        for path in (new["file_name"], new["source_file_name"], out[-1]["file_name"]):
            if not (run.parent / "edits" / path).exists():
                os.link(picture, run.parent / "edits" / path)
    with (run / "edits.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(out)
    return bind(run)


FILTERS = (
    ("f-outcome", "0"), ("f-outcome", ""), ("f-verdict", "semantic"), ("f-verdict", ""), ("f-text", "sky"), ("f-text", ""),
    ("f-editor", EDITORS[0]), ("f-editor", ""), ("f-split", "seen"), ("f-split", ""), ("f-sort", "prompt"), ("f-sort", ""),
)  # fmt: skip
FILTER = """async ([id, value]) => {
  const element = document.getElementById(id);
  const began = performance.now();
  element.value = value;
  element.dispatchEvent(new Event('input', { bubbles: true }));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  return performance.now() - began;
}"""

FIRST_PAINT = """new Promise((done) => new PerformanceObserver((list) =>
  list.getEntriesByName('first-contentful-paint').forEach((e) => done(e.startTime))).observe({ type: 'paint', buffered: true }))"""


def measured(file: Path, width: int, driver: Any, chromium: str) -> dict[str, Any]:
    """First contentful paint, the moment from which the gallery answers, and filters, in milliseconds."""
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    browser = driver.chromium.launch(executable_path=chromium, args=flags)
    page = browser.new_page(viewport={"width": width, "height": 2160 if width > 2000 else 900})
    page.goto(file.as_uri(), wait_until="commit")
    page.wait_for_selector("html[data-ready]", timeout=600_000)
    ready = page.evaluate("performance.now()")
    first = page.evaluate(FIRST_PAINT)
    page.evaluate("document.getElementById('gallery').scrollIntoView({behavior: 'instant'})")
    times = [page.evaluate(FILTER, list(step)) for _ in range(3) for step in FILTERS]
    nodes = page.evaluate("document.querySelectorAll('*').length")
    wide = page.evaluate("document.documentElement.scrollWidth")
    pwned = page.evaluate("window.pwned !== undefined")
    browser.close()
    return {
        "width": width,
        "first_paint_ms": round(first),
        "ready_ms": round(ready),
        "median_filter_ms": round(statistics.median(times)),
        "slowest_filter_ms": round(max(times)),
        "nodes": nodes,
        "sideways": wide > width,
        "script_of_the_data_ran": pwned,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--edits", type=int, default=2_000)
    parser.add_argument("--widths", type=int, nargs="+", default=[390, 1440, 3840])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        raise SystemExit("no playwright: pip install playwright") from None
    if chromium is None:
        raise SystemExit("no chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name:
        folder = given.out or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        run = hostile_run(folder, given.edits)
        file = write_report([read_report_run(run)], run / "report.html", Options(assets="link"))
        print(json.dumps({"edits": given.edits, "MB": round(file.stat().st_size / 1e6, 2)}))
        with sync_playwright() as driver:
            for width in given.widths:
                print(json.dumps(measured(file, width, driver, chromium)))


if __name__ == "__main__":
    main()
