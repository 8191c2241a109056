"""Which arm a label is of: what its own column says, or else whose pixels it names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from isr.people.judgements import Judgements
from isr.people.labels import Label, Labels


def with_arms(labels: Labels, judges: Sequence[Judgements]) -> Labels:
    """The labels, each of the arm that its pixels tell where it names no arm itself; see :func:`arms_by_pixels`."""
    controls = [j.controls for j in judges if j.controls is not None]
    of_controls = {(e, i.sha256) for c in controls for e, i in c.edits.items() if i.sha256}
    of_others = {(e, i.sha256) for j in judges for e, i in j.edits.items()}
    return arms_by_pixels(labels, of_controls - of_others)


def arms_by_pixels(labels: Labels, controls: Collection[tuple[str, str]]) -> Labels:
    """The labels, of the control edit where they name no arm and their (edit_id, digest) is that of a control edit alone.

    So are read the labels of control edits that earlier versions wrote without an arm.
    """

    def arm(label: Label) -> str:
        return label.arm or ("control" if (label.edit_id, label.edit_sha256) in controls else "")

    return replace(
        labels, rows=tuple(replace(r, arm=a) if (a := arm(r)) != r.arm else r for r in labels.rows)
    )
