"""Learn: signals become a candidate adapter. `context_distill` is one minibatch, `context_learning` a run of many."""

from engrain.learning.loop import Plan, context_distill, context_learning

__all__ = ["Plan", "context_distill", "context_learning"]
