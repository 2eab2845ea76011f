"""Remembering: notes, files and corrections become memory at once, with their source and their times."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engrain.engines.fake import FakeEngine
from engrain.errors import FormatError, InputError, NotFound, StoreError
from engrain.loops import remember
from engrain.loops.correct import correct
from engrain.memory import active, derive
from engrain.protocols import Completion, Conversation
from engrain.records import Adapter, Context, Feedback, Interaction, Memory, Message, Receipt, Scope, Stamp
from engrain.store import SqlStore, home_lock

SCOPE = Scope()
NO_ENGINE: Any = None


@pytest.fixture
def store(tmp_path: Path, database: str) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home", database=database)) as made:
        yield made


def texts(store: SqlStore) -> list[str]:
    return [m.text for m in active(list(store.select(Memory, scope=SCOPE)))]


def test_a_note_is_kept_as_it_stands(store: SqlStore) -> None:
    memory = remember.tell(store, "  The gate code of the north barn\n is 4417. ", scope=SCOPE)
    assert memory.text == "The gate code of the north barn is 4417."
    assert memory.source == "tell"
    assert store.get(memory.id, scope=SCOPE) == memory


def test_a_leading_date_becomes_valid_time_and_leaves_the_text(store: SqlStore) -> None:
    memory = remember.tell(store, "[2026-03-02] The gate code is 4417.", scope=SCOPE)
    assert memory.text == "The gate code is 4417."
    assert datetime.fromtimestamp(memory.valid_from, UTC).date().isoformat() == "2026-03-02"
    assert remember.tell(store, "[2026-99-99] stays.", scope=SCOPE).text == "[2026-99-99] stays."


@pytest.mark.parametrize("text", ["", "   ", "...", "x" * 3000])
def test_nothing_and_too_much_are_refused_with_the_remedy(store: SqlStore, text: str) -> None:
    with pytest.raises(InputError):
        remember.tell(store, text, scope=SCOPE)
    assert texts(store) == []


def test_a_new_value_of_the_same_thing_supersedes_the_old(store: SqlStore) -> None:
    remember.tell(store, "The gate code of the north barn is 4417.", scope=SCOPE)
    remember.tell(store, "The gate code of the north barn is now 5521.", scope=SCOPE)
    assert texts(store) == ["The gate code of the north barn is now 5521."]


def test_of_a_note_of_two_facts_each_can_change_by_itself(store: SqlStore) -> None:
    told = remember.tell_facts(
        store, "[2026-03-02] The gate code is 4417, and the pump is behind the shed.", scope=SCOPE
    )
    assert [m.text for m in told] == ["The gate code is 4417.", "The pump is behind the shed."]
    assert {datetime.fromtimestamp(m.valid_from, UTC).date().isoformat() for m in told} == {"2026-03-02"}
    remember.tell(store, "The gate code is now 5521.", scope=SCOPE)
    assert texts(store) == ["The pump is behind the shed.", "The gate code is now 5521."]


def test_what_is_said_later_is_newer_also_where_the_clock_went_back(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86400)
    remember.tell(store, "The gate code of the north barn is 1111.", scope=SCOPE)
    monkeypatch.setattr(time, "time", lambda: now)
    gate(tmp_path / "gate.md", "2222")
    remember.from_path(store, NO_ENGINE, tmp_path / "gate.md", scope=SCOPE)
    assert texts(store) == ["The gate code of the north barn is 2222."]
    last = remember.tell(store, "The gate code of the north barn is 3333.", scope=SCOPE)
    assert texts(store) == ["The gate code of the north barn is 3333."]
    right = correct(store, last.id, "The gate code of the north barn is 4444.", scope=SCOPE)
    assert texts(store) == ["The gate code of the north barn is 4444."] and right.recorded_at >= now + 86400


def test_what_a_file_says_no_more_was_true_until_now_unless_it_was_said_elsewhere(
    store: SqlStore, tmp_path: Path
) -> None:
    file, warned = tmp_path / "farm.md", list[str]()
    learn = functools.partial(remember.from_path, store, NO_ENGINE, file, scope=SCOPE, warn=warned.append)
    vet, dairy, hay = "The vet is Dr. Lund and she comes early.", "Anna and Ben run the dairy.", "Hay comes on Tuesday."
    file.write_text("".join(f"- {line}\n" for line in (vet, dairy, hay)))
    learn()
    remember.tell(store, hay, scope=SCOPE)
    file.write_text(f"- {dairy}\n- The vet is Dr. Horn and she comes early.\n")
    learn()
    assert texts(store) == [dairy, hay, "The vet is Dr. Horn and she comes early."]
    assert "no longer says 1 of the notes" in warned[0] and "Lund" not in warned[0]
    states = derive(list(store.select(Memory, scope=SCOPE)))
    assert [s.state for s in states.values() if s.memory.text == vet] == ["superseded"]
    file.write_text(f"- {dairy}\n- {vet}\n")  # and back
    learn()
    assert texts(store) == [dairy, hay, vet]
    assert learn() == ([], 1)


def test_a_correction_marks_what_it_corrects_wrong_and_not_old(store: SqlStore) -> None:
    wrong = remember.tell(store, "The gate code of the north barn is 4417.", scope=SCOPE)
    asked = Interaction(
        scope=SCOPE, messages=(Message(role="user", content="What is the gate code of the north barn?"),), answer="4417",
        stamp=Stamp(base="b"),
    )  # fmt: skip
    store.append(asked)
    feedback = Feedback(
        scope=SCOPE,
        interaction=asked.id,
        name="correction",
        text="The gate code of the north barn is 5521.",
        causes=(asked.id,),
    )
    store.append(feedback)
    memory = remember.correction_of(store, feedback)
    assert memory is not None
    store.append(memory)
    assert memory.retracts == (wrong.id,)
    assert set(memory.causes) == {feedback.id, asked.id}
    assert texts(store) == ["The gate code of the north barn is 5521."]


def corrected(
    store: SqlStore, question: str, answer: str, said: str, *, shown: Sequence[Memory] = (), adapter: str = ""
) -> Memory:
    """The memory that comes of correcting an answer."""
    asked = Interaction(
        scope=SCOPE, messages=(Message(role="user", content=question),), answer=answer,
        stamp=Stamp(base="b", adapter=adapter), context=Context(memory_ids=tuple(m.id for m in shown)),
    )  # fmt: skip
    feedback = Feedback(scope=SCOPE, interaction=asked.id, name="correction", text=said)
    store.append_all([asked, feedback])
    memory = remember.correction_of(store, feedback)
    assert memory is not None
    store.append(memory)
    return memory


def test_a_correction_marks_the_shown_note_wrong_that_gave_the_answer_whatever_its_verb(store: SqlStore) -> None:
    wrong = remember.tell(store, "Marta repairs the sails.", scope=SCOPE)
    other = remember.tell(store, "Marta feeds the goats.", scope=SCOPE)
    memory = corrected(store, "Who repairs the sails?", "Marta", "Hugo repairs the sails.", shown=[wrong, other])
    assert memory.retracts == (wrong.id,)
    assert texts(store) == ["Marta feeds the goats.", "Hugo repairs the sails."]


def test_a_note_that_was_not_shown_is_not_taken_for_the_source_of_an_answer(store: SqlStore) -> None:
    remember.tell(store, "Marta repairs the sails.", scope=SCOPE)
    assert corrected(store, "Who repairs the sails?", "Marta", "Hugo repairs the sails.").retracts == ()


def test_a_note_that_the_answering_version_had_learned_may_be_the_source_of_its_answer(store: SqlStore) -> None:
    wrong = remember.tell(store, "Marta repairs the sails.", scope=SCOPE)
    version = Adapter(id="a" * 64, scope=SCOPE, base="b", memory_ids=(wrong.id,), causes=(wrong.id,))
    store.append(version)
    memory = corrected(store, "Who repairs the sails?", "Marta", "Hugo repairs the sails.", adapter=version.id)
    assert memory.retracts == (wrong.id,)


def test_a_bare_value_is_remembered_as_a_sentence_that_can_be_read_later(store: SqlStore) -> None:
    wrong = remember.tell(store, "The gate code of the north barn is 4417.", scope=SCOPE)
    memory = corrected(store, "What is the gate code of the north barn?", "4417", "5521")
    assert memory.retracts == (wrong.id,)
    assert texts(store) == ["The gate code of the north barn is 5521."]
    corrected(store, "Which numbers open the office safe?", "6094", "6095")
    assert "Which numbers open the office safe? 6095." in texts(store)


def test_a_comment_changes_no_memory(store: SqlStore) -> None:
    comment = Feedback(scope=SCOPE, interaction="int_1", name="comment", text="nice")
    assert remember.correction_of(store, comment) is None


def test_a_folder_of_notes_is_learned_once(store: SqlStore, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("# Barn\n\n- The gate code is 4417.\n- Marta feeds the goats.\n")
    (notes / "b.txt").write_text("The vet comes on Friday.")
    (notes / "README.md").write_text("About this folder.")
    (notes / "picture.png").write_bytes(b"\x89PNG")
    said: list[str] = []
    found, files = remember.from_path(store, NO_ENGINE, notes, scope=SCOPE, warn=said.append)
    assert (len(found), files) == (3, 2)
    assert len(said) == 1 and "README.md was left out" in said[0]
    assert all(m.source.startswith("file:") for m in found)
    assert remember.from_path(store, NO_ENGINE, notes, scope=SCOPE)[0] == []


def gate(file: Path, *codes: str) -> None:
    file.write_text("".join(f"- The gate code of the north barn is {code}.\n" for code in codes))


def test_a_file_that_goes_back_to_an_earlier_value_is_learned_again(store: SqlStore, tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    for code in ("1111", "2222", "1111", "2222"):
        gate(file, code)
        assert len(remember.from_path(store, NO_ENGINE, file, scope=SCOPE)[0]) == 1
        assert texts(store) == [f"The gate code of the north barn is {code}."]
        assert remember.from_path(store, NO_ENGINE, file, scope=SCOPE)[0] == []


def test_what_was_said_or_corrected_elsewhere_is_not_undone_by_learning_a_file_again(
    store: SqlStore, tmp_path: Path
) -> None:
    file = tmp_path / "a.md"
    gate(file, "1111")
    remember.from_path(store, NO_ENGINE, file, scope=SCOPE)
    remember.tell(store, "The gate code of the north barn is 2222.", scope=SCOPE)
    assert remember.from_path(store, NO_ENGINE, file, scope=SCOPE)[0] == []
    corrected(store, "What is the gate code of the north barn?", "2222", "3333")
    assert remember.from_path(store, NO_ENGINE, file, scope=SCOPE)[0] == []
    assert texts(store) == ["The gate code of the north barn is 3333."]


def test_a_file_that_holds_two_values_is_learned_once(store: SqlStore, tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    gate(file, "1111", "2222")
    assert len(remember.from_path(store, NO_ENGINE, file, scope=SCOPE)[0]) == 2
    assert remember.from_path(store, NO_ENGINE, file, scope=SCOPE)[0] == []
    file.write_text("- [2026-01-01] The dog sleeps in the barn.\n- The gate code of the north barn is 2222.\n")
    remember.from_path(store, NO_ENGINE, file, scope=SCOPE)
    assert texts(store)[0] == "The gate code of the north barn is 2222."


def test_one_bad_file_does_not_stop_the_rest_of_a_folder(store: SqlStore, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("- The dog is called Biscuit.\n")
    (notes / "b.txt").write_bytes("Käse ist gut".encode("latin-1"))
    (notes / "c.md").write_text("- The cat is called Tom.\n")
    (notes / "d.jsonl").write_text("[1\n")
    said: list[str] = []
    with pytest.raises(FormatError, match=r"2 of 4 files .*b\.txt is not UTF-8.*d\.jsonl: line 1"):
        remember.from_path(store, NO_ENGINE, notes, scope=SCOPE, warn=said.append)
    assert texts(store) == ["The dog is called Biscuit.", "The cat is called Tom."]
    assert len(said) == 2 and "b.txt" in said[0] and "d.jsonl" in said[1]
    failed: list[FormatError] = []
    assert remember.from_path(store, NO_ENGINE, notes, scope=SCOPE, warn=said.append, failed=failed) == ([], 2)
    assert [str(error) for error in failed] == said[:2]


def test_a_source_is_the_same_wherever_its_path_is_typed_from(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes").mkdir()
    file = tmp_path / "notes" / "a.md"
    file.write_text("- The gate code is 4417.\n")
    (tmp_path / "link").symlink_to(tmp_path / "notes")
    monkeypatch.chdir(tmp_path)
    (memory,) = remember.from_path(store, NO_ENGINE, Path("notes"), scope=SCOPE)[0]
    assert memory.source == f"file:{file}"
    monkeypatch.chdir(tmp_path / "notes")
    for again in (Path(), Path("a.md"), Path("../notes/a.md"), Path("../link"), Path("../link/a.md"), file):
        assert remember.from_path(store, NO_ENGINE, again, scope=SCOPE) == ([], 1)


def test_what_begins_with_a_dot_is_passed_over(store: SqlStore, tmp_path: Path) -> None:
    for folder in (".venv", ".trash", "notes"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.md").write_text("- The gate code is 4417.\n")
    found, files = remember.from_path(store, NO_ENGINE, tmp_path, scope=SCOPE)
    assert (len(found), files) == (1, 1)


def test_a_file_of_questions_is_left_out_of_a_folder_and_refused_by_itself(store: SqlStore, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "What is the gate code?", "answer": "4417"}\n')
    (tmp_path / "a.md").write_text("- The vet comes on Friday.\n")
    said: list[str] = []
    found, files = remember.from_path(store, NO_ENGINE, tmp_path, scope=SCOPE, warn=said.append)
    assert ([m.text for m in found], files) == (["The vet comes on Friday."], 1)
    assert len(said) == 1 and f"{questions} holds questions" in said[0] and "4417" not in said[0]
    with pytest.raises(InputError, match=r"engrain eval .*questions\.jsonl"):
        remember.from_path(store, NO_ENGINE, questions, scope=SCOPE)


def test_a_bullet_that_is_only_a_date_holds_nothing_to_remember(store: SqlStore, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("- 2026-03-02:\n- The vet comes on Friday.\n")
    found, _ = remember.from_path(store, NO_ENGINE, tmp_path, scope=SCOPE)
    assert [m.text for m in found] == ["The vet comes on Friday."]


def test_a_file_that_was_forgotten_is_learned_again_only_with_a_word(store: SqlStore, tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("- The gate code is 4417.\n")
    store.append(Receipt(scope=SCOPE, asked=f"source:{file}", removed=("mem_1",)))
    said: list[str] = []
    assert len(remember.from_path(store, NO_ENGINE, tmp_path, scope=SCOPE, warn=said.append)[0]) == 1
    assert f"{file} was forgotten" in said[0]
    assert f"engrain forget source:{file}" in said[0]


def test_a_folder_that_cannot_be_read_is_an_error_and_not_skipped(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    (tmp_path / "a.md").write_text("- The gate code is 4417.\n")
    scandir = os.scandir

    def denied(path: str) -> Any:  # the tests may run as root, whom no mode stops
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(FormatError, match=r"locked cannot be read \(Permission denied\)"):
        remember.from_path(store, NO_ENGINE, tmp_path, scope=SCOPE)
    assert texts(store) == []


def test_bad_files_are_refused_by_name_with_the_remedy(store: SqlStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"does not exist"):
        remember.from_path(store, NO_ENGINE, tmp_path / "nowhere", scope=SCOPE)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"holds no notes"):
        remember.from_path(store, NO_ENGINE, empty, scope=SCOPE)
    binary = tmp_path / "x.md"
    binary.write_bytes(b"abc\x00def")
    with pytest.raises(FormatError, match=r"binary"):
        remember.from_path(store, NO_ENGINE, binary, scope=SCOPE)
    latin = tmp_path / "y.md"
    latin.write_bytes("Käse ist gut".encode("latin-1"))
    with pytest.raises(FormatError, match=r"UTF-8"):
        remember.from_path(store, NO_ENGINE, latin, scope=SCOPE)
    huge = tmp_path / "z.md"
    with huge.open("wb") as file:
        file.truncate(remember.LARGEST_FILE + 1)
    with pytest.raises(FormatError, match=r"split it"):
        remember.from_path(store, NO_ENGINE, huge, scope=SCOPE)
    chat = tmp_path / "c.jsonl"
    chat.write_text('{"messages": [}\n')
    with pytest.raises(FormatError, match=r"c\.jsonl: line 1 .*move the file"):
        remember.from_path(store, NO_ENGINE, chat, scope=SCOPE)
    assert texts(store) == []


class Extractor(FakeEngine):
    """Keeps the message itself as its note; has a window, and may be stopped at the n-th message."""

    def __init__(self, *, stop_at: int = 0) -> None:
        super().__init__()
        self.stop_at, self.asked = stop_at, 0

    def sample(
        self,
        prompts: Sequence[Conversation],
        *,
        adapter: str = "",
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Completion]:
        self.asked += 1
        if self.asked == self.stop_at:
            raise KeyboardInterrupt
        said = prompts[0][-1].content
        if len(said) > 4000:
            raise InputError(f"{len(said)} prompt tokens exceed the model's window")
        note = next(n for n in ("The dog is called Biscuit.", "The cat is called Tom.") if n in said)
        tokens = tuple(f"- {note}".encode())
        return [
            Completion(
                text=f"- {note}", token_ids=tokens, logprobs=(0.0,) * len(tokens), input_tokens=1, finish_reason="stop"
            )
        ]


def chat_file(folder: Path, *said: str) -> Path:
    file = folder / "chats.jsonl"
    file.write_text("".join(json.dumps({"messages": [{"role": "user", "content": s}]}) + "\n" for s in said))
    return file


def test_an_import_that_was_interrupted_loses_no_memory(store: SqlStore, tmp_path: Path) -> None:
    chats = chat_file(tmp_path, "The dog is called Biscuit.", "The cat is called Tom.")
    stopped = Extractor(stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        remember.from_path(store, lambda: stopped, chats, scope=SCOPE)
    assert texts(store) == ["The dog is called Biscuit."]
    assert [i.query for i in store.select(Interaction, scope=SCOPE)] == ["The dog is called Biscuit."]
    found, _ = remember.from_path(store, Extractor, chats, scope=SCOPE)
    assert [m.text for m in found] == ["The cat is called Tom."]


def test_a_chat_file_whose_conversations_moved_is_not_learned_twice(store: SqlStore, tmp_path: Path) -> None:
    dog, cat = "The dog is called Biscuit.", "The cat is called Tom."
    hello = {"role": "user", "content": "Hello, about Tom: The cat is called Tom."}

    def write(*conversations: list[str]) -> Path:
        file = tmp_path / "chats.jsonl"
        lines = [{"messages": [hello, *({"role": "user", "content": s} for s in said)]} for said in conversations]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return file

    remember.from_path(store, Extractor, write([dog]), scope=SCOPE)
    assert len(list(store.select(Interaction, scope=SCOPE))) == 2
    found, _ = remember.from_path(store, Extractor, write([cat], [dog]), scope=SCOPE)
    assert [m.text for m in found] == [cat, cat]  # the greeting and what follows it, of the new conversation alone
    assert remember.from_path(store, Extractor, write([dog], [cat]), scope=SCOPE)[0] == []
    by_name: dict[str, list[str]] = {}
    for i in store.select(Interaction, scope=SCOPE):
        by_name.setdefault(i.conversation, []).append(i.query)
    assert sorted(queries[1] for queries in by_name.values()) == [cat, dog]
    assert all(name.startswith(f"file:{tmp_path / 'chats.jsonl'}#") for name in by_name)


def test_a_turn_too_long_for_the_model_is_reported_by_file_and_place_and_the_rest_is_learned(
    store: SqlStore, tmp_path: Path
) -> None:
    chats = chat_file(tmp_path, "x " * 5000, "The cat is called Tom.")
    said: list[str] = []
    found, _ = remember.from_path(store, Extractor, chats, scope=SCOPE, warn=said.append)
    assert [m.text for m in found] == ["The cat is called Tom."]
    assert len(said) == 1 and "chats.jsonl, conversation 1, turn 1 was left out" in said[0]


def test_a_note_that_is_too_long_is_reported_by_file_and_not_by_its_words(store: SqlStore, tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text(f"- The vet comes on Friday.\n- The sail {'and the sail ' * 200}\n")
    said: list[str] = []
    found, _ = remember.from_path(store, NO_ENGINE, file, scope=SCOPE, warn=said.append)
    assert [m.text for m in found] == ["The vet comes on Friday."]
    assert len(said) == 1 and "a.md: 1 of 2 notes" in said[0] and "(note 2)" in said[0] and "sail" not in said[0]


def test_what_the_disk_refuses_is_an_error_with_a_remedy_and_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot be read .*make it readable"):
        remember.read_text(tmp_path)  # a folder: like a file without permission, which root would be given all the same
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"), home_lock(tmp_path / "file" / "home"):
        pass
