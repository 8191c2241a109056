"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from isr.text import plain, rate

if TYPE_CHECKING:
    from isr.judging.progress import Look, Progress
    from isr.scoring.run import Watch

LINE_EVERY_S = 15.0


def line(progress: Progress, seconds: float) -> str:
    """One line: done, rate, retries, undecided, tokens, cost, time left."""
    fresh = progress.answered + progress.failures
    rate = fresh / seconds if seconds > 0 else 0.0
    left = max(progress.total - progress.done, 0)
    parts = [f"{progress.done}/{progress.total}", f"{rate:.1f}/s"]
    if progress.stored:
        parts.append(f"{progress.stored} from the store")
    if progress.retries:
        parts.append(f"{progress.retries} retries")
    undecided = sum(progress.undecided.values())
    if undecided:
        parts.append(f"{undecided} undecided")
    tokens = progress.prompt_tokens + progress.completion_tokens
    if tokens:
        parts.append(f"{tokens:,} tokens")
    if progress.priced:
        parts.append(f"{progress.usd:.3f} USD")
    parts += map(look, progress.looks)
    if rate and left:
        parts.append(f"{_duration(left / rate)} left")
    return ", ".join(parts)


def look(seen: Look) -> str:
    """What the complete first images say of a treatment: ``ISR 71.2% (60.1% to 80.3%) after 32 images``."""
    value = rate(seen.least) if seen.most - seen.least < 1e-9 else f"{rate(seen.least)} to {rate(seen.most)}"
    name = f"{plain(seen.name)}: " if seen.name else ""
    return f"{name}ISR {value} ({rate(seen.low)} to {rate(seen.high)}) after {seen.images} images"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def interruptible(watch: Watch) -> None:
    """Ctrl-C ends the run that is watched once its answers in flight are in; a second one at once. Inside a loop."""
    import asyncio
    import signal

    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if watch.interrupt.is_set():
            raise KeyboardInterrupt
        watch.interrupt.set()
        loop.remove_signal_handler(signal.SIGINT)
        click.echo("isr: stopping; waiting for answers in flight (Ctrl-C again: at once)", err=True)

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, interrupt)


@contextmanager
def watching(watch: Watch, quiet: bool = False) -> Iterator[None]:
    """Shows what ``watch`` sees until the block ends."""
    if quiet:
        yield
        return
    show = _Bar() if sys.stderr.isatty() else _Lines()
    watch.stage = show.stage
    watch.rows = show.rows
    end = threading.Event()
    thread = threading.Thread(target=_loop, args=(show, watch, end), daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        show.close(watch.progress)


def _loop(show: _Bar | _Lines, watch: Watch, end: threading.Event) -> None:
    while not end.wait(0.2):
        show.update(watch.progress)


class _Lines:
    """For logs: a line when a stage begins and every quarter of a minute."""

    def __init__(self) -> None:
        self._stage = ""
        self._rows = 0
        self._began = self._said = time.monotonic()
        self._seconds = 0.0

    def stage(self, text: str) -> None:
        self._stage = text
        self._began = self._said = time.monotonic()
        click.echo(f"isr: {text}", err=True)

    def rows(self, rows: int) -> None:
        self._rows += rows

    def update(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._said >= LINE_EVERY_S:
            self._said = now
            detail = line(progress, now - self._began) if progress.total else f"{self._rows} rows"
            click.echo(f"isr: {self._stage}: {detail}", err=True)
        if self._stage == "judging":
            self._seconds = now - self._began

    def close(self, progress: Progress) -> None:
        if progress.answered or progress.failures:
            click.echo(f"isr: judged {line(progress, self._seconds)}", err=True)


class _Bar:
    """For terminals."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=None, detail="")
        self._rows = 0
        self._began = time.monotonic()

    def stage(self, text: str) -> None:
        self._began = time.monotonic()
        self._bar.update(self._task, description=text, detail="")

    def rows(self, rows: int) -> None:
        self._rows += rows
        self._bar.update(self._task, detail=f"{self._rows} rows")

    def update(self, progress: Progress) -> None:
        if progress.total:
            detail = line(progress, time.monotonic() - self._began)
            self._bar.update(self._task, total=progress.total, completed=progress.done, detail=detail)

    def close(self, progress: Progress) -> None:
        self._bar.stop()
