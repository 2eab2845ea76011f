"""Counters act: they rank, prove and retire lessons by their bounds, and new ones are tried."""

from __future__ import annotations

from engrain.evaluation.statistics import wilson
from engrain.memory.playbook import Playbook, chosen, proved, retired, value
from engrain.memory.worth import Worth, outcome
from engrain.protocols import Judgement
from engrain.records import FeedbackKind, Memory, Scope


def lesson(name: str, text: str = "four words of advice", at: float = 0.0) -> Memory:
    return Memory(id=name, scope=Scope(), kind="lesson", text=text, valid_from=at, recorded_at=at)


def count(text: str) -> int:
    return len(text.split())


def said(kind: FeedbackKind, score: float | None, name: str = "rating") -> Judgement:
    return Judgement(memory="m", interaction="i", kind=kind, name=name, score=score)


def test_one_answer_is_good_by_the_first_word_of_the_user_then_the_worst_verifier_then_conduct() -> None:
    assert (
        outcome([said("implicit", 0.0), said("automated", 0.0), said("explicit", 1.0), said("explicit", 0.0)]) is True
    )
    assert outcome([said("explicit", None, "correction"), said("explicit", 1.0)]) is False
    assert outcome([said("implicit", 1.0), said("automated", 1.0), said("automated", 0.4)]) is False
    assert outcome([said("implicit", 1.0), said("automated", None)]) is True
    assert outcome([said("explicit", None, "comment")]) is None and outcome([]) is None


def test_what_proved_good_is_shown_before_what_proved_bad_and_a_new_one_between() -> None:
    fitting = [(lesson(name), 0.9) for name in ("bad", "new", "good")]
    worths = {"bad": Worth(helpful=1, harmful=9), "good": Worth(helpful=19, harmful=1), "new": Worth(harmful=1)}
    order = chosen(fitting, worths, wilson, count)
    assert [m.id for m in order] == ["good", "new"]  # and not the one that does harm
    assert [m.id for m in chosen(fitting, worths, wilson, count, settings=Playbook(tokens=5))] == ["good"]
    assert value(Worth(harmful=4), wilson, tried=5) == 0.5  # too early to tell


def test_a_lesson_is_retired_only_if_even_its_upper_bound_says_so() -> None:
    lessons = [lesson(name) for name in ("once", "often", "fine")]
    worths = {"once": Worth(harmful=1), "often": Worth(helpful=1, harmful=9), "fine": Worth(helpful=5, harmful=5)}
    gone = retired(lessons, worths, wilson, count)
    assert list(gone) == ["often"] and gone["often"].startswith("helpful 1 of 10 times")
    assert (
        proved(lessons, {"fine": Worth(helpful=10)}, wilson)[0].id == "fine" and proved(lessons, worths, wilson) == []
    )


def test_beyond_the_budget_what_promises_least_goes_the_oldest_first() -> None:
    lessons = [lesson("old", at=1.0), lesson("new", at=2.0), lesson("good", at=0.0)]
    gone = retired(lessons, {"good": Worth(helpful=20)}, wilson, count, settings=Playbook(most_tokens=8))
    assert list(gone) == ["old"] and "12 tokens, 8 at most" in gone["old"]
