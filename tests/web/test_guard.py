"""A real server: without its token, from elsewhere or for other files, nothing is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'label' is not installed")

from tests.directories import make_directory
from tests.processes import LIMIT_S
from tests.web.servers import Served, labelling


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("guard") / "edits"
    make_directory(root, images=2, prompts=2)
    with labelling(root, "--edits", "4") as running:
        yield running


def ask(
    served: Served, path: str, *, token: str | None = None, body: object = None, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    port = int(served.origin.rpartition(":")[2])
    connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    sent = {k.replace("_", "-"): v for k, v in headers.items()}
    if token is not None:
        sent["Cookie"] = f"isr-{port}={token}"
    data = None if body is None else json.dumps(body)
    if data is not None:
        sent.setdefault("Content-Type", "application/json")
    connection.request("GET" if data is None else "POST", path, data, sent)
    reply = connection.getresponse()
    found = reply.status, dict(reply.getheaders()), reply.read()
    connection.close()
    return found


def token_of(served: Served) -> str:
    return served.address.partition("token=")[2]


def test_a_wrong_or_missing_token_gets_403(served: Served) -> None:
    for path in (
        "/",
        "/?token=",
        "/?token=wrong",
        "/static/label.js",
        "/api/state?rater=ann",
        "/picture/ann/0/edit",
    ):
        assert ask(served, path)[0] == 403
        assert ask(served, path, token="wrong")[0] == 403
    assert (
        ask(served, f"/api/state?rater=ann&token={token_of(served)}")[0] == 403
    )  # a token opens the page only
    status, headers, _ = ask(served, f"/?token={token_of(served)}")
    assert status == 200
    assert "HttpOnly; SameSite=Strict" in headers["set-cookie"]
    assert "default-src 'none'" in headers["content-security-policy"]


def test_cookies_of_other_servers_do_not_hide_the_token(served: Served) -> None:
    token, port = token_of(served), served.origin.rpartition(":")[2]
    for foreign in ('prefs={"a": 1}; ', "a b=c; ", "=; ", f"isr-{port}=old; "):
        assert ask(served, "/", Cookie=f"{foreign}isr-{port}={token}")[0] == 200
    assert ask(served, "/", Cookie=f'prefs="isr-{port}={token}"')[0] == 403


def test_a_foreign_host_or_origin_is_refused(served: Served) -> None:
    token = token_of(served)
    assert ask(served, "/", token=token)[0] == 200
    assert ask(served, "/", token=token, Origin=served.origin)[0] == 200
    for headers in (
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ):
        assert ask(served, "/", token=token, **headers)[0] == 403
        assert ask(served, "/api/sign-in", token=token, body={"rater": "eve"}, **headers)[0] == 403


def test_images_outside_the_directory_cannot_be_fetched(served: Served) -> None:
    token = token_of(served)
    assert ask(served, "/api/sign-in", token=token, body={"rater": "ann"})[0] == 200
    status, headers, data = ask(served, "/picture/ann/0/edit", token=token)
    assert (status, headers["content-type"]) == (200, "image/png")
    assert data.startswith(b"\x89PNG")
    for path in (
        "/picture/ann/0/..%2f..%2fetc%2fpasswd",
        "/picture/ann/999/edit",
        "/picture/nobody/0/edit",
        "/picture/ann/0/../../../etc/passwd",
        "/static/..%2fguard.py",
        "/static/label.html",
        "/etc/passwd",
        "/openapi.json",
    ):
        assert ask(served, path, token=token)[0] in (404, 405, 422), path


def test_pictures_follow_no_link_out(tmp_path: Path) -> None:
    from isr.people.labelling_plan import Item
    from isr.web.label import Pictures

    make_directory(tmp_path / "edits", images=1, prompts=1)
    (tmp_path / "outside.png").write_bytes((tmp_path / "edits/edits/0-0-0.png").read_bytes())
    (tmp_path / "edits" / "link.png").symlink_to(tmp_path / "outside.png")
    pictures = Pictures(tmp_path / "edits", tmp_path / "study")
    for path, there in (
        ("edits/0-0-0.png", True),
        ("../outside.png", False),
        ("link.png", False),
        ("/etc/passwd", False),
    ):
        item = Item(kind="edit", edit_id="e", prompt="p", edit=path, edit_sha256="")
        assert (pictures.get(item, "edit") is not None) is there


def test_only_the_bytes_that_were_planned_are_shown(tmp_path: Path) -> None:
    root = tmp_path / "edits"
    make_directory(root, images=2, prompts=2)
    with labelling(root, "--edits", "4") as served:
        token = token_of(served)
        assert ask(served, "/api/sign-in", token=token, body={"rater": "ann"})[0] == 200
        for file in (root / "edits").glob("*.png"):
            file.write_bytes((root / "edits/0-0-0.png").read_bytes() + b" ")
        for position in range(4):
            for role in ("edit", "source"):
                status, _, data = ask(served, f"/picture/ann/{position}/{role}", token=token)
                if status != 200:
                    assert (status, b"planned with" in data) == (409, True)
        statuses = {ask(served, f"/picture/ann/{p}/edit", token=token)[0] for p in range(4)}
        assert 409 in statuses


def test_what_is_sent_is_checked(served: Served) -> None:
    token = token_of(served)
    ask(served, "/api/sign-in", token=token, body={"rater": "bo"})
    good = {
        "rater": "bo",
        "id": "12345678",
        "position": 0,
        "action": "mark",
        "question": "semantic",
        "value": "fails",
    }
    assert ask(served, "/api/click", token=token, body=good)[0] == 200
    for change in ({"position": -1}, {"id": ""}, {"more": 1}, {"seconds": "x"}, {"value": "y" * 3000}):
        assert ask(served, "/api/click", token=token, body=good | change)[0] == 422
    status, _, data = ask(served, "/api/click", token=token, body=good | {"id": "another-id", "position": 3})
    assert status == 409
    assert "which is shown" in json.loads(data)["error"]
