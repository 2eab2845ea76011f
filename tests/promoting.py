"""A gate for tests of what happens around the learning: whatever was learned goes live."""

from __future__ import annotations

from collections.abc import Sequence

from engrain.evaluation.gates import Check, SequentialGate
from engrain.evaluation.statistics import Paired
from engrain.records import Decision


class PromoteEverything(SequentialGate):
    def judge(
        self, gain: Paired, checks: Sequence[Check], index: int, history: Sequence[Decision] = ()
    ) -> tuple[Decision, float]:
        return "promote", self.levels(index, history)[0]

    def least_new(self, index: int, history: Sequence[Decision] = ()) -> int:
        return 0

    def least_retained(self, index: int, history: Sequence[Decision] = ()) -> int:
        return 0
