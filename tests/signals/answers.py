"""Answers to verify."""

from __future__ import annotations

from engrain.records import Interaction, Message, Scope, Stamp


def answered(answer: str, question: str = "What is the gate code?") -> Interaction:
    return Interaction(
        scope=Scope(), messages=(Message(role="user", content=question),), answer=answer, stamp=Stamp(base="b")
    )
