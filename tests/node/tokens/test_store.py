"""Revocations on disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mesh.revocations import Revocation
from node.tokens.store import RevocationStore, StoreError


def test_what_is_saved_is_loaded_and_holds_as_long_as_it_would_have(tmp_path: Path) -> None:
    store = RevocationStore(tmp_path / "not" / "yet")
    assert store.load() == []
    entries = [
        Revocation(1.5, 100.0, "t1"),
        Revocation(float("inf"), 50.0, None, "alice"),
        Revocation(2.0, -1.0, "over"),
    ]
    store.save(entries)
    found = RevocationStore(tmp_path / "not" / "yet").load()
    assert [(one.token_id, one.name, one.issued_before) for one in found] == [
        ("t1", None, 1.5),
        (None, "alice", float("inf")),
    ]
    assert 0 < found[1].left_s <= 50
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[[1]]", b"[7]", b"\xff"])
def test_a_file_that_cannot_be_read_is_an_error_not_an_amnesty(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "revocations.json").write_bytes(content)
    with pytest.raises(StoreError, match="tokens are revoked"):
        RevocationStore(tmp_path).load()


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be"):
        RevocationStore(tmp_path / "file").save([])
