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

from isr.errors import UsageError  # noqa: E402
from isr.files import file_digest  # noqa: E402
from sifm_ref.budget import Budget  # noqa: E402
from sifm_ref.editor import Settings  # noqa: E402
from sifm_ref.loading import load, parse  # noqa: E402
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


def test_an_editor_may_be_a_function_of_a_file(tmp_path: Path) -> None:
    spec = f"{extending.write(tmp_path, 'my_edit.py')}:redder"
    found = load(spec, Settings(settings={"share": "0.25"}, code=True))
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    red = np.asarray(found.edit(image, "make it red", 0))
    assert red[0, 0].tolist() == [63, 0, 0]  # 0.25 x 255 = 63.75, cut
    digest = file_digest(tmp_path / "my_edit.py")
    assert found.name == f"redder@{digest[7:13]}[share=0.25]"
    assert (found.checkpoint, found.identity["code"]) == (digest, digest)
    with pytest.raises(UsageError, match="share: expected a number"):
        load(spec, Settings(settings={"share": "much"}, code=True))
    with pytest.raises(UsageError, match=r"found none of the name 'reder'; did you mean redder\?"):
        load(spec.replace("redder", "reder"), Settings(code=True))


def test_an_editor_of_a_file_may_be_an_adapter(checkpoint: Callable[[str], Path], site: Path) -> None:
    extending.install(site, "my-editors")
    spec = f"{site / 'my_editors' / 'twice.py'}:Adapter"
    by_path = load(f"{spec}={checkpoint('sd_img2img')}", Settings(settings={"steps": 4}, code=True))
    by_name = load(f"twice={checkpoint('sd_img2img')}", Settings(settings={"steps": 4}))
    image = Image.fromarray(picture(16, 32))
    assert by_path.edit(image, "make it red", 3).tobytes() == by_name.edit(image, "make it red", 3).tobytes()
    digest = file_digest(site / "my_editors" / "twice.py")
    assert by_path.name.startswith(f"Adapter@{digest[7:13]}=")
    assert by_path.checkpoint == by_name.checkpoint  # equal weights
    assert by_path.identity["code"] == digest
    bare = site / "bare.py"
    bare.write_text("from sifm_ref.editor import Editor\nclass Mine(Editor): ...\n", "utf-8")
    with pytest.raises(UsageError, match=r"expected a checkpoint behind it; found none; give .*=FOLDER"):
        load(f"{bare}:Mine", Settings(code=True))


def test_a_file_is_run_only_where_that_was_asked_for(tmp_path: Path) -> None:
    """A purifier's parameter, a study, metadata: none of them may name code."""
    (tmp_path / "bad.py").write_text("raise SystemExit('it ran')\n", "utf-8")
    spec = f"{tmp_path / 'bad.py'}:edit"
    for read in (parse, load):
        with pytest.raises(
            UsageError, match="found code of a file, which only --editor on the command line may name"
        ):
            read(spec)  # type: ignore[operator]
    attack = purifier(f"img2img:checkpoint={spec}")
    assert attack is not None
    with pytest.raises(UsageError, match="found code of a file"):
        attack(Image.fromarray(picture(16, 16)), seed=0, editor=None)
    with pytest.raises(
        UsageError, match=r"expected a file that can be imported; found .* \(SystemExit: it ran\)"
    ):
        load(spec, Settings(code=True))


def test_a_class_of_another_base_is_named_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ed.py"
    path.write_text("class Mine:\n    pass\nNUMBER = 3\n", "utf-8")
    for name, said in (
        ("Mine", "found a class of object; let it inherit from Editor"),
        ("NUMBER", "found NUMBER, int;"),
    ):
        with pytest.raises(UsageError, match=said):
            load(f"{path}:{name}", Settings(code=True))


def test_another_content_is_another_method_and_another_editor(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    seen = set()
    for number in (1, 2):
        path.write_text(
            f"def protect(editor, scene, **rest): return {number}\ndef edit(image, prompt, seed): return image\n",
            "utf-8",
        )
        found = method(f"{path}:protect", called="ours")
        assert (found.name, found.function(None, None)) == ("ours", number)
        seen |= {found.digest("linf"), load(f"{path}:edit", Settings(code=True)).name}
    assert len(seen) == 4
    with pytest.raises(UsageError, match="--name ours: expected a method of a file"):
        method("noise", called="ours")


def test_the_purifier_has_its_levels(site: Path) -> None:
    extending.install(site, "my-purifiers")
    found = purifier("posterize:bits=3")
    assert found is not None
    assert found.text == "posterize:bits=3"
    made = found(Image.fromarray(picture(16, 16)), seed=0, editor=None)
    assert set(np.unique(np.asarray(made)).tolist()) <= set(range(0, 256, 32))  # 3 bits: 8 levels
