"""One request: recall what fits, show it, let the live version answer, record all of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from engrain.adapters import current
from engrain.adapters.canary import answers, on_trial
from engrain.adapters.versions import adapter_of, closed_book, let_through
from engrain.context.assemble import assemble
from engrain.errors import InputError, NotFound
from engrain.evaluation.statistics import wilson
from engrain.evaluation.suites import is_unknown
from engrain.memory import Held, Shelf, recall
from engrain.memory.playbook import Playbook, chosen
from engrain.memory.worth import by_use, worths
from engrain.prompts import UNKNOWN, add_context
from engrain.protocols import Completion, Conversation, Embedder, Engine
from engrain.records import (
    Context,
    Interaction,
    Memory,
    Message,
    Sampling,
    Scope,
    Stamp,
    ToolCall,
    Usage,
    new_id,
)
from engrain.store import SqlStore

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine

Say = Callable[[Conversation, str], str]
"""The first tokens of what a version (its adapter) answers to a conversation."""
TEMPLATE_TOKENS = 32
"""Room for what a chat template writes around the notes."""
FIRST_TOKENS = 8
"""Of an answer, beyond those of a don't-know, in which one shows, whatever a style puts before it."""
TRUTHFUL = 0.8
"""Share of what a version said closed book to held-out questions, don't-knows apart, that must have been right for it to be asked
without notes about whatever it was taught."""
ATTEMPTS = 3
"""How often an answer is made before a forgetting at the same time counts as an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How answers are made."""

    budget_tokens: int = 600
    """How many tokens of notes a query may be shown."""
    recall_limit: int = 12
    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    """Of drawn answers, by the service only: the fewest likeliest tokens that have this much probability together."""
    playbook: Playbook = field(default_factory=Playbook)
    """How many tokens of lessons a query may be shown, and by what they are chosen."""
    skills: int = 0
    """Names and descriptions of so many skills that fit a query, at most, are shown with the lessons: for a model that can ask for one."""
    show_learned: bool = False
    """Show notes even where the live version knows the answer without (costs tokens)."""


def answer(
    store: SqlStore,
    engine: Engine,
    embedder: Embedder,
    messages: Sequence[Message],
    *,
    scope: Scope,
    conversation: str = "",
    memory: bool = True,
    adapter: str | None = None,
    serving: Serving | None = None,
    seed: int = 0,
    shelf: Shelf | None = None,
) -> Interaction:
    """Answer a conversation and record the interaction durably before it is returned.

    `memory=False` shows no notes; `adapter` asks for one version by its hash ("" for the bare base) instead of the live one.
    If what it was made from is forgotten while the model answers, the answer is thrown away and made anew without it.
    Raises NotFound if the version cannot be loaded: no other weights ever answer in its place.
    """
    serving = serving or Serving()
    for attempt in range(ATTEMPTS):
        try:
            asked = prepare(
                store, engine, embedder, messages, scope=scope, conversation=conversation, memory=memory, adapter=adapter,
                serving=serving, seed=seed, shelf=shelf,
            )  # fmt: skip
            completion = engine.sample(
                [asked.shown], adapter=asked.version, max_tokens=serving.max_tokens, temperature=serving.temperature, seed=seed
            )[0]  # fmt: skip
            interaction = interaction_of(
                asked, completion, base=engine.base, verdict=let_through(store, scope, asked.version)
            )
            store.append(interaction)
            return interaction
        except NotFound:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("ATTEMPTS is 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request made ready: what the model is shown, and what its record will say of that."""

    id: str = field(default_factory=lambda: new_id("int"))
    """Of the interaction that it will be."""
    scope: Scope
    conversation: str
    messages: tuple[Message, ...]
    context: Context
    version: str
    """The adapter that is to answer; "" for the bare base."""
    canary: str = ""
    """Id of the trial that this request is part of."""
    memory: bool = True
    """Whether notes may be shown, and what the user says be kept."""
    held: str
    """The memory snapshot; "" where no memory took part."""
    serving: Serving
    seed: int
    tools: str = ""
    """JSON of the tools that are offered."""
    started: float

    @property
    def shown(self) -> tuple[Message, ...]:
        """The conversation with the notes in it."""
        return add_context(self.context.text, self.messages)


def prepare(
    store: SqlStore,
    engine: Engine,
    embedder: Embedder,
    messages: Sequence[Message],
    *,
    scope: Scope,
    conversation: str = "",
    memory: bool = True,
    adapter: str | None = None,
    serving: Serving,
    seed: int = 0,
    say: Say | None = None,
    shelf: Shelf | None = None,
) -> Asked:
    """What to show, and who is to answer; arguments as in `answer` and `look_up`. A `shelf` spares deriving anew what holds."""
    started = time.perf_counter()
    live = current(store, scope) if adapter is None else None
    version = (live.id if live else "") if adapter is None else adapter
    name = new_id("int")
    canary = on_trial(store, scope) if adapter is None else None
    if canary is not None and answers(canary, conversation or name):
        version = canary.candidate
    context, held = Context(), Held()
    if memory:
        shelf = shelf or Shelf()
        held = shelf.of(store, scope)
        context = look_up(
            store, engine, embedder, messages, held, scope=scope, serving=serving, version=version, say=say,
            shelf=shelf,
        )  # fmt: skip
    return Asked(
        id=name, canary=canary.id if canary else "", scope=scope, conversation=conversation, messages=tuple(messages), context=context, version=version, memory=memory, held=held.snapshot,
        serving=serving, seed=seed, started=started,
    )  # fmt: skip


def interaction_of(
    asked: Asked,
    completion: Completion,
    *,
    base: str,
    verdict: str,
    calls: Sequence[ToolCall] = (),
    sampling: Sampling | None = None,
) -> Interaction:
    """The record of an answered request; `verdict` is the one that let the version through, `sampling` where it is not that of `Serving`."""
    return Interaction(
        id=asked.id,
        scope=asked.scope,
        conversation=asked.conversation,
        messages=asked.messages,
        context=asked.context,
        answer=completion.text,
        stamp=Stamp(base=base, adapter=asked.version, memory=asked.held),
        sampling=sampling
        or Sampling(
            temperature=asked.serving.temperature,
            max_tokens=asked.serving.max_tokens,
            seed=asked.seed,
            top_p=asked.serving.top_p,
        ),
        usage=Usage(
            input_tokens=completion.input_tokens,
            cached_tokens=completion.cached_tokens,
            output_tokens=len(completion.token_ids) if completion.output_tokens is None else completion.output_tokens,
            latency_ms=(time.perf_counter() - asked.started) * 1000,
        ),
        token_ids=completion.token_ids,
        logprobs=completion.logprobs,
        finish_reason=completion.finish_reason,
        tools=asked.tools,
        tool_calls=tuple(calls),
        causes=(*asked.context.memory_ids, *filter(None, (asked.version, verdict, asked.canary))),
    )


def look_up(
    store: SqlStore,
    engine: Engine,
    embedder: Embedder,
    messages: Sequence[Message],
    held: Held,
    *,
    scope: Scope,
    serving: Serving,
    version: str = "",
    say: Say | None = None,
    shelf: Shelf | None = None,
) -> Context:
    """The context for the last user message: how to answer, and the notes that fit, unless the version answers without them.

    Where the note that fits best was taught to it, the version is asked without notes first; they are shown only if it does not
    know. (No note is then shown, also none about something else: beside those a small model trusts them more than itself.)
    `say` gives the first tokens that a version answers to a conversation; `engine.sample` where it is left out.
    """
    query = next((m.content for m in reversed(messages) if m.role == "user"), "")
    found = recall(
        query, index=store, embedder=embedder, scope=scope, memories=held.notes, limit=serving.recall_limit, shelf=shelf
    )  # fmt: skip
    found = by_use(found, worths(store, scope, [m.id for m, _ in found]), wilson)
    lessons = _lessons(store, engine, embedder, query, held, scope=scope, serving=serving, shelf=shelf)
    if found and version and not serving.show_learned and found[0][0].id in asked_without(store, scope, version):
        bare = assemble(
            [], serving.budget_tokens, engine.count_tokens, preferences=(*held.blocks, *held.styles), lessons=lessons
        )
        begun = (say or _say(engine))(add_context(bare.text, messages), version)
        if begun.strip() and not any(is_unknown(part) for part in re.split(r"[,.;:!\n]", begun)):
            return bare
    return assemble(
        found, serving.budget_tokens, engine.count_tokens, preferences=(*held.blocks, *held.styles), lessons=lessons
    )


def _lessons(
    store: SqlStore,
    engine: Engine,
    embedder: Embedder,
    query: str,
    held: Held,
    *,
    scope: Scope,
    serving: Serving,
    shelf: Shelf | None,
) -> list[Memory]:
    """The lessons that fit the query, by what came of showing them; then the skills, where any are to be shown."""
    shown = recall(
        query, index=store, embedder=embedder, scope=scope, kinds=("skill",), limit=serving.skills, shelf=shelf
    )  # fmt: skip
    skills = [m for m, _ in shown]
    if not held.lessons:
        return skills
    fitting = recall(
        query, index=store, embedder=embedder, scope=scope, memories=held.lessons, limit=2 * serving.recall_limit, shelf=shelf
    )  # fmt: skip
    known = worths(store, scope, [m.id for m, _ in fitting])
    return [*chosen(fitting, known, wilson, engine.count_tokens, settings=serving.playbook), *skills]


def first_tokens(engine: Engine) -> int:
    """How many tokens of an answer tell whether it is a don't-know."""
    return engine.count_tokens(UNKNOWN) + FIRST_TOKENS


def _say(engine: Engine) -> Say:
    def say(shown: Conversation, version: str) -> str:
        return engine.sample([shown], adapter=version, max_tokens=first_tokens(engine), temperature=0.0)[0].text

    return say


def asked_without(store: SqlStore, scope: Scope, version: str) -> frozenset[str]:
    """Ids of the memories about which this version is asked without notes first: all that it was taught, if what it said closed
    book to held-out questions was right nearly always when it said anything; else none."""
    adapter = adapter_of(store, scope, version)
    said = [r for r in closed_book(store, scope, adapter).values() if not is_unknown(r.answer)]
    truthful = bool(said) and sum(r.right for r in said) >= TRUTHFUL * len(said)
    return frozenset(adapter.memory_ids) if truthful else frozenset()


def cut_to_window(engine: LocalEngine, serving: Serving, max_tokens: int | None = None) -> Serving:
    """How to answer, cut to a small model's window: a quarter for the answer (or `max_tokens`), half of what is left for the notes."""
    window = engine.window
    most = min(serving.max_tokens, max(1, window // 4)) if max_tokens is None else max_tokens
    if not 0 < most < window:
        raise InputError(f"max_tokens={most}; give at least 1, and less than the {window} tokens of the model's window")
    return replace(serving, max_tokens=most, budget_tokens=min(serving.budget_tokens, max(0, window - most) // 2))


def latest(engine: LocalEngine, messages: Sequence[Message], serving: Serving, *, memory: bool) -> list[Message]:
    """The system message and the latest turns, from a user's on, that fit beside the answer and the notes; the last turn always.

    InputError if that one is far too long for the window.
    """
    room = engine.window - serving.max_tokens - (serving.budget_tokens + TEMPLATE_TOKENS if memory else 0)
    engine.check_length(messages[-1:])
    most = engine.most_characters
    first = 1 if messages[0].role == "system" else 0
    system, turns = list(messages[:first]), list(messages[first:])
    # Counted once each, before the exact count: what a template writes around a turn comes on top of these.
    sizes = [len(m.content) if len(m.content) < 8 else engine.count_tokens(m.content[:most]) for m in turns]
    total, start = sum(sizes), 0
    while start < len(turns) - 1 and total > room:
        total, start = total - sizes[start], start + 1
    while 0 < start < len(turns) - 1 and turns[start].role != "user":
        start += 1
    turns = turns[start:]
    while len(turns) > 1 and (
        sum(len(m.content) for m in turns) > most or engine.count_tokens(engine.render([*system, *turns])) > room
    ):
        del turns[0]
        while len(turns) > 1 and turns[0].role != "user":
            del turns[0]
    return [*system, *turns]
