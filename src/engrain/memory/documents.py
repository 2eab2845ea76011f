"""Files become notes and conversations, without a model: Markdown, plain text, chat JSONL."""

from __future__ import annotations

import json
import re
from itertools import zip_longest
from typing import Any, cast

from engrain.errors import FormatError
from engrain.records import Message, Role

LONGEST_LINE = 10_000_000
"""Characters; a longer line of JSONL is not a chat."""
_BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_SENTENCE_END = re.compile(
    r"(?<!\bDr\.)(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bSt\.)(?<!\bNo\.)(?<!\bProf\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\b[A-Z]\.)"
    r"(?:(?<=[.!?])|(?<=[.!?][\"')]))\s+(?=[\"'(\[]?[A-Z0-9])"
)
_LEANING = re.compile(
    r"(?:it|its|he|she|they|his|her|their|him|them|this|that|these|those|then|there|otherwise|also|but|so|if (?:not|so)|in that case)\b",
    re.I,
)


def notes_from_markdown(text: str) -> list[str]:
    """One note a bullet and a sentence. Headings, code, rules, comments and front matter are left out.

    Numbered steps under a line that ends in ":" stay together, as one procedure.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    text = re.sub(r"^(```|~~~).*?(?:^\1[^\n]*$|\Z)", "\n", text, flags=re.S | re.M)
    text = re.sub(r"<!--(?:(?!<!--).)*?-->", "", text, flags=re.S)
    lines = ["" if re.match(r"\s*(?:#{1,6}\s|[-*_=:][-*_=: ]{2,}$)", line) else line for line in text.split("\n")]
    return notes_from_text("\n".join(_inline(line) for line in _without_tables(lines)))


def notes_from_text(text: str) -> list[str]:
    """One note a bullet and a sentence; a sentence that leans on the one before ("It comes …") stays with it."""
    notes: list[str] = []
    for block in _blocks(text.removeprefix("\ufeff").replace("\r\n", "\n")):
        if len(block) == 1:
            notes.extend(sentences(block[0]))
        elif block[0]:
            notes.append(f"{block[0]} {', then '.join(step.rstrip('.;, ') for step in block[1:])}.")
        else:
            notes.append(block[1])
    return list(dict.fromkeys(n for n in notes if re.search(r"\w", n)))


def sentences(paragraph: str, *, apart: bool = False) -> list[str]:
    """The sentences of a paragraph; one that leans on the one before is joined to it, unless they are wanted `apart`."""
    joined: list[str] = []
    start = 0
    ends = [m.end() for m in _SENTENCE_END.finditer(paragraph)]
    for end in (*ends, len(paragraph)):
        sentence, start = paragraph[start:end].strip(), end
        if sentence and joined and not apart and _LEANING.match(sentence):
            joined[-1] += " " + sentence
        elif sentence:
            joined.append(sentence)
    return joined


def messages_from_jsonl(text: str) -> list[tuple[Message, ...]]:
    """The conversations of a chat file: one a line (`{"messages": [...]}`), or one message a line for a single one.

    Raises FormatError naming the line and what it should be.
    """
    conversations: list[tuple[Message, ...]] = []
    loose: list[Message] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        if len(line) > LONGEST_LINE:
            raise FormatError(
                f"line {number} has {len(line):,} characters (at most {LONGEST_LINE:,}); "
                "split the file into one conversation a line"
            )
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            what = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply or not a number"
            raise FormatError(
                f"line {number} is not JSON ({what}); "
                "each line must be one whole JSON object, as in OpenAI's chat format"
            ) from None
        if isinstance(value, dict) and "messages" in value:
            turns = cast("dict[str, Any]", value)["messages"]
            if not isinstance(turns, list):
                raise FormatError(
                    f'line {number}: "messages" is a {type(turns).__name__}; it must be a list of messages'
                )
            conversations.append(tuple(_message(turn, number) for turn in turns))
        else:
            loose.append(_message(value, number))
    return [c for c in (*conversations, tuple(loose)) if c]


def is_question_file(text: str) -> bool:
    """Whether the first line of JSONL is a question with its answer, as `engrain eval` takes them, and no chat."""
    first = next((line for line in text.removeprefix("\ufeff").split("\n") if line.strip()), "")
    if len(first) > LONGEST_LINE:
        return False
    try:
        value: Any = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(value, dict) and {"question", "answer"} <= value.keys() and not {"messages", "role"} & value.keys()
    )


def _message(value: Any, number: int) -> Message:
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    role, content = fields.get("role"), fields.get("content")
    if role not in _ROLES:
        found = f"role {role!r}" if fields else f"a {type(value).__name__}"
        raise FormatError(
            f"line {number} has {found}; a message is "
            '{"role": "user" | "assistant" | "system" | "tool", "content": "..."}'
        )
    if isinstance(content, list):  # parts; only the text of it can be remembered
        parts = [cast("dict[str, Any]", p) for p in content if isinstance(p, dict)]
        content = "\n".join(str(p["text"]) for p in parts if isinstance(p.get("text"), str))
    if content is None and role in ("assistant", "tool", "function"):  # a tool call says nothing
        content = ""
    if not isinstance(content, str):
        raise FormatError(
            f"line {number}: the content of the {role} message is a {type(content).__name__}; it must be text"
        )
    return Message(role=_ROLES[role], content=content)


def _blocks(text: str) -> list[list[str]]:
    """A paragraph as [text], a bullet as ["", text], an introduction with numbered steps as [intro, step, …]."""
    blocks: list[list[str]] = []
    open_block = False
    for line in text.split("\n"):
        bullet = _BULLET.match(line)
        body = line[bullet.end() :].strip() if bullet else line.strip()
        if not body:
            open_block = False
        elif bullet:
            numbered = bool(re.match(r"\s*\d", line))
            intro = bool(blocks) and blocks[-1][0].endswith(":")
            if numbered and intro:
                blocks[-1].append(body)
            else:
                blocks.append(["", body])
            open_block = True
        elif open_block:  # a line that goes on
            blocks[-1][-1] += " " + body
        else:
            blocks.append([body])
            open_block = True
    return blocks


def _without_tables(lines: list[str]) -> list[str]:
    """Each row of a table as a bullet that names its columns: "what: glue, where: shelf 2"."""
    result: list[str] = []
    header: list[str] | None = None
    for line in lines:
        if not line.lstrip().startswith("|"):
            result.append(line)
            header = None
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if header is None:
            header = cells
        elif not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            named = [
                f"{name}: {cell}" if name else cell for name, cell in zip_longest(header, cells, fillvalue="") if cell
            ]
            result.append("- " + ", ".join(named))
    return result


def _inline(line: str) -> str:
    """Markdown's marks taken off; the words stay. No pattern looks past the next mark of its own kind: a long line of them takes
    time in proportion to its length."""
    line = re.sub(r"!\[[^\[\]]*\]\([^()]*\)", "", line)
    line = re.sub(r"\[([^\[\]]+)\]\([^()]*\)", r"\1", line)
    line = re.sub(r"(\*\*|__)(.+?)\1", r"\2", line)
    line = re.sub(r"(?<![\w*])([*_])(?!\s)([^*_]+?)\1(?!\w)", r"\2", line)
    return re.sub(r"^\s*>\s?", "", line.replace("`", ""))
