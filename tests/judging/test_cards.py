"""Judge cards: strict files, an identity that is complete, and no key in any place."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

import pytest

from isr.edits.images import ImagePolicy
from isr.errors import CardError, UsageError
from isr.judging.backends import open_judge
from isr.judging.card_sections import Price
from isr.judging.cards import Card, builtin_names, load_card, load_panel
from isr.judging.image_tokens import RULES
from isr.judging.served import is_among
from tests.samples import a_card, write_toml

DIGESTS = {  # as version 0.1.0 computed them
    "gemini-2.5-flash": "4d07df806ca0370ba54aa22964ef53774d7ed7de151b593317a50068ba39983a",
    "gemini-2.5-pro": "76c6ec92e0bf83043488de7105e9b1fb1e942653db152924aeccaaaf840afc43",
    "gemini-3.8-flash": "3e7a230637531801eed7ca3efd95adbe90bacc2056f1cf123f342f5edcf28348",
    "gemini-4-argon": "1955eb5f38ec5521b5928db73275a676b142377c40b0be98cf4a875d75d2c796",
    "gemini-successors": "1423909d1d3d3462c9d81f8316acf57b66fa05fc98a687b222dec096027f838d",
    "gpt-4.1": "592aa17877619a79e9a2f6f12fbe010f8957a6d15912c5a3ccdba7b39104f5dc",
    "gpt-4o": "902a085dea632bb6e7738c031a25bf2c82ae3fa2e6cfa3e0f30ad7a7c9799831",
    "llava-1.5-7b-vllm": "b4c8a582fdd1e7c325fc0899e5aa81a5813df35a66b3b7df3a080490bb98ce56",
    "llava-onevision-7b": "9b8afc8a4e1c900073f4e49544889621fb9076573b02074452142fc0ee0cc2d2",
    "llava-onevision-7b-vllm": "9f32a0b9b66a645fec4905f3e8bcea9487285c210d71d82db142050450b5db55",
    "paper-2512.14320": "1423909d1d3d3462c9d81f8316acf57b66fa05fc98a687b222dec096027f838d",
    "qwen2-vl-7b-vllm": "acfd72edde275ec72e6e312199c1f41789472b7b63516c04bda723fb4e313a3c",
    "qwen2.5-vl-3b-ollama": "081d9fe695bf0206f2d97cff5bb39ef632185580a0afca27b85adbfcd4dad1b0",
    "qwen2.5-vl-3b-transformers": "67579d19d79abb23cc23a6a77f4723a541d7addc5de16f1345557010e027dbd8",
    "qwen2.5-vl-72b": "116d5a2737f2f407a3191da8c69d56e2e9eda4fe0b1613177343cbb04926b133",
    "qwen2.5-vl-7b": "4c4bcb18b747ae0cdd457d9331e912076be96fec343f599ce07fd5c4f8783f65",
    "qwen2.5-vl-7b-transformers": "724ca87823be7ddb5df17ee7ccc2d765e45cb4e7d12ae852dcd339b77421dbdb",
    "qwen2.5-vl-7b-vllm": "8f052f92406942992327e4a2cb5adc106c33e696240bd8023172f38e85556296",
    "qwen3-vl-2b-ollama": "ee9aa8094c1a385e6b05bd2dc5094749c589f244a615da6eacbad732684d88f0",
    "qwen3-vl-2b-transformers": "823b50fdfac1305139beee12286e15d645f6eac5d53d025b2faee50a184fb5ba",
    "qwen3-vl-4b-ollama": "e126d9e768b7db8648da84d4936ea50ee6563706017c25bc547f62e9436a4921",
    "qwen3-vl-4b-transformers": "36ad867169e9088f462d1df1f14ca1efb62fc3c9e331b0c1b778fed54cf2b70a",
    "qwen3-vl-8b": "ee664654caf1326b08bdd5f390d0c0c60dc0da7e3f866947dc9c4ef6b9a0c1f3",
    "qwen3-vl-8b-transformers": "5b229a500fbf5a371ac6ff7873622344554bd6ee1eaec78f92c61cfb35737dee",
    "qwen3-vl-8b-vllm": "2c6b3808b0be2c2da71f574b34fda5c6fd33e334e2048b0a94116efabe945bb6",
    "replay": "7c4e9627103668f8739427cd73c00b9314ab39047539c0067a0365db131cd8eb",
    "shapes-oracle": "c64282e50f4cb3b721378e327d9feea882a321c7c4a526f26a72f9f9d0e27b89",
}

PANELS = ("gemini-routed", "gemini-successors", "paper-2512.14320")
KEY = "sk-canary0123456789abcdef0123456789"
MINIMAL = 'backend = "openai_chat"\nmodel = "m"\n[endpoint]\nbase_url = "http://127.0.0.1:8000/v1"\n'


def refused(folder: Path, text: str) -> CardError:
    with pytest.raises(CardError) as caught:
        load_card(write_toml(folder, text))
    return caught.value


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_cards_load(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert card.needs
    assert card.digest == load_card(name).digest
    if card.backend == "openai_chat" and card.model:  # without one it is a host's: test_short_forms.py
        assert card.endpoint.host
        if card.deployment == "ollama":  # asks for no key, and its tags name no revision: docs/judges.md
            assert (card.endpoint.api_key_env, card.revision, card.endpoint.host) == ("", "", "127.0.0.1")
            return
        assert card.endpoint.api_key_env
        local = card.endpoint.host == "127.0.0.1"
        assert card.revision if local else card.verified_on  # local weights are pinned, hosted models dated
        assert local or is_among(card.serves, card.model)  # else its own answers would be refused


def test_the_cards_that_were_promised() -> None:
    promised = {
        "gemini-2.5-pro", "gemini-2.5-flash", "gpt-4.1", "gpt-4o", "qwen2.5-vl-7b", "qwen2.5-vl-72b", "qwen3-vl-8b",
        "llava-onevision-7b", "shapes-oracle", "replay", *PANELS,
    }  # fmt: skip
    assert promised <= set(builtin_names())


@pytest.mark.parametrize("name", sorted(set(builtin_names()) - {*PANELS, "replay"}))
def test_built_in_judges_differ(name: str) -> None:
    twins = [n for n in builtin_names() if n not in PANELS and load_card(n).digest == load_card(name).digest]
    assert twins == [name]


def test_thinking_models_have_room_for_their_thoughts() -> None:
    for name in builtin_names():
        decoding = load_card(name).decoding
        if decoding.reasoning_effort:
            assert decoding.max_tokens >= 4096


def test_the_identity(tmp_path: Path) -> None:
    text = MINIMAL + "[decoding]\ntemperature = 0.5\n[images]\nmax_side = 512\n[engine]\ndtype = 'float16'\n"
    card = load_card(write_toml(tmp_path, text))
    assert card.identity == {
        "backend": "openai_chat",
        "model": "m",
        "revision": "",
        "deployment": "",
        "decoding": {
            "temperature": 0.5, "max_tokens": 512, "max_tokens_name": "max_tokens", "seed": 0,
            "reasoning_effort": None, "structured": "json_schema", "omit": [], "extra": {},
        },
        "images": {"max_side": 512, "format": "png", "quality": 95, "layout": "separate", "detail": ""},
        "engine": {"dtype": "float16"},
    }  # fmt: skip
    assert card.policy == ImagePolicy(512, "png", 95, "separate")
    assert card.signature == f"card:{card.digest[:19]}"


def test_the_digests_of_the_built_in_judges_stay() -> None:
    """Under them every answer is kept that was ever paid for."""
    found = {name: load_card(name).digest.removeprefix("sha256:") for name in builtin_names()}
    assert {name: found.get(name) for name in DIGESTS} == DIGESTS


def test_recorded_answers_are_known_by_their_content(tmp_path: Path) -> None:
    digests = []
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).write_bytes(content)
        digests.append(load_card("replay", [f"engine.answers={tmp_path / name}"]).digest)
    assert digests[0] == digests[1] != digests[2]
    card = load_card("replay", [f"engine.answers={tmp_path / 'a'}"])
    assert card.identity["engine"] == {"answers": "sha256:" + hashlib.sha256(b"one").hexdigest()}
    with pytest.raises(CardError, match="expected a file in engine"):
        _ = load_card("replay", ["engine.answers=nowhere.jsonl"]).digest


# Overrides


def test_overrides() -> None:
    card = load_card(
        "gpt-4o", ["decoding.temperature=0.7", "model=other", "images.max_side=512", "decoding.omit=['seed']"]
    )
    assert (card.decoding.temperature, card.model, card.images.max_side) == (0.7, "other", 512)
    assert card.decoding.omit == ("seed",)
    assert card.price == Price()  # of another model
    assert load_card("gpt-4o", ["images.max_side=512"]).price == load_card("gpt-4o").price
    assert load_card("gpt-4o", ["endpoint.api_key_env="]).endpoint.api_key_env == ""
    assert load_card("gpt-4o", ["decoding.extra.top_p=0.5"]).decoding.extra == {"top_p": 0.5}
    assert load_card("gpt-4o", ["deployment=a=b"]).deployment == "a=b"


@pytest.mark.parametrize("text", ["temperature", "=1", "", "model.name=x"])
def test_overrides_of_no_use(text: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        load_card("gpt-4o", [text])


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("decoding.temperatur=0.7", "decoding.temperatur"),
        ("decoding.temperature=warm", "decoding.temperature"),
        ("decoding.temperature=3", "decoding.temperature"),
        ("decoding.max_tokens=1.5", "decoding.max_tokens"),
        ("decoding.max_tokens='512'", "decoding.max_tokens"),
        ("images.format=webp", "images.format"),
        ("name=gpt-4.1", "name"),
        ("decoding.temperature=nan", "decoding.temperature"),
        ("engine.x=inf", "engine.x"),
        ("decoding.extra.top_p=nan", "decoding.extra.top_p"),
    ],
)
def test_overrides_are_checked_like_the_file(text: str, field: str) -> None:
    with pytest.raises(CardError) as caught:
        load_card("gpt-4o", [text])
    assert field in {p.field for p in caught.value.problems}


# Files


def test_unknown_fields_are_all_listed(tmp_path: Path) -> None:
    text = 'backend = "openai_chat"\ntop = 1\nrule = "all"\n[decoding]\ntemp = 1\nmax_tokens = 0\n[endpoint]\nurl = "x"\n'
    error = refused(tmp_path, text)
    assert {p.field for p in error.problems} == {
        "top",
        "rule",
        "decoding.temp",
        "decoding.max_tokens",
        "endpoint.url",
    }
    assert str(error).count("card.toml") == 6  # the summary and each problem


def test_a_card_without_a_backend(tmp_path: Path) -> None:
    error = refused(tmp_path, "model = 'm'\n")
    assert [(p.field, p.found) for p in error.problems] == [("backend", "none")]


@pytest.mark.parametrize("backend", ["OpenAI", "a.b", "../x", "os", "", "a-b"])
def test_strange_backends(backend: str, tmp_path: Path) -> None:
    path = write_toml(tmp_path, f"backend = '{backend}'\n")
    with pytest.raises(CardError, match="backend"):
        open_judge(load_card(path))


@pytest.mark.parametrize(
    "address",
    [
        "ftp://x/v1",
        "127.0.0.1:8000",
        "https://",
        "http://[::1",
        "https://x:port/v1",
        "file:///etc/passwd",
        "//x",
    ],
)
def test_strange_addresses(address: str, tmp_path: Path) -> None:
    error = refused(tmp_path, MINIMAL.replace("http://127.0.0.1:8000/v1", address))
    assert [p.field for p in error.problems] == ["endpoint.base_url"]


def test_a_rule_for_image_tokens_that_is_none(tmp_path: Path) -> None:
    error = refused(tmp_path, MINIMAL + '[price]\nimage_tokens = "bogus"\n')
    (problem,) = error.problems
    assert (problem.field, problem.found) == ("price.image_tokens", "'bogus'")
    for rule in RULES:
        assert rule in problem.expected
        text = MINIMAL + f'[price]\nimage_tokens = "{rule}"\n'
        assert load_card(write_toml(tmp_path, text)).price.image_tokens == rule
    with pytest.raises(CardError, match=r"price\.image_tokens"):
        load_card("gpt-4o", ["price.image_tokens=openai"])
    assert load_card("gpt-4o", ["price.image_tokens="]).price.image_tokens == ""


def test_a_card_cannot_take_another_name(tmp_path: Path) -> None:
    assert [p.field for p in refused(tmp_path, 'name = "gpt-4o"\n' + MINIMAL).problems] == ["name"]


def test_files_that_are_no_cards(tmp_path: Path) -> None:
    assert "expected TOML" in str(refused(tmp_path, "backend = "))
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    for name in ("b.toml", "missing.toml"):
        with pytest.raises(CardError, match="expected a readable judge card"):
            load_card(str(tmp_path / name))


@pytest.mark.parametrize("name", ["nobody", "", "../judges/gpt-4o", "gpt-4o/", "__init__", ".", "gpt-4o\0"])
def test_unknown_names_say_what_lists_the_cards(name: str) -> None:
    with pytest.raises(CardError, match="isr judges lists all"):
        load_card(name)


# Keys


@pytest.mark.parametrize(
    "text",
    [
        f'api_key = "{KEY}"\n' + MINIMAL,
        'api_key = "short1"\n' + MINIMAL,
        MINIMAL + f'api_key_env = "{KEY}"\n',
        MINIMAL + 'api_key_env = "a key with spaces"\n',
        MINIMAL + f'api_key_env = "hf_{"x" * 30}"\n',
        MINIMAL + 'api_key = "short1"\n',
        MINIMAL + 'token = "short1"\n',
        MINIMAL + f'[decoding]\nextra = {{ authorization = "Bearer {KEY}" }}\n',
        MINIMAL + '[decoding]\nextra = { headers = { "x-api-key" = "short1", api_key = "short1" } }\n',
        MINIMAL + f'[decoding]\nextra = {{ headers = ["Bearer {KEY}"] }}\n',
        MINIMAL + f'[decoding]\nextra = {{ headers = [["{KEY}"], [{{ password = "short1" }}]] }}\n',
        MINIMAL + f'[decoding]\nomit = ["{KEY}"]\n',
        MINIMAL + f'[engine]\nhf_token = "hf_{"x" * 30}"\n',
        MINIMAL + f'[engine]\nanything = "{"Ab0" * 16}"\n',
        f'serves = ["{KEY}"]\n' + MINIMAL,
        f'members = ["{KEY}"]\n' + MINIMAL,
        f'deployment = "{KEY}"\n' + MINIMAL,
        f'revision = "{KEY}"\n' + MINIMAL,
        f'notes = "my key is {KEY}"\n' + MINIMAL,
        MINIMAL.replace('"m"', f'"{KEY}"'),
        MINIMAL.replace("8000/v1", f"8000/v1?key={KEY}"),
        MINIMAL.replace("http://", f"https://{KEY}@"),
        MINIMAL.replace("http://", "https://me:short1@"),
        MINIMAL.replace("http://", "ftp://me:short1@"),
        f'api_key = "short1"\nunknown = "{KEY}"\n' + MINIMAL.partition("\n")[2],  # and the backend is missing
    ],
)
def test_a_key_in_a_card_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    error = refused(tmp_path, text)
    assert error.problems
    for secret in (KEY, KEY[5:], "short1", "Ab0Ab0", "hf_x", "a key with spaces"):
        assert secret not in str(error)


def test_a_key_in_an_override_is_refused() -> None:
    with pytest.raises(CardError) as caught:
        load_card("gpt-4o", [f"endpoint.api_key_env={KEY}"])
    assert KEY not in str(caught.value)


def test_digests_and_long_names_are_no_keys(tmp_path: Path) -> None:
    text = f'revision = "{"0123abcd" * 5}"\ndeployment = "{"x" * 50}"\n' + MINIMAL.replace(
        '"m"', f'"org/{"y" * 60}"'
    )
    assert load_card(write_toml(tmp_path, text)).revision == "0123abcd" * 5


# Panels


def test_an_ordinary_card_is_a_panel_of_itself() -> None:
    panel = load_panel("gpt-4o", ["decoding.temperature=0.7"])
    name = "gpt-4o+decoding.temperature=0.7"
    assert (panel.name, [c.name for c in panel.members], panel.rule) == (name, [name], "single")
    assert panel.members[0].decoding.temperature == 0.7
    assert panel.signature == panel.members[0].signature


@pytest.mark.parametrize("name", PANELS)
def test_built_in_panels(name: str) -> None:
    panel = load_panel(name)
    assert panel.rule == "strict"
    assert len(panel.members) == 2
    assert panel.signature == ",".join(m.signature for m in panel.members)


def test_the_papers_panel() -> None:
    assert [m.model for m in load_panel("paper-2512.14320").members] == ["gemini-2.5-pro", "gemini-2.5-flash"]
    assert "replay" in load_card("paper-2512.14320").notes


def test_members_beside_the_panels_file(tmp_path: Path) -> None:
    write_toml(tmp_path, MINIMAL, "mine")
    panel = load_panel(
        write_toml(tmp_path, 'backend = "panel"\nmembers = ["mine.toml", "gpt-4o"]\nrule = "any"\n', "panel")
    )
    assert ([m.name for m in panel.members], panel.rule) == (["mine", "gpt-4o"], "any")


@pytest.mark.parametrize(
    "members",
    [
        "[]",
        '["gpt-4o"]',
        '["gpt-4o", "gpt-4o"]',
        '["gpt-4o", "paper-2512.14320"]',
        '["panel.toml", "gpt-4o"]',
    ],
)
def test_panels_that_are_none(members: str, tmp_path: Path) -> None:
    path = write_toml(tmp_path, f'backend = "panel"\nmembers = {members}\n', "panel")
    with pytest.raises(CardError, match="two or more different judges that are not panels"):
        load_panel(path)


def test_panels_with_unknown_members_or_rules(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="nobody"):
        load_panel(write_toml(tmp_path, 'backend = "panel"\nmembers = ["gpt-4o", "nobody"]\n'))
    with pytest.raises(CardError, match="'rule'"):
        load_panel(
            write_toml(tmp_path, 'backend = "panel"\nmembers = ["gpt-4o", "gpt-4.1"]\nrule = "most"\n')
        )


def test_a_panel_takes_no_overrides() -> None:
    with pytest.raises(UsageError, match="--set on the panel"):
        load_panel("paper-2512.14320", ["decoding.temperature=1"])


def test_cards_are_frozen() -> None:
    card = a_card()
    with pytest.raises(ValueError, match="frozen"):
        card.model = "another"  # type: ignore[misc]
    assert isinstance(card, Card)


def test_one_judge_under_two_names_is_no_panel(tmp_path: Path) -> None:
    for name, limit in (("a", 4), ("b", 8)):  # limits are no part of the identity
        (tmp_path / f"{name}.toml").write_text(
            f'backend = "replay"\nmodel = "m"\n[limits]\nconcurrency = {limit}\n'
        )
    (tmp_path / "p.toml").write_text('backend = "panel"\nmembers = ["a.toml", "b.toml"]\n')
    with pytest.raises(CardError, match="two or more different judges"):
        load_panel(str(tmp_path / "p.toml"))


@pytest.mark.parametrize(
    "text",
    [
        "decoding.extra.messages=[]", "decoding.extra.model='another'", "decoding.extra.stream=true", "decoding.extra.n=5",
        "decoding.extra.response_format={}", "decoding.extra.max_completion_tokens=9", "images.processor.text='x'",
    ],
)  # fmt: skip
def test_free_fields_replace_nothing_that_isr_sends(text: str) -> None:
    with pytest.raises(CardError, match="names that isr does not set itself") as caught:
        load_card("gpt-4o", [text])
    name = text.partition("=")[0].rpartition(".")
    assert [(p.field, p.found) for p in caught.value.problems] == [(name[0], name[2])]


def test_another_model_keeps_nothing_that_was_said_of_the_first() -> None:
    """Its revision, its dates, its price and the names that it may report are of other weights."""
    card = load_card("gpt-4.1", ["model=qwen/qwen3.6-27b"])
    assert (card.model, card.revision, card.serves, card.verified_on, card.retires_on, card.price.input) == (
        "qwen/qwen3.6-27b", "", (), "", "", None,
    )  # fmt: skip
    assert card.decoding == load_card("gpt-4.1").decoding
    told = ["revision=abc", 'serves=["qwen3.6-27b"]', "price.input=0.5", "model=qwen/qwen3.6-27b"]
    card = load_card("gpt-4.1", told)
    assert (card.revision, card.serves, card.price.input, card.price.output) == (
        "abc",
        ("qwen3.6-27b",),
        0.5,
        None,
    )
    same, own = load_card("gpt-4.1", ["model=gpt-4.1-2025-04-14"]), load_card("gpt-4.1")
    assert same.model_dump() == own.model_dump()
    assert same.digest == own.digest


@pytest.mark.parametrize(
    ("sets", "name"),
    [
        (["model=llava:13b"], "qwen2.5-vl-7b+model=llava-13b"),
        (["model=./weights/llava"], "qwen2.5-vl-7b+model=llava"),
        (["model=x/y", "revision=abc"], "qwen2.5-vl-7b+model=x-y+revision=abc"),
        (["decoding.temperature=0.7", "images.max_side=512"], "qwen2.5-vl-7b+decoding.temperature=0.7+images.max_side=512"),
        (["decoding.temperature=0.0", "limits.concurrency=3", "endpoint.base_url=http://127.0.0.1:1/v1"], "qwen2.5-vl-7b"),
    ],
)  # fmt: skip
def test_what_is_overridden_of_the_identity_shows_in_the_name(sets: list[str], name: str) -> None:
    card, own = load_card("qwen2.5-vl-7b", sets), load_card("qwen2.5-vl-7b")
    assert (card.name, card.stem) == (name, "qwen2.5-vl-7b")
    assert shlex.split(card.given) == ["qwen2.5-vl-7b", *(part for one in sets for part in ("--set", one))]
    if card.checkpoint is None:
        assert (card.name == own.name) == (card.digest == own.digest)


def test_a_file_that_is_overridden_is_named_by_its_content(tmp_path: Path) -> None:
    """No path gets into a name that is published, and two files of one name are two judges."""
    names = set()
    for content in ("one", "other"):
        (tmp_path / content).mkdir()
        (tmp_path / content / "answers.jsonl").write_text(content)
        names.add(load_card("replay", [f"engine.answers={tmp_path / content / 'answers.jsonl'}"]).name)
    assert len(names) == 2
    assert all(re.fullmatch(r"replay\+engine\.answers=[0-9a-f]{12}", n) for n in names)


def test_a_card_that_cannot_stand_alone_can_be_made_whole_by_what_is_set(tmp_path: Path) -> None:
    path = write_toml(tmp_path, 'model = "m"\n', "bare")
    card = load_card(path, ["backend=openai_chat", "endpoint.base_url=http://127.0.0.1:1/v1"])
    assert card.name.startswith("bare+")
    assert "+model=m" in card.name


@pytest.mark.parametrize("day", ["2026-13-01", "soon", "01.12.2026", "20261201"])
@pytest.mark.parametrize("field", ["retires_on", "verified_on"])
def test_a_date_that_would_never_come_is_refused(tmp_path: Path, field: str, day: str) -> None:
    assert f"'{field}'" in str(refused(tmp_path, f'{field} = "{day}"\n' + MINIMAL))
