"""Group commit: what waits together is written together, and each hears of its own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from engrain.errors import InputError, NotFound, StoreError
from engrain.gateway.recording import MOST, Recorder
from engrain.records import Interaction, Memory, Message, Record, Scope, Stamp
from engrain.store import SqlStore

ME = Scope(user="ida")


def said(text: str, **more: Any) -> Interaction:
    query = (Message(role="user", content=text),)
    return Interaction(scope=ME, messages=query, answer="noted", stamp=Stamp(base="b"), **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = SqlStore(tmp_path)
    yield store
    store.close()


class Watched(SqlStore):
    """Counts its transactions, and fails on request."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.groups: list[int] = []
        self.broken = False

    def append_each(self, records: Sequence[Record]) -> list[Exception | None]:
        if self.broken:
            raise StoreError("the disk is full")
        self.groups.append(len(records))
        return super().append_each(records)


def recorded(store: SqlStore, records: Sequence[Record]) -> list[Any]:
    """What each request hears of its record when all come at once."""

    async def all_at_once() -> list[Any]:
        recorder = Recorder(store)
        try:
            return await asyncio.gather(*(recorder.append(r) for r in records), return_exceptions=True)
        finally:
            recorder.close()

    return asyncio.run(all_at_once())


def test_what_waits_goes_into_few_transactions_and_all_of_it_is_there_in_order(tmp_path: Path) -> None:
    store = Watched(tmp_path)
    records = [said(f"order {n}") for n in range(200)]
    assert recorded(store, records) == [None] * 200
    assert [i.id for i in store.select(Interaction, scope=ME)] == [r.id for r in records]
    assert sum(store.groups) == 200 and max(store.groups) == MOST and len(store.groups) < 10
    assert store.verify() == 200
    store.close()


def test_what_is_wrong_with_one_request_is_its_own_and_leaves_nothing_of_it(store: SqlStore) -> None:
    gone, first = said("gone"), said("first")
    store.append_all([gone, first])
    store.erase([gone.id], scope=ME, reason="asked")
    late = Memory(scope=ME, kind="fact", text="It came too late.", source="chat", valid_from=0.0, causes=(gone.id,))
    good = [said("before"), said("after")]
    wrong = [said("other words", id=first.id), said("no id", id="int_\ud800"), said("no number", created_at=math.nan)]
    heard = recorded(store, [good[0], late, *wrong, good[1]])
    assert heard[0] is None and heard[-1] is None
    assert list(map(type, heard[1:-1])) == [NotFound, InputError, UnicodeEncodeError, InputError]
    assert [i.id for i in store.select(Interaction, scope=ME)] == [first.id, *(g.id for g in good)]
    assert not list(store.select(Memory, scope=ME))
    store.verify()


def test_when_the_database_fails_everybody_hears_of_it_and_the_next_is_written(tmp_path: Path) -> None:
    store = Watched(tmp_path)
    store.broken = True
    assert all(isinstance(e, StoreError) for e in recorded(store, [said("a"), said("b")]))
    store.broken = False
    assert recorded(store, [said("c")]) == [None]
    assert [i.query for i in store.select(Interaction, scope=ME)] == ["c"]
    store.close()


def test_who_stops_waiting_does_not_undo_the_record(store: SqlStore) -> None:
    async def hang_up() -> None:
        recorder = Recorder(store)
        asked = asyncio.create_task(recorder.append(said("and gone")))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await recorder.append(said("next"))
        recorder.close()

    asyncio.run(hang_up())
    assert [i.query for i in store.select(Interaction, scope=ME)] == ["and gone", "next"]
