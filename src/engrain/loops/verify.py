"""Run the verifiers over what was answered: over one answer when it is asked for, over each new one in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from engrain.errors import InputError, NotFound
from engrain.loops.trial import settle
from engrain.protocols import Verifier
from engrain.records import Feedback, Interaction, Record, Scope
from engrain.signals.verify import check_names, findings, record_id
from engrain.store import SqlStore

log = logging.getLogger(__name__)

RECENT_S = 24 * 3600.0
"""An answer that is older is not verified in the background any more."""
LOOK_BACK = 10_000
"""Entries of the ledger before the first look, of whose users the answers are looked at."""
MOST_KNOWN = 100_000
"""Answers that are known to be verified without a look at the database."""


def verify(store: SqlStore, verifiers: Sequence[Verifier], interaction: str, *, scope: Scope) -> list[Feedback]:
    """What each verifier finds of this answer, recorded; what one found of it before is given back as it was.

    InputError for what is no interaction, NotFound if it is forgotten meanwhile.
    """
    check_names(verifiers)
    about = store.get(interaction, scope=scope)
    if not isinstance(about, Interaction):
        raise InputError(f"{interaction} is a {type(about).__name__.lower()}; give the id of an interaction (int_…)")
    ids = {v.name: record_id(about, v.name) for v in verifiers}
    said = {n.id: n.state for n in store.effects(interaction, scope=scope)}
    fresh = findings([v for v in verifiers if ids[v.name] not in said], about, time.time())
    now = {f.id: _recorded(store, f) for f in fresh}
    before = {i: store.get(i, scope=scope) for i in ids.values() if said.get(i) == "kept"}
    found = [now.get(i) or before.get(i) for i in ids.values()]
    return [f for f in found if isinstance(f, Feedback)]


def _recorded(store: SqlStore, found: Feedback) -> Record:
    """The finding once it is on record; what another recorded of it meanwhile is as good."""
    try:
        store.append(found)
    except NotFound:
        raise
    except InputError:
        return store.get(found.id, scope=found.scope)
    return found


class Verifying:
    """Notices what was answered, and has it verified; what was verified already is known by its records, also after a restart."""

    def __init__(self, store: SqlStore, verifiers: Callable[[], Sequence[Verifier]]) -> None:
        """`verifiers` is called once, when there is something to verify."""
        self._store, self._make = store, verifiers
        self._verifiers: Sequence[Verifier] | None = None
        self._seen = max(0, store.head()[0] - LOOK_BACK)
        self._verified = set[str]()

    def look(self, stop: threading.Event) -> int:
        """How many answers were verified; ends early, and goes on at the next look, if `stop` is set."""
        changed, seen = self._store.changed_scopes(self._seen)
        verified = 0
        for scope in changed:
            waiting = self._waiting(scope)
            for interaction in waiting:
                if stop.is_set():
                    return verified
                try:
                    verify(self._store, self._verifiers or (), interaction.id, scope=scope)
                except NotFound:  # forgotten meanwhile
                    continue
                verified += 1
            if waiting:
                settle(self._store, scope)
        self._seen = seen
        return verified

    def _waiting(self, scope: Scope) -> list[Interaction]:
        """The user's answers of late that not every verifier has spoken of, the oldest first."""
        found: list[Interaction] = []
        before: str | None = None
        while page := self._store.latest_turns(scope, before=before, within=16):
            for interaction in page:
                if time.time() - interaction.created_at > RECENT_S:
                    return found[::-1]
                if interaction.finish_reason != "redacted" and not self._is_verified(interaction):
                    found.append(interaction)
            before = page[-1].id
        return found[::-1]

    def _is_verified(self, interaction: Interaction) -> bool:
        if interaction.id in self._verified:
            return True
        if self._verifiers is None:
            self._verifiers = self._make()
            check_names(self._verifiers)
        said = {n.id for n in self._store.effects(interaction.id, scope=interaction.scope)}
        whole = all(record_id(interaction, v.name) in said for v in self._verifiers)
        if whole:
            if len(self._verified) >= MOST_KNOWN:
                self._verified.clear()
            self._verified.add(interaction.id)
        return whole
