"""A run of the GPU script as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Found = Mapping[str, Any]


def table(whole: Found) -> str:
    """All figures of ``gpu.json``; a part that is not there is left out, a figure that is not is a dash."""
    blocks = [_head(whole)]
    shown = {"machine": _machine, "judge": _judge, "editor": _editor, "world": _world}
    for name, part in whole["parts"].items():
        state = part["state"]
        blocks.append(f"**{name}**: {state} in {part['seconds']:g} s")
        blocks += shown[name](part["found"])
    return "\n\n".join(b for b in blocks if b)


def _head(whole: Found) -> str:
    machine = whole["parts"].get("machine", {}).get("found", {})
    about, versions = machine.get("machine", {}), machine.get("versions", {})
    said = ", ".join(f"{k} {v}" for k, v in versions.items() if v)
    tiny = " Tiny sizes on the CPU: the code runs, the figures mean nothing." if whole["tiny"] else ""
    return f"{about.get('device', 'unknown device')}, Python {about.get('python', '?')}, {said}; {whole['started']}.{tiny}"


def _at(found: Any, path: str) -> str:
    """The figure at ``a/b/c``, or a dash."""
    for key in path.split("/"):
        found = found.get(key) if isinstance(found, Mapping) else None
    if found is None:
        return "-"
    return f"{found:,.4g}" if isinstance(found, int | float) and not isinstance(found, bool) else str(found)


def _grid(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _failures(found: Any, name: str = "") -> list[str]:
    """What failed, with the last line of why."""
    if not isinstance(found, Mapping):
        return []
    if "failed" in found:
        return [f"{name}: {found['failed'].strip().splitlines()[-1]}"]
    return [line for k, v in found.items() for line in _failures(v, f"{name}/{k}".strip("/"))]


def _failed(found: Found) -> str:
    return "\n".join(f"- failed: {line}" for line in _failures(found))


def _machine(found: Found) -> list[str]:
    rows = [
        ["bf16 matrix product, TFLOP/s", _at(found, "matrix/bfloat16/tflops")],
        ["fp32 matrix product, TFLOP/s", _at(found, "matrix/float32/tflops")],
        ["copy, GB/s read and written", _at(found, "copy/gb_per_s")],
    ]
    return [_grid(["limit", "measured"], rows), _failed(found)]


def _judge(found: Found) -> list[str]:
    fields = ("requests_per_s", "prompt_tokens_per_s", "image_tokens_per_s", "share_of_limit", "peak_gib")
    rows = []
    for size, batch in found.get("batches", {}).items():
        for way in ("bare", "isr", "prefill"):
            ratio = _at(batch, "isr_of_bare") if way == "isr" else ""
            rows.append([size, way, *(_at(batch, f"{way}/{f}") for f in fields), ratio])
    head = [
        "batch", "way", "requests/s", "prompt tokens/s", "image tokens/s", "share of matrix limit", "peak GiB",
        "isr / bare",
    ]  # fmt: skip
    made = [
        [name, _at(found, path)]
        for name, path in (
            ("parameters", "parameters/all"),
            ("checkpoint, GB", "checkpoint/gb"),
            ("made, s", "checkpoint/seconds_made"),
            ("saved, s", "checkpoint/seconds_saved"),
            ("loaded by isr, s", "checkpoint/seconds_loaded"),
            ("digest of its files, s", "checkpoint/seconds_digest"),
            ("attention", "attention"),
            ("image processor", "image_processor"),
            ("held to the schema: requests/s", "held_to_schema/requests_per_s"),
            ("held to the schema / in words", "held_to_schema/of_words"),
        )
    ]
    return [_grid(head, rows), _grid(["", ""], made), _at(found, "formula"), _failed(found)]


def _editor(found: Found) -> list[str]:
    rows = []
    precisions = [p for p in ("fp32", "bf16") if p in found]
    names = dict.fromkeys(n for p in precisions for n in found[p] if n not in ("edit", "gradient_norm"))
    for name in names:
        cells = [
            f"{p}/{name}/{f}" for p in precisions for f in ("seconds_a_step", "seconds_a_picture", "peak_gib")
        ]
        rows.append([name, *(_at(found, c) for c in cells)])
    rows.append(
        [f"an edit of {_at(found, 'fp32/edit/steps')} steps"]
        + [
            c
            for p in precisions
            for c in ("", _at(found, f"{p}/edit/seconds"), _at(found, f"{p}/edit/peak_gib"))
        ]
    )
    head = ["", *(f"{p}: {f}" for p in precisions for f in ("s a step", "s a picture", "peak GiB"))]
    both = [[n, _at(g, "cosine"), _at(g, "equal_signs")] for n, g in found.get("gradient", {}).items()]
    return [
        _grid(head, rows),
        _grid(["gradient of bf16 against fp32", "cosine", "equal signs"], both),
        _at(found, "formula"),
        _failed(found),
    ]


def _world(found: Found) -> list[str]:
    judge = "judge_in_words" if "judge_in_words" in found else "judge"
    rows = [
        [
            f"embedded judge: share of equal {name}",
            _at(found, f"{judge}/equal_{name}"),
            _at(found, f"{judge}/verdicts"),
        ]
        for name in ("verdicts", "reasoning")
    ]
    shown = [
        ("an edit", "edit"),
        *((f"a SIFM protection, {n}", f"sifm/{n}") for n in ("as it is", "without TF32")),
    ]
    for name, path in shown:
        rows.append([f"{name}: largest difference, levels", _at(found, f"{path}/largest_difference"), ""])
        rows.append([f"{name}: share of equal samples", _at(found, f"{path}/equal_samples"), ""])
    return [_grid(["the device against the CPU", "", "of"], rows), _failed(found)]
