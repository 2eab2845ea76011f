"""Texts are merged by whole sentences, and what would lose a detail is refused."""

from __future__ import annotations

import pytest

from engrain.memory.merging import conditions, covers, details, lost, united

KILN = "When the kiln is over 900 degrees, first close the flap and then wait 20 minutes."


def test_details_are_numbers_codes_names_and_what_is_quoted_in_order() -> None:
    text = "Call `apis.show_doc` and ask Petra for page_index 3, then write 'done' to /tmp/log at 8:30, twice."
    assert details(text) == ["apis.show_doc", "petra", "page_index", "3", "done", "tmp/log", "8:30"]
    assert conditions(KILN) == {"when", "first", "then"}


@pytest.mark.parametrize(("shorter", "missing"), [
    ("When the kiln is over 900 degrees, first close the flap, then wait.", ["20"]),
    ("First close the flap of the kiln at 900 degrees and then wait 20 minutes.", ["when"]),
    ("First wait 20 minutes when the kiln is over 900 degrees, then close the flap.", ["the order of 900, 20"]),
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
])  # fmt: skip
def test_what_differs_in_what_matters_is_never_taken_for_the_same(one: str, two: str) -> None:
    assert not covers(one, two) and not covers(two, one)
    both = united(one, two, longest=500)
    assert both is None or (one in both and two in both)


def test_what_contradicts_is_not_made_one() -> None:
    assert united("Always retry the upload.", "Never retry the upload.", longest=500) is None


def test_a_name_is_not_excused_by_a_small_word() -> None:
    assert lost(["Ask Will before a restart."], "You will ask before a restart.") == ["will"]
    assert lost(["Mint tea is dear to Anna."], "Anna is fond of mint tea.") == []
