"""What is written down of batches: before anything is sent, and read as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from isr.errors import StoreError
from isr.judging.batch_ledger import Asked, Ledger, Shard, State, custom_id_of, waiting

DIGEST = "sha256:" + "ab" * 32


def a_shard(digest: str = DIGEST, number: int = 0, requests: int = 3) -> Shard:
    asked = tuple(Asked(bytes([i]) * 32, i % 2, {"edit": f"sha256:{i}"}) for i in range(requests))
    return Shard(
        digest=digest, number=number, judge="sha256:cd", name="judge", engine="openai-batch", root="https://a/v1",
        endpoint={"base_url": "https://a/v1"}, backend="openai_chat", model="m", order={"judge": "judge"},
        made_at="2026-11-28T00:00:00+00:00", size=7, requests=asked,
    )  # fmt: skip


def test_a_shard_is_read_as_it_was_written(tmp_path: Path) -> None:
    ledger, shard = Ledger(tmp_path / "isr.db"), a_shard()
    ledger.add(shard)
    (found,) = ledger.shards()
    assert found == shard
    assert ledger.folder == tmp_path / "isr.db.batches"
    shard.state, shard.batch_id, shard.file_id = State.CREATED, "batch_1", "file-1"
    ledger.save(shard)
    assert list(ledger.shards()) == [shard]
    assert waiting(tmp_path / "isr.db", ["sha256:cd"]) == 3
    assert waiting(tmp_path / "isr.db", ["sha256:other"]) == 0
    shard.state = State.DONE
    ledger.save(shard)
    assert list(ledger.shards(open_only=True)) == []
    assert waiting(tmp_path / "isr.db", ["sha256:cd"]) == 0


def test_names_of_requests_fit_every_host_and_differ_by_the_ask() -> None:
    name = custom_id_of(b"\xff" * 32, 12)
    assert len(name) <= 64
    assert name != custom_id_of(b"\xff" * 32, 1)


def test_the_same_requests_again_have_another_number(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "isr.db")
    assert ledger.number(DIGEST) == 0
    shard = a_shard()
    shard.file_id = "file-1"
    ledger.add(shard)
    again = shard.again()
    assert (again.number, again.state, again.file_id, again.batch_id) == (1, State.UPLOADED, "file-1", "")
    assert again.tag["isr_shard"] == shard.tag["isr_shard"]
    assert again.tag["isr_number"] == "1"
    ledger.add(again)
    assert ledger.number(DIGEST) == 2
    assert ledger.number("sha256:" + "cd" * 32) == 0


def test_metadata_fit_what_hosts_take() -> None:
    tag = a_shard().tag
    assert len(tag) <= 16
    assert all(len(k) <= 64 and len(v) <= 512 for k, v in tag.items())


@pytest.mark.parametrize("end", [".shard.json", ".state.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"state": "gone"}'])
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, end: str, text: str) -> None:
    ledger, shard = Ledger(tmp_path / "isr.db"), a_shard()
    ledger.add(shard)
    (ledger.folder / f"{shard.file_name}{end}").write_text(text, "utf-8")
    with pytest.raises(StoreError, match="expected the record of a batch and its state beside it"):
        list(ledger.shards())


def test_a_state_without_its_shard_is_of_a_shard_that_was_never_sent(tmp_path: Path) -> None:
    ledger, shard = Ledger(tmp_path / "isr.db"), a_shard()
    ledger.save(shard)  # killed between the two files
    assert list(ledger.shards()) == []
    ledger.add(shard)
    assert list(ledger.shards()) == [shard]
