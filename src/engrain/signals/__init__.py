"""Judge: what should have been said, and what of it belongs into weights. `route` sends each memory to text or to weights."""

from engrain.signals.route import Router

__all__ = ["Router"]
