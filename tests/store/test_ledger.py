"""The hash chain: every way of tampering shows, and at the right place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import LedgerBroken
from engrain.records import LedgerEntry
from engrain.store.ledger import GENESIS, checked, digest, seal


def chain(length: int) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for seq in range(1, length + 1):
        previous = entries[-1].hash if entries else GENESIS
        entry = seal(
            seq=seq, at=seq / 3, event="memory", subject=f"mem_{seq}", digest="d", reason="", previous=previous
        )
        entries.append(entry)
    return entries


def test_a_digest_is_the_sha256_of_salt_and_text() -> None:
    # printf 'abc' | sha256sum
    assert digest("c", "ab") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_untouched_chain_passes_whole() -> None:
    assert list(checked(chain(5))) == chain(5)
    assert list(checked([])) == []


@given(at=st.integers(0, 9), field=st.sampled_from(["at", "event", "subject", "digest", "reason", "previous", "hash"]))
def test_an_edit_of_any_field_of_any_entry_is_named(at: int, field: str) -> None:
    entries = chain(10)
    edit: dict[str, Any] = {field: 99.5 if field == "at" else "edited"}
    entries[at] = replace(entries[at], **edit)
    with pytest.raises(LedgerBroken, match=rf"entry {at + 1}\b"):
        list(checked(entries))


@given(at=st.integers(0, 8))
def test_a_missing_entry_is_named(at: int) -> None:
    entries = chain(10)
    del entries[at]
    with pytest.raises(LedgerBroken, match=rf"entry {at + 1} is missing"):
        list(checked(entries))


@given(at=st.integers(0, 8))
def test_two_entries_that_changed_places_and_numbers_are_named(at: int) -> None:
    entries = chain(10)
    first, second = entries[at], entries[at + 1]
    entries[at], entries[at + 1] = replace(second, seq=first.seq), replace(first, seq=second.seq)
    with pytest.raises(LedgerBroken, match=rf"entry {at + 1}\b"):
        list(checked(entries))


def test_an_entry_sealed_anew_after_an_edit_breaks_the_one_after_it() -> None:
    entries = chain(3)
    old = entries[1]
    entries[1] = seal(
        seq=2, at=old.at, event=old.event, subject="mem_x", digest=old.digest, reason="", previous=old.previous
    )
    with pytest.raises(LedgerBroken, match="entry 3 does not follow 2"):
        list(checked(entries))
