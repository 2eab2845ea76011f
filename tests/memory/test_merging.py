"""Texts are merged by whole sentences, and what would lose a detail is refused."""

from __future__ import annotations

import pytest

from engrain.memory.merging import contradict, covers, lost, united
from engrain.memory.steps import steps
from engrain.memory.tokens import conditions, details

KILN = "When the kiln is over 900 degrees, first close the flap and then wait 20 minutes."


def test_details_are_numbers_codes_names_and_what_is_quoted_in_order() -> None:
    text = "Call `apis.show_doc` and ask Petra for page_index 3, then write 'done' to /tmp/log at 8:30, twice."
    assert details(text) == ["apis.show_doc", "petra", "page_index", "3", "done", "tmp/log", "8:30"]
    assert conditions(KILN) == {"when", "over", "first", "then"}


@pytest.mark.parametrize(("shorter", "missing"), [
    ("When the kiln is over 900 degrees, first close the flap, then wait.", ["20", "minutes"]),
    ("First close the flap of the kiln at 900 degrees and then wait 20 minutes.", ["when", "over"]),
    (KILN + " Open a window.", []),
])  # fmt: skip
def test_what_a_shorter_text_leaves_out_is_named(shorter: str, missing: list[str]) -> None:
    assert lost([KILN], shorter) == missing


def test_a_text_covers_another_if_its_sentences_are_there_too() -> None:
    assert covers("Always close the flap of the kiln. Wait.", "always close a flap of the kiln!")
    assert covers("", "") and covers("Wait.", "") and not covers("", "Wait.")
    assert not covers("Always close the flap of the kiln.", "Always close the kiln flap!")
    assert not covers("Always close the flap of the kiln.", "Always close the heavy flap of the kiln.")
    assert not covers("Always close the flap of the kiln.", "Always sweep the yard.")
    assert not covers("Close the flap of the kiln.", "Never close the flap of the kiln.")


def test_two_become_one_by_whole_sentences_or_not_at_all() -> None:
    one, two = "Close the flap. Wear the gloves.", "Close the flap. Ask Ben if it sticks"
    assert united(one, two, longest=200).text == "Close the flap. Ask Ben if it sticks. Wear the gloves."
    assert united(one, two, longest=30) == ("", "together they would be longer than 30 characters")
    assert united(one, "Close the flap.", longest=5) == (one, "it says nothing more")
    assert united("Open it. Close it.", "Close it. Wait. Open it.", longest=200).reason.startswith("their steps")


def test_where_the_order_is_lost_it_is_told() -> None:
    turned = lost([KILN], "First wait 20 minutes when the kiln is over 900 degrees, then close the flap.")
    assert "then wait" in turned and any(m.startswith("the order of When the kiln") for m in turned)
    assert lost(["Anna pays Ben."], "Ben pays Anna.") == ["the order of the words of 'Anna pays Ben.'"]
    assert lost(["Set the timeout to 30, the retries to 5."], "Set the timeout to 5, the retries to 30.")[:2] == [
        "30 of set", "30 of timeout"
    ]  # fmt: skip
    assert not lost(["Set the timeout to 30, the retries to 5."], "Use 30 as the timeout, and 5 for retries.")


@pytest.mark.parametrize(("one", "two"), [
    ("Set the timeout to 30 and the retries to 5.", "Set the timeout to 5 and the retries to 30."),
    ("Set timeout 30 and retries 5.", "Set timeout 5 and retries 30."),
    ("Heat for 10 minutes at 200 degrees.", "Heat for 200 minutes at 10 degrees."),
    ("Port 8883 is for mqtt, port 8884 for tls.", "Port 8884 is for mqtt, port 8883 for tls."),
    ("Port 8883 is for mqtt, port 8884 for tls.", "Port 8883 is for tls, port 8884 for mqtt."),
    ("Keep it at -5 degrees.", "Keep it at 5 degrees."), ("Use >= 3 workers.", "Use <= 3 workers."), ("Use at least 3 workers.", "Use at most 3 workers."),
    ("Pay $5 a day.", "Pay €5 a day."), ("Write it in C++.", "Write it in C#."), ("It takes 3.5 hours.", "It takes 35 hours."),
    ("Ask Ben, not Petra.", "Ask Petra, not Ben."), ("Do not run migrations; run the tests.", "Do not run the tests; run migrations."),
    ("Never touch the lever; always push the button.", "Never push the button; always touch the lever."),
    ("Close the flap before you open the tap.", "Open the tap before you close the flap."), ("Wait until it is cold.", "Wait while it is cold."),
    ("Copy the backup from the vault to the laptop.", "Copy the backup from the laptop to the vault."),
    ("Wait 30 seconds before a retry.", "Wait 30 minutes before a retry."),
    ("Close the valve. Open the tap. Start the pump.", "Open the tap. Close the valve. Start the pump."),
    ("First close the flap, then open the tap.", "First open the tap, then close the flap."),
    ("Close the flap; open the tap.", "Open the tap; close the flap."), ("Open the tap. Wait. Close the flap.", "Open the tap. Close the flap. Wait."),
    ("Close the valve. Open the tap.", "You should open the tap. You should close the valve."),
    ("Install the driver, reboot, and run the test.", "Run the test, reboot, and install the driver."),
    ("Driver -> reboot -> test.", "Test -> reboot -> driver."), ("(a) open the tap (b) close the flap", "(a) close the flap (b) open the tap"),
    ("Open it with the red key. Close it with the blue key.", "Open it with the blue key. Close it with the red key."),
    ("Mix A with water. Mix B with oil.", "Mix A with oil. Mix B with water."), ("Anna pays Ben.", "Ben pays Anna."),
    ("Give the key to Ann and the code to Bob.", "Give the code to Ann and the key to Bob."), ("Use tabs instead of spaces.", "Use spaces instead of tabs."),
])  # fmt: skip
def test_what_differs_in_what_matters_is_never_taken_for_the_same(one: str, two: str) -> None:
    assert not covers(one, two) and not covers(two, one)
    both = united(one, two, longest=500).text
    assert not both or (one in both and two in both)
    assert lost([one], two) and lost([two], one)


@pytest.mark.parametrize(("one", "two"), [
    ("You should restart the server after a change.", "You shouldn't restart the server after a change."),
    ("Don’t delete the cache.", "Do delete the cache."), ("Always retry the upload.", "Never retry the upload."),
    ("Nobody may open the vault.", "You may open the vault."), ("Neither log in nor pay.", "Log in and pay."), ("None of the logs are kept.", "The logs are kept."),
    ("Öffne nicht die Tür.", "Öffne die Tür."), ("Não abra a porta.", "Abra a porta."), ("Не открывай дверь.", "Открывай дверь."),
    ("Do not open the door when the alarm rings.", "Open the door when the alarm does not ring."),
])  # fmt: skip
def test_what_denies_the_other_is_kept_apart(one: str, two: str) -> None:
    assert not covers(one, two) and not covers(two, one) and contradict(one, two) and contradict(two, one)
    assert united(one, two, longest=500) == ("", "they contradict each other")


@pytest.mark.parametrize(("one", "two"), [
    ("Alice approves the order.", "Bob approves the order."), ("You may open the door.", "You must open the door."), ("Take up to ten pills.", "Take ten pills."), ("Refuse to retry the upload.", "Retry the upload."),
    ("Ask Ben or Petra.", "Ask Ben and Petra."), ("Restart if the disk is full.", "Restart."), ("Delete everything but the logs.", "Delete everything and the logs."),
    ("Half of the tanks are full.", "The tanks are full."), ("Almost all files were copied.", "All files were copied."), ("Some users may log in.", "All users may log in."),
])  # fmt: skip
def test_what_binds_more_does_not_say_the_other(one: str, two: str) -> None:
    assert not covers(one, two) and not covers(two, one)


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
    ("Open the tap. It is red. Wait.", [["Open the tap. It is red", "Wait"]]), ("Open it. I saw that the tap was red. Wait.", [["Open it", "Wait"]]),
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
