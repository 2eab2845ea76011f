"""An agent pages its own memory: blocks that two may edit at once, an archive, a conversation that outgrows the window, and tools that never crash."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engrain.engines.fake import FakeEngine
from engrain.errors import Conflict, InputError, NotFound
from engrain.gateway.answer import answer
from engrain.loops.paging import Pager, blocks, converse, edit_block, write_block
from engrain.memory import HashedEmbedder
from engrain.records import Memory, Message, Scope, ToolCall
from engrain.store import SqlStore

ME = Scope()


def words(text: str) -> int:
    return len(text.split())


def count(messages: Sequence[Message]) -> int:
    return sum(3 + words(m.content) for m in messages)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path)) as made:
        yield made


def pager(store: SqlStore, window: int = 80) -> Pager:
    return Pager(
        store=store, embedder=HashedEmbedder(), count_tokens=words, count=count, window=window, scope=ME, reserve=10, conversation="c1", offers=False
    )  # fmt: skip


def test_a_block_is_written_edited_and_shown_with_every_answer(store: SqlStore) -> None:
    first = write_block(store, words, "user", "Ada builds boats.", scope=ME)
    second = edit_block(store, words, "user", "boats", "clocks", scope=ME)
    third = edit_block(store, words, "user", "", "She lives in Bergen.", scope=ME)
    assert [b.text for b in (first, second, third)] == [
        "Ada builds boats.", "Ada builds clocks.", "Ada builds clocks.\nShe lives in Bergen."
    ]  # fmt: skip
    assert blocks(store, ME) == [third] and third.version != first.version
    said = answer(store, FakeEngine(), HashedEmbedder(), [Message(role="user", content="Hello")], scope=ME)
    assert said.context.memory_ids == (third.version,) and "Ada builds clocks." in said.context.text


def test_of_two_that_edit_at_once_the_second_is_told(store: SqlStore) -> None:
    seen = write_block(store, words, "plan", "Ship on Monday.", scope=ME)
    write_block(store, words, "plan", "Ship on Tuesday.", scope=ME, seen=seen.version)
    with pytest.raises(Conflict, match="rewritten meanwhile"):
        write_block(store, words, "plan", "Ship on Friday.", scope=ME, seen=seen.version)
    assert blocks(store, ME)[0].text == "Ship on Tuesday."


def test_what_a_block_cannot_be_is_refused_with_the_remedy(store: SqlStore) -> None:
    write_block(store, words, "user", "Ada Ada", scope=ME, limit=4)
    for wrong, said in (
        (lambda: edit_block(store, words, "user", "", "one two three", scope=ME), "5 tokens, 4 at most"),
        (lambda: edit_block(store, words, "user", "Ada", "Eva", scope=ME), "stands 2 times"),
        (lambda: edit_block(store, words, "nobody", "", "x", scope=ME), "there are user"),
        (lambda: write_block(store, words, "a: b", "x", scope=ME), "names no block"),
    ):
        with pytest.raises(InputError, match=said):
            wrong()
    with pytest.raises(NotFound):
        write_block(store, words, "new", "x", scope=ME, seen="mem_000000000000")
    assert blocks(store, ME)[0].text == "Ada Ada"


def test_what_leaves_the_window_is_found_again_and_kept_once(store: SqlStore) -> None:
    me = pager(store, window=60)
    talk = [Message(role="user", content="The password of the bakery is flaming tulip.")]
    for i in range(12):
        talk += [
            Message(role="assistant", content=f"Noted, number {i}."),
            Message(role="user", content=f"And thing {i} is thing {i}."),
        ]
        shown = me.fit(talk)
        assert shown.tokens == count(shown.messages) <= 50
    assert "flaming tulip" not in " ".join(m.content for m in shown.messages)
    assert "flaming tulip" in me.call("conversation_search", '{"query": "password of the bakery"}')
    assert me.call("archival_memory_search", '{"query": "password of the bakery"}') == "nothing was found"
    said = me.call("conversation_search", '{"query": "thing 1"}')
    assert said.count("And thing 1 is thing 1.") == 1


def test_what_the_tools_themselves_take_is_counted_and_a_long_result_leaves_room(store: SqlStore) -> None:
    me = Pager(
        store=store, embedder=HashedEmbedder(), count_tokens=words, count=count, window=400, scope=ME, reserve=10
    )
    tools = words(json.dumps(me.offered())) * 13 // 10  # a template may say more of them than their JSON
    assert me.room == 390 - tools > 0
    assert (
        replace(me, count_tools=lambda offered: len(offered) // 100).room == 390 - len(json.dumps(me.offered())) // 100
    )
    for n in range(30):
        me.call(
            "archival_memory_insert",
            json.dumps(
                {"content": f"Clock {n} stands in the hall of house {n} by the sea, where Ada winds it up each Monday."}
            ),
        )
    found = me.call("archival_memory_search", '{"query": "clock in the hall"}')
    assert words(found) <= 390 // 3 + 6 and "more; ask more narrowly)" in found
    turns = [
        Message(role="user", content="Where?"),
        Message(role="assistant", content=""),
        Message(role="tool", content=found),
    ]
    assert me.fit(turns).messages == tuple(turns)  # so the model sees it, and need not ask again
    for wrong in ("[" * 60_000, json.dumps({"content": ""}), json.dumps({"content": "x" * 60_000})):
        assert me.call("archival_memory_insert", wrong).startswith("error: ")
    with pytest.raises(InputError, match="offers=False"):
        Pager(store=store, embedder=HashedEmbedder(), count_tokens=words, count=count, window=tools, scope=ME).fit(
            turns
        )


def test_a_hit_that_is_longer_than_the_window_is_cut_around_what_was_asked_for(store: SqlStore) -> None:
    me = pager(store, window=120)
    told = [f"Clock {n} stands in hall {n} by the sea." for n in range(60)]
    talk = [
        Message(role="user", content=" ".join(told)),
        Message(role="assistant", content="Yes."),
        Message(role="user", content="Where?"),
    ]
    me.fit(talk)
    found = me.call("conversation_search", '{"query": "clock 41 hall 41"}')
    assert "Clock 41 stands in hall 41 by the sea." in found and words(found) <= 110 // 3 + 6 and "[…]" in found
    assert found.startswith("mem_")
    log = "\n".join(f"line {n} said nothing" for n in range(90)) + "\nline 90 found the kettle " + "on and on " * 90
    me.fit([Message(role="user", content=log), *talk[1:]])
    found = me.call("conversation_search", '{"query": "kettle"}')
    assert "found the kettle" in found and words(found) <= 110 // 3 + 6


def test_a_second_yes_is_another_turn(store: SqlStore) -> None:
    me = pager(store, window=40)
    asked = [f"Shall I open door {n} for you now, in the cold and the dark?" for n in range(3)]
    talk = [Message(role="user", content="Go.")]
    for question in asked:
        talk += [Message(role="assistant", content=question), Message(role="user", content="Yes, please do it.")]
    talk += [Message(role="assistant", content="Done. " * 20), Message(role="user", content="Thanks.")]
    for _ in range(2):
        me.fit(talk)
    kept = [m.text for m in store.select(Memory, scope=ME) if m.kind == "episode"]
    assert kept[1:7] == [f"{m.role}: {m.content}" for m in talk[1:7]] and kept.count("user: Yes, please do it.") == 3


def test_a_turn_that_is_cut_and_what_tools_gave_are_kept_whole(store: SqlStore) -> None:
    me = pager(store, window=60)
    told = "Listen. " + "Word after word after word. " * 20 + "The vault code is 4417."
    shown = me.fit([Message(role="user", content=told)])
    assert shown.cut and "4417" in me.call("conversation_search", '{"query": "vault code"}')
    call = ToolCall(id="1", name="weather", arguments="{}")
    own = ToolCall(id="2", name="archival_memory_search", arguments="{}")
    me.fit([
        Message(role="user", content="So?"), Message(role="assistant", content="", tool_calls=(call, own)),
        Message(role="tool", content="It is foggy in Bergen. " + "fog " * 60, tool_call_id="1"),
        Message(role="tool", content="The vault is in Oslo. " + "fog " * 60, tool_call_id="2"),
    ])  # fmt: skip
    assert "foggy in Bergen" in me.call("conversation_search", '{"query": "foggy in Bergen"}')
    assert "Oslo" not in me.call("conversation_search", '{"query": "The vault is in Oslo"}')  # it was recalled


def test_the_model_calls_its_tools_until_it_answers(store: SqlStore) -> None:
    me = pager(store)
    script = iter([
        [ToolCall(id="1", name="core_memory_append", arguments='{"name": "user", "content": "x"}')],
        [ToolCall(id="2", name="archival_memory_insert", arguments='{"content": "Ada builds clocks."}'),
         ToolCall(id="3", name="archival_memory_search", arguments='{"query": "clocks"}')],
        [],
    ])  # fmt: skip

    def act(shown: Sequence[Message]) -> Message:
        calls = next(script)
        return Message(role="assistant", content="" if calls else "Done.", tool_calls=tuple(calls))

    last, between = converse(me, [Message(role="user", content="Remember that Ada builds clocks.")], act)
    assert last.content == "Done."
    results = [m.content for m in between if m.role == "tool"]
    assert (
        "there is no block 'user'" in results[0]
        and results[1].startswith("kept as mem_")
        and "Ada builds clocks." in results[2]
    )

    def never(_: Sequence[Message]) -> Message:
        return Message(
            role="assistant",
            content="",
            tool_calls=(ToolCall(id="1", name="conversation_search", arguments='{"query": "x"}'),),
        )

    with pytest.raises(InputError, match="8 times in a row"):
        converse(me, [Message(role="user", content="x")], never)
    elsewhere = Message(role="assistant", content="", tool_calls=(ToolCall(id="1", name="weather", arguments="{}"),))
    assert converse(me, [Message(role="user", content="x")], lambda _: elsewhere) == (elsewhere, [])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("nothing", "{}"), ("core_memory_append", "{"), ("core_memory_append", "[]"), ("core_memory_append", '{"name": 3, "content": "x"}'),
     ("archival_memory_search", '{"query": "x", "page": "2"}'), ("core_memory_replace", '{"name": "a", "old": "", "new": "x"}')],
)  # fmt: skip
def test_a_wrong_call_is_told_and_not_raised(store: SqlStore, name: str, arguments: str) -> None:
    assert pager(store).call(name, arguments).startswith("error: ")


def test_the_tools_are_offered_as_openai_reads_them(store: SqlStore) -> None:
    offered = pager(store).offered()
    assert json.loads(json.dumps(offered)) == offered and len(offered) == 5
    assert offered[0]["function"]["parameters"]["required"] == ["name", "content"]


def test_two_agents_with_windows_of_their_own_share_one_memory(store: SqlStore) -> None:
    small, large = (
        Pager(
            store=store, embedder=HashedEmbedder(), count_tokens=words, count=count, window=window, scope=ME, reserve=10, conversation=name,
            offers=False,
        )
        for window, name in ((50, "planner"), (200, "writer"))
    )  # fmt: skip
    talks = [
        (
            pager,
            [
                Message(role="user", content=f"{pager.conversation} says thing {n} of many, word for word.")
                for n in range(12)
            ],
        )
        for pager in (small, large)
    ]
    pages = {pager.conversation: pager.fit(talk) for pager, talk in talks}
    assert all(pages[pager.conversation].tokens <= pager.room for pager, _ in talks)
    assert len(pages["planner"].evicted) > len(pages["writer"].evicted) == 0
    assert not any("planner" in m.content for m in pages["writer"].messages)  # each sees its own talk,
    assert "planner says thing 0" in large.call(
        "conversation_search", '{"query": "planner says thing 0"}'
    )  # and finds what the other left
    small.call("archival_memory_insert", '{"content": "The deadline is Friday."}')
    assert "Friday" in large.call("archival_memory_search", '{"query": "When is the deadline?"}')
    write_block(store, words, "plan", "Draft first.", scope=ME)
    assert small.call("core_memory_replace", '{"name": "plan", "old": "Draft", "new": "Outline"}').startswith("kept")
    assert large.call("core_memory_replace", '{"name": "plan", "old": "Draft", "new": "Sketch"}').startswith(
        "error: 'Draft' stands 0 times"
    )
    assert all("Outline first." in pager.fit(talk).messages[0].content for pager, talk in talks)
