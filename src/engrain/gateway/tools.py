"""Tools in a request, and the calls of them in what a model wrote.

A model writes a call as its chat template taught it: <tool_call>{"name": …, "arguments": …}</tool_call> (Qwen, Hermes), or bare JSON with
"arguments" or "parameters" (Llama, Mistral), one or a list. Whatever else it says is the answer's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from engrain.records import ToolCall, new_id

_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.S)


class Function(BaseModel):
    """What a tool is called and takes."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    parameters: dict[str, Any] | None = None


class Tool(BaseModel):
    """One tool that the application offers."""

    model_config = ConfigDict(extra="allow")

    type: Literal["function"]
    function: Function


class FunctionName(BaseModel):
    name: str


class Chosen(BaseModel):
    """The tool that must be called."""

    type: Literal["function"]
    function: FunctionName


Choice = Literal["none", "auto", "required"] | Chosen


def call_schema(tools: Sequence[Tool], name: str = "") -> str:
    """JSON schema of a call of one of these tools, or of the named one."""
    forms = [
        {
            "type": "object",
            "properties": {"name": {"const": t.function.name}, "arguments": t.function.parameters or {"type": "object"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for t in tools
        if name in ("", t.function.name)
    ]  # fmt: skip
    return json.dumps(forms[0] if len(forms) == 1 else {"anyOf": forms})


def split(text: str, names: Collection[str]) -> tuple[str, tuple[ToolCall, ...]]:
    """(what is said, which of the tools of these names it calls)."""
    found = [(m.span(), _calls(m[1], names)) for m in _TAGGED.finditer(text)]
    if not found:
        calls = _calls(text, names)
        return ("", calls) if calls else (text, ())
    said, end = "", 0
    for (start, stop), calls in found:
        if calls:  # what only looks like a call stays in the text
            said, end = said + text[end:start], stop
    return (said + text[end:]).strip(), tuple(call for _, calls in found for call in calls)


def _calls(written: str, names: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls that this JSON is; none if it is anything else."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        return ()
    calls: list[ToolCall] = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict) or item.get("name") not in names:
            return ()
        given = item.get("arguments", item.get("parameters", {}))
        arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        calls.append(ToolCall(id=new_id("call"), name=item["name"], arguments=arguments))
    return tuple(calls)
