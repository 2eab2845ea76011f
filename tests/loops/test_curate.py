"""Changes of the playbook: worked out, refused where something would be lost, and held against the user's own tasks by the model that ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from engrain.errors import Conflict, FormatError, UpstreamFailed
from engrain.learner import Learner
from engrain.loops.change import change
from engrain.loops.curate import Operation, Proposed, curate, operations, proposed_by
from engrain.memory import HashedEmbedder
from engrain.memory.filing import of_kinds
from engrain.memory.history import derive
from engrain.memory.worth import Worth, worths
from engrain.protocols import Completion, Conversation
from engrain.records import Interaction, Memory, Message, Scope, Stamp, Task
from engrain.store import SqlStore

ME = Scope()
HASHED = HashedEmbedder()
GATES = {"north": 4417, "south": 8062, "east": 1359, "west": 7726, "upper": 2940, "lower": 6183}
TOLD = {name: f"The gate code of the {name} barn is {code}." for name, code in GATES.items()}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path)) as made:
        yield made


def lesson(store: SqlStore, text: str) -> str:
    memory = Memory(scope=ME, kind="lesson", text=text, valid_from=1.0, recorded_at=1.0)
    store.append(memory)
    return memory.id


def standing(store: SqlStore) -> dict[str, str]:
    return {s.memory.text: s.state for s in derive(store.history(scope=ME)).values()}


def test_every_operation_takes_effect_and_can_be_undone(store: SqlStore) -> None:
    port, host, old, wrong = (
        lesson(store, text)
        for text in (
            "Ask for the port.",
            "Ask for the host before you write the config.",
            "Restart the broker after 3 failures.",
            "Always answer in French.",
        )
    )
    made = curate(
        store,
        [
            Operation(type="ADD", content="Check the disk before a backup.", section="backups"),
            Operation(type="UPDATE", ids=(old,), content="Restart the broker after 3 failures, and say so."),
            Operation(type="MERGE", ids=(port, host), content="Ask for the port and the host before you write the config."),
            Operation(type="RETIRE", ids=(wrong,), reason="nobody asked for it"),
        ],
        scope=ME,
    )  # fmt: skip
    assert (made.decision, made.refused, made.waits) == ("hold", [], False)
    assert standing(store) == {
        "Ask for the port.": "merged",
        "Ask for the host before you write the config.": "merged",
        "Restart the broker after 3 failures.": "merged",
        "Always answer in French.": "archived",
        "Check the disk before a backup.": "active",
        "Restart the broker after 3 failures, and say so.": "active",
        "Ask for the port and the host before you write the config.": "active",
    }
    new = [store.get(name, scope=ME) for name in made.lessons]
    assert [m.attribute("section") for m in new if isinstance(m, Memory)] == ["backups", "", ""]
    for delta in reversed(made.deltas):
        change(store, "undo", delta, scope=ME, reason="as it was")
    assert derive(store.history(scope=ME))[port].state == "active"
    assert [state for text, state in standing(store).items()] == ["active"] * 4 + ["proposed"] * 3


def test_a_tag_counts(store: SqlStore) -> None:
    name = lesson(store, "Ask for the port.")
    curate(store, [Operation(type="TAG", ids=(name,), value="harmful")], scope=ME)
    assert worths(store, ME, [name]) == {name: Worth(harmful=1)}


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (Operation(type="UPDATE", ids=("{0}",), content="Restart the broker."), "would lose 3"),
        (Operation(type="MERGE", ids=("{0}", "{1}"), content="Restart the broker after 3 failures."), "would lose .*unless"),
        (Operation(type="UPDATE", ids=("mem_nowhere",), content="x"), "no lesson that holds"),
        (Operation(type="MERGE", ids=("{0}",), content="Restart after 3 failures."), "MERGE two or more"),
        (Operation(type="ADD", ids=("{0}",), content="x"), "ADD names none"),
        (Operation(type="ADD", content=""), "0 characters"),
        (Operation(type="ADD", content="x" * 100_000), "100000 characters"),
        (Operation(type="TAG", ids=("{0}",), value="nice"), "tagged helpful"),
        (Operation(type="DROP", ids=("{0}",)), "no operation DROP"),
        (Operation(type=""), "without a type"),
        (Operation(type="UPDATE", ids=("{1}",), content="   "), "0 characters"),
        (Operation(type="MERGE", ids=("{0}", "{0}"), content="Restart the broker after 3 failures."), "two or more"),
        (Operation(type="UPDATE", ids=("{2}",), content="x"), "of the 3 telling words .* it keeps 0"),
        (Operation(type="UPDATE", ids=("{2}",), content="Never delete the old backups."), "says the opposite"),
        (Operation(type="ADD", content="x", section="y" * 300), "at most 200"),
    ],
)  # fmt: skip
def test_what_would_lose_something_or_names_nothing_is_refused_with_its_reason(
    store: SqlStore, operation: Operation, why: str
) -> None:
    names = [
        lesson(store, "Restart the broker after 3 failures."),
        lesson(store, "Do not restart it unless it is quiet."),
        lesson(store, "Delete the old backups."),
    ]
    asked = Operation(**{**_fields(operation), "ids": tuple(name.format(*names) for name in operation.ids)})
    before = standing(store)
    made = curate(store, [asked], scope=ME)
    assert len(made.refused) == 1 and not made.lessons and not made.deltas
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(made.refused[0])
    assert standing(store) == before


def _fields(operation: Operation) -> dict[str, Any]:
    return {name: getattr(operation, name) for name in Operation.__dataclass_fields__}


def test_what_was_undone_in_part_leaves_no_lesson_hidden(store: SqlStore) -> None:
    name = lesson(store, "Check the disk on Monday.")
    made = curate(
        store, [Operation(type="UPDATE", ids=(name,), content="Check the disk on Monday, and ring Bob.")], scope=ME
    )
    change(store, "undo", made.deltas[0], scope=ME, reason="not yet")  # its acceptance
    assert standing(store) == {"Check the disk on Monday.": "active", "Check the disk on Monday, and ring Bob.": "proposed"}  # fmt: skip
    change(store, "accept", made.lessons[0], scope=ME, reason="now")
    assert standing(store) == {"Check the disk on Monday.": "merged", "Check the disk on Monday, and ring Bob.": "active"}  # fmt: skip


def test_what_waits_does_the_whole_when_it_is_accepted_and_brings_its_credit_along(store: SqlStore) -> None:
    one, two, bad = (lesson(store, text) for text in ("Ask for the port.", "Ask for the host.", "Answer in French."))
    asked = [
        Operation(type="MERGE", ids=(one, two), content="Ask for the port and the host.\n- and a trick"),
        Operation(type="RETIRE", ids=(bad,)),
    ]
    change(store, "tag", one, value="harmful", scope=ME, reason="it was no use")
    made = curate(store, asked, scope=ME, wait=True)
    assert made.waits and not made.deltas and "not shown to help" in made.refused[0]
    assert set(standing(store).values()) == {"active", "proposed"}
    change(store, "accept", *made.lessons, scope=ME, reason="it reads well")
    assert sorted(standing(store).items()) == [
        ("Answer in French.", "active"), ("Ask for the host.", "merged"), ("Ask for the port and the host. - and a trick", "active"),
        ("Ask for the port.", "merged"),
    ]  # fmt: skip
    assert worths(store, ME, made.lessons) == {made.lessons[0]: Worth(harmful=1)}


def test_notes_are_compressed_and_no_detail_is_lost(store: SqlStore) -> None:
    told = ["The kiln runs on propane from Heller.", "The kiln in the north barn runs on propane."]
    for text in told:
        store.append(Memory(scope=ME, kind="note", text=text, valid_from=1.0, recorded_at=1.0))
    ids = tuple(m.id for m in store.select(Memory, scope=ME))
    bad, good = (
        curate(store, [Operation(type="MERGE", ids=ids, content=text)], scope=ME, kinds=("note",))
        for text in ("The kiln runs on propane.", "The kiln in the north barn runs on propane from Heller.")
    )
    assert "would lose heller" in bad.refused[0].lower() and len(good.lessons) == 1
    assert [m.text for m in of_kinds(store, ME, ("note",))] == ["The kiln in the north barn runs on propane from Heller."]  # fmt: skip


class Down:
    def sample(self, *_: object, **__: object) -> list[Completion]:
        raise UpstreamFailed("nobody answers")


def test_what_could_not_be_tried_leaves_nothing_waiting(store: SqlStore) -> None:
    store.append(Task(scope=ME, question="Which port?", answer="8883"))
    with pytest.raises(UpstreamFailed):
        curate(
            store, [Operation(type="ADD", content="Ask first.")], scope=ME, sampler=Down, show=lambda question, lessons: ()
        )  # fmt: skip
    assert standing(store) == {"Ask first.": "archived"}


def test_of_two_operations_on_one_lesson_the_second_is_refused(store: SqlStore) -> None:
    name = lesson(store, "Ask for the port.")
    twice = [Operation(type="RETIRE", ids=(name,)), Operation(type="UPDATE", ids=(name,), content="Ask for the port.")]
    made = curate(store, twice, scope=ME)
    assert len(made.deltas) == 1 and "another operation already" in made.refused[0]


def test_operations_are_read_from_what_a_model_writes() -> None:
    told = {"operations": [{"type": "add", "content": " Ask\nfirst. ", "id": None}, {"type": "RETIRE", "id": "mem_1"}]}
    for text in (json.dumps(told), f"Here they are:\n```json\n{json.dumps(told)}\n```", json.dumps(told["operations"])):
        assert operations(text) == [Operation(type="add", content=" Ask\nfirst. "), Operation(type="RETIRE", ids=("mem_1",))]  # fmt: skip
    assert operations('As JSON: {"operations": [{"type": "ADD", "content": "Write ```sh```."}]}')[0].content == "Write ```sh```."  # fmt: skip
    assert len(operations('- [ ] think first\n{"operations": [{"type": "ADD", "content": "Ask."}]}')) == 1
    for text in ("", "- [ ] think", "I would add a lesson.", "[" * 100_000, "7", '{"operations": {}}', '["ADD"]'):
        with pytest.raises(FormatError, match="has the form"):
            operations(text)


def test_a_lesson_that_changed_meanwhile_is_left_alone(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    name = lesson(store, "Ask for the port.")

    def meanwhile(*_: object) -> tuple[str, str]:
        change(store, "archive", name, scope=ME, reason="somebody else was quicker")
        return "hold", "nothing is shown"

    monkeypatch.setattr(import_module("engrain.loops.curate"), "judge_words", meanwhile)
    with pytest.raises(Conflict, match="changed meanwhile"):
        curate(store, [Operation(type="UPDATE", ids=(name,), content="Ask for the port twice.")], scope=ME)
    assert standing(store) == {"Ask for the port.": "archived", "Ask for the port twice.": "proposed"}


class Scripted:
    """Answers as a model would that was asked to curate."""

    def __init__(self, answer: str) -> None:
        self.answer, self.asked = answer, list[str]()

    def sample(self, prompts: Sequence[Conversation], **_: object) -> list[Completion]:
        self.asked += [p[-1].content for p in prompts]
        (name,) = re.findall(r"^\[(mem_\w+)\]", self.asked[-1], re.MULTILINE)
        text = self.answer.replace("ID", name)
        return [Completion(text=text, token_ids=(), logprobs=(), input_tokens=7, finish_reason="stop", output_tokens=3)]


def test_a_model_proposes_after_the_latest_reflections_and_what_it_was_shown_is_the_cause(store: SqlStore) -> None:
    name = lesson(store, "Ask for the port.")
    model = Scripted('{"operations": [{"type": "UPDATE", "id": "ID", "content": "Ask for the port and the host."}]}')
    assert proposed_by(store, HASHED, model, scope=ME) == Proposed() and not model.asked  # nothing to learn from yet
    told = Memory(scope=ME, kind="reflection", text="Mind the port and the host.", valid_from=2.0, recorded_at=2.0)
    store.append(told)
    found = proposed_by(store, HASHED, model, scope=ME)
    assert told.text in model.asked[0] and (found.shown, found.reflections) == ((name, told.id), (told.id,))
    made = curate(store, found.operations, scope=ME, by="model", shown=found.shown, grounds=found.reflections)
    (new,) = made.lessons
    assert standing(store)["Ask for the port."] == "merged"
    assert {n.id for n in store.effects(told.id, scope=ME)} >= {new, *made.deltas}


def test_what_was_written_of_a_forgotten_answer_goes_with_it(tmp_path: Path) -> None:
    with Learner(tmp_path) as me:
        asked = Interaction(
            scope=me.scope, messages=(Message(role="user", content="What is Ada's pin?"),), answer="1", stamp=Stamp(base="b")
        )  # fmt: skip
        told = Memory(
            scope=me.scope,
            kind="reflection",
            text="Ada's pin is 993177025.",
            source="reflect",
            valid_from=1.0,
            causes=(asked.id,),
        )
        me.store.append_all([asked, told])
        old = Memory(scope=me.scope, kind="lesson", text="Ask Ada.", valid_from=1.0)
        me.store.append(old)
        asks = [
            Operation(type="ADD", content="Say 993177025 when asked for the pin."),
            Operation(type="UPDATE", ids=(old.id,), content="Ask Ada, or say 993177025."),
        ]
        made = curate(me.store, asks, scope=me.scope, shown=(told.id,), grounds=(told.id,))
        receipt = me.forget(asked.id)
        assert {*made.lessons, told.id} <= {*receipt.removed}
        assert [lesson.memory.text for lesson in me.text.lessons()] == ["Ask Ada."]
        assert b"993177025" not in b"".join(f.read_bytes() for f in tmp_path.rglob("*.db*"))


def test_the_users_own_tasks_judge_what_the_model_answers_with_it(tmp_path: Path) -> None:
    with Learner(tmp_path) as me:
        for name, code in GATES.items():
            asked = f"What is the gate code of the {name} barn?"
            me.store.append(Task(scope=me.scope, question=asked, answer=str(code)))
        good = me.text.curate([Operation(type="ADD", content=text) for text in TOLD.values()], wait=True)
        assert (good.decision, good.waits) == ("promote", False), good
        assert len(good.mended) >= 5 and not good.broke and "p = " in good.reason
        assert len(me.text.lessons()) == len(GATES)
        bad = me.text.curate([Operation(type="RETIRE", ids=(name,)) for name in good.lessons])
        assert (bad.decision, bad.deltas) == ("reject", []), bad
        assert set(bad.broke) == set(good.mended)
        assert len(me.text.lessons()) == len(GATES)  # nothing has changed
        other = [Operation(type="ADD", content="The office closes at five.")]
        assert me.text.curate(other, wait=True).waits
        assert [m.text for m in me.text.waiting()] == ["The office closes at five."]
        assert me.text.curate(other).decision == "hold"
        assert len(me.text.lessons()) == len(GATES) + 1
