"""Whatever is said, what is sent never has more tokens than there is room for, and nothing is lost on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.context.paging import CUT, Page, page
from engrain.errors import InputError
from engrain.records import Message, ToolCall


def count(messages: Sequence[Message]) -> int:
    """Words, and three tokens that a template writes around each message."""
    return sum(3 + len(m.content.split()) for m in messages)


def turns(*said: tuple[str, str]) -> list[Message]:
    return [Message(role=role, content=text) for role, text in said]  # type: ignore[arg-type]


TALK = turns(("system", "be kind"), ("user", "one two"), ("assistant", "three"), ("user", "four"), ("assistant", "five"), ("user", "six seven"))  # fmt: skip


def test_the_oldest_exchanges_go_first_and_a_page_begins_with_a_user() -> None:
    assert page(TALK, 100, count) == Page(messages=tuple(TALK), evicted=(), tokens=count(TALK))
    shown = page(TALK, 20, count)
    assert shown.messages == (TALK[0], *TALK[3:]) and shown.evicted == tuple(TALK[1:3])
    assert page(TALK, 12, count).messages == (TALK[0], TALK[5])


def test_a_turn_that_is_too_long_is_cut_and_says_so() -> None:
    long = turns(("system", "be kind"), ("user", "word " * 500))
    shown = page(long, 30, count)
    assert shown.cut and shown.tokens <= 30 and shown.messages[-1].content.endswith(CUT)
    with pytest.raises(InputError, match="leaves no room in 4 tokens"):
        page(long, 4, count)
    with pytest.raises(InputError, match="at least one message"):
        page(long[:1], 100, count)


def test_of_the_last_exchange_the_oldest_calls_of_tools_go_first() -> None:
    last = turns(
        ("user", "where is it"),
        ("assistant", "look"),
        ("tool", "here " * 20),
        ("assistant", "again"),
        ("tool", "there"),
    )
    shown = page([*TALK, *last], 24, count)
    assert (
        shown.messages == (TALK[0], last[0], *last[3:]) and shown.evicted == (*TALK[1:], *last[1:3]) and not shown.cut
    )


def test_a_result_that_is_too_long_is_cut_so_that_the_model_need_not_ask_again() -> None:
    asked = replace(turns(("assistant", "look"))[0], tool_calls=(ToolCall(id="1", name="search", arguments="{}"),))
    result = Message(role="tool", content="here " * 200, tool_call_id="1")
    shown = page([*turns(("user", "where is it")), asked, result], 24, count)
    assert shown.cut and shown.tokens <= 24 and shown.messages[1] == asked and shown.evicted == (result,)
    assert shown.messages[2].tool_call_id == "1" and shown.messages[2].content.startswith("here here")


SAID = st.lists(
    st.builds(
        lambda role, words: Message(role=role, content=" ".join(words)),
        st.sampled_from(["system", "user", "assistant", "tool"]), st.lists(st.sampled_from(["a", "bb", "…", "\n"]), max_size=40),
    ),
    max_size=12,
)  # fmt: skip


@given(SAID, st.integers(0, 120))
def test_it_never_overflows_and_every_turn_is_shown_or_evicted(said: list[Message], room: int) -> None:
    try:
        shown = page(said, room, count)
    except InputError:
        return
    assert count(shown.messages) == shown.tokens <= room
    left = [m for m in said if m.role != "system"]
    kept = [m for m in shown.messages if m.role != "system"]
    if shown.cut:
        assert Counter([*shown.evicted, *kept[:-1]]) == Counter(left)  # what is cut is kept whole
    else:
        assert (
            Counter([*shown.evicted, *kept]) == Counter(left) and kept == [m for m in left if m in kept][-len(kept) :]
        )
