"""GenArena: each pair is a battle of two calls (the edit against the source, places swapped), by its own judge and prompt.

It has no pointwise score: "semantic" stands for the first call and "perceptual" for the swapped one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from peer import Answers, Pair, Work, run


def _genarena(work: Work) -> Answers:
    from genarena.battle import _call_vlm_judge
    from genarena.prompts import mmrb2
    from genarena.vlm import VLMJudge

    judge = VLMJudge(model="m", base_url=work.base_url, api_key="x")

    def battle(pair: Pair) -> Answers:
        edit, source = str(pair.edit), str(pair.source)
        rows = []
        for question, one, other in (("semantic", edit, source), ("perceptual", source, edit)):
            call = _call_vlm_judge(judge, mmrb2, f"{pair.words} ({pair.tag(question)})", [source], one, other)
            rows.append((pair.number, question, {"A": "A", "B": "B"}.get(call.winner or "")))
        return rows

    with ThreadPoolExecutor(work.workers) as pool:
        return [row for rows in pool.map(battle, work.pairs) for row in rows]


run(_genarena)
