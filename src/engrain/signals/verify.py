"""Automated feedback: verifiers run over one answer, and each finding becomes a record of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from engrain.errors import InputError
from engrain.protocols import Finding, Verifier
from engrain.records import Feedback, Interaction, content_hash
from engrain.signals.implicit import SCORES

log = logging.getLogger(__name__)

TAKEN = frozenset({"rating", "comment", "correction", *SCORES})
"""Names that say something else in a record of feedback."""
LONGEST_REASON = 500
"""Characters."""


def check_names(verifiers: Sequence[Verifier]) -> None:
    """InputError if a name is empty, taken, or that of two."""
    names = [v.name for v in verifiers]
    for name in names:
        if not name.strip() or name in TAKEN or names.count(name) > 1:
            raise InputError(
                f"a verifier is called {name!r}; give each a name of its own, and none of {', '.join(sorted(TAKEN))}"
            )


def record_id(interaction: Interaction, verifier: str) -> str:
    """The id of what this verifier finds of this answer; it says it once."""
    return "fb_" + content_hash([interaction.id, "automated", verifier], length=12)


def findings(verifiers: Sequence[Verifier], interaction: Interaction, at: float) -> list[Feedback]:
    """What each verifier finds of the answer, in their order; `at` (UTC seconds) marks them as of one run.

    One that raises, or gives no finite score between 0 and 1, finds nothing: a score of None, with the reason.
    """
    check_names(verifiers)
    return [
        Feedback(
            id=record_id(interaction, v.name), scope=interaction.scope, created_at=at, interaction=interaction.id, kind="automated",
            name=v.name, score=found.score, text=found.reason, causes=(interaction.id,),
        )
        for v in verifiers
        for found in [_asked(v, interaction)]
    ]  # fmt: skip


def _asked(verifier: Verifier, interaction: Interaction) -> Finding:
    try:
        found: object = verifier.verify(interaction)
        if not isinstance(found, Finding):
            return Finding(score=None, reason=f"cannot tell: it gave {type(found).__name__} instead of a Finding")
        score, reason = found.score, str(found.reason)
        if score is not None and not (isinstance(score, (int, float)) and 0 <= score <= 1):
            score, reason = None, f"cannot tell: its score {score!r} is none between 0 and 1"
        return Finding(score=score, reason=reason[:LONGEST_REASON])
    except Exception as error:  # it is the user's code: nothing that it does ends the others
        log.warning("verifier %s raised %s on %s", verifier.name, type(error).__name__, interaction.id)
        return Finding(score=None, reason=f"cannot tell: it raised {type(error).__name__}")
