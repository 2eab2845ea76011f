"""Changes of the playbook: worked out, refused where something would be lost, and held against the user's own tasks by the model that ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engrain.errors import Conflict, FormatError
from engrain.learner import Learner
from engrain.loops import curate as loop
from engrain.loops.curate import Operation, curate, operations, proposed_by
from engrain.memory import HashedEmbedder
from engrain.memory.history import derive
from engrain.memory.worth import Worth, worths
from engrain.protocols import Completion, Conversation
from engrain.records import Memory, Scope, Task
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
        HASHED,
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
        "Restart the broker after 3 failures.": "superseded",
        "Always answer in French.": "archived",
        "Check the disk before a backup.": "active",
        "Restart the broker after 3 failures, and say so.": "active",
        "Ask for the port and the host before you write the config.": "active",
    }
    new = [store.get(name, scope=ME) for name in made.lessons]
    assert [m.attribute("section") for m in new if isinstance(m, Memory)] == ["backups", "", ""]
    from engrain.loops.change import change

    for delta in reversed(made.deltas):
        change(store, "undo", delta, scope=ME, reason="as it was")
    assert [state for text, state in standing(store).items()] == ["active"] * 4 + ["proposed"] * 3


def test_a_tag_counts(store: SqlStore) -> None:
    name = lesson(store, "Ask for the port.")
    curate(store, HASHED, [Operation(type="TAG", ids=(name,), value="harmful")], scope=ME)
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
    ],
)  # fmt: skip
def test_what_would_lose_something_or_names_nothing_is_refused_with_its_reason(
    store: SqlStore, operation: Operation, why: str
) -> None:
    names = [
        lesson(store, "Restart the broker after 3 failures."),
        lesson(store, "Do not restart it unless it is quiet."),
    ]
    asked = Operation(**{**_fields(operation), "ids": tuple(name.format(*names) for name in operation.ids)})
    before = standing(store)
    made = curate(store, HASHED, [asked], scope=ME)
    assert len(made.refused) == 1 and not made.lessons and not made.deltas
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(made.refused[0])
    assert standing(store) == before


def _fields(operation: Operation) -> dict[str, Any]:
    return {name: getattr(operation, name) for name in Operation.__dataclass_fields__}


def test_of_two_operations_on_one_lesson_the_second_is_refused(store: SqlStore) -> None:
    name = lesson(store, "Ask for the port.")
    twice = [Operation(type="RETIRE", ids=(name,)), Operation(type="UPDATE", ids=(name,), content="Ask for the port.")]
    made = curate(store, HASHED, twice, scope=ME)
    assert len(made.deltas) == 1 and "another operation already" in made.refused[0]


def test_operations_are_read_from_what_a_model_writes() -> None:
    told = {"operations": [{"type": "add", "content": " Ask\nfirst. ", "id": None}, {"type": "RETIRE", "id": "mem_1"}]}
    for text in (json.dumps(told), f"Here they are:\n```json\n{json.dumps(told)}\n```", json.dumps(told["operations"])):
        assert operations(text) == [Operation(type="ADD", content="Ask first."), Operation(type="RETIRE", ids=("mem_1",))]  # fmt: skip
    for text in ("", "I would add a lesson.", "[" * 100_000, "7", '{"operations": {}}', '["ADD"]'):
        with pytest.raises(FormatError, match="has the form"):
            operations(text)


def test_a_lesson_that_changed_meanwhile_is_left_alone(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    name = lesson(store, "Ask for the port.")

    def meanwhile(*_: object) -> tuple[str, str]:
        from engrain.loops.change import change

        change(store, "archive", name, scope=ME, reason="somebody else was quicker")
        return "hold", "nothing is shown"

    monkeypatch.setattr(loop, "judge_words", meanwhile)
    with pytest.raises(Conflict, match="changed meanwhile"):
        curate(store, HASHED, [Operation(type="UPDATE", ids=(name,), content="Ask for the port twice.")], scope=ME)
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
    assert proposed_by(store, HASHED, model, scope=ME) == ([], [], 0) and not model.asked  # nothing to learn from yet
    told = Memory(scope=ME, kind="reflection", text="Mind the port and the host.", valid_from=2.0, recorded_at=2.0)
    store.append(told)
    proposed, causes, tokens = proposed_by(store, HASHED, model, scope=ME)
    assert told.text in model.asked[0] and (causes, tokens) == ([name, told.id], 10)
    made = curate(store, HASHED, proposed, scope=ME, by="model", causes=causes)
    (new,) = made.lessons
    assert standing(store)["Ask for the port."] == "superseded"
    assert {n.id for n in store.effects(told.id, scope=ME)} >= {new, *made.deltas}


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
