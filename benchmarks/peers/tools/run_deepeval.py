"""deepeval's own image editing metric through its own ``evaluate``; errors are ignored by the run and lose the pair."""

from __future__ import annotations

from typing import Any

from peer import Answers, Work, run


def _deepeval(work: Work) -> Answers:
    from deepeval import evaluate
    from deepeval.evaluate.configs import AsyncConfig, CacheConfig, DisplayConfig, ErrorConfig
    from deepeval.metrics import ImageEditingMetric
    from deepeval.models import OpenAIModel
    from deepeval.test_case import LLMTestCase, MLLMImage

    found: dict[str, tuple[Any, Any]] = {}

    class Tagged(ImageEditingMetric):
        """The metric, whose second prompt names no pair by itself."""

        def _get_prompt(self, name: str, **words: Any) -> str:
            question = "perceptual" if "perceptual" in name else "semantic"
            return f"{super()._get_prompt(name, **words)}\n({self.pair}-{question[0]})"

        async def a_measure(self, test_case: LLMTestCase, *others: Any, **options: Any) -> float:
            self.pair = test_case.name
            score = await super().a_measure(test_case, *others, **options)
            found[test_case.name] = (self.SC_scores, self.PQ_scores)
            return score

    cases = [
        LLMTestCase(
            name=pair.tag(),
            input=f"{pair.words} {MLLMImage(url=str(pair.source), local=True)}",
            actual_output=f"{MLLMImage(url=str(pair.edit), local=True)}",
        )
        for pair in work.pairs
    ]
    model = OpenAIModel(model="gpt-4o", base_url=work.base_url, api_key="x")
    evaluate(
        cases,
        [Tagged(model=model)],
        async_config=AsyncConfig(max_concurrent=work.workers, throttle_value=0),
        error_config=ErrorConfig(ignore_errors=True),
        display_config=DisplayConfig(show_indicator=False, print_results=False),
        cache_config=CacheConfig(write_cache=True, use_cache=True),
    )
    rows = []
    for pair in work.pairs:
        semantic, perceptual = found.get(pair.tag(), (None, None))
        rows.append((pair.number, "semantic", semantic[0] / 2 if semantic else None))
        rows.append((pair.number, "perceptual", min(perceptual) / 2 if perceptual else None))
    return rows


run(_deepeval)
