"""The canary's test: its errors over many trials, and what it can see."""

from __future__ import annotations

import numpy as np
import pytest

from engrain.errors import InputError
from engrain.evaluation.canary import Trial


def outcomes(mine: float, live: float, n: int, seed: int, share: float = 0.5) -> list[tuple[bool, float]]:
    rng = np.random.default_rng(seed)
    answered = rng.random(n) < share
    return [(bool(a), float(rng.random() < (mine if a else live))) for a in answered]


def decided(trial: Trial, mine: float, live: float, n: int, runs: int, index: int = 1) -> dict[str, int]:
    """How many trials of up to n outcomes end how. Looking once at the end is looking after each: the bets keep their maximum."""
    found = [trial.judge(outcomes(mine, live, n, seed, trial.share), index) for seed in range(runs)]
    return {d: found.count(d) for d in ("promote", "reject", "hold")}


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_what_is_worse_by_the_margin_is_hardly_ever_promoted(share: float) -> None:
    trial = Trial(share=share)
    assert decided(trial, 0.7, 0.8, 1500, 1000)["promote"] <= 1000 * trial.alpha / 2


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_what_is_no_worse_is_hardly_ever_stopped(share: float) -> None:
    trial = Trial(share=share)
    assert decided(trial, 0.8, 0.8, 1500, 1000)["reject"] <= 1000 * trial.alpha / 2


def test_a_real_gain_is_promoted_and_real_harm_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    trial = Trial()
    gain, harm = decided(trial, 0.95, 0.6, 400, 200), decided(trial, 0.3, 0.8, 200, 200)
    with capsys.disabled():
        print(f"\ncanary, 400 outcomes, success 60 % -> 95 %: {gain}; 200 outcomes, 80 % -> 30 %: {harm}", end="")
    assert gain["promote"] >= 180 and harm["reject"] >= 180


def test_it_holds_until_there_is_something_to_see() -> None:
    for few in ([], [(True, 1.0), (False, 0.0)]):
        assert Trial().judge(few, 1) == "hold"
    assert Trial().show([]) == "0 outcomes of the candidate, 0 of the live version"
    assert (
        Trial()
        .show([(True, 1.0), (False, 0.0)])
        .startswith("candidate 100% of 1, live version 0% of 1; difference -0.86 to +1.00")
    )


def test_later_canaries_need_more() -> None:
    seen = outcomes(0.95, 0.6, 160, 3)
    first = next(n for n in range(1, 161) if Trial().judge(seen[:n], 1) == "promote")
    assert Trial().judge(seen[:first], 20) == "hold"


@pytest.mark.parametrize("wrong", [{"share": 1.0}, {"margin": 0.0}, {"alpha": 1.5}])
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Trial(**wrong)
