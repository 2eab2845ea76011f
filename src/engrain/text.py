"""Text space: all that is known in words beside single facts. Lessons and their counters, reflections, notes and their links, skills, core blocks, and
the changes to any of them, each with a reason and each to be undone.

from engrain.learner import Learner

me = Learner("my-agent")
me.text.lesson("Ask for the port before you write the config.")
me.text.change("archive", "mem_3f9c2a71b04e", reason="we use another broker now")
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engrain.adapters import current
from engrain.errors import EngrainError, InputError, NotFound
from engrain.evaluation.statistics import wilson
from engrain.gateway.answer import Serving, cut_to_window, look_up
from engrain.loops import notes, paging, sleep, teams
from engrain.loops.change import change
from engrain.loops.consolidate import tasks
from engrain.loops.curate import MOST_TASKS, Curated, Operation, Proposed, curate, operations, proposed_by
from engrain.loops.reflect import Critic, Tried, by_rules, reflect, solve
from engrain.loops.remember import now_of
from engrain.loops.skills import active_skills, distil, keep, put_out, take
from engrain.loops.sleep import Metered, Slept
from engrain.loops.tidy import Merge, add, tidy
from engrain.memory.blocks import Block
from engrain.memory.filing import of_kinds
from engrain.memory.held import Shelf
from engrain.memory.history import LESSONS, STATED, derive
from engrain.memory.laws import LAWS, Use, strength
from engrain.memory.playbook import bullets, rendered, value
from engrain.memory.recall import recall
from engrain.memory.skills import Skill, activated, file_of
from engrain.memory.worth import Worth, worths
from engrain.prompts import add_context
from engrain.protocols import Conversation, Embedder, Sampler, Verifier
from engrain.records import Delta, Interaction, Memory, MemoryKind, Message, Operator, Scope
from engrain.store import SqlStore

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A lesson or reflection with what came of showing it."""

    memory: Memory
    worth: Worth
    value: float
    """How good it is to show it, 0 … 1: the lower bound of its share of good outcomes, 1/2 while too few are known."""


SEARCHED: tuple[MemoryKind, ...] = (*STATED, "episode", *LESSONS)
"""Kinds that are found where none are named."""


class Text:
    """The text space of one user; `Learner.text`. It works without the model, but for what counts tokens (prune, sleep, blocks)."""

    def __init__(
        self,
        store: SqlStore,
        embedder: Embedder,
        scope: Scope,
        *,
        engine: Callable[[], LocalEngine],
        serving: Serving,
        sampler: Callable[[], Sampler] | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self._store, self._embedder, self._scope = store, embedder, scope
        self._engine, self._serving, self._playbook, self._shelf = engine, serving, serving.playbook, shelf or Shelf()
        self._sampler = sampler or engine
        """What answers: the model, or the upstream in its place."""

    # -- the playbook -------------------------------------------------------------------------------------------------

    def lesson(self, text: str, *, section: str = "") -> list[Merge]:
        """Keep a lesson; returns what it was merged with, for what nearly repeats another becomes one with it."""
        return self._lesson(" ".join(text.split()), section, "tell")

    def _lesson(self, text: str, section: str, source: str) -> list[Merge]:
        now = now_of(self._store, self._scope)
        memory = Memory(
            scope=self._scope, kind="lesson", text=text, source=source, valid_from=now, recorded_at=now,
            attributes=(("section", section),) if section else (),
        )  # fmt: skip
        merges = add(self._store, self._embedder, memory, shelf=self._shelf)
        self._follow()
        return merges

    def lessons(self) -> list[Lesson]:
        """The playbook with its counters, what is best to show first."""
        found = of_kinds(self._store, self._scope, LESSONS)
        known = worths(self._store, self._scope, [m.id for m in found])
        tried = self._playbook.tried
        shown = [
            Lesson(memory=m, worth=(w := known.get(m.id, Worth())), value=value(w, wilson, tried=tried)) for m in found
        ]
        return sorted(shown, key=lambda lesson: -lesson.value)

    def fitting_lessons(self, query: str, *, limit: int = 8) -> list[Memory]:
        """The lessons that fit a query, best first."""
        return [m for m, _ in self.search(query, kinds=LESSONS, limit=limit)]

    def export_lessons(self) -> str:
        """The playbook in the text form of ACE: sections, and bullets with ids and counters."""
        found = self.lessons()
        return rendered([lesson.memory for lesson in found], {lesson.memory.id: lesson.worth for lesson in found})

    def import_lessons(self, text: str, *, source: str) -> tuple[int, int]:
        """Take the bullets of a playbook in that form over; (how many there were, how many lessons stand now)."""
        told = bullets(text)
        for section, bullet in told:
            self._lesson(bullet, section, source)
        return len(told), len(of_kinds(self._store, self._scope, ("lesson",)))

    def reflect(self, interaction: str, *, critic: Critic = by_rules) -> Memory | None:
        """What is to be learned of an answer that was not good, by what was said of it; None where there is nothing."""
        made = reflect(self._store, self._embedder, interaction, scope=self._scope, critic=critic, shelf=self._shelf)
        self._follow()
        return made

    def solve(
        self,
        act: Callable[[], Interaction],
        verifiers: Sequence[Verifier],
        *,
        trials: int = 3,
        critic: Critic = by_rules,
    ) -> Tried:
        """Try a task until a verifier is content, and reflect in between; `act` makes one try, such as `lambda: me.chat(task)`."""
        return solve(
            self._store, self._embedder, act, verifiers, scope=self._scope, trials=trials, critic=critic, shelf=self._shelf
        )  # fmt: skip

    def curate(
        self,
        proposed: str | Sequence[Operation] | None = None,
        *,
        wait: bool = False,
        kinds: Sequence[MemoryKind] = LESSONS,
        sampler: Sampler | None = None,
    ) -> Curated:
        """Change the playbook by these operations (JSON as ACE's curator writes it), or, without any, by those that the model proposes after the latest
        reflections (one call). They hold unless the user's own tasks show that they do harm; with `wait`, only what is shown to help does. With other `kinds`,
        memories of that kind are changed (`loops.curate`). A `sampler` answers in the model's place."""
        opened: list[Metered] = []

        def model() -> Metered:
            if not opened:
                opened.append(Metered(self._sampler() if sampler is None else sampler))
            return opened[0]

        made = self._curate(proposed, wait, kinds, model, self._adapter() if sampler is None else "")
        made.calls, made.tokens = sum(m.calls for m in opened), sum(m.tokens for m in opened)
        return made

    def _adapter(self) -> str:
        """The version that answers; "" for the bare base, and where an upstream answers."""
        live = current(self._store, self._scope)
        return live.id if live is not None and self._sampler is self._engine else ""

    def _curate(
        self,
        proposed: str | Sequence[Operation] | None,
        wait: bool,
        kinds: Sequence[MemoryKind],
        model: Callable[[], Sampler],
        adapter: str,
    ) -> Curated:
        if proposed is None and set(kinds) != set(LESSONS):
            raise InputError(
                f"a model proposes changes of the playbook only; give the operations for {', '.join(kinds)}"
            )
        if proposed is None:
            found = proposed_by(
                self._store, self._embedder, model(), scope=self._scope, adapter=adapter, shelf=self._shelf
            )
        else:
            found = Proposed(operations=tuple(operations(proposed) if isinstance(proposed, str) else proposed))

        def show(question: str, lessons: Sequence[Memory]) -> Conversation:
            engine, messages = self._engine(), [Message(role="user", content=question)]
            held = replace(self._shelf.of(self._store, self._scope), lessons=tuple(lessons))
            serving = replace(cut_to_window(engine, self._serving), show_learned=True)
            context = look_up(
                self._store, engine, self._embedder, messages, held, scope=self._scope, serving=serving, version=adapter, shelf=self._shelf
            )  # fmt: skip
            return add_context(context.text, messages)

        made = curate(
            self._store, found.operations, scope=self._scope, sampler=model, adapter=adapter, show=show, wait=wait,
            by="user" if proposed is not None else "model", kinds=kinds, shown=found.shown, grounds=found.reflections,
        )  # fmt: skip
        if made.lessons and not made.waits and made.decision != "reject":
            tidy(
                self._store, self._embedder, scope=self._scope, kinds=tuple(kinds), only=made.lessons, shelf=self._shelf
            )
        self._follow()
        return made

    def _follow(self) -> None:
        """Where this is a team's memory, its members get what is new."""
        teams.follow(self._store, self._scope)

    # -- notes --------------------------------------------------------------------------------------------------------

    def note(
        self,
        text: str,
        *,
        describe: notes.Describer = notes.by_words,
        evolves: notes.Evolver | None = notes.by_shared_words,
    ) -> tuple[Memory, list[Delta]]:
        """Keep a note that knows its neighbours; returns it and its links."""
        made = notes.note(
            self._store, self._embedder, text, scope=self._scope, describe=describe, evolves=evolves, shelf=self._shelf
        )  # fmt: skip
        self._follow()
        return made

    def revert(self, memory: str) -> Memory:
        """Take the evolution of a note back: a new record, described as the note was before."""
        made = notes.revert(self._store, memory, scope=self._scope)
        self._follow()
        return made

    def linked(self, memory: str) -> list[Memory]:
        """The memories that one is linked with."""
        found = [
            self._store.get(name, scope=self._scope) for name in notes.linked(self._store, memory, scope=self._scope)
        ]
        return [m for m in found if isinstance(m, Memory)]

    # -- what is found ------------------------------------------------------------------------------------------------

    def search(self, query: str, *, kinds: Collection[str] = SEARCHED, limit: int = 10) -> list[tuple[Memory, float]]:
        """The memories that a query finds, each with its score, best first: what is kept for good, and what was said before (`episode`)."""
        return recall(
            query, index=self._store, embedder=self._embedder, scope=self._scope, kinds=tuple(kinds), limit=limit, shelf=self._shelf
        )  # fmt: skip

    # -- skills -------------------------------------------------------------------------------------------------------

    def skills(self) -> list[Skill]:
        """The skills that hold; show their names and descriptions first, a body where it is needed, a file where that names it."""
        return active_skills(self._store, self._scope)

    def skill(self, name: str, file: str = "") -> str:
        """The body of a skill and the names of its files; or the text of one of them."""
        found = next((s for s in self.skills() if s.name == name), None)
        if found is None:
            raise NotFound(
                f"there is no skill {name!r}; there are {', '.join(s.name for s in self.skills()) or 'none'}"
            )
        return file_of(found, file) if file else activated(found)

    def waiting(self) -> list[Memory]:
        """What was proposed and waits to be accepted (`change("accept", id, reason=…)`)."""
        standings = derive(self._store.history(scope=self._scope)).values()
        return [s.memory for s in standings if s.state == "proposed"]

    def fitting_skills(self, task: str, *, limit: int = 3) -> list[str]:
        """Names of the skills that fit a task, best first."""
        return [m.attribute("name") for m, _ in self.search(task, kinds=("skill",), limit=limit)]

    def take_skills(self, path: Path, *, trusted: bool = False) -> list[Memory]:
        """Keep the skills of a folder; they wait to be accepted unless they are `trusted`."""
        made = take(self._store, path, scope=self._scope, trusted=trusted)
        self._follow()
        return made

    def offer_skill(self, skill: Skill, *, source: str) -> list[Memory]:
        """Keep a skill that waits to be accepted; empty where it is known already, word for word."""
        made = keep(self._store, [(skill, source)], scope=self._scope)
        self._follow()
        return made

    def write_skills(self, into: Path, *, names: Sequence[str] = ()) -> list[Path]:
        """Write the skills that hold into a folder, as any agent reads them."""
        return put_out(self._store, into, scope=self._scope, names=names)

    def distil(self) -> list[Memory]:
        """Propose skills from lessons that have proved good."""
        made = distil(self._store, self._embedder, scope=self._scope, playbook=self._playbook, shelf=self._shelf)
        self._follow()
        return made

    # -- core blocks --------------------------------------------------------------------------------------------------

    def blocks(self) -> list[Block]:
        """The core blocks, which are shown with every query."""
        return paging.blocks(self._store, self._scope)

    def write_block(self, name: str, text: str, *, seen: str | None = None, limit: int | None = None) -> Block:
        """Write a core block; with `seen`, Conflict if it was rewritten since that version."""
        made = paging.write_block(
            self._store, self._engine().count_tokens, name, text, scope=self._scope, seen=seen, limit=limit, source="tell"
        )  # fmt: skip
        self._follow()
        return made

    def pager(self, *, conversation: str = "", window: int | None = None, offers: bool = True) -> paging.Pager:
        """An accountant of the model's window with the memory tools that go with it; `offers` as in `Pager`."""
        engine = self._engine()
        return paging.Pager(
            store=self._store, embedder=self._embedder, count_tokens=engine.count_tokens, scope=self._scope, conversation=conversation,
            count=lambda messages: engine.count_tokens(engine.render(messages)), window=window or engine.window,
            reserve=min(256, (window or engine.window) // 4), offers=offers, count_tools=_counting_tools(engine), shelf=self._shelf,
        )  # fmt: skip

    # -- order --------------------------------------------------------------------------------------------------------

    def change(
        self, operator: Operator, *targets: str, reason: str, into: str = "", value: str = "", by: str = "user"
    ) -> list[Delta]:
        """Archive, merge, accept, link, keep apart or tag memories, or undo one of these; each with a reason."""
        made = change(
            self._store, operator, *targets, scope=self._scope, reason=reason, into=into, value=value, by=by
        )  # fmt: skip
        self._follow()
        return made

    def changes(self, memory: str) -> list[Delta]:
        """What was ever done to a memory, and why, in the order of doing; undone changes and their undoing, too."""
        return self._store.deltas([memory], scope=self._scope)

    def tidy(self, *, kinds: Collection[str] = LESSONS) -> list[Merge]:
        """Merge what nearly repeats; no detail is lost, and each merge can be undone."""
        wanted = tuple(kind for kind in LAWS if kind in kinds)
        made = tidy(self._store, self._embedder, scope=self._scope, kinds=wanted, shelf=self._shelf)
        self._follow()
        return made

    def sleep(self, settings: sleep.Sleep | None = None) -> sleep.Slept:
        """Put the memory in order: reflect, merge, link, put away, distil. With `settings.calls`, the model writes the reflections
        and, if there are any, proposes what the playbook is to say after them."""
        asked = settings or sleep.Sleep(playbook=self._playbook)
        done = sleep.sleep(
            self._store, self._embedder, lambda text: self._engine().count_tokens(text), scope=self._scope, settings=asked,
            sampler=self._sampler() if asked.calls else None, shelf=self._shelf,
        )  # fmt: skip
        if asked.calls and done.reflected:
            self._curate_asleep(done, asked.calls)
        self._follow()
        return done

    def _curate_asleep(self, done: Slept, most: int) -> None:
        """Have the model say what the playbook is to be after what was reflected on, and the tasks judge it, if the calls that are left allow it."""
        judges = len(tasks(self._store, self._scope, now_of(self._store, self._scope))[-MOST_TASKS:])
        if done.calls + 1 + 2 * judges > most:
            done.left.append("curate")
            return
        model = Metered(self._sampler())
        try:
            made = self._curate(None, True, LESSONS, lambda: model, self._adapter())
            done.curated = [] if made.decision == "reject" else [*made.lessons, *made.deltas]
        except EngrainError as error:
            done.left.append("curate")
            log.warning("%s: nothing was curated: %s", self._scope, error)
        done.calls, done.tokens = done.calls + model.calls, done.tokens + model.tokens

    def strengths(self, at: float) -> dict[str, float]:
        """How strong each memory is at a time (UTC seconds) that may fade, from 1 (fresh) to 0, by its id."""
        there, uses = sleep.fadable(self._store, self._scope)
        return {m.id: strength(m, uses.get(m.id, Use()), at) for m in there}


def _counting_tools(engine: LocalEngine) -> Callable[[str], int] | None:
    """How many tokens the tools take as the model's own template describes them; None where it knows of none (another model is to read them)."""
    if not engine.chat.offers_tools:
        return None
    one = [Message(role="user", content="x")]
    return lambda tools: (
        engine.count_tokens(engine.chat.render(one, tools=tools)) - engine.count_tokens(engine.chat.render(one))
    )
