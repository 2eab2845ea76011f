"""A verifier made of a function of your own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engrain.protocols import Finding
from engrain.records import Interaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """Calls `check` with the interaction: True or False, a score from 0 to 1, or None where it cannot tell.

    It runs within this process, with all that this process may do, and for as long as it likes.
    """

    name: str
    check: Callable[[Interaction], bool | float | None]

    def verify(self, interaction: Interaction) -> Finding:
        said = self.check(interaction)
        return Finding(score=None if said is None else float(said), reason="" if said is not None else "cannot tell")
