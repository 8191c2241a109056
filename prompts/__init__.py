"""The versioned judging prompts: ``<rubric>/v<N>.toml``, append-only."""
