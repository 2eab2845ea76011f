"""What the model is shown, within a budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engrain.context.assemble import assemble
from engrain.prompts import add_context, render_notes
from engrain.records import Context, Memory, Message, Scope

DAY = 86_400.0


def note(text: str, day: int, *, id: str = "") -> Memory:
    return Memory(id=id or text, scope=Scope(), text=text, valid_from=day * DAY, recorded_at=day * DAY)


def words(text: str) -> int:
    return len(text.split())


STYLE = note("Answer in upper case.", 9)
TEA, CODE, VET = note("Anna likes tea.", 1), note("The gate code is 4417.", 2), note("Our vet is Ben.", 3)


def test_styles_come_first_and_notes_stand_oldest_first() -> None:
    context = assemble([(VET, 0.9), (TEA, 0.5), (CODE, 0.7)], 100, words, preferences=[STYLE])
    assert context.text == render_notes([STYLE.text, TEA.text, CODE.text, VET.text])
    assert context.memory_ids == (STYLE.id, TEA.id, CODE.id, VET.id)
    assert context.tokens == words(context.text)


def test_the_best_notes_get_the_budget() -> None:
    budget = words(render_notes([CODE.text, VET.text]))
    assert assemble([(TEA, 0.1), (VET, 0.9), (CODE, 0.7)], budget, words).memory_ids == (CODE.id, VET.id)


def test_a_note_too_long_for_the_budget_makes_way_for_a_shorter_one() -> None:
    long = note("word " * 50, 1)
    assert assemble([(long, 0.9), (TEA, 0.1)], 10, words).memory_ids == (TEA.id,)


def test_a_style_outranks_every_note_and_a_later_style_an_earlier_one() -> None:
    earlier = note("Call me Captain at all times.", 8)
    budget = words(render_notes([STYLE.text]))
    assert assemble([(TEA, 1.0)], budget, words, preferences=[earlier, STYLE]).memory_ids == (STYLE.id,)


def test_a_budget_too_small_for_anything_shows_nothing() -> None:
    assert assemble([(TEA, 0.9)], 2, words, preferences=[STYLE]) == Context()
    assert assemble([(TEA, 0.9)], -1, words) == assemble([], 100, words) == Context()


def test_dates_stand_only_where_two_notes_might_disagree() -> None:
    key = [note("The spare key is behind the clock.", 0), note("The spare key is with Keiko.", 31)]
    context = assemble([(m, 1.0) for m in (*key, TEA)], 100, words)
    assert context.text == render_notes(
        [
            "[1970-01-01] The spare key is behind the clock.",
            "Anna likes tea.",
            "[1970-02-01] The spare key is with Keiko.",
        ]
    )
    assert "[" not in assemble([(m, 1.0) for m in key], 100, words, dates=False).text
    assert assemble([(TEA, 1.0)], 100, words, dates=True).text == render_notes(["[1970-01-02] Anna likes tea."])
    assert "[" not in assemble([(TEA, 1.0), (note("Bob likes tea.", 5), 1.0)], 100, words).text


def test_the_same_memory_is_shown_once_and_on_one_line() -> None:
    twice = assemble([(TEA, 0.9), (TEA, 0.8), (STYLE, 0.5)], 100, words, preferences=[STYLE])
    assert twice.memory_ids == (STYLE.id, TEA.id)
    assert assemble([(note("one\n- two", 1), 1.0)], 100, words).text == render_notes(["one - two"])


@given(st.lists(st.tuples(st.text(max_size=30), st.floats(0, 1)), max_size=8), st.integers(-5, 60))
def test_the_budget_is_never_exceeded_and_the_order_of_arrival_does_not_matter(
    pairs: list[tuple[str, float]], budget: int
) -> None:
    recalled = [(note(text, i, id=f"m{i}"), round(score, 1) + i * 1e-6) for i, (text, score) in enumerate(pairs)]
    context = assemble(recalled, budget, len)
    assert context.tokens <= max(budget, 0)
    assert context == assemble(recalled[::-1], budget, len)


def test_the_context_joins_the_callers_own_system_message() -> None:
    user = Message(role="user", content="Hi")
    assert add_context("Notes:\n- x", [user]) == (Message(role="system", content="Notes:\n- x"), user)
    own = Message(role="system", content="Be kind.")
    assert add_context("Notes:\n- x", [own, user]) == (
        Message(role="system", content="Be kind.\n\nNotes:\n- x"),
        user,
    )
    assert add_context("", [own, user]) == (own, user)
