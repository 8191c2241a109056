"""A report with its pictures: time to write it, its size, and where the time goes.

    python -m benchmarks.report_speed [--sources 100] [--prompts 2] [--size 512] [--format png|jpeg]

Makes pictures with the spectrum of photographs in a temporary folder (source, protected, control edit, edit with some noise),
scores them with recorded answers, and writes the report. `write` is the wall time of `write_report` as it is called by
`isr score`, once the package is imported; `without_pictures` that of the same report without them; `decode` the wall time to
decode each file once in as many threads; `cpu` the processor time of `write`, the lower bound being `cpu` over the processors.

The second line is a whole `isr score` from the shell against a local server that answers after ``--latency`` seconds, 20 requests
in flight: `judging_s` as the run says it, and `report_s` from the moment when the result lies there to the moment when its report does.
Pictures are made while the judge is waited for, so that little is left to do then.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.score_overhead import card
from isr.edits.pictures import MEANINGS
from isr.image_file import decode, read_file
from isr.report.page import Options, write_report
from isr.report.runs import read_report_run
from tests.runs import recorded_run


class Photographs:
    """Pictures that compress as photographs do: fields with the spectrum of natural scenes, shifted and mixed."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.random, self.size = np.random.default_rng(seed), size
        rows, columns = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
        falloff = np.hypot(rows, columns)
        falloff[0, 0] = 1
        noise = self.random.standard_normal((8, size, size))
        fields = np.fft.irfft2(np.fft.rfft2(noise) / falloff**1.4, (size, size))
        self.fields = (fields / fields.std(axis=(1, 2), keepdims=True)).astype(np.float32)

    def scene(self) -> NDArray[np.float32]:
        """A picture nobody has seen, (size, size, 3) in 0 to 255; with the grain of a camera."""
        shifts = self.random.integers(0, self.size, (4, 2))
        parts = [np.roll(self.fields[self.random.integers(8)], (int(y), int(x)), (0, 1)) for y, x in shifts]
        colours = np.stack([0.9 * parts[0] + 0.3 * part for part in parts[1:]], axis=-1)
        return 120 + 45 * colours + self.noise(3)

    def noise(self, sd: float) -> NDArray[np.float32]:
        return sd * self.random.standard_normal((self.size, self.size, 3), np.float32)


def save(pixels: NDArray[np.float32], path: Path, kind: str) -> None:
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, kind, **({"compress_level": 4} if kind == "png" else {"quality": 95}))


def paint(root: Path, rows: list[dict[str, Any]], size: int, kind: str) -> None:
    """Replaces the pictures of the rows, and gives them protected images."""
    photographs, sources = Photographs(size), {}
    for row in rows:
        name = str(row["image_id"])
        if name not in sources:
            sources[name] = photographs.scene()
            save(sources[name], root / row["source_file_name"], kind)
            save(sources[name] + photographs.noise(4), root / f"protected/{name}.png", kind)
        row["protected_file_name"] = f"protected/{name}.png"
        control, other = sources[name].copy(), photographs.scene()
        y, x = photographs.random.integers(0, size // 2, 2)
        here = slice(y, y + size // 2), slice(x, x + size // 2)
        control[here] = other[here]
        save(control + photographs.noise(2), root / row["control_file_name"], kind)
        save(control + photographs.noise(12), root / row["file_name"], kind)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(run: Path) -> Iterator[tuple[str, object]]:
    files = [p for p in sorted((run.parent / "edits").glob("*/*")) if p.is_file()]
    yield "pictures", len(files)
    yield "MB_of_files", round(sum(f.stat().st_size for f in files) / 1e6, 1)
    out = run / "report.html"
    bare, _ = timed(lambda: write_report([read_report_run(run)], out, Options(assets="none")))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoding, decoding_cpu = timed(
            lambda: [None for _ in pool.map(lambda f: decode(read_file(f)).size, files)]
        )
    wall, cpu = timed(lambda: write_report([read_report_run(run)], out))
    text = out.read_text("utf-8")
    yield "write_s", round(wall, 2)
    yield "cpu_s", round(cpu, 2)
    yield "MB", round(out.stat().st_size / 1e6, 2)
    yield "without_pictures_s", round(bare, 2)
    yield "decode_s", round(decoding, 2)
    yield "decode_cpu_s", round(decoding_cpu, 2)
    yield "processors", os.cpu_count()
    yield "embedded", text.count("data:image/jpeg") + text.count("data:image/png")
    yield "parts", text.count("data:image/webp")


def judged(root: Path, latency: float) -> dict[str, object]:
    """A run of `isr score` with its report, in a process of its own."""
    server = [
        sys.executable,
        "-m",
        "benchmarks.score_overhead",
        "--contender",
        "serve",
        "--latency",
        str(latency),
    ]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        try:
            judge = card(root.parent, int(serving.stdout.readline()))
            out = root.parent / "judged"
            began = time.perf_counter()
            accept = [word for meaning in MEANINGS for word in ("--accept", meaning)]
            command = [
                sys.executable,
                "-m",
                "isr",
                "score",
                str(root),
                "--judge",
                str(judge),
                "--out",
                str(out),
                *accept,
                "--quiet",
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            whole = time.perf_counter() - began
        finally:
            serving.kill()
    record = json.loads((out / "run.json").read_text())
    report = (out / "report.html").stat()
    return {
        "latency_s": latency,
        "requests": record["progress"]["answered"] if "progress" in record else None,
        "whole_s": round(whole, 2),
        "judging_s": round(record["seconds"]["judging"], 2),
        "report_s": round(report.st_mtime - (out / "result.json").stat().st_mtime, 2),
        "MB": round(report.st_size / 1e6, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sources", type=int, default=100)
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--format", choices=["png", "jpeg"], default="png")
    parser.add_argument("--latency", type=float, default=0.05)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "edits"
        run = recorded_run(
            Path(name),
            images=given.sources,
            prompts=given.prompts,
            change=lambda rows: paint(root, rows, given.size, given.format),
            accept=tuple(MEANINGS),
        )
        print(json.dumps(dict(measure(run))), flush=True)
        print(json.dumps(judged(root, given.latency)))


if __name__ == "__main__":
    main()
