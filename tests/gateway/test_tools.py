"""Calls of tools in what models write."""

from __future__ import annotations

import json

import pytest

from engrain.gateway.tools import Function, Tool, call_schema, split

NAMES = ("open", "shut")


@pytest.mark.parametrize(
    ("text", "said", "called"),
    [
        ('<tool_call>\n{"name": "open", "arguments": {"gate": 2}}\n</tool_call>', "", [("open", {"gate": 2})]),
        ('Wait. <tool_call>{"name": "open", "arguments": {}}</tool_call>', "Wait.", [("open", {})]),
        ('<tool_call>{"name": "open"}</tool_call><tool_call>{"name": "shut"}', "", [("open", {}), ("shut", {})]),
        ('{"name": "shut", "parameters": {"now": true}}', "", [("shut", {"now": True})]),
        ('[{"name": "open", "arguments": {}}, {"name": "shut", "arguments": "{}"}]', "", [("open", {}), ("shut", {})]),
        ('{"name": "other", "arguments": {}}', '{"name": "other", "arguments": {}}', []),
        ("<tool_call>no JSON</tool_call>", "<tool_call>no JSON</tool_call>", []),
        ('{"name": "open"', '{"name": "open"', []),
        ("[]", "[]", []),
        ("4417", "4417", []),
        ("", "", []),
        ("[" * 5000, "[" * 5000, []),
    ],
)  # fmt: skip
def test_calls_are_told_from_what_is_said(text: str, said: str, called: list[tuple[str, object]]) -> None:
    left, calls = split(text, NAMES)
    assert (left, [(c.name, json.loads(c.arguments)) for c in calls]) == (said, called)
    assert len({c.id for c in calls}) == len(calls)


def test_a_call_of_several_tools_may_be_of_any_of_them() -> None:
    tools = [Tool(type="function", function=Function(name=name)) for name in NAMES]
    assert len(json.loads(call_schema(tools))["anyOf"]) == 2
    assert json.loads(call_schema(tools, "shut"))["properties"]["name"] == {"const": "shut"}
