"""The hash chain of the audit trail, as pure functions: what an entry's hash is, and how a chain is checked.

Every entry's hash covers the hash of the entry before it, so editing, removing or reordering one breaks the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from engrain.errors import LedgerBroken
from engrain.records import LedgerEntry, content_hash

GENESIS = "0" * 64
"""`previous` of the first entry."""


def digest(text: str, salt: str) -> str:
    """Salted SHA-256 of a record's JSON, 64 hex digits; without the salt it says nothing about a short text."""
    return hashlib.sha256((salt + text).encode()).hexdigest()


def seal(*, seq: int, at: float, event: str, subject: str, digest: str, reason: str, previous: str) -> LedgerEntry:
    """The entry with its hash computed. `seq` counts from 1; `at` is UTC seconds; `previous` is the hash before it."""
    return LedgerEntry(
        seq=seq,
        at=at,
        event=event,
        subject=subject,
        digest=digest,
        reason=reason,
        previous=previous,
        hash=content_hash([seq, at, event, subject, digest, reason, previous]),
    )


def checked(entries: Iterable[LedgerEntry]) -> Iterator[LedgerEntry]:
    """The entries again, each with number, link and hash found right; LedgerBroken names the first bad one."""
    expected, previous = 1, GENESIS
    for entry in entries:
        if entry.seq != expected:
            raise LedgerBroken(f"ledger entry {expected} is missing (found {entry.seq} in its place)")
        if entry.previous != previous:
            raise LedgerBroken(f"ledger entry {entry.seq} does not follow {entry.seq - 1}: edited or reordered")
        again = seal(
            seq=entry.seq,
            at=entry.at,
            event=entry.event,
            subject=entry.subject,
            digest=entry.digest,
            reason=entry.reason,
            previous=entry.previous,
        )
        if again.hash != entry.hash:
            raise LedgerBroken(f"ledger entry {entry.seq} ({entry.event} {entry.subject}) was edited")
        yield entry
        expected, previous = expected + 1, entry.hash
