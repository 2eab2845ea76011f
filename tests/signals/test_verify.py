"""Verifiers run one beside another: what one does wrong is its own affair, and no score but a real one is recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from answers import answered
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import InputError
from engrain.protocols import Finding
from engrain.records import Interaction
from engrain.signals import Function
from engrain.signals.verify import LONGEST_REASON, findings


def test_each_finding_is_a_record_under_the_verifiers_name() -> None:
    about = answered("4417")
    checks = [Function(name="short", check=lambda i: len(i.answer) < 9), Function(name="half", check=lambda _: 0.5)]
    found = findings(checks, about, at=7.0)
    assert [(f.name, f.score, f.kind, f.created_at) for f in found] == [
        ("short", 1.0, "automated", 7.0), ("half", 0.5, "automated", 7.0),
    ]  # fmt: skip
    assert {f.interaction for f in found} == {about.id} and found[0].causes == (about.id,)
    assert found == findings(checks, about, at=7.0)


def test_one_that_raises_or_cannot_tell_finds_nothing_and_stops_nobody() -> None:
    def raises(_: Interaction) -> bool:
        raise KeyError("the gate code is 4417")

    checks = [
        Function(name="a", check=raises),
        Function(name="b", check=lambda _: None),
        Function(name="c", check=lambda _: True),
    ]
    found = findings(checks, answered("x"), at=0.0)
    assert [f.score for f in found] == [None, None, 1.0]
    assert found[0].text == "cannot tell: it raised KeyError"  # a message may hold what was said


@pytest.mark.parametrize(
    "given", [None, 0.5, True, Finding(score="1"), Finding(score=10**400), Finding(score=1j)],  # type: ignore[arg-type]
)  # fmt: skip
def test_what_is_no_finding_or_no_score_is_none_and_stops_nobody(given: object) -> None:
    checks = [Gives(given), Function(name="c", check=lambda _: True)]
    found = findings(checks, answered("x"), at=0.0)
    assert [f.score for f in found] == [None, 1.0] and found[0].text.startswith("cannot tell")


def test_a_reason_that_is_no_text_is_made_one() -> None:
    given = Finding(score=1.0, reason=None)  # type: ignore[arg-type]
    (found,) = findings([Gives(given)], answered("x"), at=0.0)
    assert (found.score, found.text) == (1.0, "None")


@dataclass(frozen=True)
class Gives:
    """A class that returns this, whatever its annotation says."""

    given: Any
    name: str = "gives"

    def verify(self, interaction: Interaction) -> Finding:
        return self.given  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Says:
    """Whatever somebody's own class may return."""

    score: float | None
    name: str = "says"
    reason: str = ""

    def verify(self, interaction: Interaction) -> Finding:
        return Finding(score=self.score, reason=self.reason)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_only_a_score_between_0_and_1_is_one(score: float) -> None:
    (found,) = findings([Says(score)], answered("x"), at=0.0)
    assert found.score == (score if math.isfinite(score) and 0 <= score <= 1 else None)


def test_a_long_reason_is_cut() -> None:
    (found,) = findings([Says(1.0, reason="é" * 10_000)], answered("x"), at=0.0)
    assert len(found.text) == LONGEST_REASON


@pytest.mark.parametrize("names", [[""], ["rating"], ["correction"], ["accepted"], ["a", "a"]])
def test_a_name_that_says_something_else_is_refused(names: list[str]) -> None:
    with pytest.raises(InputError, match="a name of its own"):
        findings([Says(1.0, name) for name in names], answered("x"), at=0.0)
