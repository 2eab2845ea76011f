"""The words that engrain itself says to a model: how notes are shown, and its two standing requests.

sprout is trained on exactly these; another base reads them as plain instructions.
"""

from __future__ import annotations

from collections.abc import Sequence

from engrain.records import Message

NOTES_HEADER = "Notes:"
UNKNOWN = "I don't know"
"""What sprout says when neither notes nor weights tell."""
NOTHING = "nothing"
"""What extraction answers when a message holds nothing worth keeping."""

QUESTION_KINDS = ("plain", "request", "short", "reversed", "yes or no")
"""The kinds of question that self-study asks about a note."""


def render_notes(notes: Sequence[str]) -> str:
    """The system message that shows notes to a model, one a line; empty for no notes."""
    return "\n".join((NOTES_HEADER, *(f"- {note}" for note in notes))) if notes else ""


def add_context(context: str, messages: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation with the context in its system message, after what that says already; unchanged if empty.

    One system message, because many chat templates take no second one.
    """
    if not context:
        return tuple(messages)
    if messages and messages[0].role == "system":
        own = messages[0].content
        text = f"{own}\n\n{context}" if own.strip() else context
        return (Message(role="system", content=text), *messages[1:])
    return (Message(role="system", content=context), *messages)


def extract_request(message: str) -> str:
    """Asks which short notes a user's message leaves behind."""
    return f"Write the notes worth keeping from this message, one per line, or {NOTHING}:\n{message}"


def critique_request(query: str, answer: str, why: str) -> str:
    """Asks what to do next time, of an answer that was not good."""
    return (
        f"This was asked:\n{query}\n\nThis was answered, and it was not good:\n{answer}\n\n"
        + (f"Because: {why}\n\n" if why else "")
        + "Write in one or two sentences what to do next time a task like this comes, and nothing else:"
    )


def curate_request(playbook: str, reflections: Sequence[str]) -> str:
    """Asks for changes of a playbook after what went wrong lately, as JSON."""
    told = "\n".join(f"- {text}" for text in reflections)
    return (
        f"This is a part of a playbook, with how often each lesson was helpful and harmful:\n{playbook or '(empty)'}\n\n"
        f"This was learned from answers that were not good:\n{told}\n\n"
        'Propose changes as JSON and write nothing else: {"operations": [...]}, each of them one of\n'
        '{"type": "ADD", "section": "…", "content": "…"} for what no lesson says yet,\n'
        '{"type": "UPDATE", "id": "…", "content": "…"} to say one better; every number, name, condition and step stays,\n'
        '{"type": "MERGE", "ids": ["…", "…"], "content": "…"} for lessons that say the same,\n'
        '{"type": "RETIRE", "id": "…", "reason": "…"} for one that is wrong or of no use,\n'
        '{"type": "TAG", "id": "…", "value": "helpful" or "harmful", "reason": "…"}.\n'
        'A lesson is one or two sentences on what to do, true beyond the one case. No changes: {"operations": []}.'
    )


def describe_request(note: str) -> str:
    """Asks for what a note is filed by, as JSON."""
    return (
        f"Describe this note as JSON with keywords (3 to 6 telling words), tags (1 to 3 categories) and context (one sentence on what it is about), "
        f"and write nothing else:\n{note}"
    )


def question_request(note: str, kind: str) -> str:
    """Asks for one question of the given kind (QUESTION_KINDS) that the note answers."""
    return f"Write a {kind} question that this note answers:\n{note}"
