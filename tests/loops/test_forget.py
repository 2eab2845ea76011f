"""Forget: what only the weights said goes too, and so does what an interrupted run left."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engrain.adapters import promote
from engrain.engines.fake import FakeEngine
from engrain.errors import NotFound, StoreError, TrainingFailed
from engrain.learner import Learner
from engrain.loops import remember
from engrain.loops.consolidate import Consolidation, batch_for, queries, route
from engrain.loops.forget import _Old, _settings_of, forget, preview
from engrain.loops.prepare import Preparation
from engrain.loops.study import Study
from engrain.records import (
    Adapter,
    Batch,
    Context,
    Evidence,
    Example,
    Interaction,
    ItemResult,
    Memory,
    Message,
    Receipt,
    Scope,
    Stamp,
    Task,
    Verdict,
)
from engrain.signals import Router
from engrain.store import SqlStore

sys.path.insert(0, str(Path(__file__).parents[1]))
SECRET = "The safe in the office opens with the code 6094."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama")


def said(me: Learner, question: str, answer: str, adapter: str) -> str:
    """An answer given with no note shown."""
    stamp = Stamp(base=me.engine.base, adapter=adapter)
    interaction = Interaction(
        scope=me.scope, messages=(Message(role="user", content=question),), answer=answer, stamp=stamp,
        causes=(adapter,) if adapter else (),
    )  # fmt: skip
    me.store.append(interaction)
    return interaction.id


def test_an_answer_that_repeats_a_forgotten_fact_from_the_weights_goes_with_it(base: Path, tmp_path: Path) -> None:
    me = Learner(tmp_path / "home", base=base)
    secret, other = me.tell(SECRET)[0], me.tell("The dog is called Biscuit.")[0]
    name = me.engine.student("", rank=2).save()
    taught = (secret.id, other.id)
    batch = _batch(me, taught)
    me.store.append_all(
        [batch, Adapter(id=name, scope=me.scope, base=me.engine.base, batch=batch.id, memory_ids=taught)]
    )
    leaked = said(me, "What is the code of the safe?", "6094", name)
    harmless = said(me, "Who is the dog?", "Biscuit", name)
    me.forget(secret.id)
    kept = list(me.store.select(Interaction, scope=me.scope))
    assert {i.id for i in kept} >= {harmless} and leaked not in {i.id for i in kept}
    assert all(i.answer != "6094" for i in kept)
    assert "What is the code of the safe?" in [i.query for i in kept]  # the question is the user's own and stays
    files = [p.read_bytes() for p in me.home.rglob("engrain.db*")]
    assert files and not any(b"code 6094" in f or b'"6094"' in f for f in files)


def test_an_adapter_that_no_record_leads_to_goes_at_the_next_forgetting(base: Path, tmp_path: Path) -> None:
    me = Learner(tmp_path / "home", base=base)
    secret = me.tell(SECRET)[0]
    stray = me.engine.student("", rank=2).save()  # as a run leaves it that was killed before it recorded its adapter
    assert (me.home / "adapters" / stray).is_dir()
    me.forget(secret.id)
    assert not (me.home / "adapters" / stray).exists()


def _batch(me: Learner, memories: tuple[str, ...]):  # type: ignore[no-untyped-def]
    return Batch(scope=me.scope, parent="", train=(), holdout=(), memory_ids=memories, causes=memories)


# -- without a model: what is found, and in which order it goes ------------------------------------------------------------

SCOPE, OTHER = Scope(), Scope(user="bob")
NOTE = "The safe in the office opens with the code zq6094kv."
"""No hash or time in the files holds such a word by chance."""


@pytest.fixture
def store(tmp_path: Path, database: str) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home", database=database, busy_timeout_s=0.1)) as made:
        yield made


def unopened() -> Any:
    raise AssertionError("there is nothing to rebuild")


def let_go(store: SqlStore, what: str, scope: Scope = SCOPE, engine: Any = unopened) -> Receipt:
    return forget(store, engine, what, scope=scope, home=store.home)


def turn(store: SqlStore, *said: str, answer: str, conversation: str = "", **fields: Any) -> Interaction:
    """One turn; what was said before alternates between user and assistant."""
    messages = tuple(Message(role="assistant" if n % 2 else "user", content=t) for n, t in enumerate(said))
    given = {"scope": SCOPE, "messages": messages, "answer": answer, "conversation": conversation}
    interaction = Interaction(stamp=Stamp(base="b"), **(given | fields))
    store.append(interaction)
    return interaction


def everything(store: SqlStore) -> bytes:
    return b"".join(p.read_bytes() for p in store.home.rglob("*") if p.is_file())


def test_forgetting_a_word_that_tells_nothing_leaves_unrelated_history_alone(store: SqlStore) -> None:
    gone = turn(store, "ok", answer="Fine.", conversation="one")
    kept = [
        turn(store, "Is the book a token of thanks?", answer="It is.", conversation="two"),
        turn(store, "ok", answer="Good.", conversation="two"),
        turn(store, "ok", answer="Good.", conversation="one"),
    ]
    let_go(store, gone.id)
    assert list(store.select(Interaction, scope=SCOPE)) == kept


def test_a_query_is_found_again_only_whole_and_in_its_own_conversation(store: SqlStore) -> None:
    gone = turn(store, "The safe opens with zq6094kv", answer="Noted.", conversation="one")
    elsewhere = turn(store, "The safe opens with zq6094kv on Fridays", answer="Oh.", conversation="two")
    later = turn(
        store, "The safe opens with zq6094kv", "Noted.", "And who is Marta?", answer="A friend.", conversation="one"
    )
    let_go(store, gone.id)
    left = list(store.select(Interaction, scope=SCOPE))
    assert left[0] == elsewhere and later.id not in {i.id for i in left}
    assert [m.content for m in left[1].messages] == ["And who is Marta?"]


def test_a_note_is_found_as_whole_words(store: SqlStore) -> None:
    note = remember.tell(store, "The gate code is 44.", scope=SCOPE)
    longer = turn(store, "I think the gate code is 4417 now", answer="Yes.")
    quoted = turn(store, "Hm. the gate  code is 44, right?", answer="Yes.")
    let_go(store, note.id)
    left = list(store.select(Interaction, scope=SCOPE))
    assert longer in left and quoted not in left and b"is 44," not in everything(store)


@pytest.mark.parametrize("name", ["lunch", ""])
def test_an_answer_of_an_erased_turn_goes_from_the_history_of_later_turns(store: SqlStore, name: str) -> None:
    first, reply = "How do we open the safe?", "Turn it to zq6094kv and pull."
    gone = turn(store, first, answer=reply, conversation=name)
    turn(store, first, reply, "And the barn?", answer="As before, zq6094kv.", conversation=name)
    turn(store, first, reply, "And the barn?", "As before, zq6094kv.", "Thanks!", answer="Bye.", conversation=name)
    kept = turn(store, "What is for lunch?", answer="Soup.", conversation=name)
    let_go(store, gone.id)
    assert b"zq6094kv" not in everything(store)
    left = list(store.select(Interaction, scope=SCOPE))
    assert kept in left
    assert [i.query for i in left if i != kept] == ["And the barn?", "Thanks!"]


def test_a_forgotten_chat_file_with_a_hash_in_its_name_is_found(store: SqlStore) -> None:
    turn(store, "My locker is zq6094kv", answer="Noted.", conversation="file:/tmp/chat#2.jsonl#1")
    let_go(store, "source:/tmp/chat#2.jsonl")
    assert list(store.select(Interaction, scope=SCOPE)) == []


def test_a_folder_is_forgotten_with_all_that_was_learned_from_it(store: SqlStore, tmp_path: Path) -> None:
    for name in ("notes/a.md", "notes/more/b.md", "notes-2.md"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"- The colour of boat {name[-4]} is red.\n")
    remember.from_path(store, unopened, tmp_path, scope=SCOPE)
    assert len(let_go(store, f"source:{tmp_path}/notes").removed) == 2
    assert [m.source for m in store.select(Memory, scope=SCOPE)] == [f"file:{tmp_path}/notes-2.md"]
    said: list[str] = []
    remember.from_path(store, unopened, tmp_path, scope=SCOPE, warn=said.append)
    assert len(said) == 2 and "was forgotten and is learned again" in said[0]


def test_a_redacted_turn_that_lost_its_query_is_never_asked_again(store: SqlStore) -> None:
    gone = remember.tell(store, NOTE, scope=SCOPE)
    kept = remember.tell(store, "The dog is called Biscuit.", scope=SCOPE)
    turn(store, "Who is the dog?", "Biscuit.", NOTE, answer="Noted.", context=Context(memory_ids=(kept.id,)))
    let_go(store, gone.id)
    (left,) = store.select(Interaction, scope=SCOPE)
    assert left.context.memory_ids == (kept.id,) and left.query == ""
    assert queries(store, SCOPE, [kept], at=left.created_at + 1) == {}


def test_an_adapter_that_two_users_learned_goes_with_the_last_of_them(store: SqlStore) -> None:
    name = "a" * 64
    folder = store.home / "adapters" / name
    folder.mkdir(parents=True)
    notes: dict[Scope, Memory] = {}
    for scope in (SCOPE, OTHER):
        notes[scope] = remember.tell(store, NOTE, scope=scope)
        ids = (notes[scope].id,)
        batch = Batch(scope=scope, parent="", train=(), holdout=(), memory_ids=ids)
        store.append_all([batch, Adapter(id=name, scope=scope, base="b", batch=batch.id, memory_ids=ids)])
    let_go(store, notes[SCOPE].id)
    assert folder.is_dir()
    let_go(store, notes[OTHER].id, OTHER)
    assert not folder.exists()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_receipt_is_written_while_the_bytes_are_still_there(store: SqlStore) -> None:
    note = remember.tell(store, NOTE, scope=SCOPE)
    with closing(sqlite3.connect(store._db.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM content").fetchone()
        for what in (note.id, "user:"):  # the second call first finishes what the first began
            with pytest.raises(StoreError):
                let_go(store, what)
        assert list(store.select(Receipt, scope=SCOPE)) == []
    other = remember.tell(store, "The dog is called Biscuit.", scope=SCOPE)
    let_go(store, other.id)
    assert [note.id in r.removed for r in store.select(Receipt, scope=SCOPE)] == [True, False]
    assert b"zq6094kv" not in everything(store)


def test_no_receipt_is_written_while_a_folder_cannot_be_removed(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = remember.tell(store, NOTE, scope=SCOPE)
    (store.home / "adapters" / "stray").mkdir(parents=True)

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch, pytest.raises(StoreError, match=r"stray cannot be removed"):
        patch.setattr(shutil, "rmtree", refuse)
        let_go(store, note.id)
    assert list(store.select(Receipt, scope=SCOPE)) == []


def test_an_answer_recorded_between_the_plan_and_the_erasure_goes_too(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = remember.tell(store, NOTE, scope=SCOPE)
    erase = store.erase

    def overtaken(ids: Sequence[str], **options: Any) -> None:
        monkeypatch.setattr(store, "erase", erase)
        turn(
            store,
            "And the safe?",
            answer="zq6094kv",
            causes=(note.id,),
            context=Context(text=NOTE, memory_ids=(note.id,)),
        )
        erase(ids, **options)

    monkeypatch.setattr(store, "erase", overtaken)
    let_go(store, note.id)
    (left,) = store.select(Interaction, scope=SCOPE)
    assert (left.query, left.answer) == ("And the safe?", "") and b"zq6094kv" not in everything(store)


def test_evidence_of_a_version_that_stays_is_erased_only_where_it_holds_the_content(store: SqlStore) -> None:
    kept, gone = (remember.tell(store, text, scope=SCOPE) for text in ("The dog is called Biscuit.", NOTE))
    shared, secret = (
        Example(query=(Message(role="user", content=q),), reference=a, memory_ids=(m.id,))
        for q, a, m in (("Who is the dog?", "Biscuit", kept), ("What opens the safe?", "zq6094kv", gone))
    )
    first = Batch(scope=SCOPE, parent="", train=(), holdout=(shared,), memory_ids=(kept.id,))
    parent = Adapter(id="a" * 64, scope=SCOPE, base="b", batch=first.id, memory_ids=(kept.id,))
    second = replace(
        first, parent=parent.id, holdout=(replace(shared, role="replay"), secret), memory_ids=(kept.id, gone.id)
    )
    child = Adapter(
        id="c" * 64, scope=SCOPE, base="b", parent=parent.id, batch=second.id, memory_ids=(kept.id, gone.id)
    )

    def evidence(adapter: str, *items: Example) -> Evidence:
        results = tuple(
            ItemResult(
                item=e.hash, group="new", question=e.query[0].content, expected=e.reference, answer="", right=True
            )
            for e in items
        )
        return Evidence(scope=SCOPE, adapter=adapter, suite="gate", results=results)

    own, judged, after = evidence(parent.id, shared), evidence(parent.id, shared, secret), evidence(child.id, shared)
    store.append_all([first, parent, second, child, own, judged, after])
    let_go(store, gone.id)
    assert list(store.select(Evidence, scope=SCOPE)) == [own]
    assert list(store.select(Batch, scope=SCOPE)) == [first]


def test_a_rebuild_uses_the_settings_of_its_batch_and_not_those_of_today(store: SqlStore) -> None:
    then = Consolidation(
        router=Router(settle_s=7.0), preparation=Preparation(study=Study(rounds=1), guards=3, distractors=1), least_steps=9,
        steps_per_memory=0.5, most_steps=11, learning_rate=1e-3, batch_size=3, rank=2, seed=5, scales=(0.5,), scale_items=20,
        gate_items=17, replay=0.75,
    )  # fmt: skip
    things = ("gate code", "password", "owner", "colour", "Friday dish")
    told = [remember.tell(store, f"The {thing} of the barn is {n}{n}7.", scope=SCOPE) for n, thing in enumerate(things)]
    engine: Any = FakeEngine()
    at, wanted = told[-1].recorded_at + 1, [m.id for m in told]
    store.append(batch_for(store, engine, SCOPE, wanted, "", at, then))
    (batch,) = store.select(Batch, scope=SCOPE)
    adapter = Adapter(id="a" * 64, scope=SCOPE, base="b", batch=batch.id)
    store.put_run("test", {"row": _Old.of(adapter, batch, True).row()}, scope=SCOPE)
    plan = store.get_run("test", scope=SCOPE)
    assert plan is not None and "barn" not in str(plan)  # a plan holds no content
    old = _Old(*plan["row"])
    again = _settings_of(old.settings, old.seed, Consolidation())
    assert batch_for(store, engine, SCOPE, wanted, "", at, again).id == batch.id
    assert (again.router, again.seed, list(again.scales), again.scale_items) == (then.router, 5, [0.5], 20)
    assert (again.gate_items, again.steps(1), again.steps(99)) == (17, then.steps(1), then.steps(99))
    assert again.replay == 0.75
    older = {**old.settings, "run": {k: v for k, v in old.settings["run"].items() if k != "replay"}}
    assert _settings_of(older, old.seed, Consolidation()).replay is None  # its shares were those of its plan


def test_a_question_that_was_trained_on_goes_from_batch_evidence_and_weights_with_its_interaction(
    store: SqlStore,
) -> None:
    note = remember.tell(store, "The gate code of the north barn is 4417.", scope=SCOPE)
    asked = turn(store, "How does Marta zq6094kv open it?", answer="4417", context=Context(memory_ids=(note.id,)))
    own = queries(store, SCOPE, [note], asked.created_at + 1)
    assert own == {note.text: {asked.query: [asked.id]}}
    item = Example(query=asked.messages, memory_ids=(note.id,), interaction_ids=(asked.id,))
    batch = Batch(scope=SCOPE, parent="", train=(item,), holdout=(), memory_ids=(note.id,), causes=(note.id, asked.id))
    first = Adapter(id="a" * 64, scope=SCOPE, base="b", batch=batch.id, memory_ids=(note.id,), causes=(batch.id,))
    child = Adapter(id="c" * 64, scope=SCOPE, base="b", parent=first.id, batch=batch.id, causes=(first.id,))
    store.append_all([batch, first, child])
    assert first.id in {node.id for node in store.walk(asked.id, "effects", scope=SCOPE)}
    receipt = let_go(store, asked.id)
    assert {batch.id, first.id, child.id} <= {*receipt.removed, *(old for old, _ in receipt.rebuilt)}
    assert list(store.select(Adapter, scope=SCOPE)) == []
    assert b"zq6094kv" not in everything(store)


def test_a_note_that_was_told_twice_is_forgotten_as_one(store: SqlStore) -> None:
    first, other = (
        remember.tell(store, NOTE, scope=SCOPE),
        remember.tell(store, "The dog is called Biscuit.", scope=SCOPE),
    )
    remember.tell(store, NOTE.rstrip("."), scope=SCOPE)
    let_go(store, first.id)
    assert [m.id for m in store.select(Memory, scope=SCOPE)] == [other.id]
    assert b"zq6094kv" not in everything(store)


def test_a_version_that_cannot_be_rebuilt_gives_way_to_its_parent_and_does_not_stop_what_is_forgotten_later(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, later = (
        remember.tell(store, NOTE, scope=SCOPE),
        remember.tell(store, "The dog is called Biscuit.", scope=SCOPE),
    )
    batch = Batch(scope=SCOPE, parent="", train=(), holdout=(), memory_ids=(gone.id,))
    adapter = Adapter(id="a" * 64, scope=SCOPE, base="b", batch=batch.id, memory_ids=(gone.id,))
    verdict = Verdict(scope=SCOPE, decision="promote", reasons=("",), candidate=adapter.id)
    store.append_all([batch, adapter, verdict])
    promote(store, SCOPE, verdict)

    def diverged(*_: Any, **__: Any) -> str:
        raise TrainingFailed("training diverged")

    monkeypatch.setattr("engrain.loops.forget._rebuild", diverged)
    receipt = let_go(store, gone.id, engine=FakeEngine)
    assert store.live(SCOPE) == "" and receipt.rebuilt == ((adapter.id, ""),)
    assert "gave way to its parent (TrainingFailed" in receipt.reason
    assert let_go(store, later.id).removed == (later.id,)


@pytest.mark.parametrize("sways", ["confirms", "supersedes"])
def test_a_version_is_rebuilt_too_where_what_is_forgotten_only_decided_what_it_was_taught(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, sways: str
) -> None:
    def heard(text: str) -> Memory:
        said = turn(store, text, answer="Noted.")
        memory = remember.memory_of(text, scope=SCOPE, source="chat", causes=(said.id,))
        store.append(memory)
        return memory

    code = remember.tell(store, "The gate code of the barn is 4417.", scope=SCOPE)
    if sways == "confirms":
        heard("The kiln of Petra is green.")
    gone = heard("The kiln of Petra is green." if sways == "confirms" else "The gate code of the barn is now 5521.")
    other = heard("The dog of Marta is called Biscuit.")
    wanted = [s.memory for s in route(store, SCOPE, None, time.time(), Router()) if s.route == "weights"]
    assert gone.id not in wanted and len(wanted) == (2 if sways == "confirms" else 0)
    batch = Batch(scope=SCOPE, parent="", train=(), holdout=(), memory_ids=tuple(wanted))
    adapter = Adapter(id="a" * 64, scope=SCOPE, base="b", batch=batch.id, memory_ids=tuple(wanted))
    verdict = Verdict(scope=SCOPE, decision="promote", reasons=("",), candidate=adapter.id)
    store.append_all([batch, adapter, verdict])
    promote(store, SCOPE, verdict)
    made: list[str] = []

    def rebuild(*_: Any, **__: Any) -> str:
        made.append("again")
        return ""

    monkeypatch.setattr("engrain.loops.forget._rebuild", rebuild)
    assert let_go(store, other.id).rebuilt == () and made == []
    assert let_go(store, gone.id, engine=FakeEngine).rebuilt == ((adapter.id, ""),) and made == ["again"]
    assert code in list(store.select(Memory, scope=SCOPE))


def test_a_task_of_the_users_own_goes_with_the_note_that_answers_it_or_by_its_id(store: SqlStore) -> None:
    note = remember.tell(store, NOTE, scope=SCOPE)
    answered = Task(scope=SCOPE, question="What opens the safe?", answer="zq6094kv")
    other, third = (Task(scope=SCOPE, question=q, answer="Biscuit") for q in ("Who is the dog?", "What is eaten?"))
    results = tuple(
        ItemResult(item=t.example.hash, group="own", question=t.question, expected=t.answer, answer="", right=False)
        for t in (answered, other)
    )
    judged = Evidence(scope=SCOPE, adapter="", suite="gate", results=results)
    store.append_all([answered, other, third, judged])
    let_go(store, note.id)
    assert list(store.select(Task, scope=SCOPE)) == [other, third]
    assert list(store.select(Evidence, scope=SCOPE)) == [] and b"zq6094kv" not in everything(store)
    assert let_go(store, third.id).removed == (third.id,)


def test_a_preview_names_what_would_go_and_changes_nothing(store: SqlStore) -> None:
    note = remember.tell(store, NOTE, scope=SCOPE)
    source = turn(store, "The dog is called Biscuit.", answer="Noted.")
    shown = turn(store, "What opens the safe?", answer="zq6094kv", context=Context(text=NOTE, memory_ids=(note.id,)))
    name = "a" * 64
    batch = Batch(scope=SCOPE, parent="", train=(), holdout=(), memory_ids=(note.id,))
    adapter = Adapter(id=name, scope=SCOPE, base="b", batch=batch.id, memory_ids=(note.id,))
    evidence = Evidence(scope=SCOPE, adapter=name, suite="gate", results=())
    store.append_all([batch, adapter, evidence])
    before = store.head()
    found = preview(store, note.id, scope=SCOPE)
    assert (found.memories, found.interactions, found.redacted) == ((note.id,), (), (shown.id,))
    assert set(found.others) == {batch.id, evidence.id}
    assert (found.rebuilt, found.dropped, found.live) == ((), (name,), False)
    assert preview(store, source.id, scope=SCOPE).interactions == (source.id,)
    with pytest.raises(NotFound):
        preview(store, note.id, scope=OTHER)
    assert store.head() == before
    assert set(let_go(store, note.id).removed) >= {*found.memories, *found.redacted, *found.others}
