"""The method, the editor and the purifier of ``docs/extending.md``, taken from the page and used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from sifm_ref.budget import Budget  # noqa: E402
from sifm_ref.editor import Settings  # noqa: E402
from sifm_ref.loading import load  # noqa: E402
from sifm_ref.registry import method, names, purifier  # noqa: E402
from tests import extending  # noqa: E402
from tests.sifm_ref.scenes import noise, picture, scene  # noqa: E402


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [n for n in sys.modules if n.partition(".")[0] in ("my_editors", "my_purifiers")]:
        del sys.modules[name]


def test_the_method_stays_in_the_budget_and_moves_the_latent(editor: Any, tmp_path: Path) -> None:
    path = extending.write(tmp_path, "one_step.py")
    found = method(f"{path}:one_step", settings={"start": "0.25"})
    assert found.config.start == 0.25
    box, budget = editor("sd_img2img"), Budget(8 / 255)
    place = scene(box)
    made = found.function(box, place, budget=budget, config=found.config, noise=noise()).image
    delta = made - place.source
    assert float(delta.abs().max()) <= 8 / 255 + 1e-6

    def moved(x: Any) -> float:
        with torch.no_grad():
            return float((box.encode(x) - box.encode(place.source)).square().mean())

    signs = noise(seed=3).uniform(place.source.shape[1:], place.source).sign()
    assert moved(made) > moved((place.source + budget.eps * signs).clamp(0, 1))  # than noise of the same size


def test_the_editor_edits_twice(checkpoint: Callable[[str], Path], editor: Any, site: Path) -> None:
    extending.install(site, "my-editors")
    assert "twice" in names("editors")
    twice = load(f"twice={checkpoint('sd_img2img')}", Settings(settings={"steps": 4}))
    once, image = editor("sd_img2img"), Image.fromarray(picture(16, 32))
    assert type(twice).__module__ == "my_editors.twice"
    expected = once.edit(once.edit(image, "make it red", 3), "make it red", 4)
    assert twice.edit(image, "make it red", 3).tobytes() == expected.tobytes()


def test_the_purifier_has_its_levels(site: Path) -> None:
    extending.install(site, "my-purifiers")
    found = purifier("posterize:bits=3")
    assert found is not None
    assert found.text == "posterize:bits=3"
    made = found(Image.fromarray(picture(16, 16)), seed=0, editor=None)
    assert set(np.unique(np.asarray(made)).tolist()) <= set(range(0, 256, 32))  # 3 bits: 8 levels
