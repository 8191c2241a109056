"""Where a store lies: file systems, journals, permissions, other processes."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from isr.errors import StoreError
from isr.judging.store import Store
from isr.judging.store_connection import file_system, in_use
from tests.judging.stores import faults, filled
from tests.judging.test_store import ROOT
from tests.processes import LIMIT_S, PIPE, read_until, run, started
from tests.samples import a_request, an_answer

UNPRIVILEGED = """
import os, sys
from pathlib import Path
from isr.errors import StoreError
from isr.judging.store import Store
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
for path in sys.argv[1:]:
    try:
        Store(Path(path)).close()
        print("opened")
    except StoreError as error:
        print("StoreError", "check the path, the disk and its permissions" in str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_a_folder_or_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    for name in ("folder", "file"):
        (tmp_path / name).mkdir()
    filled(tmp_path / "file" / "isr.db")
    for path, mode in (
        (tmp_path / "folder", 0o555),
        (tmp_path / "file" / "isr.db", 0o444),
        (tmp_path / "file", 0o777),
    ):
        path.chmod(mode)
    for parent in tmp_path.parents:  # where the tests run as root, the other user must get there
        if parent.stat().st_uid == os.getuid() and os.getuid() == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    told = run(
        [sys.executable, "-c", UNPRIVILEGED, tmp_path / "folder" / "isr.db", tmp_path / "file" / "isr.db"],
        check=True,
        cwd=ROOT,
    )
    assert told.stdout.split("\n")[:-1] == ["StoreError True", "StoreError True"]


MOUNTS = (
    rb"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:26 / /home rw - nfs4 server:/home rw
31 22 0:27 / /home/me/local\040disk rw - xfs /dev/sdb rw
32 22 0:28 / /mnt/caf%s rw master:1 - cifs //nas/x rw
33 30 0:29 / /home/me/over rw - tmpfs tmpfs rw
34 33 0:30 / /home/me/over rw - fuse.sshfs host: rw
""".strip()
    % b"\xc3\xa9"
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mountinfo is Linux's")
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/isr.db", "ext4"),
        ("/home/isr.db", "nfs4"),
        ("/home/me/x/isr.db", "nfs4"),
        ("/homeless/isr.db", "ext4"),
        ("/home/me/local disk/isr.db", "xfs"),
        ("/mnt/café/a/isr.db", "cifs"),
        ("/home/me/over/isr.db", "fuse.sshfs"),  # the mount that lies on top
    ],
)
def test_file_systems(path: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_bytes(MOUNTS + b"\n99 22 0:1 / /odd/\xff rw - ext4 x rw\n")
    assert file_system(Path(path), str(tmp_path / "mountinfo")) == kind


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mountinfo is Linux's")
def test_the_file_system_is_that_of_the_file_itself(tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    (tmp_path / "isr.db").symlink_to(far / "isr.db")
    (tmp_path / "mountinfo").write_text(
        f"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / {far.resolve()} rw - nfs b rw\n"
    )
    assert file_system(tmp_path / "isr.db", str(tmp_path / "mountinfo")) == "nfs"
    assert file_system(tmp_path / "isr.db", str(tmp_path / "missing")) == ""


@pytest.mark.parametrize(
    ("kind", "journal"), [("ext4", "wal"), ("", "wal"), ("nfs4", "delete"), ("cifs", "delete")]
)
def test_wal_only_where_the_file_system_is_local(
    kind: str, journal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "isr.judging.store_connection.file_system", lambda path: kind
    )  # no network file system can be mounted here
    with Store(tmp_path / "isr.db") as store:
        store.put(a_request(), 0, an_answer()).result(LIMIT_S)
        assert (tmp_path / "isr.db-wal").exists() == (journal == "wal")
    with closing(sqlite3.connect(tmp_path / "isr.db")) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == (journal,)
    assert faults(tmp_path / "isr.db") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_store_in_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    filled(folder / "isr.db")
    folder.chmod(0o555)
    try:
        assert faults(folder / "isr.db") == []
    finally:
        folder.chmod(0o755)


def test_a_store_that_another_process_holds_is_said_to_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isr.judging.store_connection.BUSY_S", 0.05)
    Store(tmp_path / "isr.db").close()
    with closing(sqlite3.connect(tmp_path / "isr.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            StoreError, match=r"locked; another process holds it: let it finish or end it"
        ) as caught:
            Store(tmp_path / "isr.db")
        assert "permissions" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="no locks of open files")
def test_whether_another_process_has_a_store_open(tmp_path: Path) -> None:
    path = tmp_path / "isr.db"
    assert in_use(path) is None  # there is none
    holds = (
        "import sys\nfrom pathlib import Path\nfrom isr.judging.store import Store\n"
        "with Store(Path(sys.argv[1])):\n    print('open', flush=True)\n    sys.stdin.read()\n"
    )
    with started([sys.executable, "-c", holds, path], stdin=PIPE) as process:
        read_until(process.stdout, "open")
        assert in_use(path) is True
        assert process.stdin is not None
        process.stdin.close()
        process.wait(LIMIT_S)
    assert in_use(path) is False
