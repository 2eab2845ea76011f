"""Each formula against a number worked by hand, at its ends, and on what it must refuse."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import InputError
from engrain.evaluation.statistics import (
    Paired,
    above_untouched,
    average_accuracy,
    backward_transfer,
    betting_e_process,
    binomial_cdf,
    binomial_p_value,
    binomial_upper,
    confidence_sequence,
    fixes_needed,
    forgetting,
    items_needed,
    loss_shown_small,
    loss_upper,
    mcnemar,
    mean_interval,
    reuse_share,
    spend,
    trinomial_cdf,
    wilson,
)
from engrain.records import Decision


def test_wilson_of_eight_in_ten_is_the_textbook_interval() -> None:
    low, high = wilson(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)


def test_wilson_of_nothing_measured_is_everything_and_its_ends_are_exact() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0


def test_the_binomial_tail_of_three_heads_in_four_is_five_sixteenths() -> None:
    assert binomial_p_value(3, 4, 0.5) == pytest.approx(5 / 16)
    assert binomial_cdf(2, 4, 0.5) == pytest.approx(11 / 16)
    assert binomial_p_value(0, 4, 0.5) == 1.0
    assert binomial_p_value(1, 4, 0.0) == 0.0
    assert binomial_cdf(3, 4, 1.0) == 0.0


def test_the_binomial_tail_is_exact_where_plain_powers_would_overflow() -> None:
    assert binomial_cdf(2500, 5000, 0.5) == pytest.approx(0.5 + math.comb(5000, 2500) / 2**5000 / 2)


def test_with_nothing_broken_the_upper_bound_has_its_closed_form() -> None:
    assert binomial_upper(0, 150, 0.05) == pytest.approx(1 - 0.05 ** (1 / 150))
    assert binomial_upper(0, 0, 0.05) == 1.0
    assert binomial_upper(5, 5, 0.05) == 1.0


def test_clopper_and_pearson_of_one_in_ten_is_the_textbook_interval() -> None:
    assert round(binomial_upper(1, 10, 0.025), 4) == 0.4450


@given(st.integers(1, 300), st.data(), st.floats(1e-6, 0.2))
def test_at_the_upper_bound_so_few_successes_have_exactly_the_level(n: int, data: st.DataObject, level: float) -> None:
    successes = data.draw(st.integers(0, n - 1))
    assert binomial_cdf(successes, n, binomial_upper(successes, n, level)) == pytest.approx(level, rel=1e-6)


@given(st.integers(0, 8), st.integers(0, 8), st.floats(0.02, 0.5), st.floats(1e-5, 0.2))
def test_the_items_needed_are_the_first_number_that_suffices(
    broke: int, fixed: int, limit: float, level: float
) -> None:
    n = items_needed(broke, fixed, limit, level)
    assert loss_shown_small(broke, fixed, n, limit, level)
    assert n == max(1, broke + fixed) or not loss_shown_small(broke, fixed, n - 1, limit, level)


@pytest.mark.parametrize(("more", "fewer"), [(0.05, 0.0), (0.3, 0.25), (0.1, 0.2), (0.0, 0.0)])
def test_the_sum_of_draws_of_plus_and_minus_one_is_distributed_as_simulated(more: float, fewer: float) -> None:
    draws = np.random.default_rng(0).multinomial(60, (more, fewer, 1 - more - fewer), 20_000)
    sums = draws[:, 0] - draws[:, 1]
    for difference in (-5, 0, 3, 60):
        assert trinomial_cdf(difference, 60, more, fewer) == pytest.approx(np.mean(sums <= difference), abs=0.015)


@pytest.mark.parametrize("fixed", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("n", [80, 300, 1000])
def test_a_loss_at_the_limit_is_called_small_no_more_often_than_the_level(n: int, fixed: float) -> None:
    """Exactly, over all outcomes: the sum of the probabilities of those that are called small."""
    limit, level = 0.05, 0.01
    broke = fixed + limit
    wrong = 0.0
    for changed in range(n + 1):
        weight = math.exp(
            math.lgamma(n + 1) - math.lgamma(changed + 1) - math.lgamma(n - changed + 1)
            + changed * math.log(broke + fixed) + (n - changed) * math.log1p(-broke - fixed)
        )  # fmt: skip
        if weight < 1e-9:
            continue
        # Of so many changed items the more broke, the larger the loss: the number that still passes is found by bisection.
        low, high = -1, changed + 1
        while high - low > 1:
            middle = (low + high) // 2
            small = loss_shown_small(middle, changed - middle, n, limit, level)
            low, high = (middle, high) if small else (low, middle)
        wrong += weight * binomial_cdf(low, changed, broke / (broke + fixed))
    assert wrong <= level


def test_items_that_tip_both_ways_in_equal_number_are_no_loss() -> None:
    assert loss_shown_small(40, 40, 578, 0.05, 0.008)
    assert not loss_shown_small(40, 10, 578, 0.05, 0.008)
    assert loss_shown_small(0, 0, 121, 0.05, 0.00833)
    assert not loss_shown_small(0, 0, 0, 0.05, 0.5)
    assert loss_upper(40, 40, 578, 0.008) < 0.05 < loss_upper(40, 10, 578, 0.008)
    assert loss_upper(0, 0, 0, 0.05) == 1.0


def test_mcnemar_of_eight_fixed_and_two_broken_is_fifty_six_in_1024() -> None:
    assert mcnemar(8, 2) == pytest.approx(56 / 1024)
    assert mcnemar(2, 8) == pytest.approx(1013 / 1024)


def test_without_any_change_nothing_is_shown_in_either_direction() -> None:
    assert mcnemar(0, 0) == 1.0


def test_seven_fixed_items_are_needed_at_one_percent_and_more_when_some_broke() -> None:
    assert fixes_needed(0, 0.01) == 7
    assert fixes_needed(1, 0.01) == 10


def test_the_first_bet_of_the_e_process_is_the_mean_of_its_stakes() -> None:
    wealth = betting_e_process([1.0, -1.0, 0.0])
    assert wealth[0] == pytest.approx(1 + 0.2805)  # the ten stakes sum to 2.805
    assert wealth[1] < 1
    assert wealth[2] == pytest.approx(wealth[1])  # a tie says nothing about a mean of 0


def test_the_e_process_of_no_data_is_empty() -> None:
    assert betting_e_process([]).shape == (0,)
    assert confidence_sequence([]).shape == (0, 2)


def test_the_e_process_rarely_convicts_the_innocent_however_often_one_looks() -> None:
    rng = np.random.default_rng(1)
    runs = rng.choice([-1.0, 0.0, 1.0], (600, 400), p=[0.1, 0.8, 0.1])
    convicted = sum(bool(betting_e_process(run.tolist()).max() >= 20) for run in runs)
    assert convicted <= 0.05 * 600


def test_the_e_process_finds_a_gain_of_ten_points() -> None:
    rng = np.random.default_rng(2)
    runs = rng.choice([-1.0, 0.0, 1.0], (200, 800), p=[0.05, 0.8, 0.15])
    assert sum(bool(betting_e_process(run.tolist()).max() >= 20) for run in runs) >= 190


def test_the_confidence_sequence_holds_the_true_mean_at_all_times_and_narrows() -> None:
    rng = np.random.default_rng(3)
    missed = 0
    for run in rng.choice([-1.0, 0.0, 1.0], (40, 300), p=[0.1, 0.6, 0.3]):
        bounds = confidence_sequence(run.tolist())
        missed += bool((bounds[:, 0] > 0.2).any() or (bounds[:, 1] < 0.2).any())
        assert (np.diff(bounds[:, 0]) >= 0).all()
        assert (np.diff(bounds[:, 1]) <= 0).all()
        assert bounds[-1, 1] - bounds[-1, 0] < 0.35
    assert missed <= 2


def test_the_two_sides_of_the_confidence_sequence_mirror_each_other() -> None:
    differences = [0.0, 1.0, 1.0, -1.0, 0.5, 1.0] * 20
    plus, minus = confidence_sequence(differences), confidence_sequence([-d for d in differences])
    np.testing.assert_allclose(plus, -minus[:, ::-1])


def test_a_mean_interval_surrounds_the_mean_and_repeats_for_a_seed() -> None:
    mean, low, high = mean_interval([10.0, 12.0, 14.0, 16.0])
    assert mean == 13.0
    assert 10 <= low < mean < high <= 16
    assert mean_interval([10.0, 12.0, 14.0, 16.0]) == (mean, low, high)
    assert mean_interval([7.0, 7.0]) == (7.0, 7.0, 7.0)


@given(st.integers(1, 400), st.integers(1, 50))
def test_the_shares_of_the_error_budget_never_sum_to_more_than_alpha(count: int, patience: int) -> None:
    shares = [spend(k, 0.05, patience) for k in range(1, count + 1)]
    assert sum(shares) == pytest.approx(0.05 * count / (count + patience))
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("length", [0, 1, 4])
def test_the_shares_of_all_histories_of_one_length_sum_to_one(length: int) -> None:
    decisions: tuple[Decision, ...] = ("promote", "hold", "reject")
    assert sum(reuse_share(history) for history in product(decisions, repeat=length)) == pytest.approx(1.0)


def test_an_expected_history_costs_little_and_a_refusal_much() -> None:
    assert reuse_share(()) == pytest.approx(1.0)
    assert reuse_share(("promote",) * 9) == pytest.approx(3 / 12)
    assert reuse_share(["promote", "reject"]) == pytest.approx(3 / 4 * 0.5 / 5)


# Row 0 is the untouched model; task 1 falls from .8 over .9 to .6, task 2 from .7 to .5, task 3 ends at .9.
MATRIX = [[0.3, 0.2, 0.1], [0.8, 0.2, 0.1], [0.9, 0.7, 0.2], [0.6, 0.5, 0.9]]


def test_the_metrics_of_a_sequence_worked_by_hand() -> None:
    assert average_accuracy(MATRIX) == pytest.approx(2.0 / 3)
    assert backward_transfer(MATRIX) == pytest.approx((-0.2 - 0.2) / 2)
    assert forgetting(MATRIX) == pytest.approx((0.3 + 0.2) / 2)
    assert above_untouched(MATRIX) == pytest.approx((0.3 + 0.3 + 0.8) / 3)


def test_a_single_task_has_forgotten_nothing_yet() -> None:
    assert backward_transfer([[0.1], [0.9]]) == 0.0
    assert forgetting([[0.1], [0.9]]) == 0.0


def test_what_makes_no_sense_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="row 0"):
        average_accuracy([[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(InputError, match="not finite"):
        forgetting([[0.0], [math.nan]])
    with pytest.raises(InputError, match="at least 2"):
        mean_interval([1.0])
    with pytest.raises(InputError, match="-1 … 1"):
        betting_e_process([2.0])
    with pytest.raises(InputError, match="null_mean"):
        betting_e_process([0.0], null_mean=1.0)
    with pytest.raises(InputError, match="index 0"):
        spend(0, 0.05)
    with pytest.raises(InputError, match="level = 0"):
        binomial_upper(0, 10, 0)
    with pytest.raises(InputError, match="11 of 10"):
        wilson(11, 10)
    with pytest.raises(InputError, match="limit"):
        items_needed(0, 0, 0.0, 0.05)
    with pytest.raises(InputError, match="do not fit"):
        Paired(n=3, broke=2, fixed=2)
