"""Local web pages: labelling edits, and watching a run. Bound to 127.0.0.1, behind a token (extra: label)."""
