"""Where each memory stands follows from the others alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import ScopeError
from engrain.memory.history import active, as_of, derive, holding
from engrain.records import Delta, Memory, Operator, Scope

ME = Scope(user="me")


def memory(
    id: str,
    text: str,
    at: float,
    *,
    valid: float | None = None,
    supersedes: tuple[str, ...] = (),
    retracts: tuple[str, ...] = (),
) -> Memory:
    return Memory(
        id=id,
        scope=ME,
        text=text,
        valid_from=at if valid is None else valid,
        recorded_at=at,
        supersedes=supersedes,
        retracts=retracts,
    )


def states(history: Sequence[Memory | Delta]) -> dict[str, str]:
    return {key: standing.state for key, standing in derive(history).items()}


CODE = "The gate code is "


def test_a_new_value_supersedes_and_says_until_when_and_by_whom() -> None:
    standing = derive([memory("a", CODE + "4417", 1), memory("b", CODE + "5521", 2)])["a"]
    assert (standing.state, standing.until, standing.by) == ("superseded", 2, "b")


def test_a_repetition_confirms_the_first() -> None:
    result = derive(
        [memory("a", CODE + "4417.", 1), memory("b", "4417 is the gate code", 2), memory("c", CODE + "4417", 3)]
    )
    assert (result["a"].state, result["a"].confirmations) == ("active", 2)
    assert (result["b"].state, result["b"].by) == ("merged", "a")


@pytest.mark.parametrize(("one", "two"), [
    ("Keep the vat at -5 degrees.", "Keep the vat at 5 degrees."), ("Use >= 3 workers.", "Use <= 3 workers."), ("Set x > 5.", "Set x < 5."),
    ("Pass -v to grep.", "Pass -V to grep."), ("Status: \u2705", "Status: \u274c"), ("\U0001f534", "!!!"),
])  # fmt: skip
def test_what_differs_in_a_sign_alone_is_no_repetition(one: str, two: str) -> None:
    assert states([memory("a", one, 1), memory("b", two, 2)]) == {"a": "active", "b": "active"}


def test_a_dash_or_a_bullet_makes_no_other_note() -> None:
    for one, two in (
        ("Mix \u2013 then wait.", "- Mix - then wait"),
        ("\u2022 Mix then wait!", "Mix then wait."),
        ("Say \u201cyes\u201d", 'Say "yes"'),
    ):
        assert states([memory("a", one, 1), memory("b", two, 2)]) == {"a": "active", "b": "merged"}


def test_a_value_that_comes_back_is_active_again() -> None:
    notes = [memory("a", CODE + "4417", 1), memory("b", CODE + "5521", 2), memory("c", CODE + "4417", 3)]
    assert states(notes) == {"a": "superseded", "b": "superseded", "c": "active"}


def test_repetitions_fall_with_the_note_they_repeat() -> None:
    notes = [memory("a", CODE + "4417", 1), memory("b", CODE + "4417", 2), memory("c", CODE + "5521", 3)]
    assert states(notes) == {"a": "superseded", "b": "superseded", "c": "active"}


def test_a_note_about_the_past_recorded_later_does_not_supersede_the_present_one() -> None:
    result = derive([memory("now", CODE + "5521", 10), memory("past", CODE + "4417", 11, valid=2)])
    assert result["now"].state == "active"
    assert (result["past"].state, result["past"].until) == ("superseded", 10)


def test_explicit_supersession_counts_where_the_words_say_nothing() -> None:
    notes = [memory("a", "Anna likes tea", 1), memory("b", "Anna went off tea", 2, supersedes=("a",))]
    assert states(notes) == {"a": "superseded", "b": "active"}


def test_a_superseding_note_does_not_spare_the_one_before_it() -> None:
    notes = [
        memory("a", CODE + "1", 1),
        memory("b", CODE + "2", 2),
        memory("c", "Ask Anna for the code", 3, supersedes=("b",)),
    ]
    assert states(notes) == {"a": "superseded", "b": "superseded", "c": "active"}


def test_a_retracted_memory_is_wrong_and_not_old() -> None:
    notes = [memory("a", CODE + "4417", 1), memory("b", CODE + "5521", 2), memory("c", "", 3, retracts=("b",))]
    assert states(notes) == {"a": "active", "b": "retracted", "c": "retraction"}


def test_a_retraction_reaches_what_said_the_same_before_and_nothing_said_after() -> None:
    notes = [
        memory("a", CODE + "4417", 1),
        memory("b", "4417 is the gate code", 2),
        memory("c", "", 3, retracts=("b",)),
        memory("d", CODE + "4417", 4),
    ]
    assert states(notes) == {"a": "retracted", "b": "retracted", "c": "retraction", "d": "active"}


def test_retracting_a_retraction_undoes_it() -> None:
    notes = [memory("a", CODE + "4417", 1), memory("b", "", 2, retracts=("a",)), memory("c", "", 3, retracts=("b",))]
    assert states(notes)["a"] == "active"


def test_a_correction_retracts_and_tells_the_right_value() -> None:
    notes = [memory("a", CODE + "4417", 1), memory("b", CODE + "5521", 2, retracts=("a",))]
    assert states(notes) == {"a": "retracted", "b": "active"}


def test_what_was_known_and_what_was_true_are_two_questions() -> None:
    notes = [memory("a", CODE + "1", 10), memory("b", CODE + "2", 20), memory("late", CODE + "3", 30, valid=15)]

    def ids(**when: float) -> list[str]:
        return [m.id for m in as_of(notes, **when)]

    assert ids() == ["b"]
    assert ids(valid_at=12) == ["a"]
    assert ids(valid_at=16) == ["late"]
    assert ids(valid_at=16, recorded_at=25) == ["a"]
    assert ids(valid_at=5) == []
    assert ids(recorded_at=15) == ["a"]


def test_denying_a_value_ends_that_value_only() -> None:
    notes = [memory("a", "The ladder is in the shed", 1), memory("b", "The ladder is no longer in the garage", 2)]
    assert states(notes) == {"a": "active", "b": "active"}
    notes.append(memory("c", "The ladder is no longer in the shed", 3))
    assert states(notes)["a"] == "superseded"
    notes.append(memory("d", "The ladder is in the shed", 4))
    assert states(notes)["c"] == "superseded"


def test_memories_of_two_scopes_are_refused() -> None:
    with pytest.raises(ScopeError, match="2 scopes"):
        derive([memory("a", "x", 1), replace(memory("b", "y", 2), scope=Scope(user="other"))])


def delta(id: str, operator: Operator, *targets: str, at: float = 99, into: str = "") -> Delta:
    return Delta(id=id, scope=ME, recorded_at=at, operator=operator, targets=targets, into=into, reason="test")


def test_what_is_archived_is_shown_no_more_and_said_again_it_is_news() -> None:
    told = [memory("a", CODE + "1", 1), memory("tea", "Anna likes tea", 2)]
    archived = [*told, delta("d", "archive", "tea")]
    assert states(archived) == {"a": "active", "tea": "archived"}
    assert derive(archived)["tea"].by == "d"
    assert set(holding(archived)) == {"a", "tea"}  # not wrong: what the weights hold of it stands
    assert [m.id for m in as_of(archived, valid_at=5)] == ["a", "tea"]
    assert states([*archived, memory("again", "anna likes tea.", 100)]) == {
        "a": "active",
        "tea": "archived",
        "again": "active",
    }
    assert states([*archived, delta("u", "undo", "d")])["tea"] == "active"
    assert states([*archived, delta("u", "undo", "d"), delta("v", "undo", "u")])["tea"] == "archived"
    assert states([*told, delta("d", "archive", "a"), memory("b", CODE + "2", 100)])["a"] == "superseded"


def test_what_is_merged_is_said_by_the_other_and_comes_back_without_it() -> None:
    told = [
        memory("a", "Anna likes tea", 1),
        memory("b", "Tea is what Anna likes", 2),
        memory("c", "Anna is fond of tea", 3),
    ]
    merged = [*told, delta("d", "merge", "b", into="a"), delta("e", "merge", "c", into="b")]
    assert states(merged) == {"a": "active", "b": "merged", "c": "merged"}
    assert derive(merged)["c"].by == "a" and set(holding(merged)) == {"a", "b", "c"}
    assert [m.id for m in as_of(merged, valid_at=5)] == ["a"]
    assert states([*merged, delta("u", "undo", "e")])["c"] == "active"
    assert states([r for r in merged if r.id != "a"]) == {"b": "active", "c": "merged"}  # a was forgotten
    round_ = [*told, delta("d", "merge", "a", into="b"), delta("e", "merge", "b", into="a")]
    assert "active" in states(round_).values()


def test_what_is_proposed_ends_nothing_until_it_is_accepted() -> None:
    told = [memory("a", CODE + "1", 1), replace(memory("b", CODE + "2", 2, retracts=("a",)), proposed=True)]
    assert states(told) == {"a": "active", "b": "proposed"}
    accepted = [*told, delta("d", "accept", "b")]
    assert states(accepted) == {"a": "retracted", "b": "active"}
    assert states([*accepted, delta("u", "undo", "d")]) == {"a": "active", "b": "proposed"}
    assert [m.id for m in as_of(accepted, recorded_at=50)] == ["a"]


def test_what_was_merged_or_archived_still_ends_what_it_ended_and_not_its_equal() -> None:
    told = [memory("a", CODE + "1", 1), memory("b", CODE + "2", 2), memory("c", "Since May the gate opens with 2", 3)]
    assert states([*told, delta("d", "merge", "b", into="c")]) == {"a": "superseded", "b": "merged", "c": "active"}
    twice = [memory("a", CODE + "1", 1), memory("b", CODE + "1", 2)]
    assert states([*twice, delta("d", "archive", "b")]) == {"a": "active", "b": "archived"}


def test_what_was_merged_holds_as_long_as_what_stands_for_it() -> None:
    told = [
        memory("a", "The gate opens with 1", 1),
        memory("b", CODE + "1", 2),
        delta("d", "merge", "a", into="b", at=3),
    ]
    assert set(holding(told)) == {"a", "b"}
    assert set(holding([*told, memory("c", CODE + "2", 9)])) == {"c"}


def test_a_proposal_can_be_turned_down() -> None:
    told = [replace(memory("a", CODE + "1", 1), proposed=True), delta("d", "archive", "a")]
    assert states(told) == {"a": "archived"} and holding(told) == {}


TEXTS = [
    CODE + "1",
    CODE + "2",
    "2 is the gate code",
    "Now the gate code is 3",
    "The gate code is no longer 1",
    "Anna likes tea",
    "The key is in the shed",
    "The key is now under the mat",
    "",
    "When the bell rings, open the door",
]


@st.composite
def histories(draw: st.DrawFn) -> list[Memory]:
    size = draw(st.integers(1, 9))
    links = st.lists(st.integers(0, size - 1), max_size=2).map(lambda places: tuple(f"m{p}" for p in places))
    return [
        memory(
            f"m{i}",
            draw(st.sampled_from(TEXTS)),
            float(i),
            valid=float(draw(st.integers(0, 4))),
            supersedes=draw(links),
            retracts=draw(links),
        )
        for i in range(size)
    ]


@given(histories(), st.data())
def test_taking_one_out_gives_the_history_in_which_it_never_was(history: list[Memory], data: st.DataObject) -> None:
    derive(history)  # leaves no trace behind
    gone = data.draw(st.sampled_from(history))
    without = [m for m in history if m.id != gone.id]
    # A history that never had it: other ids, and no link to it.
    renamed = {m.id: f"n{i}" for i, m in enumerate(without)}

    def links(ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(renamed[i] for i in ids if i in renamed)

    never = [replace(m, id=renamed[m.id], supersedes=links(m.supersedes), retracts=links(m.retracts)) for m in without]
    left, other = derive(without), derive(never)
    for old_id, new_id in renamed.items():
        a, b = left[old_id], other[new_id]
        assert (a.state, a.until, a.confirmations) == (b.state, b.until, b.confirmations)
        assert renamed.get(a.by, "") == b.by


@given(histories())
def test_every_memory_has_a_standing_and_no_value_stands_twice(history: list[Memory]) -> None:
    result = derive(history)
    assert list(result) == [m.id for m in history]
    held = [m.text for m in active(history)]
    assert len(held) == len(set(held))
    for standing in result.values():
        assert (standing.until is not None) == (standing.state in ("superseded", "merged"))
        if standing.state == "merged":
            assert result[standing.by].state == "active"
        assert standing.by != standing.memory.id


def test_what_was_told_with_its_key_is_ended_by_another_value_however_both_are_worded() -> None:
    def told(text: str, at: float, thing: str = "North  barn", attribute: str = "gate code") -> Memory:
        key = (("entity", thing), ("attribute", attribute))
        return Memory(scope=ME, text=text, valid_from=at, recorded_at=at, attributes=key)

    first, other, again, last = (
        told("The gate code of the north barn is 4417.", 1.0), told("Ada has the key.", 2.0, attribute="key"),
        told("the gate code of the north barn is 4417", 3.0), told("They changed it: 5521 opens it now.", 4.0, thing="the north barn".removeprefix("the ")),
    )  # fmt: skip
    standings = derive([first, other, again, last])
    assert [standings[m.id].state for m in (first, other, again, last)] == [
        "superseded",
        "active",
        "superseded",
        "active",
    ]
    assert [m.text for m in as_of([first, other, again, last], valid_at=3.5)] == [first.text, other.text, again.text]
    assert [m.text for m in as_of([first, other, again, last], recorded_at=3.5)] == [first.text, other.text]


def test_a_key_and_a_plain_sentence_about_the_same_end_each_other() -> None:
    def told(text: str, at: float, *, keyed: bool = False) -> Memory:
        key = (("entity", "north barn"), ("attribute", "gate code")) if keyed else ()
        return Memory(scope=ME, text=text, valid_from=at, recorded_at=at, attributes=key)

    plain, keyed, last = told("The gate code of the north barn is 4417.", 1.0), told("They changed it: 5521 opens it now.", 2.0, keyed=True), told("The north barn's gate code is 9999.", 3.0)  # fmt: skip
    assert [s.state for s in derive([plain, keyed, last]).values()] == ["superseded", "superseded", "active"]
