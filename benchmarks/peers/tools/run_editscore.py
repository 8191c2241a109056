"""EditScore by its own class and prompts, as many pairs at once as there are workers. A pair is two questions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from peer import Answers, Pair, Work, run


def _editscore(work: Work) -> Answers:
    from editscore import EditScore
    from PIL import Image

    def score(pair: Pair) -> Answers:
        scorer = EditScore(
            backbone="openai", openai_url=f"{work.base_url}/chat/completions", key="x", model_name_or_path="m"
        )
        scorer.PQ_prompt += f"\n({pair.tag('perceptual')})"  # which names no pair by itself
        images = [Image.open(pair.source), Image.open(pair.edit)]
        try:
            found = scorer.evaluate(images, f"{pair.words} ({pair.tag('semantic')})")
        except Exception:  # its own callers do so, too: the pair is lost
            return [(pair.number, "semantic", None), (pair.number, "perceptual", None)]
        scale = scorer.score_range / 10 / 2  # back to what the judge said, of 0 to 4
        return [
            (pair.number, "semantic", round(float(found["prompt_following"]) * scale, 6)),
            (pair.number, "perceptual", round(float(found["perceptual_quality"]) * scale, 6)),
        ]

    with ThreadPoolExecutor(work.workers) as pool:
        return [row for rows in pool.map(score, work.pairs) for row in rows]


run(_editscore)
