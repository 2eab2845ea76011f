"""Where forgotten content shows: which interactions quote it, repeat it or go on from it, and what stays of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from engrain.evaluation.suites import is_unknown
from engrain.records import Context, Interaction, Message, new_id

Turn = tuple[str, str, str]
"""(conversation, query, answer) of a turn, as it is found again in the history of a later one. In a conversation that has a
name, query or answer alone tell it; where there is none, only both together do."""


@dataclass(frozen=True, slots=True)
class Traces:
    """How forgotten content is found in other interactions."""

    texts: re.Pattern[str] | None
    """The forgotten notes, as whole words."""
    queries: set[Turn]
    answers: set[Turn]

    @classmethod
    def of(cls, texts: Sequence[str], interactions: Sequence[Interaction]) -> Self:
        """Texts without a telling word ("ok") give nothing away and are found everywhere, so they are no trace."""
        found = [r"\s+".join(map(re.escape, t.rstrip(" .!").split())) for t in texts if telling_words(t)]
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(sorted(found))})(?!\w)", re.IGNORECASE) if found else None
        queries = {
            (i.conversation, i.query, "" if i.conversation else i.answer)
            for i in interactions
            if telling_words(i.query) and (i.conversation or i.answer)
        }
        return cls(pattern, queries, {turn for i in interactions for turn in answered(i)})

    def quotes(self, text: str) -> bool:
        """Whether the text holds a forgotten note."""
        return self.texts is not None and self.texts.search(text) is not None

    def positions(self, interaction: Interaction) -> frozenset[int]:
        """Which messages hold a forgotten note, or are a forgotten turn of the same conversation."""
        name, messages = interaction.conversation, interaction.messages
        found: set[int] = set()
        for at, message in enumerate(messages):
            before = messages[at - 1].content if at and not name else ""
            after = messages[at + 1].content if at + 1 < len(messages) and not name else ""
            asked = message.role == "user" and (name, message.content, after) in self.queries
            said = message.role == "assistant" and (name, before, message.content) in self.answers
            if asked or said or self.quotes(message.content):
                found.add(at)
        return frozenset(found)


def answered(interaction: Interaction) -> set[Turn]:
    """The turn by which an answer is found again; none for an answer that tells nothing."""
    if is_unknown(interaction.answer) or not telling_words(interaction.answer):
        return set()
    name = interaction.conversation
    return {(name, "" if name else interaction.query, interaction.answer)}


def redact(interaction: Interaction, gone: set[str], quoting: frozenset[int]) -> Interaction:
    """The user's own query without the forgotten note, and without the answer that may repeat it."""
    kept = tuple(i for i in interaction.context.memory_ids if i not in gone)
    messages = [m for at, m in enumerate(interaction.messages) if at not in quoting]
    asked = max((at for at, m in enumerate(interaction.messages) if m.role == "user"), default=-1)
    if asked in quoting or not messages:
        messages.append(Message(role="user", content=""))  # an earlier turn is not taken for its query
    return replace(
        interaction, id=new_id("int"), context=Context(memory_ids=kept), answer="", token_ids=(), logprobs=(),
        messages=tuple(messages), finish_reason="redacted",
        causes=tuple(c for c in interaction.causes if c not in gone and not _is_adapter(c)),
    )  # fmt: skip


def repeats(interaction: Interaction, telling: frozenset[str]) -> bool:
    """Whether the answer says more of the content than the question did already."""
    return bool(telling & telling_words(interaction.answer) - telling_words(interaction.query))


def telling_words(text: str) -> set[str]:
    """The words of a text that could give something away: numbers, codes, and words of four letters or more."""
    found = re.findall(r"\w+(?:[.:/@'-]\w+)*", text.casefold())
    return {w for w in found if len(w) > 3 or any(c.isdigit() for c in w)}


def _is_adapter(record_id: str) -> bool:
    return "_" not in record_id
