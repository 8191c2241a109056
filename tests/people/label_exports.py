"""The same 36 labels as the tools of the world write them: ``EXPORTS`` gives each file's name, text and options."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.people.label_run import IDS, the_labels

SAID = {r.edit_id: (r.semantic.value, r.perceptual.value) for r in the_labels().rows}
"""By edit: what Ann said to both questions."""
YES = {"fine": "Yes", "fails": "No"}  # does the edit show what was asked for?
DAMAGED = {"fails": "Yes", "fine": "No"}  # is it damaged?
WORDS = ("semantic: Yes=fine, No=fails; perceptual: Yes=fails, No=fine",)


def sheet(header: Sequence[str], rows: Iterable[Sequence[object]], **style: Any) -> str:
    held = io.StringIO(newline="")
    writer = csv.writer(held, **style)
    writer.writerow(header)
    writer.writerows(rows)
    return held.getvalue()


def lines(rows: Iterable[object]) -> str:
    return "".join(json.dumps(r) + "\n" for r in rows)


def plain() -> str:
    return sheet(("edit_id", "rater", "semantic", "perceptual"), [(e, "ann", *s) for e, s in SAID.items()])


def studio(extra: Iterable[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """Tasks of Label Studio; every one also has an annotation that was skipped, and a prediction."""
    tasks = []
    for n, (edit, (semantic, perceptual)) in enumerate(SAID.items()):
        result = [
            {"from_name": q, "to_name": "edit", "type": "choices", "value": {"choices": [v]}}
            for q, v in (("semantic", semantic), ("perceptual", perceptual))
        ]
        notes = [
            {
                "id": 2 * n,
                "completed_by": {"id": 1, "email": "ann"},
                "result": result,
                "was_cancelled": False,
            },
            {"id": 2 * n + 1, "completed_by": {"id": 2, "email": "ben"}, "result": [], "was_cancelled": True},
        ]
        data = {"edit_id": edit, "image": f"/data/{edit}.png"}
        tasks.append({"id": n, "data": data, "annotations": notes, "predictions": [{"result": result}]})
    return [*tasks, *extra]


def mturk(status: Callable[[int], str] = lambda _: "Approved", worker: str = "ann") -> str:
    header = (
        "HITId", "HITTypeId", "AssignmentId", "WorkerId", "AssignmentStatus", "Input.key", "Input.image_url",
        "Answer.shows_it", "Answer.damaged", "Approve", "Reject",
    )  # fmt: skip
    rows = [
        (
            f"H{n}",
            "T",
            f"A{n}",
            worker,
            status(n),
            e,
            f"https://host.example/edits/{e}.png",
            YES[s],
            DAMAGED[p],
            "",
            "",
        )
        for n, (e, (s, p)) in enumerate(SAID.items())
    ]
    return sheet(header, rows)


def wide() -> str:
    """A row for each edit, two columns for each rater; Ben saw nothing."""
    header = ("edit_id", "ann shows it", "ann damaged", "ben shows it", "ben damaged")
    return sheet(header, [(e, YES[s], DAMAGED[p], "", "") for e, (s, p) in SAID.items()])


def three_in_a_row() -> str:
    """A row for each HIT, three edits in it."""
    ids = list(IDS)
    header = ["worker", *(f"{what}_{k}" for k in (1, 2, 3) for what in ("key", "shows_it", "damaged"))]
    rows = [
        ["ann", *(c for e in ids[n : n + 3] for c in (e, YES[SAID[e][0]], DAMAGED[SAID[e][1]]))]
        for n in range(0, 36, 3)
    ]
    return sheet(header, rows)


def form() -> str:
    """One submission: a column for each edit and question, as a grid of a form writes them."""
    questions = ("Does it show what was asked for, in your view?", "Is it damaged?")
    header = ["Timestamp", "Email Address", *(f"{q} [{e}]" for e in SAID for q in questions)]
    cells = [c for s, p in SAID.values() for c in (YES[s], DAMAGED[p])]
    return sheet(header, [["2026/11/27 9:00:00 AM GMT+1", "ann", *cells]])


def argilla_one() -> str:
    """1.x: a list of users with values; Ben discarded, Cem has a draft, a model suggested."""
    return lines(
        {
            "fields": {"prompt": "make it blue"},
            "metadata": {"edit_id": e},
            "suggestions": [{"question_name": "semantic", "value": "fails", "agent": "m"}],
            "responses": [
                {"user_id": "ann", "status": "submitted", "values": {"semantic": {"value": s}, "perceptual": {"value": p}}},
                {"user_id": "ben", "status": "discarded", "values": {"semantic": {"value": "fine"}}},
                {"user_id": "cem", "status": "draft", "values": {"semantic": {"value": "fine"}}},
            ],
        }
        for e, (s, p) in SAID.items()
    )  # fmt: skip


def argilla_two() -> str:
    """2.x: by question."""
    return json.dumps(
        [
            {
                "id": f"r-{e}",
                "status": "completed",
                "fields": {"prompt": "make it blue", "edit_id": e},
                "metadata": {},
                "suggestions": {},
                "responses": {
                    "semantic": [{"value": s, "user_id": "ann"}],
                    "perceptual": [{"value": p, "user_id": "ann"}],
                },
            }
            for e, (s, p) in SAID.items()
        ]
    )


def argilla_columns() -> str:
    """2.x as a data set."""
    return lines(
        {
            "edit_id": e,
            **{
                k: v
                for q, w in (("semantic", s), ("perceptual", p))
                for k, v in (
                    (f"{q}.responses", [w, "fine"]),
                    (f"{q}.responses.users", ["ann", "ben"]),
                    (f"{q}.responses.status", ["submitted", "discarded"]),
                )
            },
        }
        for e, (s, p) in SAID.items()
    )


def manifest() -> str:
    """SageMaker: two jobs; one more line that a machine labelled."""
    about = {
        "job-name": "labeling-job/x",
        "type": "groundtruth/image-classification",
        "human-annotated": "yes",
    }
    rows = [
        {
            "source-ref": f"s3://bucket/edits/{e}.png",
            "semantic": int(s == "fine"),
            "semantic-metadata": {**about, "class-name": s, "confidence": 0.9},
            "perceptual": int(p == "fine"),
            "perceptual-metadata": {**about, "class-name": p, "confidence": 0.9},
        }
        for e, (s, p) in SAID.items()
    ]
    machine = {
        "class-name": "fails",
        "human-annotated": "no",
        "job-name": "labeling-job/x",
        "type": "groundtruth/x",
    }
    return lines([*rows, {"source-ref": "s3://bucket/edits/none.png", "semantic": 0, "semantic-metadata": machine}])  # fmt: skip


def studio_min() -> list[dict[str, Any]]:
    return [
        {
            "image": f"/data/{e}.png", "edit_id": e, "id": n, "semantic": s, "perceptual": p, "annotator": "ann",
            "annotation_id": n, "created_at": "2026-11-27T08:00:00Z", "lead_time": 3.5,
        }
        for n, (e, (s, p)) in enumerate(SAID.items())
    ]  # fmt: skip


def studio_csv() -> str:
    rows = studio_min()
    return sheet(list(rows[0]), [list(r.values()) for r in rows])


MTURK = ("edit_id=Input.key, semantic=Answer.shows_it, perceptual=Answer.damaged",)
EXPORTS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "plain.csv": (plain(), (), ()),
    "capitals.csv": (
        "\ufeff"
        + sheet((" Edit_ID", "RATER ", "Semantic", "perceptual"), [(e, " ann", s.upper(), f" {p.title()} ") for e, (s, p) in SAID.items()]),
        (), (),
    ),
    "list.jsonl": (json.dumps([dict(zip(("edit_id", "rater", "semantic", "perceptual"), (e, "ann", *s), strict=True)) for e, s in SAID.items()]), (), ()),
    "numbers.csv": (
        sheet(("id", "who", "a", "b"), [(e, "ann", float(s == "fine"), int(p == "fine")) for e, (s, p) in SAID.items()]),
        ("semantic: 1=fine, 0=fails; perceptual: 1=fine, 0=fails",), ("edit_id=ID, rater=Who, semantic=a, perceptual=b",),
    ),
    "spanish.csv": (
        sheet(("edit_id", "rater", "semantic", "perceptual"), [(e, "ann", *({"fails": "Falla", "fine": "Está bien"}[w] for w in s)) for e, s in SAID.items()]),
        ("semantic: falla=fails, está bien=fine", "perceptual: falla=fails, está bien=fine"), (),
    ),
    "wide.csv": (wide(), WORDS, ("semantic={rater} shows it, perceptual={rater} damaged",)),
    "three.csv": (three_in_a_row(), WORDS, ("rater=worker, edit_id=key_{n}, semantic=shows_it_{n}, perceptual=damaged_{n}",)),
    "mturk.csv": (mturk(), WORDS, MTURK),
    "mturk_url.csv": (mturk(), WORDS, ("edit_id=Input.image_url as */edits/{edit_id}.png", MTURK[0].partition(", ")[2])),
    "form.csv": (
        form(), WORDS,
        ("semantic=Does it show what was asked for, in your view? [{edit_id}]; perceptual=Is it damaged? [{edit_id}]",),
    ),
    "argilla.jsonl": (argilla_one(), (), ()),
    "argilla2.json": (argilla_two(), (), ()),
    "argilla_columns.jsonl": (argilla_columns(), (), ()),
    "output.manifest": (manifest(), (), ("rater='ann', edit_id=source-ref as */{edit_id}.png",)),
    "ls.json": ("\ufeff" + json.dumps(studio(), indent=1), (), ()),
    "ls_min.json": (json.dumps(studio_min()), (), ()),
    "ls.csv": (studio_csv(), (), ()),
}  # fmt: skip
