"""What ``isr immunize`` and ``isr edit`` have in common: reading their options, progress on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from isr.cli._progress import NowAndThen, _duration
from isr.edits.columns import splits
from isr.errors import UsageError
from isr.files import files_below
from isr.text import plain

if TYPE_CHECKING:
    from isr.actors.hands import Hands
    from isr.cli import edit, immunize
    from sifm_ref import editing, immunizing
    from sifm_ref.editor import Editor
    from sifm_ref.registry import Method
    from sifm_ref.units import Prompt

STEP_EVERY_S = 0.2
MAX_DIGITS = 100  # of a whole number on the command line; seeds have up to 20, and their own bound


class Meter:
    """Progress of images or edits: done, rate, time left, memory.

    On a terminal one line that is written over; elsewhere a line now and then. The last line is the final one.
    """

    def __init__(self, what: str, quiet: bool) -> None:
        self._what, self._quiet = what, quiet
        self._tty = sys.stderr.isatty()
        self._lines = NowAndThen()
        self._began = self._drawn = time.monotonic()
        self._open = False  # whether a line on the terminal waits to be written over
        self.fresh = self.there = 0
        self.seconds: list[float] = []
        self.peak = 0

    def stage(self, text: str) -> None:
        """Says what begins."""
        self.close()
        if not self._quiet:
            self._lines.say(text)
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """What happens within one result; shown now and then, and never last."""
        if time.monotonic() - self._drawn > STEP_EVERY_S:
            self._show(text, passing=True)

    def done(self, name: str, number: int, total: int, seconds: float, peak: int, fresh: bool) -> None:
        """One result is there. Images say their time and memory each; ``total`` is this process's."""
        if not fresh:
            self.there += 1
            return
        self.fresh += 1
        self.seconds.append(seconds)
        self.peak = max(self.peak, peak)
        left = sum(self.seconds) / len(self.seconds) * (total - number)
        rate = self.fresh / max(time.monotonic() - self._began, 1e-9)
        text = f"{number}/{total} {name}: {seconds:.1f} s"
        text += f", {peak / 2**30:.2f} GiB" if peak else ""
        text += f"; {rate:.2f} {self._what}/s"
        self._show(f"{text}, {_duration(left)} left" if number < total else text)

    def close(self) -> None:
        """Ends the line that is shown; elsewhere says the last one, if it is not said yet."""
        if self._open:
            click.echo(err=True)
        self._open = False
        self._lines.flush()

    def _show(self, text: str, passing: bool = False) -> None:
        self._drawn = time.monotonic()
        if self._quiet:
            return
        if self._tty:
            self._open = True
            click.echo(f"\r\x1b[Kisr: {plain(text)}", err=True, nl=False)
        else:
            self._lines.now_and_then(text, keep=not passing)


def warn(text: str) -> None:
    """Says on stderr what a user should know, however quiet the command is to be."""
    click.echo(f"isr: warning: {text}", err=True)


@contextmanager
def interruptible(out: Path, meter: Meter) -> Iterator[None]:
    """Says how to go on if the block is interrupted; a request to terminate is an interruption. Ends what ``meter`` shows."""
    import signal

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            f"\nisr: interrupted; what is done is in {out}; go on with the same command and --resume",
            err=True,
        )
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
        meter.close()


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``KEY=VALUE`` texts as a dictionary. Raises ``UsageError``."""
    out = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise UsageError(f"{option} {text}: expected KEY=VALUE")
        out[key] = value
    return out


def _is_whole(text: str) -> bool:
    """Whether ``int`` takes a text: ``isdigit`` says so of a superscript too, and a number of 5000 digits is none here."""
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS


def shard_of(text: str) -> tuple[int, int]:
    """``1/4`` as (1, 4). Raises ``UsageError``."""
    first, sign, second = text.partition("/")
    if not (sign and _is_whole(first) and _is_whole(second) and int(first) < int(second)):
        raise UsageError(f"--shard {text}: expected I/N with I from 0 to N-1, e.g. 0/2 and 1/2")
    return int(first), int(second)


def prompts_in(path: Path) -> tuple[Prompt, ...]:
    """The table of prompts (``isr init`` reads the same)."""
    from isr.edits.prompt_tables import read_prompts
    from sifm_ref.units import Prompt

    return tuple(
        Prompt(r.name, r.prompt, r.columns.get("prompt_id", ""), {k: v for k, v in r.columns.items() if k != "prompt_id"})
        for r in read_prompts(path)
    )  # fmt: skip


def _chosen(prompts: tuple[Prompt, ...], where: Sequence[str]) -> tuple[Prompt, ...]:
    """The prompts whose columns have these values. Raises ``UsageError`` where a condition holds for none."""
    for condition in where:
        column, sign, value = condition.partition("=")
        kept = tuple(p for p in prompts if _cell(p, column) == value)
        if not sign or not kept:
            there = "name, prompt_id, " + ", ".join(dict.fromkeys(c for p in prompts for c in p.columns))
            has = sorted({_cell(p, column) for p in prompts} - {""})
            found = (
                f"values {', '.join(has[:6])}" if has else f"no such column; there are {there.rstrip(', ')}"
            )
            raise UsageError(
                f"--where {condition}: expected COLUMN=VALUE of rows of --prompts; found {found}; correct it"
            )
        prompts = kept
    return prompts


def _cell(prompt: Prompt, column: str) -> str:
    own = {"name": prompt.name, "image": prompt.name, "prompt_id": prompt.id, "prompt": prompt.text}
    return prompt.columns.get(column, "") or own.get(column, "")


def reading(texts: Sequence[Prompt], column: str) -> tuple[Prompt, ...]:
    """The prompts, of which an editor reads ``column`` in place of what judges read. Raises ``UsageError``."""
    without = [t for t in texts if not t.columns.get(column)]
    if without:
        there = ", ".join(dict.fromkeys(c for t in texts for c in t.columns)) or "none"
        there += " (without the option it reads prompt)" if column == "prompt" else ""
        raise UsageError(
            f"--editor-prompt {column}: expected a text in this column of every row of --prompts; found none in {len(without)} of "
            f"{len(texts)} rows, e.g. {without[0].name} ({without[0].text!r}); other columns there: {there}"
        )
    return tuple(replace(t, given=t.columns[column]) for t in texts)


def open_editor(spec: str, sets: Sequence[str], meter: Meter, option: str, **settings: Any) -> Editor:
    """The editor that the options name, with a word on stderr: loading takes a while."""
    from isr.digests import telling

    meter.stage(f"loading {spec}")
    with telling(meter.step):
        return _opens(spec, sets, option, **settings)()


def _opens(spec: str, sets: Sequence[str], option: str = "--set", **settings: Any) -> Callable[[], Editor]:
    """What opens the editor that the options name, here or on another machine."""
    from sifm_ref.editor import Settings
    from sifm_ref.loading import load

    return partial(load, spec, Settings(settings=pairs(sets, option), code=True, **settings))


def list_methods() -> str:
    """Methods with presets, editors and purifiers, as text."""
    from sifm_ref.registry import method, names
    from sifm_ref.registry import module_of as module

    lines = ["methods (--method NAME --preset PRESET):"]
    for name in names("methods"):
        method(name)
        lines.append(f"  {name:22} {', '.join(module('methods', name).PRESETS)}")
    lines.append("editors (--editor NAME, or NAME=CHECKPOINT):")
    for name in names("editors"):
        adapter = module("editors", name).Adapter
        lines.append(f"  {name:22} {adapter.default}")
    lines.append(f"purifiers (isr edit --purifier NAME): {', '.join(names('purifiers'))}")
    return "\n".join(lines) + "\n"


def run(o: immunize.Options, editor: str, out: Path) -> None:
    """``isr immunize`` with its options read: ``editor`` and ``out`` are there."""
    from isr.judging.engines import hands_of
    from sifm_ref.budget import Budget
    from sifm_ref.editor import WhiteBox
    from sifm_ref.immunizing import Job, Step
    from sifm_ref.immunizing import immunize as protect
    from sifm_ref.loading import bound_threads, threads_for, threads_here
    from sifm_ref.pictures import Resize, find_pictures, passed_over
    from sifm_ref.registry import require_torch
    from sifm_ref.units import prompts_for

    require_torch()
    chosen = _method(o)
    budget, size = Budget(o.eps, o.norm), Resize(o.resolution, o.resize)
    pictures = tuple(find_pictures(o.images, out))
    for path in passed_over(o.images, out):
        click.echo(f"isr: {path}: not taken: expected PNG, JPEG, WebP, BMP or TIFF; convert it", err=True)
    names = {p.image_id: p.path.stem for p in pictures}
    if o.where and not o.prompts:
        raise UsageError("--where: expected --prompts, whose rows it chooses; found none; give both")
    texts = prompts_for(_chosen(prompts_in(o.prompts), o.where), names) if o.prompts else {}
    share = shard_of(o.shard)
    if o.batch < 1:
        raise UsageError(f"--batch: expected at least 1; found {o.batch}")
    meter = Meter("images", o.quiet)
    longest = o.resolution if o.resize != "keep" else max(max(p.size) for p in pictures)
    threads = threads_for(longest, os.environ.get("OMP_NUM_THREADS"))
    job = Job(
        images=o.images,
        out=out,
        method=chosen,
        budget=budget,
        seed=o.seed,
        resize=size,
        prompts=texts,
        masks=o.masks,
        batch=o.batch,
        shard=share,
        resume=o.resume,
        pictures=pictures,
    )

    def on_step(step: Step) -> None:
        loss = "" if step.loss is None else f", loss {step.loss:.5g}"
        meter.step(f"step {step.step}{loss}")

    def on_image(done: immunizing.Done) -> None:
        meter.done(
            str(done.row["image_id"]), done.number, done.total, done.seconds, done.peak_bytes, done.fresh
        )

    hands = hands_of(o.engine, o.engine_sets)
    with interruptible(out, meter), hands or nullcontext():
        make, opened = None, cast("Any", None)
        if hands is not None:
            from sifm_ref.far import method_there, protect_there

            meter.stage(f"loading {editor} in actors")
            open_method = partial(_method, o)
            opens = _opens(editor, o.editor_sets, **_surrogate(o))
            opened = method_there(hands, opens, open_method, job, editor, threads or threads_here())
            make = protect_there(hands)
        else:
            bound_threads(threads)
            opened = open_editor(editor, o.editor_sets, meter, "--editor-set", **_surrogate(o))
            if not isinstance(opened, WhiteBox):
                raise UsageError(
                    f"--editor {editor}: expected one whose steps can be differentiated; it only edits"
                )
        meter.stage(
            f"immunizing {len(names)} images with {chosen.name} ({chosen.preset or 'own'}) on {opened.name}"
        )
        there = protect(job, opened, on_image=on_image, on_step=on_step, on_note=warn, make=make)
    _say(out, there, meter, o.as_json, f"isr edit {out} --editor ... --prompts prompts.csv --out edits/")


def _method(o: immunize.Options) -> Method:
    """The method with its preset and what is changed of it."""
    from sifm_ref.registry import method

    settings = pairs(o.sets, "--set")
    settings |= {} if o.steps is None else {"descent.steps": str(o.steps)}
    settings |= {} if o.step_size is None else {"descent.step_size": repr(o.step_size)}
    return method(o.method, o.preset, _applicable(o.method, settings, o.sets), called=o.name)


def _surrogate(o: immunize.Options) -> dict[str, Any]:
    """How the surrogate is loaded."""
    from sifm_ref.editor import Memory

    return {
        "dtype": o.dtype,
        "device": o.device,
        "revision": o.revision,
        "variant": o.variant,
        "memory": Memory(o.timestep_batch, o.checkpoint_activations),
    }


def _applicable(spec: str, settings: dict[str, str], sets: Sequence[str]) -> dict[str, str]:
    """``--steps`` and ``--step-size`` mean nothing to a method without a loop, such as noise."""
    from sifm_ref.registry import method

    if not hasattr(method(spec).config, "descent") and not any(s.startswith("descent.") for s in sets):
        return {k: v for k, v in settings.items() if not k.startswith("descent.")}
    return settings


def run_edit(o: edit.Options) -> None:
    """``isr edit`` with its options read."""
    from isr.digests import telling
    from isr.judging.engines import hands_of
    from sifm_ref.editing import Job
    from sifm_ref.registry import purifier, require_torch
    from sifm_ref.units import check_columns, check_seeds

    require_torch()
    numbers = [s.strip() for s in o.seeds.split(",")]
    if not all(map(_is_whole, numbers)):
        raise UsageError(f"--seeds {o.seeds}: expected whole numbers with commas, e.g. 0,1,2")
    check_seeds(tuple(map(int, numbers)))
    meter = Meter("edits", o.quiet)
    with telling(meter.step):  # a purifier is called after the checkpoint that it loads
        attacks = tuple({(a.text if a else ""): a for a in map(purifier, o.purifiers or ("none",))}.values())
    texts = prompts_in(o.prompts)
    check_columns(texts)  # before an editor is loaded
    texts = reading(texts, o.editor_prompt) if o.editor_prompt else texts
    job = Job(
        directories=o.directories,
        out=o.out,
        prompts=texts,
        seeds=tuple(dict.fromkeys(map(int, numbers))),
        purifiers=attacks,
        shard=shard_of(o.shard),
        resume=o.resume,
        partial=o.partial,
    )

    def on_edit(done: editing.Done) -> None:
        meter.done(str(done.row["edit_id"]), done.number, done.total, done.seconds, 0, done.fresh)

    settings = {
        "dtype": o.dtype,
        "device": o.device,
        "revision": o.revision,
        "variant": o.variant,
        "name": o.name,
    }
    hands = hands_of(o.engine, o.engine_sets)
    with interruptible(o.out, meter), hands or nullcontext():
        there = _edited(o, job, hands, settings, meter, on_edit)
    whole = (o.out / "metadata.jsonl").is_file()
    then = (
        f"isr score {o.out} --judge CARD"
        if whole
        else "the other shards; metadata.jsonl comes with the last edit"
    )
    _say(o.out, there, meter, o.as_json, then)


def _edited(
    o: edit.Options,
    job: editing.Job,
    hands: Hands | None,
    settings: dict[str, Any],
    meter: Meter,
    on_edit: Callable[[editing.Done], None],
) -> int:
    """How many edits there are once all are made, here or by the actors of ``hands``."""
    from sifm_ref.editing import edit as make

    there: editing.Make | None = None
    opened: Any
    if hands is not None:
        from sifm_ref.far import editor_there, edits_there
        from sifm_ref.loading import threads_here

        meter.stage(f"loading {o.editor} in actors")
        opened = editor_there(hands, _opens(o.editor, o.sets, **settings), o.editor, threads_here())
        there = edits_there(hands)
    else:
        opened = open_editor(o.editor, o.sets, meter, "--set", **settings)
    if opened.reads == "caption" and not o.editor_prompt:
        warn(
            f"{opened.name} makes pictures of captions, and is given the prompts that judges read; --editor-prompt COLUMN gives it "
            "a column of captions of the edited pictures"
        )
    meter.stage(f"editing with {opened.name}")
    return make(job, opened, on_edit=on_edit, on_note=warn, make=there)


def _say(out: Path, there: int, meter: Meter, as_json: bool, then: str) -> None:
    for told in splits(path.relative_to(out).as_posix() for path in files_below(out, hidden=False)):
        warn(told)
    mean = sum(meter.seconds) / len(meter.seconds) if meter.seconds else 0.0
    if as_json:
        said = {
            "out": str(out),
            "rows": there,
            "new": meter.fresh,
            "seconds_each": round(mean, 3),
            "peak_bytes": meter.peak,
        }
        click.echo(json.dumps(said, indent=1))
        return
    click.echo(f"{out}: {there} rows, {meter.fresh} new, {mean:.2f} s each; next: {then}")
