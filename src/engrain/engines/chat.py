"""From messages to the model's own prompt text, through the chat template that came with it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from engrain.errors import FormatError, InputError
from engrain.records import Message

_PROBE = "Q7x0zQ"
"""A word no template contains, to see where a message's content lands."""


class Chat:
    """Renders conversations for one tokenizer and knows which tokens end an answer.

    Two things that templates differ in are settled once, here: some refuse or drop a system message (its text then
    opens the first user message), and each has its own end-of-turn token.
    """

    stop_ids: frozenset[int]

    def __init__(self, tokenizer: Any, folder: Path, eos: Sequence[int] = ()) -> None:
        check_template(tokenizer, folder)
        self._tokenizer = tokenizer
        special = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special and len(t.content) > 2]
        self._special = re.compile("|".join(re.escape(t) for t in sorted(special, key=len, reverse=True)) or r"(?!)")
        self._folds_system = not self._keeps_system()
        self.stop_ids = frozenset({*eos, *self._end_of_turn()} | ({tokenizer.eos_token_id} - {None}))
        if not self.stop_ids:
            raise FormatError(f"{folder} names no end-of-sequence token; set eos_token in tokenizer_config.json")

    def render(self, messages: Sequence[Message], *, tools: str = "") -> str:
        """The prompt text, ending where the assistant's answer begins; `tools` (JSON) are offered as the template has it.

        Special tokens written out inside a message are broken up by a space, so that nobody's text can forge a turn.
        """
        if not messages:
            raise InputError("0 messages to answer; give at least one user message")
        turns = [self._turn(m) for m in messages]
        offered = json.loads(self._special.sub(_broken, tools)) if tools else None
        try:
            return self._apply(_folded(turns) if self._folds_system else turns, prompt=True, tools=offered)
        except Exception as error:  # jinja2's errors, which a template raises for role orders that it does not know
            roles = ", ".join(m.role for m in messages)
            raise InputError(f"the chat template refuses a conversation of roles ({roles}): {error}") from error

    @cached_property
    def offers_tools(self) -> bool:
        """Whether the template tells the model of tools at all."""
        tool = {"type": "function", "function": {"name": _PROBE, "description": "", "parameters": {"type": "object"}}}
        try:
            return _PROBE in self._apply([{"role": "user", "content": "x"}], prompt=True, tools=[tool])
        except Exception:  # as in render
            return False

    def _turn(self, message: Message) -> dict[str, Any]:
        """A message as templates have it."""
        turn: dict[str, Any] = {"role": message.role, "content": self._special.sub(_broken, message.content)}
        if message.tool_call_id:
            turn["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            turn["tool_calls"] = [
                {
                    "id": c.id,
                    "type": "function",
                    "function": {"name": c.name, "arguments": self._arguments(c.arguments)},
                }
                for c in message.tool_calls
            ]
        return turn

    def _arguments(self, written: str) -> Any:
        """Most templates write the arguments themselves; what is no JSON stays as it is."""
        written = self._special.sub(_broken, written)
        try:
            return json.loads(written)
        except ValueError:
            return written

    def _apply(self, turns: list[dict[str, Any]], *, prompt: bool, tools: list[Any] | None = None) -> str:
        text = self._tokenizer.apply_chat_template(turns, tools=tools, tokenize=False, add_generation_prompt=prompt)
        assert isinstance(text, str)
        return text

    def _keeps_system(self) -> bool:
        turns = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "x"}]
        try:
            return _PROBE in self._apply(turns, prompt=True)
        except Exception:  # as in render: this template has no system role
            return False

    def _end_of_turn(self) -> set[int]:
        """The special token right after an assistant's content, such as <|im_end|> or <end_of_turn>."""
        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": _PROBE}]
        after = self._apply(turns, prompt=False).rpartition(_PROBE)[2]
        found = self._special.match(after.lstrip())
        return {self._tokenizer.convert_tokens_to_ids(found.group())} if found and found.group() else set()


def check_template(tokenizer: Any, folder: Path) -> None:
    """FormatError, with the remedy, for a model that came without a chat template."""
    if not tokenizer.chat_template:
        raise FormatError(
            f"{folder} has no chat template; add `chat_template` to tokenizer_config.json or a "
            "chat_template.jinja file (copy it from the chat model of the same family)"
        )


def _broken(match: re.Match[str]) -> str:
    token = match.group()
    return f"{token[0]} {token[1:]}"


def _folded(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same conversation with every system text at the head of the first user message."""
    system = [t["content"] for t in turns if t["role"] == "system"]
    rest = [t for t in turns if t["role"] != "system"]
    if not system:
        return rest
    first = next((i for i, t in enumerate(rest) if t["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": "\n\n".join(system)}, *rest]
    rest[first] = rest[first] | {"content": "\n\n".join([*system, rest[first]["content"]])}
    return rest
