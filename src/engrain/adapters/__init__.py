"""Promote, roll back, and say what is live: the pointer and the lineage of versions."""

from engrain.adapters.versions import Version, current, in_weights, promote, rollback, versions

__all__ = ["Version", "current", "in_weights", "promote", "rollback", "versions"]
