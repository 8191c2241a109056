"""A real server: without its token, from elsewhere or for other files, nothing is shown."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

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


def raw(served: Served, path: str, token: str, body: bytes) -> tuple[int, bytes]:
    """A POST whose body is these bytes."""
    port = int(served.origin.rpartition(":")[2])
    connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    headers = {"Cookie": f"isr-{port}={token}", "Content-Type": "application/json"}
    connection.request("POST", path, body, headers)
    reply = connection.getresponse()
    found = reply.status, reply.read()
    connection.close()
    return found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seconds", "NaN"),
        ("seconds", "Infinity"),
        ("seconds", "-Infinity"),
        ("seconds", "1e400"),
        ("seconds", "1" + "0" * 400),
        ("seconds", "-1"),
        ("position", "9223372036854775808"),
        ("position", "1" + "0" * 400),
        ("position", "NaN"),
        ("value", r'"\ud800"'),
        ("rater", r'"\udfff"'),
        ("id", r'"12345678\ud800"'),
        (r"\ud800", "1"),
    ],
)
def test_values_that_no_file_can_hold_are_refused_by_name(served: Served, field: str, value: str) -> None:
    token = token_of(served)
    good = {"rater": '"bo"', "id": '"12345679"', "position": "0", "action": '"note"', "value": '"x"'}
    body = ", ".join(f'"{k}": {v}' for k, v in {**good, field: value}.items())
    status, said = raw(served, "/api/click", token, f"{{{body}}}".encode())
    assert status == 422
    assert json.loads(said)["error"].startswith(f"{field}: " if "\\" not in field else "the request: ")


def test_windows_and_scales_out_of_range_are_refused_by_name(served: Served) -> None:
    token = token_of(served)
    ask(served, "/api/sign-in", token=token, body={"rater": "eve"})
    good = (
        '{"rater": "eve", "id": "eve-of-before", "position": 0, "action": "note", "value": "x", "look": {%s}}'
    )
    for name in ("window_px", "pixel_ratio", "fit_scale", "largest_scale"):
        for value in ("NaN", "Infinity", "1e400", "-1", "0", "1e7", '"wide"', "[1]", "{}"):
            status, said = raw(served, "/api/click", token, (good % f'"{name}": {value}').encode())
            assert status == 422, (name, value)
            assert json.loads(said)["error"].startswith(f"look.{name}: expected"), (name, value)
    assert raw(served, "/api/click", token, (good % '"more": 1').encode())[0] == 422
    for look in ("", '"window_px": 390, "pixel_ratio": 2.625, "fit_scale": null'):
        assert raw(served, "/api/click", token, (good % look).encode())[0] == 200


def test_names_and_positions_that_no_database_can_hold(served: Served) -> None:
    token = token_of(served)
    assert raw(served, "/api/sign-in", token, rb'{"rater": "\ud800"}')[0] == 422
    assert ask(served, "/picture/bo/9223372036854775808/edit", token=token)[0] == 422
    assert raw(served, "/api/sign-in", token, b"[" * 60_000)[0] in (400, 422)


def test_a_body_is_bounded_before_it_is_read(served: Served) -> None:
    """The sender says how much will come, or sends piece by piece: in both ways no more than the bound is taken."""
    port, token = int(served.origin.rpartition(":")[2]), token_of(served)
    head = f"POST /api/click HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: isr-{port}={token}\r\n"
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"{head}Content-Length: 200000000\r\n\r\n".encode())  # and not one byte of it
        assert b" 413 " in client.makefile("rb").readline()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        client.sendall(piece * 5)  # 5 x 16 KiB = 80 KiB, and no last piece
        assert b" 413 " in client.makefile("rb").readline()


# ------------------------------------------------------------------------------ clients that take their time


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a page that waits for nobody and has four connections at most; its token is ``t``."""
    from isr.web import connections, guard, serve

    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    monkeypatch.setattr(connections, "MOST_OPEN", 4)
    monkeypatch.setattr(guard, "BODY_S", 0.3)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"] or b"x" * (50_000_000 if scope["method"] == "PUT" else 0)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(body))],
            }
        )
        await send({"type": "http.response.body", "body": body})

    config, listening, address = serve.guarded(app, 0, "t")
    with serve.beside(config, listening):
        yield int(address.split(":")[2].split("/")[0])


def test_half_a_header_is_not_waited_for(impatient: int) -> None:
    with socket.create_connection(("127.0.0.1", impatient)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert ended(client)
    with socket.create_connection(("127.0.0.1", impatient)) as client:  # which says nothing at all
        assert ended(client)


def test_half_a_second_request_is_not_waited_for(impatient: int) -> None:
    request = f"GET /?token=t HTTP/1.1\r\nHost: 127.0.0.1:{impatient}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", impatient)) as client:
        client.sendall(request + b"GET / HT")
        data = b""
        while piece := client.recv(4096):
            data += piece
    assert data.startswith(b"HTTP/1.1 200")
    assert data.count(b"HTTP/1.1") == 1


def test_half_a_body_is_not_waited_for(impatient: int) -> None:
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{impatient}\r\nCookie: isr-{impatient}=t\r\n"
    with socket.create_connection(("127.0.0.1", impatient)) as client:
        client.sendall(f"{head}Content-Length: 10\r\n\r\nabc".encode())
        assert b" 408 " in client.makefile("rb").readline()
    with socket.create_connection(("127.0.0.1", impatient)) as client:
        client.sendall(f"{head}Content-Length: 3\r\nConnection: close\r\n\r\nabc".encode())
        assert client.makefile("rb").read().endswith(b"\r\n\r\nabc")


def test_who_takes_nothing_of_the_answer_is_not_waited_for(
    impatient: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isr.web import connections

    lost = threading.Event()
    before = connections.Connection.connection_lost

    def connection_lost(self: connections.Connection, error: Exception | None) -> None:
        before(self, error)
        lost.set()

    monkeypatch.setattr(connections.Connection, "connection_lost", connection_lost)
    monkeypatch.setattr(connections, "TAKE_S", 0.3)
    head = f"PUT / HTTP/1.1\r\nHost: 127.0.0.1:{impatient}\r\nCookie: isr-{impatient}=t\r\n\r\n"
    with socket.create_connection(("127.0.0.1", impatient)) as client:
        client.sendall(head.encode())  # the answer has 50 MB, which no system keeps for a client
        assert lost.wait(LIMIT_S)


def test_many_that_say_nothing_keep_nobody_out(impatient: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ones that have waited longest are closed for the new ones, long before their time is over."""
    from isr.web import connections

    monkeypatch.setattr(connections, "HEAD_S", LIMIT_S)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", impatient))) for _ in range(20)]
        assert all(ended(client) for client in clients[:16])
        asking = stack.enter_context(socket.create_connection(("127.0.0.1", impatient)))
        asking.sendall(f"GET /?token=t HTTP/1.1\r\nHost: 127.0.0.1:{impatient}\r\n\r\n".encode())
        assert b" 200 " in asking.makefile("rb").readline()


def ended(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_study_that_another_process_holds_is_said_to_be_held(tmp_path: Path) -> None:
    from isr.people.label_store import FILE, LabelStore
    from isr.web import serve
    from isr.web.label import make_app
    from tests.people.label_store_samples import RUBRICS, planned

    make_directory(tmp_path / "edits", images=2, prompts=2)
    with (
        LabelStore(tmp_path / "s") as store,
        contextlib.closing(sqlite3.connect(tmp_path / "s" / FILE)) as other,
    ):
        store.begin(planned(tmp_path / "run", tmp_path / "s", edits=2, attention=0, controls=0))
        store._db.execute("PRAGMA busy_timeout=10")
        config, listening, address = serve.guarded(make_app(store, tmp_path / "edits", RUBRICS), 0, "t")
        with serve.beside(config, listening):
            page = Served(None, address)  # type: ignore[arg-type]
            other.execute("BEGIN IMMEDIATE")
            status, said = raw(page, "/api/sign-in", "t", b'{"rater": "ann"}')
            other.rollback()
            assert status == 503
            assert "another process holds it" in json.loads(said)["error"]
            assert raw(page, "/api/sign-in", "t", b'{"rater": "ann"}')[0] == 200
