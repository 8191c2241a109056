"""Scoring: outcomes, estimates, the result of a run, its table, and runs read back and compared."""
