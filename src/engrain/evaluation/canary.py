"""The test behind a canary: is the candidate, on real requests, no worse than the live version? Pure: outcomes in, a decision out.

Each request is given to the candidate with a known probability, whatever came before, so that

    z = (a - p) / (p (1 - p)) * (x - 1/2)        a: 1 if the candidate answered, p: its share, x: the outcome in 0 … 1

has, given the past, the mean (candidate's success - live version's success). Two bettors watch it, one against "worse by the margin or
more", one against "no worse"; by Ville's inequality each may be looked at after every outcome. Robins, Rotnitzky and Zhao (1994) for
the weights; Waudby-Smith and Ramdas (2024) for the bets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engrain.errors import InputError
from engrain.evaluation.statistics import betting_e_process, confidence_sequence, spend
from engrain.records import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How a candidate is tried. The errors hold over all canaries of a user together, not for each anew."""

    share: float = 0.5
    """Of the conversations, that the candidate answers; 0 < share < 1. The nearer to 1/2, the fewer outcomes are needed."""
    margin: float = 0.1
    """By how much its success may be lower; 0 < margin < 1."""
    alpha: float = 0.05
    """Chance that ever one that is worse by the margin or more is promoted; and that ever one that is no worse is stopped."""

    def __post_init__(self) -> None:
        for name, value in (("share", self.share), ("margin", self.margin), ("alpha", self.alpha)):
            if not 0 < value < 1:
                raise InputError(f"{name}={value}; give a number between 0 and 1")

    def judge(self, outcomes: Sequence[tuple[bool, float]], index: int) -> Decision:
        """`promote`, `reject` (it does harm), or `hold`: more outcomes are needed.

        `outcomes`, in the order in which they came in: (whether the candidate answered, the success in 0 … 1). `index` counts this
        user's canaries from 1.
        """
        z, scale = self._weighed(outcomes)
        needed = 1 / spend(index, self.alpha)
        if betting_e_process([-v for v in z]).max(initial=0.0) >= needed:
            return "reject"
        return "promote" if betting_e_process(z, null_mean=-self.margin * scale).max(initial=0.0) >= needed else "hold"

    def show(self, outcomes: Sequence[tuple[bool, float]]) -> str:
        """What the outcomes say so far, in a line."""
        arms = [[x for answered, x in outcomes if answered == arm] for arm in (True, False)]
        if not all(arms):
            return f"{len(arms[0])} outcomes of the candidate, {len(arms[1])} of the live version"
        mine, live = (sum(arm) / len(arm) for arm in arms)
        z, scale = self._weighed(outcomes)
        low, high = (max(-1.0, min(1.0, bound / scale)) for bound in confidence_sequence(z)[-1])
        return (
            f"candidate {mine:.0%} of {len(arms[0])}, live version {live:.0%} of {len(arms[1])}; "
            f"difference {low:+.2f} to {high:+.2f} (95 %, at any time)"
        )

    def _weighed(self, outcomes: Sequence[tuple[bool, float]]) -> tuple[list[float], float]:
        """Each outcome's z, scaled into -1 … 1, and that scale."""
        p, scale = self.share, 2 * min(self.share, 1 - self.share)
        return [scale * ((answered - p) / (p * (1 - p))) * (x - 0.5) for answered, x in outcomes], scale
