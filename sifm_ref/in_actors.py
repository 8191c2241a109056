"""What makes pictures inside an actor: pictures come as bytes, and the files that a run would write go back as bytes.

The work is that of ``isr immunize`` and ``isr edit`` itself, in a folder that lasts as long as one task.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isr.errors import TransportError, UsageError
from isr.files import files_below
from isr.reading import read_bytes
from isr.version import __version__
from sifm_ref import editing, immunizing
from sifm_ref.editor import WhiteBox
from sifm_ref.failures import first_line, is_out_of_memory
from sifm_ref.loading import bound_threads
from sifm_ref.pictures import Picture, write_whole
from sifm_ref.prompt_length import told, untold
from sifm_ref.records import device_of
from sifm_ref.units import Unit, key_of

if TYPE_CHECKING:
    from sifm_ref.editor import Editor
    from sifm_ref.registry import Method

Files = Mapping[str, bytes]  # by their paths below an output folder
Made = tuple[dict[str, Any], float, int]  # row, seconds, peak of memory


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a run knows of the editor that its actors hold; the same in all of them."""

    name: str
    checkpoint: str
    identity: Mapping[str, Any]
    settings: Mapping[str, Any]
    multiple: int
    masked: bool
    reads: str
    white_box: bool
    device_said: str
    version: str = __version__


@dataclass(frozen=True)
class Shipped:
    """A photograph on its way: its name everywhere, its file's name and bytes, and its mask's bytes."""

    image_id: str
    name: str
    size: tuple[int, int]
    data: bytes
    mask: bytes | None


class HeldEditor:
    """An editor in an actor. open_editor: opens it here. threads: of torch; 0: its own choice."""

    def __init__(self, open_editor: Callable[[], Editor], threads: int = 0) -> None:
        bound_threads(threads)
        self._editor = open_editor()

    def facts(self) -> Facts:
        """What tells this editor apart from another one."""
        e = self._editor
        return Facts(
            name=e.name,
            checkpoint=e.checkpoint,
            identity=dict(e.identity),
            settings=dict(e.settings),
            multiple=e.multiple,
            masked=e.masked,
            reads=e.reads,
            white_box=isinstance(e, WhiteBox),
            device_said=device_of(e),
        )

    def told(self, texts: Mapping[str, str]) -> tuple[dict[str, str], str]:
        """``prompt_length.told`` of this editor."""
        return told(self._editor, texts)

    def edit(
        self,
        unit: Unit,
        source: bytes,
        mask: bytes | None,
        treated: Sequence[tuple[str, bytes, Mapping[str, Any]]],
        there: Files,
        ends: Mapping[str, str],
    ) -> tuple[list[tuple[dict[str, Any], float]], Files]:
        """(row, seconds) of each picture of a unit, and the files. treated: (file name, bytes, row) of each.

        there: files of the run that need not be made again.
        """
        with _folder(there) as (given, out), _short_of_memory():
            paths = [given / str(i) / name for i, (name, _, _) in enumerate(treated)]
            for path, (_, data, _) in zip(paths, treated, strict=True):
                write_whole(path, data)
            write_whole(given / "source.png", source)
            if mask is not None:
                write_whole(given / "mask.png", mask)
            here = replace(
                unit, source=given / "source.png", mask=None if mask is None else given / "mask.png",
                treated=tuple((p, row) for p, (_, _, row) in zip(paths, treated, strict=True)),
            )  # fmt: skip
            making = editing.Making(out, self._editor, device_of(self._editor), ends)
            rows = []
            for path, before in here.treated:
                with untold(self._editor):
                    rows.append(editing.timed_edit(here, path, before, key_of(here, before), making))
            return rows, _files(out, there)


class HeldMethod(HeldEditor):
    """A method in an actor, with the editor that it is optimised on. job: of the run; folders and pictures in it are not used."""

    def __init__(
        self,
        open_editor: Callable[[], Editor],
        open_method: Callable[[], Method],
        job: Mapping[str, Any],
        threads: int = 0,
    ) -> None:
        super().__init__(open_editor, threads)
        if not isinstance(self._editor, WhiteBox):
            raise UsageError(
                f"editor {self._editor.name}: expected one whose steps can be differentiated; it only edits"
            )
        self._job = {**job, "method": open_method()}

    def protect(self, batch: Sequence[Shipped], waiting: Collection[str]) -> tuple[list[Made], Files]:
        """What those of a batch that are ``waiting`` became, and the files."""
        assert isinstance(self._editor, WhiteBox)
        with _folder({}) as (given, out), _short_of_memory():
            pictures, masks = [], {}
            for number, one in enumerate(batch):
                pictures.append(Picture(one.image_id, given / str(number) / one.name, one.size))
                write_whole(pictures[-1].path, one.data)
                if one.mask is not None:
                    masks[one.image_id] = given / f"{number}-mask.png"
                    write_whole(masks[one.image_id], one.mask)
            job = immunizing.Job(images=given, out=out, **self._job)
            by = immunizing.Protecting(job, self._editor, masks, device_of(self._editor))
            some = [p for p in pictures if p.image_id in waiting]
            return immunizing.protect(pictures, some, by, lambda step: None), _files(out, {})


@contextmanager
def _folder(there: Files) -> Iterator[tuple[Path, Path]]:
    """(what was given, what is made), the second with files that are there already."""
    with tempfile.TemporaryDirectory(prefix="isr-") as folder:
        out = Path(folder, "out")
        for name, data in there.items():
            write_whole(out / name, data)
        yield Path(folder, "given"), out


def _files(out: Path, without: Files) -> Files:
    found = {p.relative_to(out).as_posix(): read_bytes(p) for p in files_below(out)}
    return {name: data for name, data in found.items() if without.get(name) != data}


@contextmanager
def _short_of_memory() -> Iterator[None]:
    """A lack of memory as what the driver treats so: it is tried once more, in a new process."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TransportError(
            "out_of_memory", f"memory ran out ({first_line(error)})", retryable=False
        ) from error
