"""One request: recall what fits, show it, let the live version answer, record all of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from engrain.adapters import current, in_weights
from engrain.adapters.versions import adapter_of, let_through
from engrain.context.assemble import assemble
from engrain.errors import NotFound
from engrain.memory import active, is_answer_style, recall, snapshot
from engrain.prompts import add_context
from engrain.protocols import Embedder, Engine
from engrain.records import Context, Interaction, Memory, Message, Sampling, Scope, Stamp, Usage
from engrain.store import SqlStore

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
    show_learned: bool = False
    """Show notes even where the live version has proved to know them (costs tokens, changes few answers)."""


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
) -> Interaction:
    """Answer a conversation and record the interaction durably before it is returned.

    `memory=False` shows no notes; `adapter` asks for one version by its hash ("" for the bare base) instead of the live one.
    If what it was made from is forgotten while the model answers, the answer is thrown away and made anew without it.
    Raises NotFound if the version cannot be loaded: no other weights ever answer in its place.
    """
    for attempt in range(ATTEMPTS):
        try:
            interaction = _answer(
                store, engine, embedder, messages, scope=scope, conversation=conversation, memory=memory, adapter=adapter,
                serving=serving or Serving(), seed=seed,
            )  # fmt: skip
            store.append(interaction)
            return interaction
        except NotFound:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("ATTEMPTS is 0")


def _answer(
    store: SqlStore,
    engine: Engine,
    embedder: Embedder,
    messages: Sequence[Message],
    *,
    scope: Scope,
    conversation: str,
    memory: bool,
    adapter: str | None,
    serving: Serving,
    seed: int,
) -> Interaction:
    """The interaction, not yet recorded."""
    started = time.perf_counter()
    live = current(store, scope)
    version = (live.id if live else "") if adapter is None else adapter
    context, held = Context(), ""
    if memory:
        memories = list(store.select(Memory, scope=scope))
        held = snapshot(memories)
        learned = frozenset[str]()
        if not serving.show_learned and version:
            learned = in_weights(store, scope, adapter_of(store, scope, version))
        context = look_up(store, engine, embedder, messages, memories, scope=scope, serving=serving, learned=learned)
    shown = add_context(context.text, messages)
    completion = engine.sample(
        [shown], adapter=version, max_tokens=serving.max_tokens, temperature=serving.temperature, seed=seed
    )[0]
    return Interaction(
        scope=scope,
        conversation=conversation,
        messages=tuple(messages),
        context=context,
        answer=completion.text,
        stamp=Stamp(base=engine.base, adapter=version, memory=held),
        sampling=Sampling(temperature=serving.temperature, max_tokens=serving.max_tokens, seed=seed),
        usage=Usage(
            input_tokens=completion.input_tokens,
            output_tokens=len(completion.token_ids),
            latency_ms=(time.perf_counter() - started) * 1000,
        ),
        token_ids=completion.token_ids,
        logprobs=completion.logprobs,
        finish_reason=completion.finish_reason,
        causes=(*context.memory_ids, *filter(None, (version, let_through(store, scope, version)))),
    )


def look_up(
    store: SqlStore,
    engine: Engine,
    embedder: Embedder,
    messages: Sequence[Message],
    memories: Sequence[Memory],
    *,
    scope: Scope,
    serving: Serving,
    learned: frozenset[str] = frozenset(),
) -> Context:
    """The context for the last user message: how to answer, then the notes that fit, without what the weights know.

    Where the note that fits best is known, none is shown: beside notes about something else a small model trusts those.
    """
    shown = active(memories)
    styles = [m for m in shown if is_answer_style(m.text)]
    notes = [m for m in shown if not is_answer_style(m.text)]
    query = next((m.content for m in reversed(messages) if m.role == "user"), "")
    limit = serving.recall_limit + len(learned)
    found = recall(query, index=store, embedder=embedder, scope=scope, memories=notes, limit=limit)
    known = bool(found) and found[0][0].id in learned
    fitting = [] if known else [(m, score) for m, score in found if m.id not in learned][: serving.recall_limit]
    return assemble(fitting, serving.budget_tokens, engine.count_tokens, preferences=styles)
