"""The online half: serve, then record. It reads the live pointer and appends interactions; it never learns."""

from engrain.gateway.answer import answer

__all__ = ["answer"]
