"""Texts are merged by whole sentences, and what would lose a detail is refused."""

from __future__ import annotations

import pytest

from engrain.memory.merging import conditions, contradict, covers, details, lost, steps, united

KILN = "When the kiln is over 900 degrees, first close the flap and then wait 20 minutes."


def test_details_are_numbers_codes_names_and_what_is_quoted_in_order() -> None:
    text = "Call `apis.show_doc` and ask Petra for page_index 3, then write 'done' to /tmp/log at 8:30, twice."
    assert details(text) == ["apis.show_doc", "petra", "page_index", "3", "done", "tmp/log", "8:30"]
    assert conditions(KILN) == {"when", "first", "then"}


@pytest.mark.parametrize(("shorter", "missing"), [
    ("When the kiln is over 900 degrees, first close the flap, then wait.", ["20"]),
    ("First close the flap of the kiln at 900 degrees and then wait 20 minutes.", ["when"]),
    ("First wait 20 minutes when the kiln is over 900 degrees, then close the flap.", ["the order of When the kiln is over 900 degrees, first close the flap, then wait 20 minutes"]),
    (KILN + " Open a window.", []),
])  # fmt: skip
def test_what_a_shorter_text_leaves_out_is_named(shorter: str, missing: list[str]) -> None:
    assert lost([KILN], shorter) == missing


def test_a_text_covers_another_if_its_telling_words_are_there_too() -> None:
    assert covers("Always close the flap of the kiln.", "Always close the kiln flap!")
    assert not covers("Always close the flap of the kiln.", "Always close the heavy flap of the kiln.")
    assert not covers("Always close the flap of the kiln.", "Always sweep the yard.")
    assert not covers("Close the flap of the kiln.", "Never close the flap of the kiln.")


def test_two_become_one_by_whole_sentences_or_not_at_all() -> None:
    one, two = "Close the flap. Wear the gloves.", "Close the flap. Ask Ben if it sticks"
    assert united(one, two, longest=200) == "Close the flap. Ask Ben if it sticks. Wear the gloves."
    assert united(one, two, longest=30) is None
    assert united(one, "Close the flap.", longest=5) == one


@pytest.mark.parametrize(("one", "two"), [
    ("Set the timeout to 30 and the retries to 5.", "Set the timeout to 5 and the retries to 30."),
    ("You should restart the server after a change.", "You shouldn't restart the server after a change."),
    ("Don’t delete the cache.", "Do delete the cache."), ("Always retry the upload.", "Never retry the upload."),
    ("Copy the backup from the vault to the laptop.", "Copy the backup from the laptop to the vault."),
    ("Wait 30 seconds before a retry.", "Wait 30 minutes before a retry."), ("Alice approves the order.", "Bob approves the order."),
    ("Close the valve. Open the tap. Start the pump.", "Open the tap. Close the valve. Start the pump."),
    ("First close the flap, then open the tap.", "First open the tap, then close the flap."),
    ("Close the flap; open the tap.", "Open the tap; close the flap."), ("Open the tap. Wait. Close the flap.", "Open the tap. Close the flap. Wait."),
])  # fmt: skip
def test_what_differs_in_what_matters_is_never_taken_for_the_same(one: str, two: str) -> None:
    assert not covers(one, two) and not covers(two, one)
    both = united(one, two, longest=500)
    assert both is None or (one in both and two in both)


def test_what_contradicts_is_not_made_one() -> None:
    assert united("Always retry the upload.", "Never retry the upload.", longest=500) is None


def test_what_both_say_does_not_set_them_against_each_other() -> None:
    cold, hot = "Take the cup from the shelf; do not heat it.", "Take the cup from the shelf; heat it."
    assert contradict(cold, hot)
    assert not contradict(f"{cold} {hot}", f"{cold} Wash the spoon.")


def test_what_is_lacking_counts_where_the_other_has_it() -> None:
    assert contradict("Take the cup from the shelf without heating it.", "Take the cup from the shelf, heating it.")
    assert not contradict("Take the cup from the shelf without heating it.", "Take the cup from the shelf.")
    assert not covers("Take the cup from the shelf.", "Take the cup from the shelf without heating it.")


@pytest.mark.parametrize(("text", "told"), [
    ("Close the valve. Open the tap.", [["Close the valve", "Open the tap"]]),
    ("First close the flap and then wait; afterwards call Ben.", [["First close the flap", "wait", "call Ben"]]),
    ("I took the cup, then left. Then I ate. I ran, then slept.", [["I took the cup", "left", "I ate"], ["I ran", "slept"]]),
    ("Open the tap. It is red. Wait.", [["Open the tap. It is red", "Wait"]]), ("Open it. The tap is red. Wait.", [["Open it", "Wait"]]),
    ("I was in a loop. I should have opened the drawer.", []), ("Wear gloves.", []), ("Never open it. Always close it.", []),
])  # fmt: skip
def test_steps_are_what_is_to_be_done_one_after_the_other(text: str, told: list[list[str]]) -> None:
    assert steps(text) == told


def test_steps_may_be_joined_or_have_others_between_them() -> None:
    told = "Close the flap. Open the tap. Call Ben."
    assert not lost([told], "Close the flap and open the tap. Wait 5 minutes. Call Ben.")
    assert not lost(["Close the flap. Close the door."], "Close the flap and the door.")
    twice = "Open tap 4. Press the button 3 times. Press the button 4 times."
    assert lost(
        [twice],
        "When it leaks, open tap 4, then press the button 3 times. If it leaks, open tap 4, then press the button 3 times.",
    )
    when = "When it leaks, open tap 4, then press the button 3 times, then call Ben."
    assert not lost([when.replace("When", "In case")], f"{when} In case it leaks, open tap 4.")
    assert lost([told], "Close the flap. Call Ben. Open the tap.") == [
        "the order of Close the flap, then Open the tap, then Call Ben"
    ]


def test_a_name_is_not_excused_by_a_small_word() -> None:
    assert lost(["Ask Will before a restart."], "You will ask before a restart.") == ["will"]
    assert lost(["Mint tea is dear to Anna."], "Anna is fond of mint tea.") == []
