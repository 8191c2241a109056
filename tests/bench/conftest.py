"""What the tests of studies share."""

from __future__ import annotations

import pytest

from isr.bench.published import Published
from tests.bench.paper_tables_samples import STUDIES


@pytest.fixture(scope="module")
def published() -> Published:
    return Published.load(STUDIES / "2512.14320-published.toml")
