"""In its sleep a memory is put in order: each step can be undone, one that somebody disturbs is left, and no more of the model is used than was granted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engrain.engines.fake import FakeEngine
from engrain.errors import Conflict, UpstreamFailed
from engrain.loops import sleep as sleeping
from engrain.loops.change import change
from engrain.loops.sleep import Sleep, fade, sleep
from engrain.memory import HashedEmbedder, derive
from engrain.memory.laws import DAY_S
from engrain.records import Feedback, Interaction, Memory, Message, Scope, Stamp
from engrain.store import SqlStore

ME = Scope()
HASHED = HashedEmbedder()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path)) as made:
        yield made


def words(text: str) -> int:
    return len(text.split())


def failed(store: SqlStore, query: str, why: str) -> str:
    asked = Interaction(scope=ME, messages=(Message(role="user", content=query),), answer="no", stamp=Stamp(base="b"))
    store.append_all([
        asked,
        Feedback(scope=ME, interaction=asked.id, kind="automated", name="test", score=0.0, text=why, causes=(asked.id,)),
    ])  # fmt: skip
    return asked.id


def states(store: SqlStore) -> dict[str, str]:
    return {s.memory.text: s.state for s in derive(store.history(scope=ME)).values()}


def test_one_sleep_reflects_merges_links_and_puts_away(store: SqlStore) -> None:
    failed(store, "Deploy the site.", "the port was taken")
    now = 1e9
    some = [
        Memory(
            scope=ME, kind="lesson", text="Always check the free space of the disk before a backup.", valid_from=now
        ),
        Memory(
            scope=ME, kind="lesson", text="Always check the free space of the disk before the backup.", valid_from=now
        ),
        Memory(scope=ME, kind="note", text="The kiln in the north barn runs on propane.", valid_from=now),
        Memory(scope=ME, kind="note", text="Heller delivers propane to the north barn.", valid_from=now),
        Memory(scope=ME, kind="note", text="An old remark about nothing.", valid_from=1.0, recorded_at=1.0),
        Memory(scope=ME, kind="fact", text="The rent is 300 euros.", valid_from=1.0, recorded_at=1.0),
    ]
    store.append_all(some)
    done = sleep(store, HASHED, words, scope=ME)
    found = states(store)
    assert [store.get(i, scope=ME).text for i in done.reflected] == [
        'Asked "Deploy the site.", mind this: the port was taken'
    ]  # type: ignore[union-attr]
    assert list(found.values()).count("merged") == 1 and len(done.linked) == 1
    assert found["An old remark about nothing."] == "archived" and found["The rent is 300 euros."] == "active"
    assert str(done) == "1 reflected on, 1 merged, 1 linked, 1 put away" and done.calls == 0
    assert str(sleep(store, HASHED, words, scope=ME)) == "nothing to do"  # a second sleep finds nothing
    change(store, "undo", done.archived[0], scope=ME, reason="I want it")
    assert str(sleep(store, HASHED, words, scope=ME)) == "nothing to do"  # what was taken back is left alone
    assert states(store)["An old remark about nothing."] == "active"


def test_no_more_calls_are_made_than_were_granted(store: SqlStore) -> None:
    for i in range(4):
        failed(
            store,
            f"Task number {'abcd'[i]} about {['ships', 'boats', 'cars', 'trains'][i]}",
            f"wrong {['hull', 'sail', 'tyre', 'rail'][i]}",
        )

    engine = FakeEngine()
    done = sleep(store, HASHED, words, scope=ME, settings=Sleep(calls=2), sampler=engine)
    assert done.calls == 2 and done.tokens > 0 and len(done.reflected) == 4
    assert sleep(store, HASHED, words, scope=ME, settings=Sleep(calls=0), sampler=engine).calls == 0


def test_a_step_that_somebody_disturbs_is_left_to_the_next_sleep(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def disturbed(*_: object, **__: object) -> list[object]:
        tries.append(1)
        raise Conflict("somebody wrote")

    monkeypatch.setattr(sleeping, "prune", disturbed)
    done = sleep(store, HASHED, words, scope=ME)
    assert done.left == ["prune"] and len(tries) == sleeping.TRIES


def test_what_could_not_be_linked_is_linked_in_the_next_sleep(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1e9
    told = (
        "The kiln in the north barn runs on propane.",
        "Heller delivers propane to the north barn.",
        "Ada likes tea.",
    )
    store.append_all([Memory(scope=ME, kind="note", text=text, valid_from=now) for text in told])
    connect = sleeping.connect
    monkeypatch.setattr(sleeping, "connect", lambda *_, **__: (_ for _ in ()).throw(Conflict("somebody wrote")))
    assert sleep(store, HASHED, words, scope=ME).left == ["link"]
    monkeypatch.setattr(sleeping, "connect", connect)
    linked = [sleep(store, HASHED, words, scope=ME, settings=Sleep(notes=1)).linked for _ in told]
    assert sum(map(len, linked)) == 1 and not sleep(store, HASHED, words, scope=ME).linked


class Unreachable(FakeEngine):
    def sample(self, prompts, **_):  # type: ignore[no-untyped-def]
        raise UpstreamFailed("the upstream does not answer")


class Silent(FakeEngine):
    def sample(self, prompts, **asked):  # type: ignore[no-untyped-def]
        return [replace(c, text="") for c in super().sample(prompts, **asked)]


def test_a_model_that_is_down_or_says_nothing_keeps_nothing_from_its_order(store: SqlStore) -> None:
    failed(store, "Deploy the site.", "the port was taken")
    for text in (
        "Always check the free space of the disk before a backup.",
        "Always check the free space of the disk before the backup.",
    ):
        store.append(Memory(scope=ME, kind="lesson", text=text, valid_from=1e9))
    down = sleep(store, HASHED, words, scope=ME, settings=Sleep(calls=9), sampler=Unreachable())
    assert down.left == ["reflect"] and len(down.merged) == 1 and not down.reflected
    assert down.calls == 1  # the one that failed was made
    calls = [sleep(store, HASHED, words, scope=ME, settings=Sleep(calls=9), sampler=Silent()).calls for _ in range(2)]
    assert calls == [1, 0]  # it is not asked again


def test_where_the_calls_run_out_what_was_only_corrected_waits(store: SqlStore) -> None:
    for i in range(3):
        asked = Interaction(
            scope=ME, messages=(Message(role="user", content=f"Task {i}."),), answer="no", stamp=Stamp(base="b")
        )
        said = Feedback(scope=ME, interaction=asked.id, name="correction", text="Not so.", causes=(asked.id,))
        store.append_all([asked, said])
    done = [
        sleep(store, HASHED, words, scope=ME, settings=Sleep(calls=calls), sampler=FakeEngine()) for calls in (1, 0, 1)
    ]
    assert [(d.calls, len(d.reflected)) for d in done] == [(1, 1), (0, 0), (1, 1)]
    assert (
        sleep(store, HASHED, words, scope=ME, settings=Sleep(calls=9, reflections=0), sampler=FakeEngine()).calls == 0
    )


def test_nothing_is_written_over_what_was_told_meanwhile(store: SqlStore) -> None:
    memory = Memory(scope=ME, kind="note", text="Something.", valid_from=1.0, recorded_at=1.0)
    store.append(memory)
    seen = store.state(scope=ME)
    store.append(Memory(scope=ME, text="Something new.", valid_from=2.0))
    with pytest.raises(Conflict, match="local/me has changed"):
        store.append_all([Memory(scope=ME, text="From before.", valid_from=2.0)], seen=seen)
    assert "From before." not in states(store)
    assert [d.targets for d in fade(store, scope=ME, at=1e6 * DAY_S)] == [(memory.id,)]


def test_what_is_used_does_not_fade(store: SqlStore) -> None:
    memory = Memory(scope=ME, kind="note", text="Something.", valid_from=1.0, recorded_at=1.0)
    store.append(memory)
    asked = Interaction(
        scope=ME, messages=(Message(role="user", content="?"),), answer="a", stamp=Stamp(base="b"), causes=(memory.id,)
    )
    store.append(asked)
    assert store.uses([memory.id], scope=ME)[memory.id][0] == 1
    assert fade(store, scope=ME) == []
    store.erase([asked.id], scope=ME, reason="asked")
    assert store.uses([memory.id], scope=ME) == {} and len(fade(store, scope=ME)) == 1
