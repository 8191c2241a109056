"""Checks that ``import isr``, ``isr --help`` and what ``isr score`` begins with load none of the heavy packages."""

from __future__ import annotations

import sys

from tests.processes import run

BANNED = (
    "torch",
    "transformers",
    "vllm",
    "diffusers",
    "ray",
    "openai",
    "scipy",
    "matplotlib",
    "pyarrow",
    "fastapi",
    "jinja2",
    "uvicorn",
)
SNIPPETS = {
    "import isr.scoring.run": "import isr.scoring.run",
    "import isr": "import isr",
    "isr --help": "from click.testing import CliRunner; from isr.cli import cli; "
    "r = CliRunner().invoke(cli, ['--help']); assert r.exit_code == 0 and 'score' in r.output, r.output",
}


def loaded_by(snippet: str) -> list[str]:
    """The banned modules that a fresh interpreter has loaded after the snippet."""
    code = f"{snippet}\nimport sys\nprint(*[m for m in {BANNED!r} if m in sys.modules])"
    return run([sys.executable, "-c", code], check=True).stdout.split()


def main() -> int:
    faults = {name: found for name, snippet in SNIPPETS.items() if (found := loaded_by(snippet))}
    for name, found in faults.items():
        print(f"{name} loads {', '.join(found)}: import them inside the functions that need them")
    if not faults:
        print(f"{' and '.join(SNIPPETS)} load none of {', '.join(BANNED)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
