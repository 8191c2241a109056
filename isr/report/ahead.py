"""Pictures of a run's report, made while its judges are waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from isr.errors import IsrError
from isr.report.assets import Assets
from isr.report.shrinking import Ready, Stopped
from isr.types import Edit


class Ahead:
    """Makes pictures in one thread beside a run, group by group; the report takes what is ``ready`` and makes the rest.

    As a context, it ends the thread. Nothing depends on it but time: what is ready is found by the files it was made of.
    """

    def __init__(self) -> None:
        self.ready: Ready = {}
        self._left = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, root: Path, edits: Iterable[Edit]) -> None:
        """Starts on the pictures of these edits, which ``isr.report.gallery`` shows in this order."""
        assets = Assets(
            page=root, threads=1, batch=1, ready=self.ready, wanted=lambda: not self._left.is_set()
        )
        for edit in edits:
            files = (edit.source, edit.protected, edit.control, edit.edited)
            assets.unit(root, *("" if ref is None else ref.path for ref in files))
        self._thread = threading.Thread(target=self._work, args=(assets,), name="pictures", daemon=True)
        self._thread.start()

    def _work(self, assets: Assets) -> None:
        try:
            _ = assets.made
        except (Stopped, IsrError, OSError):  # the report meets the same, and says it
            return

    def end(self) -> Ready:
        """What is ready, once the picture in hand is done."""
        self._left.set()
        if self._thread is not None:
            self._thread.join()
        return self.ready

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
