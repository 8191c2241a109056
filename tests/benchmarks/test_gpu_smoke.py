"""The GPU script on the CPU: every field is written, and what fails or is cut costs itself only."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_smoke
from benchmarks.gpu import wheels
from benchmarks.gpu.record import Record
from benchmarks.gpu.table import table
from tests.processes import run

ROOT = Path(__file__).resolve().parents[2]
RATES = (
    "seconds", "requests_per_s", "prompt_tokens_per_s", "image_tokens_per_s", "new_tokens", "tflops", "share_of_limit",
    "peak_gib",
)  # fmt: skip
ROWS = (
    "SIFM, one by one", "SIFM, batched", "PhotoGuard-E", "PhotoGuard-D", "PhotoGuard-D, checkpointed", "SA", "SDS",
)  # fmt: skip
METHODS = ("SIFM", "PhotoGuard-E", "PhotoGuard-D", "SA", "SDS")
LEVELS = ("largest_difference", "mean_difference", "equal_samples")
FIELDS = {
    "machine": [
        *(f"machine/{f}" for f in ("device", "python", "processor_cores", "shared_memory_gib")),
        *(f"machine/{f}" for f in ("tf32_of_products", "tf32_of_convolutions")),
        *(f"versions/{f}" for f in ("torch", "transformers", "diffusers", "numpy")),
        *(f"matrix/{t}/{f}" for t in ("bfloat16", "float32") for f in ("side", "seconds", "tflops")),
        *(f"copy/{f}" for f in ("bytes", "seconds", "gb_per_s")),
    ],
    "judge": [
        *("formula", "attention", "image_processor"),
        *(f"checkpoint/{f}" for f in ("folder", "gb", "seconds_made", "seconds_saved", "seconds_loaded")),
        "checkpoint/seconds_digest",
        *(f"parameters/{f}" for f in ("all", "layers", "output", "vision")),
        *(f"batches/{b}/{w}/{f}" for b in (1, 2) for w in ("bare", "isr", "prefill") for f in RATES),
        *(f"batches/{b}/{f}" for b in (1, 2) for f in ("requests", "prompt_tokens", "image_tokens", "isr_of_bare")),
        *(f"batches/{b}/seconds_to_prepare_a_batch" for b in (1, 2)),
        *(f"held_to_schema/{f}" for f in ("batch", "requests_per_s", "new_tokens", "of_words")),
    ],
    "editor": [
        *("formula", "side", "checkpoint/seconds_made_and_saved"),
        *(f"checkpoint/seconds_loaded_{p}" for p in ("fp32", "bf16")),
        *(
            f"{p}/{r}/{f}"
            for p in ("fp32", "bf16")
            for r in ROWS
            for f in ("seconds_a_step", "seconds_a_picture", "seconds_to_first_step", "default_steps", "peak_gib")
        ),
        *(f"{p}/edit/{f}" for p in ("fp32", "bf16") for f in ("steps", "seconds", "peak_gib")),
        *(f"{p}/gradient_norm/{m}" for p in ("fp32", "bf16") for m in METHODS),
        *(f"gradient/{m}/{f}" for m in METHODS for f in ("cosine", "equal_signs")),
    ],
    "world": [
        *(f"judge/{f}" for f in ("verdicts", "equal_verdicts", "equal_reasoning", "decided", "held_to_schema")),
        *(f"judge/{f}" for f in ("seconds_on_cpu", "seconds_on_device")),
        *(f"edit/{f}" for f in LEVELS),
        *("sifm/steps", "sifm/seconds_on_cpu"),
        *(f"sifm/{n}/{f}" for n in ("as it is", "without TF32") for f in ("seconds", "pictures", *LEVELS)),
    ],
}  # fmt: skip


def at(found: Any, path: str) -> Any:
    """The field at ``a/b/c``; ``None`` where there is none."""
    for key in path.split("/"):
        found = found.get(key) if isinstance(found, dict) else None
    return found


@pytest.mark.slow
def test_a_tiny_run_writes_every_field(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="the extra 'sifm' is not installed")
    pytest.importorskip("xgrammar", reason="the extra 'transformers' is not installed")
    script = [ROOT / "benchmarks" / "gpu_smoke.sh", tmp_path / "out", "--tiny"]
    done = run(["bash", *script], env={**os.environ, "PYTHON": sys.executable})
    assert done.returncode == 0, done.stderr[-3000:]
    whole = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert '"failed"' not in json.dumps(whole)
    missing = {
        f"{name}/{path}"
        for name, paths in FIELDS.items()
        for path in paths
        if at(whole["parts"][name]["found"], path) in (None, "")
    }
    assert not missing
    # tiny sizes run on the CPU twice: what is compared is the same
    world = whole["parts"]["world"]["found"]
    assert (world["judge"]["equal_verdicts"], world["edit"]["largest_difference"]) == (1, 0)
    assert all(world["sifm"][n]["equal_samples"] == 1 for n in ("as it is", "without TF32"))
    assert done.stdout.strip() == table(whole).strip()
    assert " - " not in table(whole)  # no figure is missing from the table either


def test_a_part_runs_in_a_process_of_its_own_and_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
    assert gpu_smoke.main([str(tmp_path), "--tiny", "--parts", "machine"]) == 0
    whole = json.loads((tmp_path / "gpu.json").read_text())
    assert whole["parts"]["machine"]["state"] == "done"
    assert not [f for f in FIELDS["machine"] if at(whole["parts"]["machine"]["found"], f) in (None, "")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gpu.json", "gpu.log", "machine.json"]


@pytest.mark.slow
def test_what_a_part_found_before_its_time_was_up_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a part that writes one field and then hangs, in place of this script
    hanging = tmp_path / "hanging.py"
    hanging.write_text(
        "import sys, time\nfrom pathlib import Path\n"
        "(Path(sys.argv[1]) / 'machine.json').write_text('{\"copy\": {\"gb_per_s\": 7}}')\n"
        "print('copy: 7', flush=True)\ntime.sleep(600)\n"
    )
    monkeypatch.setattr(gpu_smoke, "__file__", str(hanging))
    monkeypatch.setattr(gpu_smoke, "LIMITS", {"machine": 10})
    whole = gpu_smoke.run(tmp_path / "out", False, ["machine"])
    assert whole["parts"]["machine"]["state"] == "timed out"
    assert whole["parts"]["machine"]["found"] == {"copy": {"gb_per_s": 7}}
    assert "| copy, GB/s read and written | 7 |" in table(whole)
    assert (tmp_path / "out" / "gpu.log").read_text() == "copy: 7\n"


def test_a_part_that_dies_says_how_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "dying.py"
    dying.write_text("import sys\nsys.exit('no room' if 'judge' in sys.argv else 0)\n")
    monkeypatch.setattr(gpu_smoke, "__file__", str(dying))
    whole = gpu_smoke.run(tmp_path / "out", True, ["judge", "editor"])
    assert [p["state"] for p in whole["parts"].values()] == ["failed: exit code 1: no room", "done"]


def test_a_measurement_that_fails_is_one_field_and_shown(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
    record = Record(tmp_path / "editor.json")

    def work() -> float:
        raise RuntimeError("CUDA error: out of memory")

    assert record.attempt("fp32/SDS", work) is None
    assert record.attempt("bf16/SDS", lambda: {"peak_gib": 2}) == {"peak_gib": 2}
    found = json.loads((tmp_path / "editor.json").read_text())
    assert "CUDA error: out of memory" in found["fp32"]["SDS"]["failed"]
    part = {"state": "done", "seconds": 1.0, "found": found}
    shown = table({"tiny": False, "started": "now", "parts": {"editor": part}})
    assert "- failed: fp32/SDS: RuntimeError: CUDA error: out of memory" in shown
    assert "| SDS | - | - | - | - | - | 2 |" in shown


def test_wheels_that_lack_something_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pip", reason="it reads what wheels need")
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\ndependencies = ["alpha>=2"]\noptional-dependencies = {transformers = ["torch>=2.6"], sifm = []}\n'
    )
    with zipfile.ZipFile(tmp_path / "alpha-2.1-py3-none-any.whl", "w") as wheel:
        needs = ["beta<3", "gamma; python_version < '3.12'", "delta; extra == 'more'"]
        lines = ["Metadata-Version: 2.1", "Name: alpha", *(f"Requires-Dist: {n}" for n in needs)]
        wheel.writestr("alpha-2.1.dist-info/METADATA", "\n".join(lines) + "\n")
    given = [str(tmp_path), "--project", str(project), "--most-mb", "60", "--present"]
    assert wheels.main([*given, "torch==2.11.0", "beta"]) == 0
    assert "1 wheels, 0.0 MB, complete" in capsys.readouterr().out
    assert wheels.main([*given, "torch==2.5.0", "beta==3.1"]) == 1
    said = capsys.readouterr().err
    assert "the project needs torch>=2.6; found torch 2.5.0" in said
    assert "alpha needs beta<3; found beta 3.1" in said
    assert wheels.main([*given, "torch"]) == 1
    assert "alpha needs beta<3; found none; add it to PINS" in capsys.readouterr().err
