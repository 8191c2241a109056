"""Whether a folder of wheels, with what a machine has already, holds all that the project and the wheels need."""

from __future__ import annotations

import argparse
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from email.parser import Parser
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name, parse_wheel_filename

ENVIRONMENT = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.12.3",
    "python_version": "3.12",
    "sys_platform": "linux",
}
EXTRAS = ("transformers", "sifm")


def wheels(folder: Path) -> Iterator[tuple[str, str, list[str]]]:
    """(name, version, requirements) of each wheel."""
    for path in sorted(folder.glob("*.whl")):
        name, version, *_ = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as opened:
            file = next(n for n in opened.namelist() if n.endswith(".dist-info/METADATA"))
            said = Parser().parsestr(opened.read(file).decode())
        yield name, str(version), said.get_all("Requires-Dist") or []


def of_project(path: Path) -> list[str]:
    """What the project itself needs, with the extras that the GPU script uses."""
    project = tomllib.loads(path.read_text("utf-8"))["project"]
    return [*project["dependencies"], *(r for e in EXTRAS for r in project["optional-dependencies"][e])]


def unmet(needs: Iterable[tuple[str, str]], there: Mapping[str, str]) -> list[str]:
    """Requirements, as (who needs it, what), that the packages there (name to version, "" where unknown) do not meet."""
    out = []
    for who, text in needs:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({**ENVIRONMENT, "extra": ""}):
            continue
        name = canonicalize_name(need.name)
        if name not in there:
            out.append(f"{who} needs {text}; found none; add it to PINS")
        elif there[name] and not need.specifier.contains(there[name], prereleases=True):
            out.append(f"{who} needs {text}; found {name} {there[name]}; add another version to PINS")
    return out


def main(argv: list[str] | None = None) -> int:
    """The command; exit code 1 where something is missing, or the wheels are too large."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--most-mb", type=float, required=True)
    parser.add_argument("--present", nargs="*", default=[], help="NAME or NAME==VERSION")
    given = parser.parse_args(argv)
    carried = list(wheels(given.folder))
    there = {canonicalize_name(n): v for n, _, v in (p.partition("==") for p in given.present)}
    there |= {name: version for name, version, _ in carried}
    needs = [("the project", r) for r in of_project(given.project)]
    needs += [(name, r) for name, _, some in carried for r in some]
    missing = unmet(needs, there)
    size = sum(p.stat().st_size for p in given.folder.glob("*.whl")) / 1e6
    if size > given.most_mb:
        missing.append(
            f"{given.folder}: expected at most {given.most_mb:g} MB; found {size:.1f} MB; drop a pin"
        )
    print(*missing, sep="\n", end="\n" if missing else "", file=sys.stderr)
    print(f"{given.folder}: {len(carried)} wheels, {size:.1f} MB, {'incomplete' if missing else 'complete'}")
    return int(bool(missing))


if __name__ == "__main__":
    raise SystemExit(main())
