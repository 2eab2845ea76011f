"""Files become notes and conversations."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import FormatError
from engrain.memory.documents import (
    LONGEST_LINE,
    is_question_file,
    messages_from_jsonl,
    notes_from_markdown,
    notes_from_text,
)
from engrain.records import Message

PAGE = """---
title: Workshop
---
# Workshop

The table saw needs a **10 inch** blade. Our vet is Dr. Halloran and her number is 555-0182.
Hay comes on Tuesday. It comes from the [Miller farm](http://x.example).

- [x] The `north` barn code is 4417.
- The dust bag holds 30 litres.
  It is emptied on Fridays.
* snake_case stays as it is

When the pump stops:
1. Switch it off.
2. Open the valve.

```
code = "secret"
```
<!-- hidden -->
---
| what | where |
|------|-------|
| glue | shelf 2 |
"""


def test_a_markdown_page_becomes_one_note_a_bullet_and_a_sentence() -> None:
    assert notes_from_markdown(PAGE) == [
        "The table saw needs a 10 inch blade.",
        "Our vet is Dr. Halloran and her number is 555-0182.",
        "Hay comes on Tuesday. It comes from the Miller farm.",
        "The north barn code is 4417.",
        "The dust bag holds 30 litres. It is emptied on Fridays.",
        "snake_case stays as it is",
        "When the pump stops: Switch it off, then Open the valve.",
        "what: glue, where: shelf 2",
    ]


def test_plain_text_is_cut_at_sentences_and_repetitions_go() -> None:
    text = "Honey is 0.85 a jar. Ask Mr. Dube, e.g. by mail.\n\nHoney is 0.85 a jar.\n• One bullet"
    assert notes_from_text(text) == ["Honey is 0.85 a jar.", "Ask Mr. Dube, e.g. by mail.", "One bullet"]
    assert notes_from_text(" \n---\n") == []


@given(st.text())
def test_any_text_is_read_without_failing_and_no_note_is_empty(text: str) -> None:
    assert all(note.strip() for note in (*notes_from_text(text), *notes_from_markdown(text)))


@pytest.mark.parametrize(
    "mark", ["<!--", "![", "[a](", "**", "__", "*a", "_a", " ", "`", "> ", "|", "```\n", "---\n", "- "]
)
def test_a_very_long_run_of_any_mark_is_read_in_one_pass(mark: str) -> None:
    """Half a million characters: what looked from each mark to the end of the text would not come to an end."""
    notes = notes_from_markdown("The saw is blue.\n\n" + mark * (500_000 // len(mark)) + "x\n\nThe pot is red.\n")
    assert notes[0] == "The saw is blue."


def test_marks_go_and_what_they_mark_stays() -> None:
    text = "See ![a saw](saw.png) the [price list](prices.md), **now**, _please_. <!-- not this --> It is *new*."
    assert notes_from_markdown(text) == ["See  the price list, now, please. It is new."]


def test_chat_files_hold_one_conversation_a_line_or_one_message_a_line() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    whole = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))
    assert messages_from_jsonl(
        "\ufeff" + json.dumps({"messages": turns}) + "\n\n" + json.dumps({"messages": turns})
    ) == [whole, whole]
    assert messages_from_jsonl("\n".join(map(json.dumps, turns))) == [whole]
    assert messages_from_jsonl("") == []


def test_parts_tool_calls_and_other_role_names_are_understood() -> None:
    lines = [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be kind."}, {"type": "image_url", "image_url": {}}],
        },
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    assert messages_from_jsonl("\n".join(map(json.dumps, lines))) == [
        (Message(role="system", content="Be kind."), Message(role="assistant", content=""))
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json", "line 2 is not JSON"),
        ("[1, 2]", "line 2 has a list"),
        ('{"role": "boss", "content": "x"}', "line 2 has role 'boss'"),
        ('{"role": "user"}', "line 2: the content of the user message is a NoneType"),
        ('{"messages": "x"}', '"messages" is a str'),
        ('{"messages": [3]}', "line 2 has a int"),
        ("x" * (LONGEST_LINE + 1), "split the file"),
        ("[" * 100_000, "line 2 is not JSON"),
    ],
    ids=range(8),
)
def test_a_bad_line_is_named_with_what_it_should_be(line: str, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        messages_from_jsonl('{"role": "user", "content": "Hi"}\n' + line)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ('\n{"question": "Who?", "answer": "", "kind": "fact"}\n{not json', True),
        ('{"question": "Who?", "answer": "Hugo", "messages": []}', False),
        ('{"role": "user", "content": "Hi"}', False),
        ('{"question": "Who?"}', False),
        ("{not json", False),
        ("[1]", False),
        ("", False),
        ("x" * (LONGEST_LINE + 1), False),
    ],
    ids=range(8),
)
def test_a_file_of_questions_is_told_from_chats_by_its_first_line(text: str, questions: bool) -> None:
    assert is_question_file(text) is questions
