"""What is asked about the edits of a bundle: those of its author's run, unless something else is asked for."""

from __future__ import annotations

import logging
from dataclasses import replace

from isr.scoring.bundle_file import is_bundle
from isr.scoring.finished import of_stored
from isr.scoring.limit import is_in_turn
from isr.scoring.options import Options
from isr.scoring.sequenced import order_of, stop_in
from isr.scoring.stored import read_stored
from isr.signature import Signature

log = logging.getLogger("isr")


def as_author(options: Options) -> Options:
    """The options, for a bundle with the author's choice of edits where none is named. Others come back as they are.

    The author's run is read and checked first: nothing is spent on a bundle that cannot be read. Raises ``InputError``.
    """
    if not is_bundle(options.directory):
        return options
    author = read_stored(options.directory)
    of_stored(author)
    data, said = author.result.data, Signature.parse(author.result.signature)
    if options.limit or options.until or data["edits"] >= data["of"]:
        return options
    until, _ = stop_in(said)
    if until is not None:
        rule = f"half-width={until!r}"
        options = replace(options, until=rule, order_seed=order_of(said) or 0)
    elif not is_in_turn(said):  # isr 0.1.0 took the first edits: no option says that
        return options
    log.info(
        "%s: only the %s edits of its author's run are asked about; it holds %s: --limit %s for all",
        options.directory, f"{data['edits']:,}", f"{data['of']:,}", data["of"],
    )  # fmt: skip
    return replace(options, limit=data["edits"])
