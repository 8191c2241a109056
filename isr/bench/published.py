"""Published figures, read from a study's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from isr.bench.radius import Radius
from isr.errors import InputError, Problem
from isr.judging.field_errors import field_errors
from isr.reading import Unreadable, read_toml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Annotated[float, Field(ge=0.0, le=1.0)]


class PublishedRow(_Strict):
    """What is known of one line of a published table; a figure that is absent is not known."""

    editor: str
    method: str = ""
    ablation: str = ""
    lam: Annotated[float | None, Field(alias="lambda")] = None
    psnr: float | None = None
    ssim: float | None = None
    vifp: float | None = None
    fsim: float | None = None
    lpips: float | None = None
    isr_seen: Share | None = None
    isr_unseen: Share | None = None
    unverified: tuple[str, ...] = ()


class PublishedTable(_Strict):
    """The lines of one published table and what else is known of it."""

    row: tuple[PublishedRow, ...] = ()
    notes: tuple[str, ...] = ()


class Published(_Strict):
    """A paper's figures: its name, where they were read, n behind a rate by split, tables by number."""

    paper: str
    source: str
    eps: Radius | None = None  # the budget of all of them; a row of ours at another one stands by itself
    n: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    not_implemented: Mapping[str, str] = Field(default_factory=dict)  # method -> why no row of ours
    tables: Mapping[str, PublishedTable] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Published:
        """The figures in a TOML file. Raises ``InputError`` with all that is wrong in it."""
        try:
            raw = read_toml(path)
            return cls.model_validate(raw)
        except ValidationError as error:
            problems = field_errors(error, raw, cls, str(path))
            raise InputError("published figures cannot be read", problems) from error
        except Unreadable as error:
            problem = Problem(str(path), "", "a TOML file of published figures", error.found, "correct it")
            raise InputError("published figures cannot be read", [problem]) from error

    def lines(self, table: str) -> tuple[PublishedRow, ...]:
        return self.tables[table].row if table in self.tables else ()

    def notes(self, table: str) -> tuple[str, ...]:
        return self.tables[table].notes if table in self.tables else ()


def same_name(one: str, other: str) -> bool:
    """Whether two names differ only in case and in what is no letter or digit."""
    a, b = ("".join(c for c in s.casefold() if c.isalnum()) for s in (one, other))
    return a == b
