"""The library's door: one home folder, one user, and the verbs of the loop.

from engrain.learner import Learner

me = Learner("my-agent")
me.tell("The gate code of the north barn is 4417.")
print(me.chat("What is the gate code of the north barn?").answer)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, get_args

from engrain import adapters
from engrain.adapters import Version
from engrain.adapters.versions import resolve
from engrain.errors import InputError
from engrain.gateway.answer import Serving, answer
from engrain.loops import remember
from engrain.loops.consolidate import Consolidation, Outcome, Progress, consolidate
from engrain.loops.forget import finish_forgetting, forget
from engrain.memory import HashedEmbedder, Standing, derive, holding
from engrain.protocols import Embedder
from engrain.records import (
    Evidence,
    Example,
    Feedback,
    FeedbackKind,
    Interaction,
    Memory,
    Message,
    Receipt,
    Scope,
    Task,
)
from engrain.store import Node, SqlStore, home_lock

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine

log = logging.getLogger(__name__)

SPROUT = Path(__file__).parent / "engines" / "sprout"
"""The small model that ships; any other decoder-only Hugging Face folder works in its place."""
ANSWER_TOKENS = 256
"""How long an answer may be, where nobody says otherwise."""
TEMPLATE_TOKENS = 32
"""Room for what a chat template writes around the notes."""


class Learner:
    """An agent's memory and weights for one user: what it is told it uses at once, and comes to know.

    Everything lives in the folder `home` (created if missing): the database, the adapters, interrupted runs. The model is
    loaded at the first call that needs it, onto `device`: "auto" (cuda where there is one, else cpu), "cpu" or "cuda".
    Use one Learner per user; several may share a home.
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
        device: str = "auto",
        threads: int = 1,
    ) -> None:
        if not user.strip() or not tenant.strip():
            raise InputError(
                f"user {user!r} of tenant {tenant!r}: both must be named, so that nobody learns from somebody else"
            )
        self.home, self.base = Path(home).expanduser(), Path(base).expanduser()
        self.scope = Scope(tenant=tenant, user=user)
        self.serving = serving or Serving(max_tokens=ANSWER_TOKENS)
        self.consolidation = consolidation or Consolidation()
        self.store = SqlStore(self.home)
        self.embedder = embedder or HashedEmbedder()
        self._device, self._threads = device, threads
        self._engine: LocalEngine | None = None

    @property
    def engine(self) -> LocalEngine:
        """The model, loaded when first needed. FormatError, with the remedy, if the folder holds no usable one; InputError
        if the device is not there."""
        if self._engine is None:
            from engrain.engines.local import LocalEngine

            self._engine = LocalEngine(
                self.base, adapters_dir=self.home / "adapters", device=self._device, threads=self._threads
            )
        return self._engine

    def chat(
        self,
        message: str | Sequence[Message],
        *,
        conversation: str = "",
        remember_it: bool = False,
        memory: bool = True,
        version: str | None = None,
        max_tokens: int | None = None,
    ) -> Interaction:
        """Ask or say something; returns the recorded interaction (`.answer`, `.stamp`, `.context`, `.usage`).

        A list of messages is a conversation so far; its oldest turns are left out where they do not fit the model's window.
        With `remember_it`, what the last message leaves behind becomes memory; if that cannot be made out, a warning in the log says
        so. `memory=False` shows the model no notes;
        `version` asks for one version (number or hash, "base") instead of the live one. An answer ends after `max_tokens`
        tokens (by default those of `serving`, 256, or a quarter of a smaller model's window).
        """
        messages = [Message(role="user", content=message)] if isinstance(message, str) else list(message)
        if not messages or not any(m.content.strip() for m in messages):
            raise InputError("the message is empty; say or ask something")
        adapter = None if version is None else resolve(self.store, self.scope, version)
        serving = self._serving(max_tokens)
        room = self.engine.window - serving.max_tokens - (serving.budget_tokens + TEMPLATE_TOKENS if memory else 0)
        interaction = answer(
            self.store, self.engine, self.embedder, self._latest(messages, room), scope=self.scope,
            conversation=conversation, memory=memory, adapter=adapter, serving=serving,
        )  # fmt: skip
        if remember_it:
            try:
                remember.from_interaction(self.store, self.engine, interaction)
            except InputError as error:  # the answer is on disk, and the caller gets it
                log.warning(
                    "%s: nothing was remembered of what was said (%s); tell it in fewer words", interaction.id, error
                )
        return interaction

    def tell(self, what: str | Path) -> list[Memory]:
        """Remember at once: a note as it stands, or (a Path) a folder or file of notes and chats.

        A file of a folder that cannot be read is an error when all others are learned.
        """
        if isinstance(what, Path):
            return remember.from_path(self.store, lambda: self.engine, what, scope=self.scope)[0]
        return [remember.tell(self.store, what, scope=self.scope)]

    def feedback(
        self,
        interaction: str,
        *,
        rating: float | None = None,
        comment: str = "",
        correction: str = "",
        kind: FeedbackKind = "explicit",
    ) -> list[Feedback]:
        """Say what an answer was worth: a rating from 0 to 1, a comment, or what should have been known instead.

        A correction is remembered at once, and what it corrects is marked wrong. `kind` says who judged: the user in so many
        words (`explicit`), the user by what they did (`implicit`), or a program (`automated`).
        """
        if kind not in get_args(FeedbackKind):
            raise InputError(f"kind={kind!r} is no kind of feedback; give one of {', '.join(get_args(FeedbackKind))}")
        if rating is not None and not 0 <= rating <= 1:
            raise InputError(f"rating={rating}; give a number from 0 (bad) to 1 (good)")
        if not isinstance(found := self.store.get(interaction, scope=self.scope), Interaction):
            raise InputError(
                f"{interaction} is a {type(found).__name__.lower()}; feedback is about an answer: give the id of an interaction (int_…)"
            )
        given: list[tuple[str, float | None, str]] = [("rating", rating, "")] if rating is not None else []
        given += [("comment", None, comment)] if comment.strip() else []
        given += [("correction", None, correction)] if correction.strip() else []
        if not given:
            raise InputError("no feedback was given; pass a rating, a comment or a correction")
        records = [
            Feedback(
                scope=self.scope,
                interaction=interaction,
                kind=kind,
                name=name,
                score=score,
                text=text,
                causes=(interaction,),
            )
            for name, score, text in given
        ]
        remembered = [m for record in records if (m := remember.correction_of(self.store, record))]
        self.store.append_all([*records, *remembered])
        return records

    def consolidate(self, *, progress: Progress | None = None) -> Outcome:
        """Move what has proved durable into the weights, if the evidence allows it. Ctrl-C loses nothing."""
        self._finish_forgetting(progress)
        return consolidate(
            self.store, self.engine, scope=self.scope, home=self.home, settings=self.consolidation, progress=progress
        )

    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        version: str | None = None,
        with_context: bool = False,
        keep: bool = False,
    ) -> Evidence:
        """A version's answers to questions of your own (Example.query and .reference), scored item by item.

        Where a style is shown ("Call me Captain"), an answer is right if it holds what is expected. With `keep` the
        questions stay as your own tasks: from now on every candidate is judged by them, and none is trained on them.
        """
        from engrain.evaluation import run_suite
        from engrain.evaluation.suites import last_question
        from engrain.memory import is_answer_style

        adapter = self.store.live(self.scope) if version is None else resolve(self.store, self.scope, version)
        styled = with_context and any(is_answer_style(m.text) for m in self.memories())
        found = run_suite(self.engine, examples, adapter, self.scope, "own", with_context=with_context, styled=styled)
        if keep:  # now that each has been answered: one that does not fit the window would fail every later candidate
            known = {(t.question, t.answer) for t in self.store.select(Task, scope=self.scope)}
            pairs = dict.fromkeys((last_question(e), e.reference) for e in examples)
            self.store.append_all(
                [Task(scope=self.scope, question=q, answer=a) for q, a in pairs if (q, a) not in known]
            )
        return found

    def memories(self, *, all_states: bool = False) -> list[Memory]:
        """What is remembered now; with `all_states` also what was superseded or retracted (`standings` tells which)."""
        from engrain.memory import active

        every = list(self.store.select(Memory, scope=self.scope))
        return every if all_states else active(every)

    def standings(self) -> dict[str, Standing]:
        """Where each memory stands, by id: active, superseded (was true, and until when), retracted (was wrong) or repeated."""
        return derive(list(self.store.select(Memory, scope=self.scope)))

    def versions(self) -> list[Version]:
        """Every version of the weights, oldest first, with the verdict on it; number 0 is the bare base."""
        return adapters.versions(self.store, self.scope, holding(list(self.store.select(Memory, scope=self.scope))))

    def rollback(self, to: str | None = None) -> str:
        """Go back to the version that was live before (or to `to`: number, hash, "base") in one atomic move; returns what
        is live now."""
        return adapters.rollback(self.store, self.scope, to)

    def forget(self, what: str, *, reason: str = "asked by the user", progress: Progress | None = None) -> Receipt:
        """Forget a memory or interaction (id), `source:FILE`, `text:EXACT TEXT` or `user:`: in text and in the weights."""
        return forget(
            self.store, self.engine, self._whole(what), scope=self.scope, home=self.home, settings=self.consolidation, reason=reason,
            progress=progress,
        )  # fmt: skip

    def _serving(self, max_tokens: int | None) -> Serving:
        """How to answer, cut to a small model's window: a quarter for the answer, half of what is left for the notes."""
        window = self.engine.window
        most = min(self.serving.max_tokens, max(1, window // 4)) if max_tokens is None else max_tokens
        if not 0 < most < window:
            raise InputError(
                f"max_tokens={most}; give at least 1, and less than the {window} tokens of the model's window"
            )
        budget = min(self.serving.budget_tokens, max(0, window - most) // 2)
        return replace(self.serving, max_tokens=most, budget_tokens=budget)

    def _latest(self, messages: Sequence[Message], room: int) -> list[Message]:
        """The system message and the latest turns, from a user's on, that fit into `room` tokens; the last turn always.

        InputError if that one is far too long for the window.
        """
        self.engine.check_length(messages[-1:])
        most = self.engine.most_characters
        first = 1 if messages[0].role == "system" else 0
        system, turns = list(messages[:first]), list(messages[first:])
        while len(turns) > 1 and (
            sum(len(m.content) for m in turns) > most
            or self.engine.count_tokens(self.engine.render([*system, *turns])) > room
        ):
            del turns[0]
            while len(turns) > 1 and turns[0].role != "user":
                del turns[0]
        return [*system, *turns]

    def _whole(self, what: str) -> str:
        """`source:FILE` with the whole path of the file, wherever it is typed from; anything else as it stands."""
        name = what.removeprefix("source:")
        if name == what or not name:
            return what
        known = {m.source for m in self.store.select(Memory, scope=self.scope)}
        known |= {i.conversation.rpartition("#")[0] for i in self.store.select(Interaction, scope=self.scope)}
        if name in known or f"file:{name}" in known:
            return what
        file = Path(name.removeprefix("file:"))
        return f"source:{remember.located(file.expanduser() if file.parts[:1] == ('~',) else file)}"

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
