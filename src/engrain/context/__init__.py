"""Assemble: what the model is shown, within a token budget."""

from engrain.context.assemble import assemble, build_messages

__all__ = ["assemble", "build_messages"]
