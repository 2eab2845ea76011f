"""The library's door on a tiny real model: conversations that fit the window, feedback of every kind, sources by any path."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engrain.errors import InputError, NotFound
from engrain.gateway.answer import Serving, cut_to_window
from engrain.learner import Learner
from engrain.memory import derive
from engrain.records import Example, Feedback, FeedbackKind, Interaction, Message, Task
from engrain.signals import Function

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a window of 512 tokens."""
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama")


def turns(count: int) -> list[Message]:
    said = [Message(role="system", content="Be kind.")]
    for n in range(count):
        said += [
            Message(role="user", content=f"This is what I say in turn {n}."),
            Message(role="assistant", content="Noted."),
        ]
    return [*said, Message(role="user", content="What did I say?")]


def test_a_short_conversation_is_answered_and_recorded_whole(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        said = me.chat(turns(1), conversation="c1", max_tokens=4)
        assert list(said.messages) == turns(1)
        assert said.conversation == "c1"


def test_of_a_long_conversation_the_latest_turns_that_fit_are_shown(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        whole = turns(40)
        said = me.chat(whole, max_tokens=4)
        kept = list(said.messages)
        assert kept[0] == whole[0] and kept[1].role == "user" and 3 < len(kept) < len(whole)
        assert kept[1:] == whole[-len(kept) + 1 :]
        assert said.usage.input_tokens + 4 <= me.engine.window


def test_a_message_far_beyond_the_window_is_refused_at_once_with_a_remedy(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Learner(tmp_path, base=base) as me:
        counted: list[int] = []
        count = me.engine.count_tokens
        monkeypatch.setattr(me.engine, "count_tokens", lambda text: counted.append(len(text)) or count(text))
        huge = "x" * (me.engine.most_characters + 1)
        with pytest.raises(InputError, match="shorten the message"):
            me.chat([*turns(2), Message(role="user", content=huge)])
        said = me.chat([Message(role="user", content=huge), *turns(2)[1:]], max_tokens=4)
        assert list(said.messages) == turns(2)[1:]
        assert max(counted) < 10_000
        assert list(me.store.select(Interaction, scope=me.scope)) == [said]


def test_an_answer_ends_where_it_is_told_and_leaves_room_in_a_small_window(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        assert me.chat("Hi", max_tokens=3).usage.output_tokens <= 3
        assert me.serving.max_tokens == 256
        assert cut_to_window(me.engine, me.serving).max_tokens == 128  # a quarter of the window
        for count in (0, 512):
            with pytest.raises(InputError, match="the model's window"):
                me.chat("Hi", max_tokens=count)
    with Learner(tmp_path, base=base, serving=Serving(max_tokens=7)) as me:
        assert cut_to_window(me.engine, me.serving).max_tokens == 7


def test_more_notes_than_a_small_window_holds_do_not_keep_it_from_answering(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        for n in range(30):
            me.tell(f"The code of gate number {n} is {n}{n}17, as far as anybody knows.")
        said = me.chat("What is the code of the gate?", max_tokens=4)
        assert said.context.memory_ids
        assert said.usage.input_tokens + 4 <= me.engine.window


@pytest.mark.parametrize("kind", ["explicit", "implicit", "automated"])
def test_feedback_says_who_judged(kind: FeedbackKind, base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        said = me.chat("Hi", max_tokens=1)
        (given,) = me.feedback(said.id, rating=1.0, kind=kind)
        assert me.store.get(given.id, scope=me.scope) == given
        assert given.kind == kind


def test_feedback_may_be_left_to_verifiers_beside_a_rating_of_ones_own(base: Path, tmp_path: Path) -> None:
    short = Function(name="short", check=lambda i: len(i.answer) < 10_000)
    with Learner(tmp_path, base=base) as me:
        said = me.chat("Hi", max_tokens=1)
        (found,) = me.feedback(said.id, verifiers=[short])
        assert (found.name, found.kind, found.score) == ("short", "automated", 1.0)
        assert [f.name for f in me.feedback(said.id, rating=1.0, verifiers=[short])] == ["short", "rating"]
        assert len(list(me.store.select(Feedback, scope=me.scope))) == 2


def test_what_the_next_message_says_of_an_answer_is_feedback_where_it_is_remembered(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        first = me.chat("What is the gate code?", conversation="a", max_tokens=1)
        me.chat("thanks!", conversation="a", max_tokens=1)
        assert not list(me.store.select(Feedback, scope=me.scope))
        second = me.chat("What is the gate code?", conversation="b", max_tokens=1)
        me.chat("No, that's wrong.", conversation="b", max_tokens=1, remember_it=True)
        assert [(f.interaction, f.name, f.kind) for f in me.store.select(Feedback, scope=me.scope)] == [
            (second.id, "corrected", "implicit")
        ]
        assert first.id != second.id


def test_a_correction_that_cannot_be_remembered_leaves_nothing(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        said = me.chat("Hi", max_tokens=1)
        for correction in ("???", "word " * 500):
            with pytest.raises(InputError):
                me.feedback(said.id, rating=0.0, correction=correction)
        assert list(me.store.select(Feedback, scope=me.scope)) == [] and me.memories() == []


def test_feedback_on_what_is_no_answer_is_refused_and_leaves_nothing(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        (told,) = me.tell("The gate code is 4417.")
        for given in ({"rating": 1.0}, {"correction": "5521"}):
            with pytest.raises(InputError, match=rf"{told.id} is a memory.*int_"):
                me.feedback(told.id, **given)  # type: ignore[arg-type]
        assert list(me.store.select(Feedback, scope=me.scope)) == [] and me.memories() == [told]


def test_an_answer_is_given_even_if_nothing_can_be_remembered_of_what_was_said(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Learner(tmp_path, base=base) as me:
        long = "The gate code is 4417. " * 48
        tokens = me.engine.count_tokens(long)
        assert 300 < tokens < 480  # fits for an answer of 8 tokens, not with what asks for notes
        said = me.chat(long, remember_it=True, memory=False, max_tokens=8)
        assert me.store.get(said.id, scope=me.scope) == said
    assert f"{said.id}: nothing was remembered" in caplog.text and "4417" not in caplog.text


def test_a_home_may_be_named_from_ones_own_folder(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with Learner("~/agent", base=base) as me:
        assert me.home == tmp_path / "agent"
    assert not (tmp_path / "~").exists()


def test_an_unknown_kind_of_feedback_is_refused(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me, pytest.raises(InputError, match="explicit, implicit, automated"):
        me.feedback("int_1", rating=1.0, kind="guessed")  # type: ignore[arg-type]


def test_a_source_is_forgotten_by_any_path_to_its_file(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("- The gate code is 4417.\n")
    (tmp_path / "chats.jsonl").write_text('{"role": "user", "content": "Hello!"}\n')
    monkeypatch.chdir(tmp_path)
    with Learner(tmp_path / "home", base=base) as me:
        me.tell(Path("notes"))
        me.tell(Path("chats.jsonl"))
        me.tell("The dog is called Biscuit.")
        monkeypatch.chdir(tmp_path / "notes")
        receipt = me.forget("source:a.md")
        assert receipt.asked == f"source:{tmp_path / 'notes' / 'a.md'}"
        assert list(me.store.select(Interaction, scope=me.scope)) != []
        me.forget("source:../chats.jsonl")
        assert list(me.store.select(Interaction, scope=me.scope)) == []
        assert [m.text for m in me.memories()] == ["The dog is called Biscuit."]
        me.forget("source:tell")
        assert me.memories() == []
        with pytest.raises(NotFound, match=r"nowhere\.md"):
            me.forget("source:nowhere.md")


def test_the_device_is_handed_on_to_the_model(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base, device="cpu") as me:
        assert me.engine.device == "cpu"
    with Learner(tmp_path, base=base, device="gpu") as me, pytest.raises(InputError, match="auto, cpu or cuda"):
        me.engine  # noqa: B018


def test_a_question_that_does_not_fit_the_window_is_not_kept(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        long = Example(query=(Message(role="user", content="Who? " * me.engine.window),), reference="Marta")
        with pytest.raises(InputError, match="exceed"):
            me.evaluate([long], keep=True)
        assert list(me.store.select(Task, scope=me.scope)) == []


def test_what_was_wrong_is_told_from_what_was_true_once(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        [wrong], [old] = me.tell("The gate code is 4417."), me.tell("The dog is called Biscuit.")
        asked = me.chat("What is the gate code?")
        me.feedback(asked.id, correction="The gate code is 5521.")
        me.tell("The dog is called Rex.")
        standings = derive(me.memories(all_states=True))
        assert standings[wrong.id].state == "retracted"
        assert standings[old.id].state == "superseded" and standings[old.id].until is not None


def test_what_held_on_a_day_can_be_asked_for(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        me.tell("[2026-03-02] The gate code is 4417.")
        me.tell("[2026-05-01] The gate code is 5521.")
        at = datetime(2026, 4, 1, tzinfo=UTC).timestamp()
        assert [m.text for m in me.memories(at=at)] == ["The gate code is 4417."]
        assert [m.text for m in me.memories()] == ["The gate code is 5521."]
        assert me.memories(at=0.0) == []


def test_what_is_forgotten_goes_also_where_the_model_cannot_be_opened(tmp_path: Path) -> None:
    with Learner(tmp_path / "home", base=tmp_path / "no-model") as me:
        (told,) = me.tell("The gate code is 4417.")
        agreed = me.preview(told.id)
        me.tell("The gate code is 4417.")
        with pytest.raises(InputError, match="look again"):
            me.forget(told.id, seen=agreed)
        assert len(me.memories(all_states=True)) == 2
        me.forget(told.id, seen=me.preview(told.id))
        assert me.memories(all_states=True) == []


def test_an_answer_in_the_users_style_is_right_if_it_holds_what_is_expected(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        said = me.engine.sample([[Message(role="user", content="Who?")]], max_tokens=64)[0].text
        word = next(w for w in said.split() if w.isalnum())
        item = Example(query=(Message(role="user", content="Who?"),), reference=word)
        assert not me.evaluate([item]).results[0].right
        me.tell("Call me Captain.")
        assert not me.evaluate([item]).results[0].right  # the style is not shown
        assert me.evaluate([item], with_context=True).results[0].right


def test_records_may_live_in_a_database_and_the_home_holds_the_rest(
    base: Path, tmp_path: Path, new_database: Callable[..., str]
) -> None:
    home, database = tmp_path / "home", new_database()
    with Learner(home, base=base, database=database) as me:
        me.tell("The gate code is 4417.")
    assert home.is_dir() and not (home / "engrain.db").exists()
    with Learner(home, base=base, database=database) as me:
        assert me.store.search_text("gate code", scope=me.scope) != []
