"""What came of showing a memory: helpful and harmful, counted from the outcomes of the answers that it was shown for.

A counter is derived from feedback and lineage and stored nowhere, so that taking a feedback or an answer back takes its credit back. (ACE, arXiv
2510.04618, has the counters; in its public code nothing acts on them. Here they rank, promote and prune, by their lower and upper bounds.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from engrain.memory.history import standing_deltas
from engrain.protocols import Judgement, Outcomes
from engrain.records import Delta, Memory, Scope

Bounds = Callable[[int, int], tuple[float, float]]
"""Lower and upper bound of a rate, from successes and trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """How often it was shown for an answer that turned out good, and bad; and how often it was tagged so."""

    helpful: int = 0
    harmful: int = 0

    @property
    def outcomes(self) -> int:
        return self.helpful + self.harmful

    def __add__(self, other: Worth) -> Worth:
        return Worth(helpful=self.helpful + other.helpful, harmful=self.harmful + other.harmful)


def outcome(judged: Sequence[Judgement]) -> bool | None:
    """Whether one answer was good: by the first rating or correction, else by the lowest of the verifiers' scores, else by what the user did
    next; None where nothing tells. A comment tells nothing."""
    said = [
        0.0 if j.name == "correction" else j.score
        for j in judged
        if j.kind == "explicit" and j.name in ("rating", "correction")
    ]
    if any(score is not None for score in said):
        return next(score for score in said if score is not None) >= 0.5
    for kind in ("automated", "implicit"):
        scores = [j.score for j in judged if j.kind == kind and j.score is not None]
        if scores:
            return min(scores) >= 0.5
    return None


def by_use(
    found: Sequence[tuple[Memory, float]],
    known: Mapping[str, Worth],
    bounds: Bounds,
    *,
    tried: int = 5,
    most: float = 0.2,
) -> list[tuple[Memory, float]]:
    """Hits of a recall, those that were shown for good answers a little before those that were shown for bad ones: a score changes by `most` of itself
    at the utmost, and by nothing before `tried` outcomes, for an answer may be bad whatever it was shown."""

    def factor(memory: Memory) -> float:
        worth = known.get(memory.id, Worth())
        return 1.0 + most * (sum(bounds(worth.helpful, worth.outcomes)) - 1.0) if worth.outcomes >= tried else 1.0

    return sorted(((m, score * factor(m)) for m, score in found), key=lambda hit: -hit[1])


def worths(outcomes: Outcomes, scope: Scope, ids: Collection[str]) -> dict[str, Worth]:
    """The counters of each of these memories of which anything was said. What was merged into one is credited to it, too."""
    stands = {name: name for name in ids}
    deltas: dict[str, Delta] = {}
    new: Collection[str] = tuple(stands)
    while new:
        about = outcomes.deltas(new, scope=scope)
        deltas |= {d.id: d for d in about}
        merges = [d for d in standing_deltas(about) if d.operator == "merge" and d.into in stands]
        into = {target: stands[d.into] for d in merges for target in d.targets if target not in stands}
        stands |= into
        new = tuple(into)
    by: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in outcomes.judgements(stands, scope=scope):
        by.setdefault((stands[judgement.memory], judgement.interaction), []).append(judgement)
    found: dict[str, Worth] = {}

    def credit(memory: str, good: bool) -> None:
        found[memory] = found.get(memory, Worth()) + Worth(helpful=int(good), harmful=int(not good))

    for (memory, _), judged in by.items():
        if (good := outcome(judged)) is not None:
            credit(memory, good)
    for delta in standing_deltas(deltas.values()):
        if delta.operator == "tag" and delta.value in ("helpful", "harmful"):
            credit(stands[delta.targets[0]], delta.value == "helpful")
    return found
