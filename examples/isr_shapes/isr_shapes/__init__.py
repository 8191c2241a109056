"""The judge of the bundled scenes, as a plug-in of isr: a backend, its card, and how it sees."""

from __future__ import annotations

from pathlib import Path

CARD = Path(__file__).with_name("shapes-oracle.toml")
