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


def line(progress: Progress, seconds: float, final: bool = False) -> str:
    """One line: done, rate, retries, undecided, tokens, cost, time left (of a run that goes on)."""
    fresh = progress.answered + progress.failures
    rate = fresh / seconds if seconds > 0 else 0.0
    left = max(progress.total - progress.done, 0)
    parts = [f"{progress.done}/{progress.total}", f"{rate:.1f}/s"]
    if progress.stored:
        parts.append(f"{progress.stored} from the store")
    if progress.retries:
        parts.append(
            f"{progress.retries} {'retry' if progress.retries == 1 else 'retries'}: {plain(progress.most_failed)}"
        )
    undecided = sum(progress.undecided.values())
    if undecided:
        parts.append(f"{undecided} undecided")
    tokens = progress.prompt_tokens + progress.completion_tokens
    if tokens:
        parts.append(f"{tokens:,} tokens")
    if progress.priced:
        parts.append(f"{progress.usd:.3f} USD")
    parts += map(look, progress.looks)
    if progress.waits and not final:
        parts.append(plain(progress.waits))
    if rate and left and not final:
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
    """Shows what ``watch`` sees until the block ends; the last line is the final one."""
    if quiet:
        yield
        return
    show = _Bar(watch.progress) if sys.stderr.isatty() else _Lines(watch.progress)
    watch.stage = show.stage
    watch.rows = show.rows
    end = threading.Event()
    thread = threading.Thread(target=_loop, args=(show, end), daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        show.close()


def _loop(show: _Lines, end: threading.Event) -> None:
    while not end.wait(0.2):
        show.update()


class NowAndThen:
    """For logs: lines as they are said, and between them one at most every ``LINE_EVERY_S``."""

    def __init__(self) -> None:
        self._said = time.monotonic()
        self._kept = ""

    def say(self, text: str) -> None:
        """A line, whenever the last one was."""
        self._said = time.monotonic()
        self._kept = ""
        click.echo(f"isr: {text}", err=True)

    def now_and_then(self, text: str, *, keep: bool = True) -> None:
        """A line where the last one was long ago; else it is kept for ``flush``, unless it says nothing of the end."""
        if time.monotonic() - self._said >= LINE_EVERY_S:
            kept = "" if keep else self._kept
            self.say(text)
            self._kept = kept
        elif keep:
            self._kept = text

    def flush(self) -> None:
        """Says the line that is kept: the last line is the final one."""
        if self._kept:
            self.say(self._kept)


class _Lines:
    """For logs: a line when a stage begins and every quarter of a minute."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lines = NowAndThen()
        self._stage = ""
        self._rows = self._done = 0
        self._began = time.monotonic()
        self._seconds = 0.0  # of the asking

    def stage(self, text: str) -> None:
        self._measure()
        self._stage = text
        self._began = time.monotonic()
        self._show_stage()

    def rows(self, rows: int) -> None:
        self._rows += rows

    def update(self) -> None:
        self._measure()
        self._show()

    def close(self) -> None:
        """What was judged in all, if anybody was asked."""
        self._measure()
        if self._progress.answered or self._progress.failures:
            self._lines.say(f"judged {line(self._progress, self._seconds, final=True)}")

    def _measure(self) -> None:
        """Seconds are counted to the last request that was settled, whatever stage comes after."""
        if self._progress.done != self._done:
            self._done = self._progress.done
            self._seconds = time.monotonic() - self._began

    def _detail(self) -> str:
        if not self._progress.total:
            return f"{self._rows} rows"
        asking = self._progress.total > self._progress.done
        return line(self._progress, time.monotonic() - self._began) if asking else ""

    def _show_stage(self) -> None:
        self._lines.say(self._stage)

    def _show(self) -> None:
        self._lines.now_and_then(f"{self._stage}: {self._detail()}".rstrip(": "))


class _Bar(_Lines):
    """For terminals."""

    def __init__(self, progress: Progress) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__(progress)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=None, detail="")

    def close(self) -> None:
        self._bar.stop()
        super().close()

    def _show_stage(self) -> None:
        self._bar.update(self._task, description=self._stage, detail="")

    def _show(self) -> None:
        p = self._progress
        self._bar.update(self._task, total=p.total or None, completed=p.done, detail=self._detail())
