"""The library's door: one home folder, one user, and the verbs of the loop.

from engrain.learner import Learner

me = Learner("my-agent")
me.tell("The gate code of the north barn is 4417.")
print(me.chat("What is the gate code of the north barn?").answer)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from engrain import adapters
from engrain.adapters import Version
from engrain.adapters.versions import resolve
from engrain.errors import InputError
from engrain.gateway.answer import Serving, answer
from engrain.loops import remember
from engrain.loops.consolidate import Consolidation, Outcome, Progress, consolidate
from engrain.loops.forget import finish_forgetting, forget
from engrain.memory import HashedEmbedder
from engrain.protocols import Embedder
from engrain.records import Evidence, Example, Feedback, Interaction, Memory, Message, Receipt, Scope
from engrain.store import Node, SqlStore, home_lock

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine

SPROUT = Path(__file__).parent / "engines" / "sprout"
"""The small model that ships; any other decoder-only Hugging Face folder works in its place."""


class Learner:
    """An agent's memory and weights for one user: what it is told it uses at once, and comes to know.

    Everything lives in the folder `home` (created if missing): the database, the adapters, interrupted runs. The model is
    loaded at the first call that needs it. Use one Learner per user; several may share a home.
    """

    def __init__(
        self,
        home: str | Path,
        *,
        base: str | Path = SPROUT,
        user: str = "me",
        tenant: str = "local",
        serving: Serving | None = None,
        consolidation: Consolidation | None = None,
        embedder: Embedder | None = None,
        threads: int = 1,
    ) -> None:
        if not user.strip() or not tenant.strip():
            raise InputError(
                f"user {user!r} of tenant {tenant!r}: both must be named, so that nobody learns from somebody else"
            )
        self.home, self.base = Path(home), Path(base)
        self.scope = Scope(tenant=tenant, user=user)
        self.serving, self.consolidation = serving or Serving(), consolidation or Consolidation()
        self.store = SqlStore(self.home)
        self.embedder = embedder or HashedEmbedder()
        self._threads = threads
        self._engine: LocalEngine | None = None

    @property
    def engine(self) -> LocalEngine:
        """The model, loaded when first needed. FormatError, with the remedy, if the folder holds no usable one."""
        if self._engine is None:
            from engrain.engines.local import LocalEngine

            self._engine = LocalEngine(self.base, adapters_dir=self.home / "adapters", threads=self._threads)
        return self._engine

    def chat(
        self,
        message: str | Sequence[Message],
        *,
        conversation: str = "",
        remember_it: bool = False,
        memory: bool = True,
        version: str | None = None,
    ) -> Interaction:
        """Ask or say something; returns the recorded interaction (`.answer`, `.stamp`, `.context`, `.usage`).

        With `remember_it`, what the message leaves behind becomes memory. `memory=False` shows the model no notes;
        `version` asks for one version (number or hash, "base") instead of the live one.
        """
        messages = [Message(role="user", content=message)] if isinstance(message, str) else list(message)
        if not messages or not any(m.content.strip() for m in messages):
            raise InputError("the message is empty; say or ask something")
        adapter = None if version is None else resolve(self.store, self.scope, version)
        interaction = answer(
            self.store, self.engine, self.embedder, messages, scope=self.scope, conversation=conversation, memory=memory,
            adapter=adapter, serving=self.serving,
        )  # fmt: skip
        if remember_it:
            remember.from_interaction(self.store, self.engine, interaction)
        return interaction

    def tell(self, what: str | Path) -> list[Memory]:
        """Remember at once: a note as it stands, or (a Path) a folder or file of notes and chats."""
        if isinstance(what, Path):
            return remember.from_path(self.store, lambda: self.engine, what, scope=self.scope)[0]
        return [remember.tell(self.store, what, scope=self.scope)]

    def feedback(
        self, interaction: str, *, rating: float | None = None, comment: str = "", correction: str = ""
    ) -> list[Feedback]:
        """Say what an answer was worth: a rating from 0 to 1, a comment, or what should have been known instead.

        A correction is remembered at once, and what it corrects is marked wrong.
        """
        if rating is not None and not 0 <= rating <= 1:
            raise InputError(f"rating={rating}; give a number from 0 (bad) to 1 (good)")
        self.store.get(interaction, scope=self.scope)
        given: list[tuple[str, float | None, str]] = [("rating", rating, "")] if rating is not None else []
        given += [("comment", None, comment)] if comment.strip() else []
        given += [("correction", None, correction)] if correction.strip() else []
        if not given:
            raise InputError("no feedback was given; pass a rating, a comment or a correction")
        records = [
            Feedback(
                scope=self.scope, interaction=interaction, name=name, score=score, text=text, causes=(interaction,)
            )
            for name, score, text in given
        ]
        self.store.append_all(records)
        for record in records:
            remember.from_feedback(self.store, record)
        return records

    def consolidate(self, *, progress: Progress | None = None) -> Outcome:
        """Move what has proved durable into the weights, if the evidence allows it. Ctrl-C loses nothing."""
        self._finish_forgetting(progress)
        return consolidate(
            self.store, self.engine, scope=self.scope, home=self.home, settings=self.consolidation, progress=progress
        )

    def evaluate(
        self, examples: Sequence[Example], *, version: str | None = None, with_context: bool = False
    ) -> Evidence:
        """A version's answers to questions of your own (Example.query and .reference), scored item by item."""
        from engrain.evaluation import run_suite

        adapter = self.store.live(self.scope) if version is None else resolve(self.store, self.scope, version)
        return run_suite(self.engine, examples, adapter, self.scope, "own", with_context=with_context)

    def memories(self, *, all_states: bool = False) -> list[Memory]:
        """What is remembered now; with `all_states` also what was superseded or retracted."""
        from engrain.memory import active

        every = list(self.store.select(Memory, scope=self.scope))
        return every if all_states else active(every)

    def versions(self) -> list[Version]:
        """Every version of the weights, oldest first, with the verdict on it; number 0 is the bare base."""
        return adapters.versions(self.store, self.scope)

    def rollback(self, to: str | None = None) -> str:
        """Go back to the version before (or to `to`: number, hash, "base") in one atomic move; returns what is live now."""
        return adapters.rollback(self.store, self.scope, to)

    def forget(self, what: str, *, reason: str = "asked by the user", progress: Progress | None = None) -> Receipt:
        """Forget a memory or interaction (id), `source:FILE`, `text:EXACT TEXT` or `user:`: in text and in the weights."""
        return forget(
            self.store, self.engine, what, scope=self.scope, home=self.home, settings=self.consolidation, reason=reason,
            progress=progress,
        )  # fmt: skip

    def _finish_forgetting(self, progress: Progress | None) -> None:
        """A forgetting that was interrupted comes before anything new is learned."""
        if self.store.get_run("forget", scope=self.scope) is None:
            return
        with home_lock(self.home):
            finish_forgetting(
                self.store,
                self.engine,
                scope=self.scope,
                home=self.home,
                settings=self.consolidation,
                progress=progress,
            )

    def trace(self, record_id: str) -> tuple[list[Node], list[Node]]:
        """(what caused this record, what it caused), nearest first."""
        return (
            self.store.walk(record_id, "causes", scope=self.scope),
            self.store.walk(record_id, "effects", scope=self.scope),
        )

    def close(self) -> None:
        """Let go of the database."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
