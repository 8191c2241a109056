"""The whole loop as one study: methods, editors, prompts, purifiers and judges to tables with intervals."""
