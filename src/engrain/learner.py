"""The library's door: one home folder, one user, and the verbs of the loop.

from engrain.learner import Learner

me = Learner("my-agent")
me.tell("The gate code of the north barn is 4417.")
print(me.chat("What is the gate code of the north barn?").answer)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from engrain import adapters
from engrain.adapters import Version
from engrain.adapters.versions import resolve
from engrain.engines import SPROUT as SPROUT  # this door names it, too
from engrain.engines import sentences
from engrain.errors import InputError
from engrain.gateway.answer import Serving, answer, cut_to_window, latest
from engrain.loops import follow, remember, teams
from engrain.loops.consolidate import Consolidation, Outcome, Progress, consolidate
from engrain.loops.correct import correct
from engrain.loops.forget import Preview, forget, go_on, preview
from engrain.loops.trial import settle
from engrain.loops.verify import verify
from engrain.memory import HashedEmbedder, as_of, holding
from engrain.protocols import Embedder, Verifier
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
from engrain.store import Node, SqlStore
from engrain.text import Text

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine

log = logging.getLogger(__name__)

ANSWER_TOKENS = 256
"""How long an answer may be, where nobody says otherwise."""


def embedder_of(name: str, *, key: str = "") -> Embedder:
    """`hashed` (letters alone, no model), `minilm`, `auto` (ENGRAIN_EMBEDDER, else MiniLM where it is installed, else hashed), a folder of a sentence
    model, or `https://host/v1#MODEL`: an OpenAI-compatible server, which is given the `key`."""
    if name == "auto":
        name = os.environ.get("ENGRAIN_EMBEDDER") or name
    from engrain.engines.minilm import MiniLM, bundled

    if name == "hashed" or (name == "auto" and bundled() is None):
        return HashedEmbedder()
    if name in ("auto", "minilm"):
        return MiniLM()
    if not name.startswith(("http://", "https://")):
        return sentences.read(Path(name).expanduser())
    url, _, model = name.partition("#")
    if not model:
        raise InputError(f"{name} names no model; give it behind the address, as in {url}#text-embedding-3-small")
    try:
        from engrain.engines.upstream import Upstream
        from engrain.engines.upstream_sentences import UpstreamSentences
    except ModuleNotFoundError as missing:
        raise InputError(f'{missing.name} is not installed; run: pip install "engrain[serve]"') from missing
    return UpstreamSentences(Upstream(url=url, model=model, key=key))


class Learner:
    """An agent's memory and weights for one user: what it is told it uses at once, and comes to know.

    Everything lives in the folder `home` (created if missing): the database, unless `database` is the address of a PostgreSQL one, the
    adapters, interrupted runs. The model is
    loaded at the first call that needs it, onto `device`: "auto" (cuda where there is one, else cpu), "cpu" or "cuda". `embedder`
    finds notes by meaning: one of your own, or a name as in `embedder_of`.
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
        embedder: Embedder | str = "auto",
        database: str = "",
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
        self.store = SqlStore(self.home, database=database)
        self.embedder = embedder_of(embedder) if isinstance(embedder, str) else embedder
        self._device, self._threads = device, threads
        self._engine: LocalEngine | None = None
        self.text = Text(self.store, self.embedder, self.scope, engine=lambda: self.engine, serving=self.serving)
        """Lessons, notes, skills, core blocks, and changes to memories."""

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
        With `remember_it`, what the last message leaves behind becomes memory (if that cannot be made out, a warning in the log says
        so), and what it says of the answer before it is recorded as implicit feedback. `memory=False` shows the model no notes;
        `version` asks for one version (number or hash, "base") instead of the live one. An answer ends after `max_tokens`
        tokens (by default those of `serving`, 256, or a quarter of a smaller model's window).
        """
        messages = [Message(role="user", content=message)] if isinstance(message, str) else list(message)
        if not messages or not any(m.content.strip() for m in messages):
            raise InputError("the message is empty; say or ask something")
        adapter = None if version is None else resolve(self.store, self.scope, version)
        serving = cut_to_window(self.engine, self.serving, max_tokens)
        interaction = answer(
            self.store, self.engine, self.embedder, latest(self.engine, messages, serving, memory=memory), scope=self.scope,
            conversation=conversation, memory=memory, adapter=adapter, serving=serving,
        )  # fmt: skip
        if remember_it:
            follow.from_next(self.store, interaction)
            try:
                remember.from_interaction(self.store, self.engine, interaction)
            except InputError as error:  # the answer is on disk, and the caller gets it
                log.warning(
                    "%s: nothing was remembered of what was said (%s); tell it in fewer words", interaction.id, error
                )
        return interaction

    def tell(self, what: str | Path, *, source: str = "tell", about: tuple[str, str] | None = None) -> list[Memory]:
        """Remember at once: what a text states, each fact a note of its own where words alone tell them apart; or (a Path) a folder or file of
        notes and chats.

        A file of a folder that cannot be read is an error when all others are learned. `source` says who told a note; from a file it is the file.
        `about`, a thing and its attribute ("north barn", "gate code"), is the note's key: it ends what was told about that, however it was worded.
        """
        if isinstance(what, Path):
            if about is not None:
                raise InputError(f"{what} is a file or folder, and `about` is the key of one note; tell its text")
            return remember.from_path(self.store, lambda: self.engine, what, scope=self.scope)[0]
        if about is not None:
            told = [remember.tell(self.store, what, scope=self.scope, source=source, about=about)]
        else:
            told = remember.tell_facts(self.store, what, scope=self.scope, source=source)
        teams.follow(self.store, self.scope)
        return told

    def feedback(
        self,
        interaction: str,
        *,
        rating: float | None = None,
        comment: str = "",
        correction: str = "",
        kind: FeedbackKind = "explicit",
        verifiers: Sequence[Verifier] = (),
    ) -> list[Feedback]:
        """Say what an answer was worth: a rating from 0 to 1, a comment, or what should have been known instead.

        A correction is remembered at once, and what it corrects is marked wrong. `kind` says who judged: the user in so many
        words (`explicit`), the user by what they did (`implicit`), or a program (`automated`). `verifiers` judge it themselves
        (engrain.signals), each once.
        """
        given = verify(self.store, verifiers, interaction, scope=self.scope) if verifiers else []
        if not verifiers or rating is not None or comment or correction:
            given += remember.feedback(
                self.store, interaction, scope=self.scope, rating=rating, comment=comment, correction=correction, kind=kind
            )  # fmt: skip
        settle(self.store, self.scope)
        teams.follow(self.store, self.scope)
        return given

    def correct(self, memory: str, text: str = "", *, source: str = "correction") -> Memory:
        """Mark a memory wrong, by its id, and say in a sentence what is right instead, if that is known; returns what was remembered."""
        said = correct(self.store, memory, text, scope=self.scope, source=source)
        teams.follow(self.store, self.scope)
        return said

    def consolidate(self, *, progress: Progress | None = None) -> Outcome:
        """Move what has proved durable into the weights, if the evidence allows it. Ctrl-C loses nothing."""
        go_on(self.store, self.engine, scope=self.scope, home=self.home, settings=self.consolidation, progress=progress)
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

    def memories(
        self, *, all_states: bool = False, at: float | None = None, known: float | None = None
    ) -> list[Memory]:
        """What is remembered and holds now; with `at`, what held then (UTC seconds), by all that is known today; with `known`, what engrain believed
        then, by what it had been told by then; with `all_states` also what was superseded or retracted (`engrain.memory.derive` tells which)."""
        every = self.store.history(scope=self.scope)
        if all_states:
            return [m for m in every if isinstance(m, Memory)]
        return as_of(every, valid_at=at, recorded_at=known)

    def versions(self) -> list[Version]:
        """Every version of the weights, oldest first, with the verdict on it; number 0 is the bare base."""
        return adapters.versions(self.store, self.scope, holding(self.store.history(scope=self.scope)))

    def rollback(self, to: str | None = None) -> str:
        """Go back to the version that was live before (or to `to`: number, hash, "base") in one atomic move; returns what
        is live now."""
        return adapters.rollback(self.store, self.scope, to)

    def forget(
        self,
        what: str,
        *,
        reason: str = "asked by the user",
        seen: Preview | None = None,
        progress: Progress | None = None,
    ) -> Receipt:
        """Forget a memory or interaction (id), `source:FILE` (or a folder), `text:EXACT TEXT` or `user:`: in text and in the weights. With `seen`, what
        `preview` gave: InputError, and nothing goes, if something else would go by now."""
        try:
            return forget(
                self.store, lambda: self.engine, self._whole(what), scope=self.scope, home=self.home, settings=self.consolidation,
                reason=reason, seen=seen.fingerprint if seen else "", progress=progress,
            )  # fmt: skip
        finally:
            if self._engine is not None:
                self._engine.clear()

    def preview(self, what: str) -> Preview:
        """What `forget` would touch if it were asked now; nothing is changed."""
        return preview(self.store, self._whole(what), scope=self.scope, settings=self.consolidation)

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
