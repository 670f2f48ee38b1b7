"""Key sets on disk."""

from __future__ import annotations

import stat
from pathlib import Path
from unittest import mock

import pytest

from node.tokens import key_store
from node.tokens.key_store import AGE_MAX_S, KeyStore

URL, OTHER = "https://id.example/keys", "https://other.example/../keys"


def test_what_is_saved_is_loaded_by_url_unless_it_is_too_old(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "not" / "yet")
    assert list(store.load([URL])) == []
    store.save(URL, b"1")
    store.save(URL, b"2")
    store.save(OTHER, b"3")
    (first, second) = store.load([URL, OTHER])
    assert (first.url, first.jwks, second.jwks) == (URL, b"2", b"3")
    assert 0 <= first.age_s < 60
    files = [one for one in tmp_path.rglob("*") if one.is_file()]
    assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    assert len(files) == 2
    with mock.patch.object(key_store, "time") as clock:
        clock.time.return_value = 2 * AGE_MAX_S + 1e10
        assert list(store.load([URL])) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"url":"x","fetched_at":1,"jwks":"AAAA"}'])
def test_a_file_that_cannot_be_read_is_as_none(content: bytes, tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    store.save(URL, b"1")
    (file,) = (tmp_path / "keys").iterdir()
    file.write_bytes(content)
    assert list(store.load([URL])) == []
