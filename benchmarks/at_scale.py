"""What so many edits take, by arithmetic from a dry run of a few: tokens, money, GPU hours, bytes; and which of them ends first.

    python -m benchmarks.at_scale [--edits 10000000] [--side 512]

Tokens and prices are those that `isr score --dry-run` gives for 20 edits with the spectrum of photographs (no control edits: with
them everything doubles). GPU hours are a lower bound by arithmetic: 2 FLOP for each weight and token (Kaplan et al., 2020, eq. 2.2)
at ``--utilisation`` of a card's dense bf16 peak. Nothing here was measured on a GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.score_overhead import make_directory

HOSTED = ("gpt-4.1", "gemini-2.5-flash", "gemini-3.5-flash-lite")
OPEN = {
    "qwen2.5-vl-7b": 8.29,
    "qwen2.5-vl-72b": 73.4,
}  # billions of weights, with the vision tower, as their cards say
PEAK = 989e12  # FLOP/s of an H100 SXM, bf16, dense (NVIDIA's data sheet)
ANSWER = 80  # tokens of a short answer
PAIRS = 20


def dry(root: Path, judge: str, *more: str) -> dict[str, float]:
    """What the dry run says of one request."""
    command = [
        sys.executable,
        "-m",
        "isr",
        "score",
        str(root),
        "--judge",
        judge,
        "--dry-run",
        "--json",
        *more,
    ]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]
    requests = said["requests"]
    found = {"text": said["text_tokens"], "images": said["image_tokens"], "usd": said["usd_low"]}
    found |= (
        {"bytes": said["batch"]["request_bytes"] * requests, "batch_usd": said["batch"]["usd_low"]}
        if "batch" in said
        else {}
    )
    return {name: value / requests for name, value in found.items() if value is not None}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", type=int, default=10_000_000)
    parser.add_argument("--utilisation", type=float, default=0.4)
    given = parser.parse_args()
    requests = 2 * given.edits
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "edits"
        make_directory(root, PAIRS)
        files = list(root.glob("*/*.png"))
        picture = sum(f.stat().st_size for f in files) / len(files)
        print(
            f"{given.edits:,} edits, {requests:,} requests, pictures of {picture / 1e3:.0f} kB (512 px PNG)"
        )
        print(
            f"pictures on disk: {2 * given.edits * picture / 1e12:.1f} TB where each edit has a source of its own"
        )
        print("| hosted judge | G tokens in | USD | USD in batches | TB sent |\n|---|---|---|---|---|")
        sent = dry(root, "gpt-4.1", "--engine", "openai-batch")
        for judge in HOSTED:
            one = sent if judge == "gpt-4.1" else dry(root, judge)
            tokens = (one["text"] + one["images"]) * requests / 1e9
            batch = f"{one['batch_usd'] * requests:,.0f}" if "batch_usd" in one else ""
            print(
                f"| {judge} | {tokens:.1f} | {one['usd'] * requests:,.0f} | {batch} | {sent['bytes'] * requests / 1e12:.1f} |"
            )
        print(
            "\n| open judge | weights, billions | G tokens in | requests/s a GPU | GPU hours |\n|---|---|---|---|---|"
        )
        for judge, weights in OPEN.items():
            one = dry(root, judge)
            tokens = one["text"] + one["images"] + ANSWER
            rate = given.utilisation * PEAK / (2 * weights * 1e9 * tokens)
            print(
                f"| {judge} | {weights} | {tokens * requests / 1e9:.1f} | {rate:.1f} | {requests / rate / 3600:,.0f} |"
            )


if __name__ == "__main__":
    main()
