"""The command ``isr``: one module here for each of its commands, loaded when it is used."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module, resources

import click

from isr.errors import IsrError
from isr.version import __version__


class _Commands(click.Group):
    """Finds commands by the names of the modules in this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        files = (f.name for f in resources.files(__name__).iterdir())
        return sorted(f[:-3] for f in files if f.endswith(".py") and not f.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="isr")
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr, such as every retry.")
def cli(verbose: bool) -> None:
    """Is an image really protected against diffusion editing? Measures the Immunization Success Rate.

    \b
    isr score examples/shapes --judge shapes-oracle
    isr judges
    isr validate my_edits/
    """
    logging.basicConfig(stream=sys.stderr, format="isr: %(message)s", level=logging.ERROR)
    logging.getLogger("isr").setLevel(logging.DEBUG if verbose else logging.INFO)


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
        click.echo(f"isr: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("isr: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        place = error.filename or "a file"
        click.echo(
            f"isr: {place}: {error.strerror or error}; check the path, the disk and its permissions", err=True
        )
        sys.exit(2)
