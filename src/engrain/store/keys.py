"""API keys: whose tenant a caller belongs to, and what it may do. Only a key's hash is kept; the key itself is shown once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from engrain.errors import InputError, NotFound
from engrain.store.once import Once
from engrain.store.schema import api_keys

RIGHTS = ("serve", "feedback", "admin")
"""What a key may allow: ask for answers, say what they were worth, steer (versions, memory, keys)."""
_PREFIX = "engrain"
_FIND = Once(select(api_keys).where(api_keys.c.id == bindparam("of")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is kept of a key."""

    id: str
    tenant: str
    rights: tuple[str, ...]
    name: str
    created_at: float
    revoked_at: float | None
    """UTC seconds; None while it is good."""


def create(connection: Connection, tenant: str, rights: Sequence[str], name: str) -> tuple[Key, str]:
    """A new key, and the secret that is never shown again. InputError for a right that does not exist."""
    if wrong := sorted(set(rights) - set(RIGHTS)):
        raise InputError(f"right {wrong[0]!r} does not exist; give some of {', '.join(RIGHTS)}")
    if not rights or not tenant.strip():
        raise InputError(f"tenant {tenant!r}, rights {list(rights)}: give a tenant and at least one right")
    key = Key(
        id=f"key_{secrets.token_hex(6)}", tenant=tenant, rights=tuple(r for r in RIGHTS if r in rights), name=name,
        created_at=time.time(), revoked_at=None,
    )  # fmt: skip
    secret = f"{_PREFIX}-{key.id.removeprefix('key_')}-{secrets.token_urlsafe(32)}"
    connection.execute(
        insert(api_keys).values(
            id=key.id, tenant=key.tenant, rights=",".join(key.rights), name=name, hash=hash_of(secret), created_at=key.created_at
        )
    )  # fmt: skip
    return key, secret


def find(connection: Connection, secret: str) -> Key | None:
    """The key of this secret; None if there is none, or if it was revoked."""
    parts = secret.split("-", 2)
    if len(parts) != 3 or parts[0] != _PREFIX:
        return None
    row = _FIND(connection, of=f"key_{parts[1]}").fetchone()
    fields = dict(zip(api_keys.c.keys(), row or (), strict=bool(row)))
    if not fields or not hmac.compare_digest(fields["hash"], hash_of(secret)) or fields["revoked_at"] is not None:
        return None
    return _key(fields)


def listed(connection: Connection) -> list[Key]:
    """All keys, oldest first."""
    ordered = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
    return [_key(row) for row in connection.execute(ordered).mappings()]


def revoke(connection: Connection, key: str) -> Key:
    """It opens nothing from now on. NotFound if there is none of this id that is still good."""
    good = api_keys.c.id == key, api_keys.c.revoked_at.is_(None)
    if not connection.execute(update(api_keys).where(*good).values(revoked_at=time.time())).rowcount:
        raise NotFound(f"there is no key {key} that is still good; `engrain keys list` shows them")
    return _key(connection.execute(select(api_keys).where(api_keys.c.id == key)).mappings().one())


def _key(fields: Mapping[Any, Any]) -> Key:
    rights = tuple(str(fields["rights"]).split(","))
    return Key(
        id=fields["id"], tenant=fields["tenant"], rights=rights, name=fields["name"], created_at=fields["created_at"],
        revoked_at=fields["revoked_at"],
    )  # fmt: skip


def hash_of(secret: str) -> str:
    """SHA-256: the secret has 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()
