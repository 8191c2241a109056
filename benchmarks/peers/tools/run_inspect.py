"""inspect_ai: a task whose samples are isr's questions, its own retries and log; a run that was killed is retried from its log."""

from __future__ import annotations

from typing import Any

from peer import Answers, Work, run, score_in


def _inspect(work: Work) -> Answers:
    from inspect_ai import Task, eval_retry, task
    from inspect_ai import eval as evaluated
    from inspect_ai.dataset import Sample
    from inspect_ai.log import list_eval_logs
    from inspect_ai.model import (
        ChatMessageSystem,
        ChatMessageUser,
        ContentImage,
        ContentText,
        GenerateConfig,
        get_model,
    )
    from inspect_ai.scorer import Score, Target, mean, scorer
    from inspect_ai.solver import TaskState, generate

    def samples() -> list[Sample]:
        made = []
        for pair in work.pairs:
            for question, texts in work.questions.items():
                content: list[Any] = []
                for part in texts["parts"]:
                    if part["image"]:
                        file = pair.edit if part["image"] == "edit" else pair.source
                        content.append(ContentImage(image=str(file)))
                    else:
                        content.append(
                            ContentText(text=part["text"].replace("{{prompt}}", f'"{pair.prompt}"'))
                        )
                made.append(
                    Sample(
                        id=f"{pair.number}-{question}",
                        input=[ChatMessageSystem(content=texts["system"]), ChatMessageUser(content=content)],
                    )
                )
        return made

    @scorer(metrics=[mean()])
    def strictly() -> Any:
        async def score(state: TaskState, target: Target) -> Score | None:
            said = score_in(state.output.completion)
            return None if said is None else Score(value=said)

        return score

    @task
    def judging() -> Task:
        return Task(
            dataset=samples(), solver=generate(), scorer=strictly(), config=GenerateConfig(max_tokens=512)
        )

    options: dict[str, Any] = {
        "log_dir": str(work.out),
        "display": "none",
        "fail_on_error": False,
        "max_connections": work.workers,
    }
    before = list_eval_logs(str(work.out))
    if before:
        logs = eval_retry(before[0].name, **options)
    else:
        model = get_model("openai/m", base_url=work.base_url, api_key="x", responses_api=False)
        logs = evaluated(judging(), model=model, **options)
    rows = []
    for sample in logs[0].samples or []:
        pair, _, question = str(sample.id).partition("-")
        given = next(iter((sample.scores or {}).values()), None)
        value = given.value if given is not None and not sample.error else None
        rows.append((int(pair), question, float(value) if isinstance(value, int | float) else None))
    return rows


run(_inspect)
