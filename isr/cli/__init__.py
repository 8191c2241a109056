"""The command ``isr``: one module here for each of its commands, loaded when it is used.

Installed packages add commands by the entry point group ``isr.commands``: its name is the command's, and it names a
``click.Command``. The package's own commands cannot be replaced.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import traceback
from dataclasses import asdict
from importlib import import_module, metadata, resources
from typing import Any

import click

from isr.cli._command import VERBOSE, CarefulGroup, adopted
from isr.errors import InputError, IsrError, UsageError
from isr.foreign import ForeignCodeError, loaded
from isr.reading import database_advice
from isr.redaction import KeyFilter, without_keys
from isr.version import __version__

ENTRY_POINTS = "isr.commands"
ELSEWHERE = {"tutorial": "of the plug-in isr-shapes; in a checkout of isr: pip install ./examples/isr_shapes"}
"""Commands of plug-ins that the documents name: whoever lacks one is told where it comes from."""


class _Commands(CarefulGroup):
    """Finds commands by the names of the modules in this package, then among those of installed packages."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refused: set[str] = set()

    def list_commands(self, ctx: click.Context) -> list[str]:
        own = self._own()
        outside = {p.name for p in metadata.entry_points(group=ENTRY_POINTS)}
        for name in sorted(outside & set(own)):
            self._refuse(name)
        return sorted({*own, *outside})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        points = metadata.entry_points(group=ENTRY_POINTS, name=cmd_name)
        if cmd_name in self._own():
            if points and not ctx.resilient_parsing:
                self._refuse(cmd_name)
            command: click.Command = import_module(f"{__name__}.{cmd_name}").command
            return adopted(command)
        if points:
            return adopted(_outside(cmd_name, points))
        where = ELSEWHERE.get(cmd_name)
        return (
            _unusable(cmd_name, f"expected a command that is installed; found none: it is {where}")
            if where
            else None
        )

    def _own(self) -> list[str]:
        files = (f.name for f in resources.files(__name__).iterdir())
        return sorted(f[:-3] for f in files if f.endswith(".py") and not f.startswith("_"))

    def _refuse(self, name: str) -> None:
        """Says once that a package's command is refused, since isr has one of that name."""
        if name not in self._refused:
            self._refused.add(name)
            owners = ", ".join(sorted(map(_owner, metadata.entry_points(group=ENTRY_POINTS, name=name))))
            click.echo(
                f"isr: the command {name!r} of {owners} is refused: isr has one of that name, which is used; "
                f"rename it in its package, or uninstall it",
                err=True,
            )


def _owner(point: metadata.EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist else point.value


def _outside(name: str, points: metadata.EntryPoints) -> click.Command:
    """The command of an installed package, or one that says why it cannot be used: it must not spoil the others."""
    owners = sorted({f"{p.value} of {_owner(p)}" for p in points})
    if len(owners) > 1:
        return _unusable(name, f"expected one command of that name; found {', '.join(owners)}")
    try:
        found = loaded(next(iter(points)).load)
    except ForeignCodeError as error:
        return _unusable(name, f"expected a command that can be imported; found {error} ({owners[0]})")
    if not isinstance(found, click.Command):
        return _unusable(name, f"expected a click.Command; found {type(found).__name__} ({owners[0]})")
    return found


def _unusable(name: str, why: str) -> click.Command:
    def refuse(**_: object) -> None:
        fix = "" if name in ELSEWHERE else "; correct or uninstall it"
        raise UsageError(f"isr {name}: {why}{fix}")

    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=refuse, short_help=f"(unusable: {why})", context_settings=anything)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="isr")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Is an image really protected against diffusion editing? Measures the Immunization Success Rate.

    \b
    isr score examples/shapes --judge shapes-oracle
    isr judges
    isr validate my_edits/
    """
    logging.basicConfig(stream=sys.stderr, format="isr: %(message)s", level=logging.ERROR)
    for handler in logging.getLogger().handlers:
        handler.addFilter(KeyFilter())
    logging.getLogger("isr").setLevel(logging.DEBUG if ctx.meta.get(VERBOSE) else logging.INFO)
    ctx.call_on_close(_remove_unpacked)


def _remove_unpacked() -> None:
    """Removes what the command unpacked of bundles, also where it failed."""
    if bundled := sys.modules.get("isr.scoring.bundled"):
        bundled.remove()


def _tell_cause(error: IsrError) -> None:
    """With ``-v``, the traceback of what others' code raised: its author needs the line."""
    if error.__cause__ is not None and logging.getLogger("isr").isEnabledFor(logging.DEBUG):
        click.echo(without_keys("".join(traceback.format_exception(error.__cause__))), err=True, nl=False)


def main() -> None:
    """Runs the command. Errors that the package foresees end with their message and their exit code."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("isr: interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except IsrError as error:
        _tell_cause(error)
        text = str(error)
        click.echo(text if text.startswith("isr ") else f"isr: {text}", err=True)  # or it names its command
        if isinstance(error, InputError) and error.problems and "--json" in sys.argv:
            said = {"error": error.summary, "problems": [asdict(p) for p in error.problems]}
            click.echo(json.dumps(said, indent=1))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("isr: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except sqlite3.Error as error:
        advice = database_advice(error, "check its path, the disk and its permissions")
        click.echo(f"isr: a database of ours: {error}; {advice}", err=True)
        sys.exit(2)
    except OSError as error:
        place = error.filename or "standard output, or a file without a name"
        click.echo(
            f"isr: {place}: {error.strerror or error}; check the path, the disk and its permissions", err=True
        )
        sys.exit(2)
