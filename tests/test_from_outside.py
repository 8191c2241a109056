"""A judge, a rubric, a metric and a command of other people, used together as a user types it; no file of isr changes.

The distributions are those of ``docs/extending.md``, installed in a folder of their own.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests import extending, messages_server
from tests.directories import make_directory
from tests.processes import CompletedProcess, run

ROOT = Path(__file__).resolve().parents[1]
KEY = "sk-outside/0123456789+abcdefgh"

pytest.importorskip("piq", reason="needs isr-eval[metrics]")


def test_everything_from_outside_works_together(tmp_path: Path) -> None:
    site, before = tmp_path / "site", package_files()
    for distribution in ("my-messages", "my-rubrics", "my-metrics", "my-commands"):
        extending.install(site, distribution)
    make_directory(tmp_path / "e", images=2, prompts=1, size=64)

    def isr(*arguments: object, plugins: bool = True) -> CompletedProcess[str]:
        path = os.pathsep.join([str(site), str(ROOT)] if plugins else [str(ROOT)])
        more = {"PYTHONPATH": path, "ISR_CONFIG": str(tmp_path / "config.toml"), "MESSAGES_API_KEY": KEY}
        more["TORCH_HOME"] = str(
            tmp_path / "torch"
        )  # no weights here, and no network for them: LPIPS is absent
        more |= dict.fromkeys(
            ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"
        )
        return run(
            [sys.executable, "-m", "isr", *arguments], cwd=tmp_path, env={**os.environ, **more}, check=True
        )

    with messages_server.serving() as server:
        card = site / "my_messages" / "my-messages.toml"
        card.write_text(
            card.read_text("utf-8").replace("https://api.messages.example/v1", server.url), "utf-8"
        )
        isr("judges", "allow", "127.0.0.1", "MESSAGES_API_KEY")
        judging = ["--judge", "my-messages", "--rubric", "short/v1", "--rubric", "perceptual/v1"]
        isr("score", "e", *judging, "--metrics", "--out", "out", "--budget-usd", "1")
        asked = len(server.bodies)
        isr("bundle", "out", "--data", "e", "--out", "run.zip")
        verified = isr("verify", "run.zip", plugins=False).stdout
        assert len(server.bodies) == asked == 8  # 2 edits and 2 controls x 2 questions
    result = json.loads(next((tmp_path / "out").rglob("result.json")).read_text("utf-8"))
    (judge,) = result["judges"]
    assert judge["plugin"] == {"distribution": "my-messages", "answers": "1"}
    assert "semantic=short/v1:sha256:" in result["signature"]
    (measured,) = (json.loads(p.read_text("utf-8")) for p in (tmp_path / "out").rglob("metrics.json"))
    assert "edit:mean_difference" in measured["treatments"][0]["metrics"]
    assert isr("tables", tmp_path / "out").stdout == f"tables of {tmp_path / 'out'}\n"
    assert "rubric short/v1: this version of the package does not hold it" in verified
    assert "the backend 'my_messages' is not installed here" in verified
    assert package_files() == before


def package_files() -> dict[str, int]:
    """The size of every source file of the package."""
    return {str(p): p.stat().st_size for p in (ROOT / "isr").rglob("*") if p.suffix in (".py", ".toml")}
