"""What comes out of a labelling study, and what is taken in."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from isr.errors import InputError, UsageError
from isr.people.correct import correct
from isr.people.correct_rows import Settings
from isr.people.judgements import read_source
from isr.people.label_store import LabelStore
from isr.people.labelling_export import export, import_into, labels_of, rater_reports
from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import read_labels
from isr.people.looks import UNKNOWN, Look
from tests.people.label_store_samples import planned


def answer(
    store: LabelStore,
    rater: str,
    semantic: str = "fine",
    perceptual: str = "fails",
    note: str = "",
    look: Look = UNKNOWN,
) -> None:
    at = store.state(rater).position
    for question, value in (("semantic", semantic), ("perceptual", perceptual)):
        store.add(rater, uuid.uuid4().hex, at, "mark", question, value)
    if note:
        store.add(rater, uuid.uuid4().hex, at, "note", "", note)
    store.add(rater, uuid.uuid4().hex, at, "done", seconds=2.5, look=look)


def test_designs_keep_their_probabilities_and_calibrate_takes_them(run: Path, tmp_path: Path) -> None:
    (judge,) = read_source(run)
    for design, judges in (("random", []), ("within_verdict", [judge])):
        study = planned(
            run, tmp_path / design, design=design, judges=judges, edits=16, attention=0, controls=0, repeat=0
        )
        pis = {i.pi for i in study.items}
        assert all(p is not None and 0 < p <= 1 for p in pis)
        with LabelStore(tmp_path / design) as store:
            store.begin(study)
            store.sign_in("ann")
            for number in range(16):
                answer(store, "ann", "fails" if number % 3 == 0 else "fine", "fine")
            export(store, tmp_path / design)
        labels = read_labels(tmp_path / design / "labels.csv")
        plan = json.loads((tmp_path / design / "plan.json").read_text())
        assert plan["design"] == ("random" if design == "random" else "within_verdict")
        settings = Settings(design=plan["design"], by="editor")
        report = correct(judge, labels, settings, plan=plan)
        assert report.rates["semantic"].corrected is not None, report.rates["semantic"].refused
    with pytest.raises(UsageError, match="two judges or more"):
        planned(run, tmp_path / "d", design="disagreement", judges=[judge])


def test_exports_are_read_again_and_raters_are_reported(run: Path, tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store:
        study = planned(run, tmp_path, edits=20, attention=3, controls=0.2, repeat=0.2)
        store.begin(study)
        store.sign_in("ann")
        total = store.state("ann").total
        for number in range(total):
            item = store.item("ann", number)
            assert item is not None
            if item.kind == "attention":
                answer(store, "ann", item.expected.get("semantic", "fine"), item.expected["perceptual"])
            else:
                answer(
                    store,
                    "ann",
                    "cannot_tell" if number == 0 else "fails",
                    "fine",
                    note="what?" if number == 0 else "",
                )
        assert store.state("ann").finished
        files = {f.name for f in export(store, tmp_path)}
        assert files == {"labels.csv", "labels-controls.csv", "label-studio.json", "plan.json", "raters.json"}
        labels = read_labels(tmp_path / "labels.csv")
        assert labels.digest == labels_of(store).digest
        assert len(labels.rows) == 20
        assert len(read_labels(tmp_path / "labels-controls.csv").rows) == 4
        studio = read_labels(tmp_path / "label-studio.json")
        assert [(r.edit_id, r.semantic, r.perceptual, r.pi, r.plan) for r in studio.rows] == [
            (r.edit_id, r.semantic, r.perceptual, r.pi, r.plan) for r in labels.rows
        ]
        (report,) = rater_reports(store)
        assert report["attention"] == {"passed": 3, "of": 3}
        assert {r.extra["attention"] for r in labels.rows} == {"3/3"}
        assert labels.notes == ()
        assert report["self_consistency"]["perceptual"]["same"] == 1.0
        assert report["median_seconds"] == 2.5
        assert report["cannot_tell"]["semantic"] in (1, 0)
        for name in ("labels.csv", "label-studio.json"):
            with LabelStore(tmp_path / f"again-{name}") as again:
                again.begin(study)
                read = read_labels(tmp_path / name)
                taken = import_into(again, read)
                assert (taken.raters, taken.left) == ({"ann": 20}, {})
                back = labels_of(again)
                assert {_whole(r, name) for r in back.rows} == {_whole(r, name) for r in labels.rows}
                assert {r.edit_id: r.time for r in back.rows} == {r.edit_id: r.time for r in labels.rows}
                with pytest.raises(UsageError, match="not begun"):
                    import_into(again, read)


def _whole(row: Label, name: str) -> tuple[object, ...]:
    """What must come back; Label Studio's export has neither notes nor seconds."""
    extra = sorted(row.extra.items()) if name.endswith("csv") else []
    return (row.edit_id, row.rater, row.semantic, row.perceptual, row.edit_sha256, row.time, row.pi, *extra)


def test_imports_take_all_or_nothing_and_say_what_is_wrong(run: Path, tmp_path: Path) -> None:
    study = planned(run, tmp_path, edits=4, attention=0, controls=0, repeat=0)
    fine, time = Mark("fine"), "2024-05-01T10:00:00+00:00"
    rows = [
        Label(
            edit_id=i.edit_id,
            rater="Pat O'Brien",
            semantic=fine,
            perceptual=fine,
            edit_sha256=i.edit_sha256,
            time=time,
            extra={"note": f"n{n}", "seconds": "3"},
        )
        for n, i in enumerate(study.items)
    ]
    with LabelStore(tmp_path) as store:
        store.begin(study)
        bad = [
            replace(rows[0], edit_sha256="sha256:" + "0" * 64),
            replace(rows[1], extra={"seconds": "soon"}),
            replace(rows[2], extra={"seconds": "inf"}),
            replace(rows[3], rater="<b>"),
        ]
        with pytest.raises(InputError) as caught:
            import_into(store, Labels((*bad, replace(rows[0], rater="zoe"))))
        assert len(caught.value.problems) == 4
        assert store.raters() == []
        more = [replace(rows[0], edit_id="elsewhere"), replace(rows[3], perceptual=Mark())]
        taken = import_into(store, Labels(tuple(rows[:3] + more)))
        assert taken.raters == {"Pat O'Brien": 3}
        assert taken.left == {"of edits that are not in the study": 1, "with one question answered": 1}
        back = labels_of(store).rows
        assert [(r.edit_sha256, r.time, r.extra) for r in back] == [
            (r.edit_sha256, time, {"seconds": "3.0", "note": r.extra["note"]}) for r in rows[:3]
        ]
        assert store.state("Pat O'Brien").position == 3


def test_labels_for_a_spreadsheet_are_a_copy(run: Path, tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store:
        store.begin(planned(run, tmp_path, edits=4, attention=0, controls=0, repeat=0))
        store.sign_in("ann")
        answer(store, "ann", note="=1+1")
        names = {p.name for p in export(store, tmp_path)}
        safe = {p.name for p in export(store, tmp_path, csv_safe=True)}
    assert safe - names == {"labels-safe.csv"}
    assert ",=1+1" in (tmp_path / "labels.csv").read_text()
    assert ",'=1+1" in (tmp_path / "labels-safe.csv").read_text()


def test_windows_and_scales_come_out_and_go_in_again(run: Path, tmp_path: Path) -> None:
    study = planned(run, tmp_path, edits=4, attention=0, controls=0, repeat=0)
    looks = [
        Look(window_px=390, pixel_ratio=2.625, fit_scale=0.1699, largest_scale=1),
        Look(window_px=1440, pixel_ratio=1, fit_scale=0.5273, largest_scale=0.5273),
        Look(window_px=599),
        UNKNOWN,
    ]
    with LabelStore(tmp_path) as store:
        store.begin(study)
        store.sign_in("ann")
        for look in looks:
            answer(store, "ann", look=look)
        export(store, tmp_path)
        found = labels_of(store)
    (report,) = json.loads((tmp_path / "raters.json").read_text())
    assert report["below_600_px"] == {"labels": 2, "of": 3}
    header, *lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert [c for c in header.split(",") if c.endswith(("_px", "_ratio", "_scale"))] == [
        "fit_scale", "largest_scale", "pixel_ratio", "window_px"
    ]  # fmt: skip
    assert lines[0].split(",")[-5:] == ["0.1699", "1", "2.625", "2.5", "390"]
    assert lines[3].split(",")[-5:] == ["", "", "", "2.5", ""]
    with LabelStore(tmp_path / "again") as again:
        again.begin(study)
        import_into(again, read_labels(tmp_path / "labels.csv"))
        assert [s.look for s in again.said("ann")] == looks
        assert labels_of(again) == found
        bad = [replace(r, rater="bo", extra={"window_px": "wide"}) for r in found.rows[:2]]
        with pytest.raises(InputError) as caught:
            import_into(again, Labels(tuple(bad)))
        assert [(p.field, p.found) for p in caught.value.problems] == [("window_px", "wide")] * 2
        assert again.raters() == ["ann"]


def test_labels_of_before_are_taken_in(run: Path, tmp_path: Path) -> None:
    """A file that was written when neither windows nor scales were kept."""
    study = planned(run, tmp_path, edits=3, attention=0, controls=0, repeat=0)
    rows = "".join(f"{i.edit_id},ann,fails,fine,2024-05-01T10:00:00+00:00,2.5\n" for i in study.items)
    (tmp_path / "labels.csv").write_text("edit_id,rater,semantic,perceptual,time,seconds\n" + rows)
    with LabelStore(tmp_path) as store:
        store.begin(study)
        import_into(store, read_labels(tmp_path / "labels.csv"))
        assert [(s.seconds, s.look) for s in store.said("ann")] == [(2.5, UNKNOWN)] * 3
        assert rater_reports(store)[0]["below_600_px"] == {"labels": 0, "of": 0}
