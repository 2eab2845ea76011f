"""API keys: shown once, kept as a hash, good for their tenant until they are revoked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.errors import InputError, NotFound
from engrain.store import SqlStore


@pytest.fixture
def store(tmp_path: Path, database: str) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home", database=database)) as made:
        yield made


def test_a_key_is_found_by_its_secret_alone_and_nothing_on_disk_holds_that(store: SqlStore) -> None:
    key, secret = store.new_key("acme", ["feedback", "serve"], name="the shop")
    assert (key.tenant, key.rights, key.name) == ("acme", ("serve", "feedback"), "the shop")
    assert store.key_of(secret) == key
    for wrong in (
        "",
        "x",
        secret[:-1],
        secret + "x",
        key.id,
        secret.upper(),
        f"engrain-{key.id[4:]}-guess",
        "engrain--",
    ):
        assert store.key_of(wrong) is None
    assert not any(secret.encode() in file.read_bytes() for file in store.home.iterdir() if file.is_file())
    assert secret not in repr(vars(store)), "nor does what was looked up"


def test_a_revoked_key_opens_nothing_and_stays_on_the_list(store: SqlStore) -> None:
    key, secret = store.new_key("acme", ["serve"])
    other, still = store.new_key("umbrella", ["admin"])
    assert store.revoke_key(key.id).revoked_at
    assert store.key_of(secret) is None and store.key_of(still) == other
    assert [k.id for k in store.api_keys()] == [key.id, other.id]
    with pytest.raises(NotFound, match="still good"):
        store.revoke_key(key.id)


@pytest.mark.parametrize(("tenant", "rights"), [("acme", []), ("acme", ["fly"]), (" ", ["serve"])])
def test_a_key_for_nobody_or_for_nothing_is_refused(store: SqlStore, tenant: str, rights: list[str]) -> None:
    with pytest.raises(InputError, match="give"):
        store.new_key(tenant, rights)


def test_two_keys_are_never_alike(store: SqlStore) -> None:
    assert len({store.new_key("acme", ["serve"])[1] for _ in range(50)}) == 50
