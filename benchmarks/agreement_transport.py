"""The tables of docs/agreement.md, from the ImagenHub ratings and the recorded answers of three judges.

    python benchmarks/agreement_transport.py                             # prints them; about a minute
    python benchmarks/agreement_transport.py --write docs/agreement.md   # puts them between the marks there

Table (a): 100 labels drawn at random within the target editor, DRAWS times; "covers" is of the full-label rate of
the same edits, "images drawn anew" repeats it with the images of the editor resampled as well (the rate of the
population that they stand for; the first alone flatters, since most edits of an editor are labelled). Table (b): all labels of the other
editors, and none of the target's. Data: examples/imagenhub/prepare.py, or --data.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from isr.calibration.correction.by_design import corrected_rate
from isr.errors import DesignError
from isr.people.agree import agree
from isr.people.agreement_study import AgreementStudy, Choices
from isr.people.correct import correct
from isr.people.correct_rows import CorrectionReport, Rows, Settings, rows_of
from isr.people.judgements import Judgements
from isr.people.labels import Labels
from isr.people.study_file import Study, read_study, study_judges, study_labels
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "imagenhub"
DRAWS, LABELS, SEED = 200, 100, 20240601
PUBLISHED = {
    ("InstructPix2Pix", "semantic"): (0.60, 0.74),
    ("InstructPix2Pix", "perceptual"): (0.41, 0.61),
    ("MagicBrush", "semantic"): (0.50, 0.66),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=EXAMPLE / "data")
    parser.add_argument(
        "--write", type=Path, help="a document with marks <!-- begin NAME --> and <!-- end NAME -->"
    )
    options = parser.parse_args()
    study = read_study(EXAMPLE / "study.toml")
    labels = study_labels(study.labels, options.data)
    judges = study_judges(study, options.data, labels)
    found = agree(labels, judges, _choices(study))
    tables = {
        "raters": _raters(found),
        "ranking": _ranking(found),
        "differences": _differences(found),
        "table-i": _table_one(found),
        "within": _within(labels, judges, study),
        "transport": _transport(labels, judges[0], study),
    }
    texts = {name: "\n".join(lines) for name, lines in tables.items()}
    for name, text in texts.items():
        print(f"## {name}\n{text}\n")
    if options.write:
        _write(options.write, texts)


def _choices(study: Study) -> Choices:
    a = study.analysis
    return Choices(
        consensus=study.labels.consensus,
        by=a.by,
        primary=a.primary,
        level=study.level,
        seed=study.seed,
        most_disputed=a.most_disputed,
        digest=study.digest,
    )


def _write(path: Path, texts: dict[str, str]) -> None:
    document = path.read_text("utf-8")
    for name, text in texts.items():
        marks = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not marks.search(document):
            raise SystemExit(
                f"{path}: expected <!-- begin {name} --> and <!-- end {name} -->; found none; add them"
            )
        document = marks.sub(lambda m, t=text: f"{m[1]}{t}\n{m[2]}", document)
    path.write_text(document, "utf-8")


# --------------------------------------------------------------------------- the study


def _raters(found: AgreementStudy) -> Iterator[str]:
    yield "| editor | question | Fleiss' kappa | ordinal alpha | published |"
    yield "|---|---|---|---|---|"
    for question in ("semantic", "perceptual"):
        for row in found.questions[question].raters:
            if row.group and row.graded is not None:
                said = PUBLISHED.get((row.group, question))
                text = f"{said[0]:.2f} / {said[1]:.2f}" if said else ""
                yield f"| {row.group} | {question} | {_ci(row.graded.fleiss)} | {_ci(row.graded.alpha)} | {text} |"


def _ranking(found: AgreementStudy) -> Iterator[str]:
    yield "| question | judge | unusable | percent | always one answer | kappa | AC1 | sensitivity | specificity | Spearman | judge minus held-out rater |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for name, answers in found.questions.items():
        for j in sorted(answers.judges, key=lambda j: -(j.agreement.kappa.value or 0)):
            a = j.agreement
            gap = j.ceiling.gap if j.ceiling else None
            cells = (a.kappa, a.ac1, a.sensitivity, a.specificity, j.spearman, gap)
            unusable = "-" if j.unusable.value is None else f"{j.unusable.value:.1%}"
            base = f"{j.baseline.says} {_ci(j.baseline.percent)}"
            yield (
                f"| {name} | {j.judge} | {unusable} | {_ci(a.percent)} | {base} | "
                + " | ".join(map(_ci, cells))
                + " |"
            )


def _differences(found: AgreementStudy) -> Iterator[str]:
    yield "| question | judges | difference of kappa | p (Holm) | difference of percent agreement | p (Holm) |"
    yield "|---|---|---|---|---|---|"
    for name, answers in found.questions.items():
        for d in answers.differences:
            share = d.percent
            yield (
                f"| {name} | {d.first} - {d.second} | {_ci(d.coefficient)} | {_p(d.p_holm)} | "
                f"{_ci(share.difference)} | {_p(share.p_holm)} |"
            )


def _table_one(found: AgreementStudy) -> Iterator[str]:
    yield "| pairs | semantic mismatch | quality degradation | final verdict |"
    yield "|---|---|---|---|"
    for row in ("human-human", "MLLM-MLLM", "human-MLLM"):
        cells = [_ci(answers.table_one[row]) for answers in found.questions.values()]
        yield f"| {row} | " + " | ".join(cells) + " |"


# --------------------------------------------------------------------------- (a) labels within the editor


def _editors(labels: Labels, judge: Judgements) -> list[str]:
    return sorted({labels.first[e].extra["editor"] for e in judge.edits})


def _known(labels: Labels, judge: Judgements, question: str, editor: str, study: Study) -> Rows:
    """The edits of an editor that the judge and the people decide."""
    settings = Settings(design="random", consensus=study.labels.consensus)
    edits = [e for e in sorted(judge.edits) if labels.first[e].extra["editor"] == editor]
    rows = rows_of(judge, labels, question, settings, edits)
    return rows.take((rows.judge >= 0) & (rows.human >= 0))


def _within(labels: Labels, judges: list[Judgements], study: Study) -> Iterator[str]:
    rng = np.random.default_rng(SEED)
    yield "| judge | question | editor | people, all labels | judge (raw) | raw covers | corrected, mean | covers | covers, images drawn anew | width, raw | width, corrected | refused |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for judge in judges:
        for question in ("semantic", "outcome"):
            covered, valid, raw_hits, editors = 0, 0, 0, _editors(labels, judge)
            anew_hits, anew_valid = 0, 0
            for editor in editors:
                rows = _known(labels, judge, question, editor, study)
                truth, raw = float(rows.human.mean()), rate_interval(rows.judge, rows.image)
                found = [f for _ in range(DRAWS) if (f := _draw(rows, rng)) is not None]
                hits = sum(_covers(f, truth) for f in found)
                covered, valid, raw_hits = covered + hits, valid + len(found), raw_hits + _covers(raw, truth)
                anew = [f for _ in range(DRAWS) if (f := _draw(_resampled(rows, rng), rng)) is not None]
                again = sum(_covers(f, truth) for f in anew)
                anew_hits, anew_valid = anew_hits + again, anew_valid + len(anew)
                share = f"{hits / len(found):.1%}" if found else "-"
                other = f"{again / len(anew):.1%}" if anew else "-"
                mean = f"{np.mean([f.value for f in found]):.1%}" if found else "-"
                width = f"{np.mean([_width(f) for f in found]):.3f}" if found else "-"
                yield (
                    f"| {judge.name} | {question} | {editor} | {truth:.1%} | {raw.value:.1%} | "
                    f"{'yes' if _covers(raw, truth) else 'no'} | {mean} | {share} | {other} | {_width(raw):.3f} | {width} | "
                    f"{DRAWS - len(found)} |"
                )
            total = f"{covered / valid:.1%}" if valid else "-"
            yield (
                f"| {judge.name} | {question} | **all** | | | {raw_hits} of {len(editors)} | | **{total}** | "
                f"**{anew_hits / anew_valid:.1%}** | | | "
                f"{len(editors) * DRAWS - valid} |"
            )


def _resampled(rows: Rows, rng: np.random.Generator) -> Rows:
    """As many images as there are, drawn with replacement; an image drawn twice counts as two images."""
    names = np.unique(rows.image)
    members = [np.flatnonzero(rows.image == name) for name in rng.choice(names, names.size)]
    take = np.concatenate(members)
    image = np.repeat(np.arange(len(members)), [len(m) for m in members])
    edits = tuple(rows.edits[i] for i in take)
    return Rows(
        edits=edits,
        judge=rows.judge[take],
        human=rows.human[take],
        image=image,
        group=rows.group[take],
        pi=rows.pi[take],
    )


def _draw(rows: Rows, rng: np.random.Generator) -> Interval | None:
    labelled = np.zeros(len(rows.edits), np.bool_)
    labelled[rng.choice(len(rows.edits), min(LABELS, len(rows.edits)), replace=False)] = True
    try:
        return corrected_rate(rows.judge, rows.human, labelled, rows.image, label_design="random")
    except DesignError:
        return None


def _covers(i: Interval, truth: float) -> bool:
    return i.low is not None and i.high is not None and i.low - 1e-12 <= truth <= i.high + 1e-12


def _width(i: Interval) -> float:
    return float("nan") if i.low is None or i.high is None else i.high - i.low


# --------------------------------------------------------------------------- (b) labels of the other editors


def _transport(labels: Labels, judge: Judgements, study: Study) -> Iterator[str]:
    yield f"Judge: {judge.name}. Rates of the target from all its labels, which the correction does not see."
    yield ""
    yield (
        "| question | target | people | judge (raw) | corrected from the others | covers | sensitivity: others, target | "
        "specificity: others, target | equal in the others: p sens., p spec. | guard |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    editors = _editors(labels, judge)
    reports = {e: _from_others(labels, judge, e, study) for e in editors}
    for question in ("semantic", "outcome"):
        hits, warned = 0, 0
        for editor in editors:
            c = reports[editor].rates[question]
            rows = _known(labels, judge, question, editor, study)
            truth = float(rows.human.mean())
            own = [_rate_within(rows, v) for v in (1, 0)]
            covers = c.corrected is not None and _covers(c.corrected, truth)
            warns = any(h.warns for h in c.homogeneity)
            hits, warned = hits + covers, warned + warns
            yield (
                f"| {question} | {editor} | {truth:.1%} | {_pct(c.raw)} | {_pct(c.corrected)} | "
                f"{'yes' if covers else 'no'} | {_v(c.sensitivity.value)}, {_v(own[0])} | "
                f"{_v(c.specificity.value)}, {_v(own[1])} | {', '.join(_p(h.p_value) for h in c.homogeneity)} | "
                f"{'warns' if warns else 'silent'} |"
            )
        yield f"| {question} | **all** | | | | **{hits} of {len(editors)}** | | | | warns on {warned} |"


def _from_others(labels: Labels, judge: Judgements, editor: str, study: Study) -> CorrectionReport:
    edits = [e for e in sorted(judge.edits) if labels.first[e].extra["editor"] == editor]
    return correct(
        judge,
        labels,
        Settings(design="external", drawn="random", consensus=study.labels.consensus, seed=SEED),
        edits=edits,
    )


def _rate_within(rows: Rows, truth: int) -> float | None:
    own = rows.human == truth
    return float((rows.judge == truth)[own].mean()) if own.any() else None


def _pct(i: Interval | None) -> str:
    if i is None:
        return "refused"
    if i.low is None or i.high is None:
        return "-" if i.value is None else f"{i.value:.1%}"
    return f"{'unknown' if i.value is None else format(i.value, '.1%')} ({i.low:.1%}, {i.high:.1%})"


def _v(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ci(i: Interval | None) -> str:
    if i is None or i.value is None:
        return "-"
    return f"{i.value:.2f}" + ("" if i.low is None or i.high is None else f" ({i.low:.2f}, {i.high:.2f})")


def _p(value: float | None) -> str:
    return "-" if value is None else "< .0001" if value < 0.0001 else f"{value:.4f}"


if __name__ == "__main__":
    main()
