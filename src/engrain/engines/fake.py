"""A tiny deterministic engine without torch, for tests and for users' tests. It reads notes; it does not think."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engrain.errors import InputError, NotFound
from engrain.prompts import UNKNOWN
from engrain.protocols import Completion, Conversation
from engrain.records import content_hash

_COMMON = frozenset(
    "a an and are at be by do does for from in is it me my of on or please tell the to was what who you your".split()  # noqa: SIM905
)


class FakeEngine:
    """Answers with the shown or learned note that shares most words with the last user message, else "I don't know".

    Implements `protocols.Engine`. Notes are the `- ` lines of system messages; a note shown outranks one learned.
    `teach` makes an adapter that knows notes by heart. A token is a UTF-8 byte; token 0 ends an answer; temperature
    and seed change nothing.
    """

    base = content_hash("engrain fake engine 1", length=32)

    def __init__(self) -> None:
        self._adapters: dict[str, tuple[str, ...]] = {}

    def teach(self, notes: Sequence[str], *, parent: str = "") -> str:
        """A new adapter that knows these notes and its parent's; returns the hash of its content."""
        known = tuple(sorted({*notes, *self._known(parent)}))
        name = content_hash([self.base, known], length=32)
        self._adapters[name] = known
        return name

    def sample(
        self,
        prompts: Sequence[Conversation],
        *,
        adapter: str = "",
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Completion]:
        """One answer per prompt, cut after `max_tokens` bytes."""
        return [self._complete(prompt, self._known(adapter), max_tokens) for prompt in prompts]

    def score(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], *, adapter: str = ""
    ) -> list[list[float]]:
        """-0.1 nats for each token that the engine itself would say there, -5 for any other."""
        if len(prompts) != len(answers):
            raise InputError(f"{len(prompts)} prompts but {len(answers)} answers; give one answer for each prompt")
        scores: list[list[float]] = []
        for prompt, answer in zip(prompts, answers, strict=True):
            own = self._complete(prompt, self._known(adapter), len(answer)).token_ids
            scores.append([-0.1 if i < len(own) and own[i] == token else -5.0 for i, token in enumerate(answer)])
        return scores

    def count_tokens(self, text: str) -> int:
        """Bytes of the text."""
        return len(text.encode())

    def _known(self, adapter: str) -> tuple[str, ...]:
        if adapter and adapter not in self._adapters:
            raise NotFound(f"no adapter {adapter!r}; this engine has {len(self._adapters)}")
        return self._adapters[adapter] if adapter else ()

    def _complete(self, prompt: Conversation, known: Sequence[str], max_tokens: int) -> Completion:
        if not prompt:
            raise InputError("0 messages to answer; give at least one user message")
        shown = [
            line[2:] for m in prompt if m.role == "system" for line in m.content.splitlines() if line.startswith("- ")
        ]
        query = next((m.content for m in reversed(prompt) if m.role == "user"), "")
        answer = _best(query, shown) or _best(query, known) or UNKNOWN
        tokens = (*answer.encode(), 0)[:max_tokens]
        return Completion(
            text=bytes(t for t in tokens if t).decode(errors="ignore"),
            token_ids=tokens,
            logprobs=(-0.1,) * len(tokens),
            input_tokens=sum(self.count_tokens(m.content) for m in prompt),
            finish_reason="stop" if tokens[-1] == 0 else "length",
        )


def _best(query: str, notes: Sequence[str]) -> str:
    """The note with most of the query's words, the latest of equals; "" if none has two (or the only one)."""
    wanted = _words(query)
    shared = [(len(wanted & _words(note)), i) for i, note in enumerate(notes)]
    count, index = max(shared, default=(0, 0))
    return notes[index] if count and count >= min(2, len(wanted)) else ""


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower())) - _COMMON
