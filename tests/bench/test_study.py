"""The study file: everything that is wrong with it at once, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.bench.opening import marks, open_bench
from isr.bench.study import EditorPart, MethodPart, Study, pairs_of, read_study, text_of
from isr.errors import InputError, MissingExtraError

GOOD = """
name = "s"
judges = ["shapes-oracle"]
[images]
folder = "scenes"
prompts = "prompts.csv"
resolution = 64
[[editors]]
name = "ip2p"
editor = "instruct_pix2pix"
[[methods]]
name = "noise"
method = "noise"
eps = [0.03, 0.06]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scenes").mkdir()
    (tmp_path / "prompts.csv").write_text("name,prompt\n*,x\n")
    return tmp_path


def problems(folder: Path, text: str, **options: bool) -> list[str]:
    (folder / "study.toml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_study(folder / "study.toml", **options)
    return [f"{p.field}: {p.found}: {p.expected}" for p in caught.value.problems]


def test_a_good_study(folder: Path) -> None:
    (folder / "study.toml").write_text(GOOD)
    study = read_study(folder / "study.toml")
    assert study.judges[0].card == "shapes-oracle"
    assert study.methods[0].eps == (0.03, 0.06)
    assert study.images.sides == 64
    before = study.digest
    (folder / "study.toml").write_text("# a remark\n" + GOOD)
    assert read_study(folder / "study.toml").digest == before


def test_a_studys_own_errors_come_before_what_the_machine_lacks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where torch is missing a study can still be mended; a whole one is then told of the extra, once."""

    def lacking() -> None:
        raise MissingExtraError("sifm_ref: expected torch; found none; pip install 'isr-eval[sifm]'")

    monkeypatch.setattr("sifm_ref.registry.require_torch", lacking)
    monkeypatch.setattr("isr.bench.opening.require_torch", lacking)
    text = GOOD.replace('method = "noise"', 'method = "noize"').replace(
        "resolution = 64", "resolution = 64\nfoldr = 1"
    )
    (key, method) = problems(folder, text)
    assert key.startswith("images.foldr: ")
    assert method.startswith("methods.0: ")
    assert "did you mean noise?" in method
    assert "torch" not in key + method
    with pytest.raises(InputError, match="2 problem"):
        open_bench(folder / "study.toml", None)
    (folder / "study.toml").write_text(GOOD)
    with pytest.raises(MissingExtraError, match=r"isr-eval\[sifm\]"):
        open_bench(folder / "study.toml", None)


KEY = "CANARY0123456789abcdef0123456789ab"  # of no host's form, and shorter than a digest


@pytest.mark.parametrize(
    "judges",
    [
        '[{card="gpt-4o", set=["endpoint.api_key_env=KEY"]}]',
        '[{card="gpt-4o", set="endpoint.api_key_env=KEY"}]',
        '[{card="gpt-4o", set=["KEY"]}]',
        '[{card="gpt-4o", set={"endpoint.api_key_env.x"="KEY"}}]',
        '[{card="gpt-4o", set={"endpoint.api_key_env"={x="KEY"}}}]',
        '[{card="gpt-4o", set={decoding="KEY", "limits.timeout_s"="KEY"}}]',
        '[{card="gpt-4o", api_key="KEY"}]',
        '[{card="gpt-4o", card2={api_key="KEY"}}]',
        '["gpt-4o", {card="api_key=KEY"}]',
        '{card="gpt-4o", api_key="KEY"}',
        '[["endpoint.api_key_env=KEY"]]',
        '"endpoint.api_key_env=KEY"',
    ],
)
def test_no_message_repeats_a_setting(folder: Path, judges: str) -> None:
    """What stands in ``set`` may be a key: its name is said, never its value."""
    found = problems(folder, GOOD.replace('["shapes-oracle"]', judges.replace("KEY", KEY)))
    assert found
    assert KEY not in str(found)
    if "endpoint.api_key_env=KEY" in judges and "set=" in judges:
        assert "endpoint.api_key_env=..." in str(found)


def test_settings_of_methods_and_editors_are_not_repeated_either(folder: Path) -> None:
    said = GOOD + f'set = {{ "descent.steps" = "{KEY}" }}\n'
    said = said.replace('method = "noise"', 'method = "sifm"')
    said = said.replace(
        'editor = "instruct_pix2pix"\n', f'editor = "instruct_pix2pix"\nset = {{ steps = "{KEY}" }}\n'
    )
    found = problems(folder, said)
    assert len(found) == 2, found
    assert KEY not in str(found)
    assert "steps" in str(found)


def test_every_problem_at_once(folder: Path) -> None:
    """Shapes, names that lead nowhere, settings that do not exist, files that are not there: one list."""
    text = (
        GOOD.replace('folder = "scenes"', 'folder = "gone"')
        + """
[[methods]]
name = "SIFM"
method = "sfim"
surrogates = ["sd3"]
[[methods]]
name = "SIFM"
method = "sifm"
set = { "descent.step" = 1 }
[[methods]]
name = "mine"
method = "mine.py:protect"
[[methods]]
name = "noise"
method = "noise"
eps = [0.03]
colour = "red"
[[editors]]
name = "gone"
editor = "./gone"
"""
    )
    text = text.replace(
        'judges = ["shapes-oracle"]', 'judges = ["no-such-judge"]\nseeds = [0, -1]\npurifiers = ["jpg"]'
    )
    found = "\n".join(problems(folder, text))
    for word in (
        "seeds.1", "methods.4.colour", "images.folder", "methods.1.surrogates: 'sd3'", "did you mean sifm",
        "descent.step", "code to be run", "judges.0", "purifiers", "'./gone'", "methods.2: 'SIFM' at 0.03",
    ):  # fmt: skip
        assert word in found, word


def test_of_what_a_study_is_a_sample(folder: Path) -> None:
    """Prompts, clusters and a margin change the study where they are said; what they cannot be is refused."""
    (folder / "prompts.csv").write_text("name,prompt,person\n*,x,ann\n")
    (folder / "study.toml").write_text(GOOD)
    plain = read_study(folder / "study.toml")
    assert not {"prompts", "cluster", "margin"} & set(plain.choices())
    more = 'prompts = "random"\ncluster = "person"\nmargin = 0.05\n'
    (folder / "study.toml").write_text(more + GOOD)
    found = read_study(folder / "study.toml")
    assert (found.prompts, found.cluster, found.margin) == ("random", "person", 0.05)
    assert found.digest != plain.digest
    (cluster,) = problems(folder, more.replace("person", "people") + GOOD)
    assert cluster == "cluster: 'people': a column of the prompts' table that groups images, out of person"
    for column in ("split", "editor", "prompt_id"):  # of edits, or one for each prompt of an image
        assert problems(folder, more.replace("person", column) + GOOD)[0].startswith(
            f"cluster: '{column}': a column of the"
        )
    (folder / "prompts.csv").write_text(
        "name,prompt,person,template\na,x,ann,t0\na,y,bob,t1\nb,x,ann,t0\nb,y,ann,t1\n"
    )
    (split,) = problems(folder, more.replace('"random"', '"fixed"') + GOOD)
    assert (
        split
        == "cluster: 'a' in 'ann' and 'bob': one value of person for each picture (for groups of prompts: prompts = 'random')"
    )
    (split,) = problems(folder, more + GOOD)
    assert split.endswith("one value of person for each picture, or for each prompt")
    (folder / "study.toml").write_text(more.replace("person", "template") + GOOD)
    assert read_study(folder / "study.toml").cluster == "template"
    assert problems(folder, more.replace("0.05", "1.5") + GOOD)[0].startswith("margin: 1.5: ")
    (folder / "prompts.csv").write_text("name,prompt,person\n*,x,ann\n")
    (folder / "labels.csv").write_text("edit_id,rater,semantic,perceptual\n")
    both = problems(folder, more + GOOD + '[labels]\nfile = "labels.csv"\ndesign = "random"\n')
    assert both == ["prompts: 'random': fixed, beside labels"]


def test_labels_in_a_study(folder: Path) -> None:
    """They say how they were drawn, their files are there, and a study without them is what it was."""
    (folder / "labels.csv").write_text("edit_id,rater,semantic,perceptual\n")
    (folder / "study.toml").write_text(GOOD)
    plain = read_study(folder / "study.toml")
    assert "labels" not in plain.choices()
    labels = '[labels]\nfile = "labels.csv"\n'
    assert problems(folder, GOOD + labels) == ["labels.design: none: a value"]
    assert problems(folder, GOOD + labels + 'design = "external"')[0].startswith("labels.design: 'external'")
    gone = problems(
        folder, GOOD + '[labels]\nfile = ["labels.csv", "a.csv"]\nplan = "p.json"\ndesign = "random"'
    )
    assert gone == [
        "labels.file: 'a.csv': a file beside the study",
        "labels.plan: 'p.json': a file beside the study",
    ]
    (folder / "study.toml").write_text(GOOD + labels + 'design = "random"')
    assert read_study(folder / "study.toml").digest != plain.digest


def test_code_is_only_run_when_allowed(folder: Path) -> None:
    text = GOOD + '[[methods]]\nname = "mine"\nmethod = "mine.py:protect"\n'
    (folder / "mine.py").write_text("raise SystemExit('it was run')")
    assert "--allow-code" not in problems(folder, text)[0]  # found and expected; the advice is apart
    (folder / "mine.py").write_text("def protect(editor, scene, **rest):\n    return scene.source\n")
    (folder / "study.toml").write_text(text)
    assert read_study(folder / "study.toml", allow_code=True).methods[1].is_code


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[images]", '[images]\ndataset = { id = "x", strata = { portrait = 1 } }'), "both"),
        (('folder = "scenes"\nprompts = "prompts.csv"', ""), "neither"),
        (('prompts = "prompts.csv"', ""), "name, prompt"),
        (('name = "noise"', 'name = "none"'), "another name"),
        (('editor = "instruct_pix2pix"', 'editor = "flux_kontext"'), "surrogate = false"),
        (('editor = "instruct_pix2pix"', 'editor = "instruct_pix2pix"\nsurrogate = false'), "none that surrogates"),
        (('editor = "instruct_pix2pix"', 'editor = "instruct_pix2pix"\nset = { step = 3 }'), "step: expected one of"),
        (("eps = [0.03, 0.06]", "eps = [8]"), "pixel units"),
        (("[[methods]]", '[[methods]]\nname = "twin"\nmethod = "noise"\n[[methods]]'), "than 'twin'"),
        (('name = "noise"\n', 'name = "twin"\nmethod = "noise"\nsurrogates = ["ip2p"]\n[[methods]]\nname = "noise"\n'), "than 'twin'"),
        (('name = "s"', 'name = "s"\npurifiers = ["jpeg", "none", "jpeg:quality=75"]'), "'jpeg:quality=75' is the same as 'jpeg'"),
        (('name = "ip2p"', 'name = "ip2p"\npurifiers = ["none", ""]'), "'' is the same as 'none'"),
        (('name = "ip2p"', 'name = "ip2p"\npurifiers = []'), "editors.0.purifiers"),
        (('name = "s"', 'name = "s"\nby = ["split", "seed", "spilt"]'), "by: 'spilt'"),
        (('name = "s"', 'name = "s"\ntables = ["IX"]'), "'IX'"),
        (('name = "s"', 'name = "s"\npublished = "../none.toml"'), "a file beside"),
        (('name = "s"', 'name = ""'), "at least 1 character"),
        (('name = "ip2p"', 'name = "ip2p\\u001b[2J"'), "of one line"),
    ],
)  # fmt: skip
def test_one_problem(folder: Path, change: tuple[str, str], said: str) -> None:
    found = problems(folder, GOOD.replace(*change, 1))
    assert any(said in one for one in found), found


def test_an_editor_of_a_file_needs_leave(folder: Path) -> None:
    (folder / "my.py").write_text("def edit(image, prompt, seed, *, share=0.5): return image\n")
    text = (
        GOOD + '[[editors]]\nname = "own"\neditor = "my.py:edit"\nsurrogate = false\nset = { share = 0.2 }\n'
    )
    (found,) = problems(folder, text)
    assert found.startswith("editors.1.editor: 'my.py:edit', which is code to be run")
    (folder / "study.toml").write_text(text)
    study = read_study(folder / "study.toml", allow_code=True)
    assert study.editors[1].is_code
    one = marks(study, folder).editors["own"]
    (folder / "my.py").write_text("def edit(image, prompt, seed, *, share=0.5): return image.copy()\n")
    assert marks(study, folder).editors["own"] not in ("", one)
    assert any(
        "share: expected" in said for said in problems(folder, text.replace("0.2", '"x"'), allow_code=True)
    )
    (said,) = problems(folder, text.replace("surrogate = false", ""), allow_code=True)
    assert "only edits" in said


def test_a_fraction_is_its_own_number(folder: Path) -> None:
    """8/255 is 0.03137..., no 0.0314: another treatment; and the same one as its number, written out."""

    def read(eps: str) -> Study:
        (folder / "study.toml").write_text(GOOD.replace("[0.03, 0.06]", eps))
        return read_study(folder / "study.toml")

    fraction = read('["8/255", 0.06]')
    assert fraction.methods[0].eps == (8 / 255, 0.06)
    assert fraction.digest == read(f"[{8 / 255!r}, 0.06]").digest
    assert fraction.digest != read("[0.0314, 0.06]").digest
    wrong = GOOD.replace("[0.03, 0.06]", '["8/0"]')
    assert any("such as 0.03 or '8/255'" in said for said in problems(folder, wrong))


def test_edits_are_grouped_by_columns_of_the_prompts(folder: Path) -> None:
    text = GOOD.replace('name = "s"', 'name = "s"\nby = ["kind", "split", "seed"]', 1)
    assert any("by: 'kind'" in said for said in problems(folder, text))
    (folder / "prompts.csv").write_text("name,prompt,kind\n*,x,hard\n")
    assert read_study(folder / "study.toml").by == ("kind", "split", "seed")


def test_no_toml(folder: Path) -> None:
    (folder / "study.toml").write_text("name = ")
    with pytest.raises(InputError, match="expected a study file in TOML"):
        read_study(folder / "study.toml")


FINITE = st.floats(
    allow_nan=False, allow_infinity=False
)  # others are no settings (tests/sifm_ref/test_failures.py)
VALUE = st.booleans() | st.integers() | FINITE | st.text("abc._", min_size=1)


@given(VALUE)
def test_a_setting_says_what_it_would_on_a_command_line(value: bool | int | float | str) -> None:
    from sifm_ref.registry import like

    assert like(value, text_of(value)) == value


@given(
    surrogate=st.lists(st.booleans(), min_size=3, max_size=3),
    edits=st.lists(st.booleans(), min_size=3, max_size=3),
    transfer=st.booleans(),
)
def test_cells_of_a_method(surrogate: list[bool], edits: list[bool], transfer: bool) -> None:
    editors = [
        EditorPart(name=n, editor="x", surrogate=s, edits=e)
        for n, s, e in zip("abc", surrogate, edits, strict=True)
    ]
    found = pairs_of(MethodPart(name="m", method="noise", transfer=transfer), editors)
    whole = sum(surrogate) * sum(edits)
    assert len(found) == (whole if transfer else sum(s and e for s, e in zip(surrogate, edits, strict=True)))


def test_the_model_is_frozen(folder: Path) -> None:
    (folder / "study.toml").write_text(GOOD)
    study = read_study(folder / "study.toml")
    with pytest.raises(ValueError, match="frozen"):
        study.name = "other"
    assert isinstance(study, Study)
