"""``isr bench``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isr.cli._command import grouped

if TYPE_CHECKING:
    from isr.bench.progress import Board
    from isr.bench.state import Bench, Findings
    from isr.scoring.run import Watch

_PATH = click.Path(path_type=Path)


@grouped(
    work=("only", "jobs", "allow_code", "dry_run"),
    cost=("budget_usd",),
    output=("out", "as_json"),
)
@click.command(short_help="Run a whole study: immunize, edit, score, compare.")
@click.argument("study", metavar="STUDY.toml", type=_PATH)
@click.option("--out", type=_PATH, help="Folder of the bench. Default: NAME.bench beside the study file.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Worker processes. Default: one for each core, with one thread each; with a GPU one.",
)
@click.option(
    "--only",
    default="",
    metavar="STEPS",
    help="Some steps: images, immunize, edit, score, results; with commas.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print what would be done and what is done already; do nothing."
)
@click.option(
    "--budget-usd", type=click.FloatRange(min=0), metavar="USD", help="Stop before judging costs more."
)
@click.option(
    "--allow-code", is_flag=True, help="Run methods of the study that are files (path.py:function)."
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json, or the plan with --dry-run.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def command(
    study: Path,
    out: Path | None,
    jobs: int | None,
    only: str,
    dry_run: bool,
    budget_usd: float | None,
    allow_code: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the study in STUDY.toml: methods x budgets x surrogates x editors x prompts x purifiers x seeds x judges.

    Everything that is done is kept: the same command goes on after Ctrl-C, a crash or a power cut, and what was
    added to the study joins what is there.

    \b
    Exit codes: 0 done; 2 bad input, nothing was done; 3 some questions got no reply (run again to fill them);
    130 interrupted.

    \b
    isr bench examples/shapes/bench-quick.toml --dry-run
    isr bench examples/shapes/bench-quick.toml
    isr bench study.toml --jobs 8 --budget-usd 20
    isr bench study.toml --only score,results
    """
    from isr.bench.opening import open_bench
    from isr.digests import telling

    show = _Nothing() if quiet else _Lines()
    with telling(show.now_and_then):  # which weights a study means is known by reading them
        bench = open_bench(
            study, out, jobs=jobs or 0, steps=_steps(only), budget_usd=budget_usd, allow_code=allow_code
        )
    if dry_run:
        _print_plan(bench, as_json)
        return
    findings = _run(bench, quiet)
    _print_results(bench, findings, as_json)
    raise SystemExit(bench.record.exit_code)


def _steps(only: str) -> tuple[str, ...]:
    from isr.bench.cells import STEPS
    from isr.errors import UsageError

    wanted = [s.strip() for s in only.split(",") if s.strip()]
    if unknown := [s for s in wanted if s not in STEPS]:
        raise UsageError(f"--only: expected out of {', '.join(STEPS)}; found {', '.join(unknown)}")
    return tuple(s for s in STEPS if s in wanted) if wanted else STEPS


def _run(bench: Bench, quiet: bool) -> Findings | None:
    import signal

    from isr.bench.steps import run

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    show = _Nothing() if quiet else _Bar() if sys.stderr.isatty() else _Lines()
    try:
        findings = run(bench, show)
    except KeyboardInterrupt:
        show.close()
        click.echo(
            f"\nisr: interrupted; what is done is in {bench.out}; the same command goes on with the rest",
            err=True,
        )
        raise SystemExit(130) from None
    finally:
        show.close()
        signal.signal(signal.SIGTERM, before)
    for note in bench.record.notes:
        click.echo(f"isr: {note}", err=True)
    return findings


def _print_plan(bench: Bench, as_json: bool) -> None:
    import json

    from isr.bench.dry_run import plan_dict, plan_lines

    click.echo(json.dumps(plan_dict(bench), indent=1) if as_json else "\n".join(plan_lines(bench)))


def _print_results(bench: Bench, findings: Findings | None, as_json: bool) -> None:
    from isr.bench.results import places
    from isr.reading import read_text

    if findings is None:
        if not as_json:
            click.echo(f"{bench.out}: done: {', '.join(bench.order.steps)}")
        return
    if as_json:
        click.echo(read_text(bench.out / "results.json"), nl=False)
        return
    click.echo(findings.text())
    for place in places(bench.out):
        click.echo(f"written: {place}")


def line(board: Board) -> str:
    """One line: the step, done of all, time left of the whole study, cost."""
    from isr.cli._progress import _duration

    done, total = board.counts(board.step)
    parts = [f"{board.step} {done}/{total}" if total else board.step]
    if board.rate:
        parts.append(f"{board.rate:.2f}/s")
    seconds, unknown = board.seconds_left()
    if seconds:
        parts.append(f"{_duration(seconds)} left" + (" and what is not measured yet" if unknown else ""))
    if board.priced:
        parts.append(f"{board.usd:.3f} USD")
    return ", ".join(parts)


class _Nothing:
    """No progress at all."""

    def say(self, text: str) -> None:
        """Nothing."""

    def now_and_then(self, text: str) -> None:
        """Nothing."""

    def update(self, board: Board) -> None:
        """Nothing."""

    @contextmanager
    def scoring(self, watch: Watch) -> Iterator[None]:
        from isr.cli._progress import interruptible

        interruptible(watch)
        yield

    def close(self) -> None:
        """Nothing."""


class _Lines(_Nothing):
    """For logs: a line when something begins and every quarter of a minute."""

    def __init__(self) -> None:
        from isr.cli._progress import NowAndThen

        self._lines = NowAndThen()

    def say(self, text: str) -> None:
        self._lines.say(text)

    def now_and_then(self, text: str) -> None:
        self._lines.now_and_then(text)

    def update(self, board: Board) -> None:
        self.now_and_then(f"{line(board)}; {board.detail}".rstrip("; "))


class _Bar(_Nothing):
    """For terminals: one bar over all work."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            BarColumn(20),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[line]}", markup=False),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task: Any = self._bar.add_task("", total=None, line="", detail="")

    def say(self, text: str) -> None:
        from rich.markup import escape

        self._bar.console.print(escape(f"isr: {text}"), highlight=False)

    def update(self, board: Board) -> None:
        done, total = board.share()
        self._bar.update(self._task, completed=done, total=total, line=line(board), detail=board.detail[:60])

    def close(self) -> None:
        self._bar.stop()
