"""Finds the rows of an answer store in the bytes of its file, whatever became of the pages around them.

SQLite's own reader needs the pages that lead to a row; a row here is found by the shape of its record (the SQLite
file format, sections 2.1 and 1.6) and believed if its content has its digest. So every row whose own bytes are sound
is found, and nothing else is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from isr.errors import StoreError
from isr.judging.store_connection import beside
from isr.judging.store_format import MAX_BODY
from isr.judging.store_rows import DamagedError, Statement, sound_answer, sound_part, sound_request
from isr.reading import Unreadable, open_regular

# The header of a record: its length, then the type of each column as a varint. 12 + 2 n: n bytes; 13 + 2 n: n characters.
_KEY = rb"\x4c"  # 32 bytes
_NUMBER = rb"[\x00-\x06\x08\x09]"
_LENGTH = rb"([\x80-\xff]{0,3}[\x00-\x7f])"
_ANSWER = re.compile(rb"(?=([\x05-\x08]" + _KEY + _NUMBER + _LENGTH + _KEY + rb"))", re.DOTALL)
_REQUEST = re.compile(rb"(?=([\x03-\x06]" + _KEY + _LENGTH + rb"))", re.DOTALL)
# of 71 characters
_PART = re.compile(rb"(?=([\x04-\x07]\x81\x1b" + _LENGTH + rb")sha256:[0-9a-f]{64})", re.DOTALL)
_SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}  # bytes of a number by its type
_WAL_HEADER, _FRAME_HEADER = 32, 24
_SECTOR = 512  # the header of a rollback journal, before pages with a number before and a sum behind each (section 3)
PAGE = 4096  # SQLite's default, which the store keeps


def carve(database: Path) -> Iterator[Statement]:
    """The sound rows in a store's file and in the logs beside it, as (table, values); some more than once.

    Rows of all of them may be cut off, overwritten or flipped. Raises ``StoreError`` if the file cannot be read.
    """
    log, journal = _mapped(beside(database, "wal")), _mapped(beside(database, "journal"))
    for size, reserved in _layouts(database):
        usable = size - reserved
        main = _Pages(data=_mapped(database), size=size, usable=usable)
        frames = _Pages(data=log, size=size, usable=usable, before_all=_WAL_HEADER, before_each=_FRAME_HEADER)
        before = _Pages(
            data=journal, size=size, usable=usable, before_all=_SECTOR, before_each=4, after_each=4
        )
        for pages in (main, frames, before):
            yield from _rows(pages, [pages, *(p for p in (main, frames, before) if p is not pages)])


def _layouts(database: Path) -> list[tuple[int, int]]:
    """(page size, reserved bytes) as the file's header has it, and as a store has it if the header is damaged."""
    head = _mapped(database)[:100]
    size = int.from_bytes(head[16:18], "big") if len(head) == 100 else 0
    size = 65536 if size == 1 else size
    said = [(size, head[20])] if size >= 512 and size & (size - 1) == 0 else []
    return list(dict.fromkeys([*said, (PAGE, 0)]))


def _mapped(path: Path) -> Any:
    """The bytes of a file, mapped; nothing where there is no file or an empty one."""
    try:
        with open_regular(path) as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ) if os.fstat(file.fileno()).st_size else b""
    except Unreadable as error:
        if error.missing:
            return b""
        raise StoreError(str(error)) from error


@dataclass(kw_only=True)
class _Pages:
    """The pages of a file; in a log each stands behind a header that holds its number."""

    data: Any
    size: int
    usable: int
    before_all: int = 0
    before_each: int = 0
    after_each: int = 0
    # page number -> where its latest copy begins
    numbered: dict[int, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        step = self.size + self.before_each + self.after_each
        for at in range(self.before_all, len(self.data) - step + 1, step) if self.before_each else ():
            number = int.from_bytes(self.data[at : at + 4], "big")
            self.numbered[number] = at + self.before_each

    def room(self, at: int) -> int:
        """Usable bytes from a place to the end of its page; 0 or less if the place is in none."""
        step = self.size + self.before_each + self.after_each
        into = (at - self.before_all) % step - self.before_each
        return self.usable - into if into >= 0 and at >= self.before_all else 0

    def page(self, number: int) -> bytes:
        """A page's usable bytes; fewer, or none, where the file ends before."""
        at = self.numbered.get(number, -1) if self.before_each else (number - 1) * self.size
        return bytes(self.data[at : at + self.usable]) if at >= 0 else b""


def _rows(pages: _Pages, linked: list[_Pages]) -> Iterator[Statement]:
    for statement in _candidates(pages, linked):
        try:
            _SOUND[statement[0]](*statement[1])
        except DamagedError:
            continue
        yield statement


_SOUND: Mapping[str, Callable[..., Any]] = {
    "answers": sound_answer,
    "requests": sound_request,
    "parts": sound_part,
}


def _candidates(pages: _Pages, linked: list[_Pages]) -> Iterator[Statement]:
    for match in _ANSWER.finditer(pages.data):
        number = match[1][2]
        width = _SIZES[number]
        row = _payload(pages, linked, match, 64 + width, _table_share)
        if row is not None:
            ask = int.from_bytes(row[32 : 32 + width], "big") if width else int(number == 9)
            yield "answers", (row[:32], ask, row[32 + width : -32], row[-32:])
    for match in _REQUEST.finditer(pages.data):
        row = _payload(pages, linked, match, 32, _table_share)
        if row is not None:
            yield "requests", (row[:32], row[32:])
    for match in _PART.finditer(pages.data):
        row = _payload(pages, linked, match, 71, _index_share)
        if row is not None:
            yield "parts", (row[:71].decode("ascii", "replace"), row[71:].decode("utf-8", "replace"))


def _varint(data: bytes) -> int:
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
    return value


def _table_share(size: int, usable: int) -> int:
    return _share(size, usable, usable - 35)


def _index_share(size: int, usable: int) -> int:
    return _share(size, usable, (usable - 12) * 64 // 255 - 23)


def _share(size: int, usable: int, most: int) -> int:
    """Bytes of a record of a size that stand in its own page; the rest stands in overflow pages (section 1.6)."""
    if size <= most:
        return size
    least = (usable - 12) * 32 // 255 - 23
    share = least + (size - least) % (usable - 4)
    return share if share <= most else least


def _payload(
    pages: _Pages,
    linked: list[_Pages],
    header: re.Match[bytes],
    others: int,
    share_of: Callable[[int, int], int],
) -> bytes | None:
    """The columns behind a record's header, gathered from its page and its overflow pages; ``None`` if it is none.

    header: the length of the header and the types; the second group is the type of the body. others: bytes of the
    other columns.
    """
    begin, length, kind = header.end(1), len(header[1]), _varint(header[2])
    size = others + (kind - 12) // 2
    if header[1][0] != length or kind < 12 or size > MAX_BODY:
        return None
    local = share_of(length + size, pages.usable) - length
    spilt = size - local
    if local < 0 or pages.room(begin) < local + (4 if spilt else 0):
        return None
    content = bytes(pages.data[begin : begin + local])
    pieces, link = [content], bytes(pages.data[begin + local : begin + local + 4])
    while spilt > 0:
        page = next(
            (p for p in (each.page(int.from_bytes(link, "big")) for each in linked) if len(p) > 4), b""
        )
        pieces.append(page[4 : 4 + spilt])
        if not pieces[-1]:
            return None
        spilt -= len(pieces[-1])
        link = page[:4]
    return b"".join(pieces)
