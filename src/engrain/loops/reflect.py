"""Reflexion: what failed is reflected on in words, and the next try, of this task or one like it, is shown that.

After Shinn et al. (arXiv 2303.11366), with three differences: a reflection is a memory of the user's, so that it is found for *similar* tasks, too; one that
nearly repeats another is merged with it (of the published logs 79 % nearly repeat an earlier one of their own task); and what came of showing it is
counted, so that one that misleads is retired. Works without a model: then the verifier's reason is the reflection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engrain.errors import InputError
from engrain.loops.remember import LONGEST_NOTE, now_of
from engrain.loops.tidy import add
from engrain.loops.verify import verify
from engrain.memory.held import Shelf
from engrain.memory.worth import outcome
from engrain.prompts import critique_request
from engrain.protocols import Embedder, Judgement, Sampler, Verifier
from engrain.records import Feedback, Interaction, Memory, Message, Scope
from engrain.store import SqlStore

SOURCE = "reflect"
"""Of what was written about an interaction; it goes when that is forgotten."""
_SHORT = 300
"""Characters of a task that a reflection names."""

Critic = Callable[[Interaction, str], str]
"""Says in a sentence or two what to do next time, from what was answered and why that was not good; "" for nothing."""


def by_rules(interaction: Interaction, why: str) -> str:
    """The reason itself, with the task that it belongs to; nothing where no reason is known. Names no right answer, for that may change."""
    task = " ".join(interaction.query.split())
    task = task if len(task) <= _SHORT else f"{task[:_SHORT].rstrip()}…"
    return f'Asked "{task}", mind this: {" ".join(why.split())}' if why.strip() else ""


@dataclass(slots=True)
class Written:
    """A critic that asks a model, one call a reflection."""

    engine: Sampler
    adapter: str = ""
    max_tokens: int = 120

    def __call__(self, interaction: Interaction, why: str) -> str:
        request = critique_request(interaction.query, interaction.answer, why)
        said = self.engine.sample(
            [[Message(role="user", content=request)]], adapter=self.adapter, max_tokens=self.max_tokens, temperature=0.0
        )[0]  # fmt: skip
        return said.text


def reflect(
    store: SqlStore,
    embedder: Embedder,
    interaction: str,
    *,
    scope: Scope,
    critic: Critic = by_rules,
    shelf: Shelf | None = None,
) -> Memory | None:
    """Keep what is to be learned of an answer that was not good, by all that was said of it; None where it was good, nobody said, or the critic had
    nothing to say. It is kept once: asked again, what was kept is returned."""
    about = store.get(interaction, scope=scope)
    if not isinstance(about, Interaction):
        raise InputError(f"{interaction} is a {type(about).__name__.lower()}; give the id of an interaction (int_…)")
    effects = [store.get(n.id, scope=scope) for n in store.effects(interaction, scope=scope) if n.state == "kept"]
    before = [m for m in effects if isinstance(m, Memory) and m.source == SOURCE]
    if before:
        return before[0]
    said = [f for f in effects if isinstance(f, Feedback) and f.interaction == interaction]
    if was_good(said) is not False:
        return None
    bad = [f for f in said if f.text.strip() and (f.name == "correction" or f.score is None or f.score < 0.5)]
    why = "; ".join(dict.fromkeys(f.text.strip() for f in bad if f.name != "correction"))
    if not why and any(f.name == "correction" for f in bad):
        why = "the answer was corrected; look for the newest note"
    text = " ".join(critic(about, why).split())
    if not text or len(text) > LONGEST_NOTE:
        return None
    now = now_of(store, scope)
    memory = Memory(
        scope=scope, kind="reflection", text=text, source=SOURCE, valid_from=now, recorded_at=now,
        causes=(interaction, *(f.id for f in bad)),
    )  # fmt: skip
    add(store, embedder, memory, shelf=shelf)
    return memory


def was_good(said: Sequence[Feedback]) -> bool | None:
    """Whether an answer was good, by all that was said of it; None where nothing tells (`memory.worth.outcome`)."""
    return outcome(
        [Judgement(memory="", interaction=f.interaction, kind=f.kind, name=f.name, score=f.score) for f in said]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of trying a task until a verifier was content."""

    solved: bool
    interactions: tuple[Interaction, ...]
    """One a trial."""
    reflections: tuple[Memory, ...]


def solve(
    store: SqlStore,
    embedder: Embedder,
    act: Callable[[], Interaction],
    verifiers: Sequence[Verifier],
    *,
    scope: Scope,
    trials: int = 3,
    critic: Critic | None = by_rules,
    shelf: Shelf | None = None,
) -> Tried:
    """Try, verify, reflect, and try again, up to `trials` times. `act` makes one try and gives its recorded interaction (`Learner.chat` does both);
    that is also where reflections of earlier tries, of this task and of others like it, are shown. Without a `critic` it only tries again.

    A try that no verifier can judge counts as not solved, and ends the loop, for more tries would tell nothing.
    """
    if trials < 1 or not verifiers:
        raise InputError(f"trials={trials} with {len(verifiers)} verifiers; give at least one of each")
    made: list[Interaction] = []
    learned: list[Memory] = []
    for _ in range(trials):
        made.append(act())
        found = [f.score for f in verify(store, verifiers, made[-1].id, scope=scope) if f.score is not None]
        if not found or min(found) >= 0.5:
            return Tried(solved=bool(found), interactions=tuple(made), reflections=tuple(learned))
        if critic is not None:
            memory = reflect(store, embedder, made[-1].id, scope=scope, critic=critic, shelf=shelf)
            learned += [memory] if memory is not None else []
    return Tried(solved=False, interactions=tuple(made), reflections=tuple(learned))
