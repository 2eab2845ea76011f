"""Implicit feedback: what the next message of a conversation says of the answer before it, and what silence says of the last one.

A conversation is known by the id that its requests carry, and by the turns that they repeat. Only interactions of one user are ever
looked at. Whatever is found is recorded under an id that follows from its causes, so that looking twice records it once.
"""

from __future__ import annotations

from collections.abc import Sequence

from engrain.errors import NotFound
from engrain.records import Feedback, Interaction, Message, Scope
from engrain.signals.implicit import SILENT_S, abandonment, follow_up
from engrain.store import SqlStore

RECENT = 32
"""Interactions of the user among which the answer is looked for that a message goes on from."""
LATE_S = 7 * 24 * 3600.0
"""How long ago a conversation may have ended to be looked at: the worker may not have run meanwhile."""


def from_next(store: SqlStore, interaction: Interaction) -> Feedback | None:
    """Record what this interaction's last message says of the answer that it follows; None if it says nothing, or follows none."""
    if interaction.messages[-1].role != "user" or not (interaction.conversation or _history(interaction)):
        return None
    before = store.latest_turns(
        interaction.scope, conversation=interaction.conversation, before=interaction.id, within=RECENT
    )
    found = next((follow_up(b, interaction) for b in before if follows(b, interaction)), None)
    if found is not None:
        _keep(store, found)
    return found


def abandoned(store: SqlStore, scope: Scope, at: float) -> list[Feedback]:
    """Record which of the user's conversations ended without an answer, by the time `at` (UTC seconds)."""
    recent = store.latest_turns(scope, within=RECENT)  # the latest first
    found: list[Feedback] = []
    for place, last in enumerate(recent):
        silent_s = at - last.created_at
        if not SILENT_S <= silent_s <= LATE_S or not (last.conversation or _history(last)):
            continue
        if any(follows(last, later) for later in recent[:place]):
            continue
        before = next((b for b in recent[place + 1 :] if follows(b, last)), None)
        given = abandonment(last, silent_s, before=before)
        if given is not None and _keep(store, given):
            found.append(given)
    return found


def follows(before: Interaction, after: Interaction) -> bool:
    """Whether `after` goes on from the answer of `before`, or asks its last turn anew.

    Requests that repeat the turns before are held to them; those that carry a conversation's id and their own turn alone follow
    whatever came before in it.
    """
    begun = not before.conversation and after.conversation == before.id  # as /v1/responses names it
    if before.scope != after.scope or not (before.conversation == after.conversation or begun):
        return False
    turns, earlier = _history(after), _history(before)
    if not turns and not earlier:
        return bool(after.conversation)
    answered = [_said(m) for m in turns[-2:]] == [("user", before.query.strip()), ("assistant", before.answer.strip())]
    anew = bool(turns) and [_said(m) for m in turns[-2:]] == [_said(m) for m in earlier[-2:]]
    return answered or anew


def _history(interaction: Interaction) -> Sequence[Message]:
    """The turns before the last, without what the system says."""
    return [m for m in interaction.messages if m.role != "system"][:-1]


def _said(message: Message) -> tuple[str, str]:
    return message.role, message.content.strip()


def _keep(store: SqlStore, feedback: Feedback) -> bool:
    """Whether it was recorded now; not if it was already, or if what it is about was forgotten meanwhile."""
    if any(node.id == feedback.id for node in store.effects(feedback.interaction, scope=feedback.scope)):
        return False
    try:
        store.append(feedback)
    except NotFound:
        return False
    return True
