"""What every command does alike, its own package's and those of others: options given once, ``-q``, ``-v``, groups of options.

``adopted`` makes a command one of these; the group ``isr`` adopts each that it finds, and a group those in it.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import click

from isr.redaction import without_keys
from isr.text import did_you_mean

QUIET = "isr.quiet"
VERBOSE = "isr.verbose"
C = TypeVar("C", bound=click.Command)

INSTEAD = {
    ("score", "judge"): "several judges with one verdict are a panel, which is a card (docs/judges.md)",
    ("score", "by"): "several columns stand in one --by, with commas",
    ("compare", "by"): "several columns stand in one --by, with commas",
    ("agree", "by"): "several columns stand in one --by, with commas",
    ("edit", "seeds"): "several seeds stand in one --seeds, with commas",
    ("bench", "only"): "several steps stand in one --only, with commas",
}
"""What takes several values where an option takes one: by command and parameter."""


def adopted(command: click.Command) -> click.Command:
    """The command, made one that ``Careful`` describes; a group's commands are adopted as they are found."""
    if not isinstance(command, Careful):
        command.__class__ = _careful(type(command))
        for option in command.params:
            if isinstance(option, click.Option) and "--quiet" in option.opts and _free(command, "-q"):
                option.opts.append("-q")
    return command


def grouped(**groups: Sequence[str]) -> Callable[[C], C]:
    """Puts a command's options under headings in its help: ``output=("out", "as_json")``. What is named nowhere comes last."""

    def named(command: C) -> C:
        command.option_groups = groups  # type: ignore[attr-defined]
        return command

    return named


class Careful(click.Command):
    """A command that takes ``-q`` and ``-v``, refuses an option of one value that is given twice, and groups its help."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        taken = {word for p in params for word in (*p.opts, *p.secondary_opts)}
        common = [o for o in (_quiet(), _verbose()) if not taken & set(o.opts)]
        if self.get_help_option(ctx) in params[-1:]:
            return [*params[:-1], *common, params[-1]]
        return [*params, *common]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            self._refuse_repeats(ctx, args)
        rest = super().parse_args(ctx, args)
        if "quiet" in ctx.params:
            ctx.params["quiet"] = ctx.meta[QUIET] = bool(ctx.params["quiet"] or ctx.meta.get(QUIET))
        return rest

    def _refuse_repeats(self, ctx: click.Context, args: list[str]) -> None:
        """Reads the arguments once with every option taking several values: click keeps the last one and says nothing."""
        single = {p.name: p for p in self.get_params(ctx) if is_single(p)}
        counting = click.Command(
            self.name, params=[_many(p) for p in self.get_params(ctx)], add_help_option=False
        )
        given, _, _ = counting.make_parser(ctx).parse_args(list(args))
        for name, option in single.items():
            values = given.get(name)
            if isinstance(values, list) and len(values) > 1:
                raise click.BadOptionUsage(option.opts[0], _twice(ctx.info_name, option, values), ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups = getattr(self, "option_groups", {})
        options = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        records = {p.name or "": r for p in options if (r := p.get_help_record(ctx))}
        for heading, rows in _sections(groups, records):
            with formatter.section(heading):
                formatter.write_dl(rows)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


class CarefulGroup(Careful, click.Group):
    """A group whose commands are careful, and which knows the nearest names of one that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name[:1] not in ("", "-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            otherwise = f"{ctx.command_path} --help lists all"
            raise click.UsageError(
                f"expected a command; found {without_keys(name)!r}; {did_you_mean(name, known, otherwise)}",
                ctx,
            )
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        return None if found is None else adopted(found)


def is_single(param: click.Parameter) -> bool:
    """Whether a parameter is an option that takes one value: no flag, no counter, and none that may be repeated."""
    return isinstance(param, click.Option) and not (param.multiple or param.is_flag or param.count)


def _careful(kind: type[click.Command]) -> type[click.Command]:
    base = CarefulGroup if issubclass(kind, click.Group) else Careful
    return base if kind in (click.Command, click.Group) else type(kind.__name__, (base, kind), {})


def _free(command: click.Command, word: str) -> bool:
    return not any(word in (*p.opts, *p.secondary_opts) for p in command.params)


def _many(param: click.Parameter) -> click.Parameter:
    if not is_single(param):
        return param
    several = copy.copy(param)
    several.multiple = True
    return several


def _twice(command: str | None, option: click.Parameter, values: Sequence[Any]) -> str:
    word = max(option.opts, key=len)
    shown = [without_keys(" ".join(v) if isinstance(v, tuple) else str(v)) for v in values]
    found = " and ".join(f"{v!r}" for v in shown[:3]) + (f" and {len(shown) - 3} more" if shown[3:] else "")
    other = INSTEAD.get((command or "", option.name or ""), "")
    return f"{word}: expected one value; found {found}; give it once{f'; {other}' if other else ''}"


def _sections(
    groups: Mapping[str, Sequence[str]], records: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    named = {name for names in groups.values() for name in names}
    for heading, names in groups.items():
        if rows := [records[n] for n in names if n in records]:
            yield f"{heading.replace('_', ' ').capitalize()} options", rows
    if rows := [record for name, record in records.items() if name not in named]:
        yield "Other options" if groups else "Options", rows


@cache
def _quiet() -> click.Option:
    def hush(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            ctx.meta[QUIET] = True

    return click.Option(
        ["-q", "--quiet"], is_flag=True, expose_value=False, callback=hush, help="No progress on stderr."
    )


@cache
def _verbose() -> click.Option:
    def louder(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            ctx.meta[VERBOSE] = True
            logging.getLogger("isr").setLevel(logging.DEBUG)

    return click.Option(
        ["-v", "--verbose"], is_flag=True, expose_value=False, callback=louder,
        help="Say more on stderr, such as every retry.",
    )  # fmt: skip
