"""The right answer word for word, or the right number within a tolerance."""

from __future__ import annotations

import math

import pytest
from answers import answered
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import InputError
from engrain.signals import Exact, Numeric, match

ASKED = "What is the gate code?"


@pytest.mark.parametrize(
    ("answer", "score"),
    [("4417", 1.0), (" “4417”. ", 1.0), ("4417.", 1.0), ("The code is 4417", 0.0), ("", 0.0), ("４４１７", 1.0), ("5521", 0.0)],
)  # fmt: skip
def test_an_answer_is_the_right_one_but_for_case_spaces_and_quotes(answer: str, score: float) -> None:
    assert Exact(name="m", answers={" what is the GATE code?": "4417"}).verify(answered(answer)).score == score


def test_with_form_every_sign_counts() -> None:
    strict = Exact(name="m", answers={ASKED: "Yes, Captain."}, form=True)
    assert strict.verify(answered("Yes, Captain.")).score == 1.0
    assert strict.verify(answered("yes, captain")).score == 0.0


def test_of_two_questions_that_are_one_the_first_holds_and_each_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Exact(name="m", answers={ASKED: "4417"} | {f"{ASKED}{' ' * n}": str(n) for n in range(1, 9)})
    read: list[str] = []
    bare = match._bare
    monkeypatch.setattr(match, "_bare", lambda text: (read.append(text), bare(text))[1])
    assert check.verify(answered("4417")).score == 1.0
    assert len(read) == 3, "the question, what is right and what was said"


def test_a_question_without_a_known_answer_cannot_be_told() -> None:
    for verifier in (Exact(name="m", answers={}), Numeric(name="n", answers={"What is the time?": 4})):
        assert verifier.verify(answered("4417")).score is None


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("About 43.2.", 1.0), ("It is 43.25 kg", 1.0), ("43.2kg", 1.0), ("43.4", 0.0), ("-43.2", 0.0), ("\u221243.2", 0.0), ("4.32e1", 1.0),
        ("I don't know", 0.0), ("43.2, which is 43.2", 1.0), ("18 % of 240 is 43.2", None), ("1.234,5", None), ("", 0.0), ("nan", 0.0), ("inf", 0.0),
    ],
)  # fmt: skip
def test_the_one_number_is_compared_within_the_tolerance(answer: str, score: float | None) -> None:
    assert Numeric(name="n", answers={ASKED: 43.2}, absolute=0.1).verify(answered(answer)).score == score


def test_thousands_are_read_and_the_tolerance_may_be_a_share() -> None:
    check = Numeric(name="n", answers={ASKED: 1_234_567.0}, relative=0.01)
    assert check.verify(answered("$1,234,567.00")).score == 1.0
    assert check.verify(answered("1,240,000")).score == 1.0
    assert check.verify(answered("1,250,000")).score == 0.0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_that_python_writes_is_read_back(number: float) -> None:
    assert Numeric(name="n", answers={ASKED: number}).verify(answered(f"It is {number!r}.")).score == 1.0


@given(st.text())
def test_no_answer_breaks_it(answer: str) -> None:
    assert Numeric(name="n", answers={ASKED: 1.0}).verify(answered(answer)).score in (0.0, 1.0, None)
    assert Exact(name="m", answers={ASKED: answer}).verify(answered(answer)).score == 1.0


def test_a_tolerance_or_an_answer_that_is_no_number_is_refused() -> None:
    for wrong in (
        {"absolute": -1.0},
        {"relative": math.inf},
        {"answers": {ASKED: math.nan}},
        {"answers": {ASKED: 10**400}},
    ):
        with pytest.raises(InputError, match="finite number"):
            Numeric(**({"name": "n", "answers": {}} | wrong))  # type: ignore[arg-type]
