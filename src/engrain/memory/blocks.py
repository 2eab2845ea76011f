"""Core blocks: short texts of an agent about itself and its user that are shown with every query and that it rewrites by itself."""

from __future__ import annotations

from dataclasses import dataclass

from engrain.errors import InputError
from engrain.records import Memory, Scope, content_hash

LIMIT = 300
"""Tokens of a block, where nothing else was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block as it stands."""

    name: str
    text: str
    limit: int
    """Tokens it may have."""
    version: str
    """Id of the memory that it is now: what an edit names as what it has seen."""


def block_in(memory: Memory) -> Block:
    """The block that a memory of the kind `block` holds."""
    name = memory.attribute("name")
    text = memory.text.removeprefix(f"{name}:").strip()
    return Block(name=name, text=text, limit=int(memory.attribute("limit") or LIMIT), version=memory.id)


def memory_of_block(
    name: str, text: str, limit: int, *, scope: Scope, now: float, source: str, causes: tuple[str, ...] = ()
) -> Memory:
    """The memory that keeps a block; InputError for a name that is none."""
    if not name.strip() or name != " ".join(name.split()) or ":" in name or len(name) > 64:
        raise InputError(
            f"{name!r} names no block; take 1 to 64 characters without a colon or line ends, such as: user"
        )
    if limit < 1:
        raise InputError(f"limit={limit}; a block has room for at least 1 token")
    return Memory(
        scope=scope, kind="block", text=f"{name}: {text.strip()}", source=source, valid_from=now, recorded_at=now,
        attributes=(("name", name), ("limit", str(limit)), ("version", content_hash([name, text.strip(), limit, now], length=16))),
        causes=causes,
    )  # fmt: skip
