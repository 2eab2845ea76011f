"""Which memories go into weights and which stay in text, and why. Pure: memories in, signals out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from engrain.records import Memory, Scope, Signal

STANDING_SOURCES = ("tell", "correction")
STAYS = {
    "episode": "what happened, word for word: evidence, and no knowledge by itself",
    "lesson": "a lesson: its counters decide whether it is shown, and they go on counting",
    "reflection": "what went wrong once: shown where the same may happen again",
    "skill": "a skill: read when it is needed, and replaced by its next version",
    "block": "a core block: shown with every query, and rewritten as often as its agent likes",
}
"""Why a kind of memory is kept in text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """Durable, repeated or confirmed memory goes into weights; passing state never does."""

    settle_s: float = 24 * 3600.0
    """A fact overheard in chat must have stood this long (seconds), or have been said twice, before it is consolidated."""
    most: int = 512
    """Memories that one run learns at most, the first told first, so that no run takes without end; the others wait for the next."""

    def route(
        self,
        memories: Sequence[tuple[Memory, int]],
        *,
        scope: Scope,
        at: float,
        known: Collection[str],
        styles: Collection[str] = (),
    ) -> list[Signal]:
        """One signal for each active memory (with the number of its confirmations) that the weights do not hold yet.

        `at` is the time of the decision (UTC seconds); `known` are the ids that the live adapter was trained on, `styles`
        those of memories that say how to answer (docs/decisions/0011).
        """
        signals: list[Signal] = []
        taken = 0
        for memory, confirmations in memories:
            if memory.id in known:
                continue
            route, reason = self._decide(memory, confirmations, at)
            if memory.id in styles:
                route, reason = "text", "it says how to answer: a few words, shown with every query and changed at once"
            if route == "weights" and taken == self.most:
                route, reason = "text", f"one run learns {self.most} memories at most; this one waits for the next"
            taken += route == "weights"
            signals.append(
                Signal(scope=scope, created_at=at, memory=memory.id, route=route, reason=reason, causes=(memory.id,))
            )
        return signals

    def _decide(self, memory: Memory, confirmations: int, at: float) -> tuple[Literal["weights", "text"], str]:
        if memory.kind in STAYS:
            return "text", STAYS[memory.kind]
        if memory.mutable:
            return "text", "passing state: it is expected to change, so it is never a rule"
        if memory.source in STANDING_SOURCES or memory.source.startswith("file:"):
            return "weights", f"told as standing knowledge ({memory.source.partition(':')[0]})"
        if confirmations:
            return "weights", f"said {confirmations + 1} times"
        age = at - memory.recorded_at
        if age >= self.settle_s:
            return "weights", f"stood for {age / 3600:.0f} hours without being contradicted"
        return "text", f"heard once, {age / 3600:.1f} hours ago; consolidates after {self.settle_s / 3600:.0f} hours"
