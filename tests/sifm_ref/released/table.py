"""Prints how near every method is to its released code, and to finite differences where no code is public.

    python -m tests.sifm_ref.released.table

The tests that compare are run, and what they measured is printed: the worst of each kind. The table of docs/immunize.md
is what this printed; a test holds its commits against the recorded numbers.
"""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from sifm_ref.registry import method, names
from tests.sifm_ref.released.figures import FIGURES, released, written
from tests.sifm_ref.released.record import HERE

HEAD = "| method | released code | what is compared, on a tiny editor in float64 | worst difference |"
COMPARING = ("test_released.py", "test_blurguard.py", "test_dct_shield.py", "test_gradients.py")
KINDS = {"loss": "loss {} of it", "1 - cosine": "1 - cosine {}", "change": "pixels {}"}


def rows() -> list[tuple[str, str, str]]:
    """Method, its code with the commit, and what is compared: of every method that has a loss."""
    found = []
    for name in names("methods"):
        if name in written():
            recorder = import_module(f"tests.sifm_ref.released.{name}")
            code = (recorder.__doc__ or "").split("``")[1]
            compared = " ".join((recorder.record.__doc__ or "").replace("``", "`").split()).rstrip(".")
            found.append((name, f"`{code}` {released(name)['commit'][:7]}", compared))
        elif hasattr(method(name).config, "descent"):
            found.append(
                (
                    name,
                    "none",
                    "Gradient on tiny editors of all kinds, against finite differences",
                )
            )
    return found


def result(name: str) -> str:
    """What was measured of a method, in words."""
    found = FIGURES.get(name, {})
    said = [
        text.format(f"{max(found[k], 0.0):.0e}".replace("0e+00", "0"))
        for k, text in KINDS.items()
        if k in found
    ]
    if not said and "finite differences" in found:
        said = [f"{found['finite differences']:.0e} of the largest value"]
    return "; ".join(said) or "not measured"


def main() -> int:
    """Runs the comparisons and prints the table; 1 if one of them failed."""
    folder = HERE.parent
    quiet = ["-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*quiet, *(str(folder / f) for f in COMPARING)])
    print(HEAD)
    print("|---|---|---|---|")
    for name, code_of, compared in rows():
        print(f"| `{name}` | {code_of} | {compared} | {result(name)} |")
    return int(code != 0)


if __name__ == "__main__":
    sys.exit(main())
