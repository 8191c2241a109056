"""A script: scores a directory again and again, killed before the n-th operation on the files of its run, for every n.

Arguments: the edit directory, a folder that holds ``before/``, the options as JSON. For every n the folder is copied to
``n/`` and a child scores into it; the child ends by ``os._exit`` before its n-th operation. Ends with the first n
that a child outlives. Operations are seen by an audit hook: every opening, renaming and removing of a file of the run.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from itertools import count
from pathlib import Path
from typing import Any

import isr
from isr.judging.backends import traits

KILLED = 9


def kill_at(n: int, folder: Path) -> None:
    """Ends this process before the n-th operation on a file in the folder."""
    left = n

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in ("open", "os.rename", "os.remove") or not isinstance(args[0], str | os.PathLike):
            return
        if Path(args[0]).is_relative_to(folder):
            left -= 1
            if left == 0:
                os._exit(KILLED)

    sys.addaudithook(hook)


def main(directory: str, work: Path, options: dict[str, Any]) -> int:
    traits("shapes_oracle")
    if options.get("metrics"):  # loaded once, before the children
        import piq  # noqa: F401
    for n in count(1):
        folder = work / str(n)
        shutil.copytree(work / "before", folder)
        child = os.fork()
        if child == 0:
            kill_at(n, folder)
            isr.score(directory, out=folder, store=work / f"{n}.db", replace=True, **options)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            print(n)
            return 0
        assert code == KILLED, code
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])))
