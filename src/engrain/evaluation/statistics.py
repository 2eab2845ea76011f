"""The arithmetic of evidence: exact tests, intervals, error budgets and the metrics of a sequence of updates.

Everything here is a pure function of counts or numbers. Probabilities and rates are shares in 0 … 1; `level` is the
probability of being wrong that the caller accepts; `confidence` is 1 - level. Exact means exact: no normal
approximation stands behind a decision (Wilson's interval is for display).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from engrain.errors import InputError
from engrain.records import Decision

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The same `n` items answered before and after: how many were right and are wrong now, and the other way round."""

    n: int
    broke: int
    fixed: int

    def __post_init__(self) -> None:
        if self.broke < 0 or self.fixed < 0 or self.broke + self.fixed > self.n:
            raise InputError(f"{self.broke} broken and {self.fixed} fixed do not fit into {self.n} items")


# ---- one rate ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=65536)
def binomial_cdf(successes: int, n: int, p: float) -> float:
    """P(X <= successes) for X ~ Binomial(n, p), summed exactly in log space."""
    if n < 0 or not 0 <= p <= 1:
        raise InputError(f"no binomial distribution has n = {n} and p = {p}; give n >= 0 and p in 0 … 1")
    if successes < 0:
        return 0.0
    if successes >= n or p == 0:
        return 1.0
    if p == 1:
        return 0.0
    k = np.arange(successes + 1)
    terms = np.exp(_log_choose(n)[: successes + 1] + k * math.log(p) + (n - k) * math.log1p(-p))
    return min(1.0, math.fsum(terms.tolist()))


@lru_cache(maxsize=64)
def _log_choose(n: int) -> Floats:
    """Log of n over k [n + 1] for k = 0 … n."""
    logs = np.array([math.lgamma(k + 1) for k in range(n + 1)])
    return np.asarray(logs[n] - logs - logs[::-1])


def binomial_p_value(successes: int, n: int, p: float) -> float:
    """Exact one-sided p-value of "the true rate is at most p": P(X >= successes) under Binomial(n, p)."""
    return binomial_cdf(n - successes, n, 1 - p)


@lru_cache(maxsize=65536)
def binomial_upper(successes: int, n: int, level: float) -> float:
    """Exact upper bound of a rate: it is too low with probability at most `level` (Clopper and Pearson, 1934).

    With nothing seen (`successes` = 0) this is 1 - level ** (1 / n); with n = 0 it is 1.
    """
    _check_count(successes, n)
    _check_level(level)
    if successes == n:
        return 1.0
    if successes == 0:
        return -math.expm1(math.log(level) / n)
    low, high = successes / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_cdf(successes, n, middle) > level else (low, middle)
    return high


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval for a rate, for display: (low, high) in 0 … 1; (0, 1) where nothing was measured (Wilson, 1927)."""
    _check_count(successes, n)
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, weight = successes / n, z * z / n
    centre = (rate + weight / 2) / (1 + weight)
    half = z * math.sqrt(rate * (1 - rate) / n + weight / (4 * n)) / (1 + weight)
    # The ends are exact at 0 and n; without this they miss by a rounding error.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


# ---- two versions on the same items --------------------------------------------------------------------------------


def mcnemar(more: int, fewer: int) -> float:
    """Exact p-value of "a change in either direction is equally likely", from the changed items (McNemar, 1947).

    One-sided, small when `more` outweighs `fewer`: mcnemar(fixed, broke) asks for a gain, mcnemar(broke, fixed) for
    harm. Items answered alike by both versions say nothing and do not enter; without any change the p-value is 1.
    """
    _check_count(more, more + fewer)
    return binomial_p_value(more, more + fewer, 0.5)


def fixes_needed(broke: int, level: float) -> int:
    """The smallest number of fixed items that shows a gain at `level` when `broke` items broke."""
    _check_level(level)
    fixed = broke + 1
    while mcnemar(fixed, broke) > level:
        fixed += 1
    return fixed


NUISANCE = 0.1
"""The part of a level that pays for not knowing how many items change either way."""


@lru_cache(maxsize=65536)
def loss_shown_small(broke: int, fixed: int, n: int, limit: float, level: float) -> bool:
    """Whether "the true loss, P(broken) - P(fixed), is `limit` or more" is refuted at `level`, for any n.

    How many items change in truth, P(broken) + P(fixed), is not known, and the more do, the likelier is a small loss by
    chance. So a tenth of the level bounds that share from above (Clopper and Pearson), and the rest is the exact
    largest probability of so small a loss up to that bound (Berger and Boos, "P values maximized over a confidence set", 1994).
    """
    _check_count(broke + fixed, n)
    _check_level(level)
    if not 0 < limit < 1:
        raise InputError(f"a limit of {limit} cannot be shown; give one between 0 and 1, such as 0.05")
    changed = binomial_upper(broke + fixed, n, NUISANCE * level) if n else 1.0
    if changed < limit:  # so few change at all that no such loss is possible
        return True
    shares, most = np.linspace(changed, limit, 9), (1 - NUISANCE) * level  # nearly always the first is the worst
    return all(trinomial_cdf(broke - fixed, n, float(q + limit) / 2, float(q - limit) / 2) <= most for q in shares)


def trinomial_cdf(difference: int, n: int, more: float, fewer: float) -> float:
    """P(sum <= difference) of n independent draws of +1 (probability `more`), -1 (`fewer`) or 0; to some 1e-12."""
    size = 2 * n + 1
    turns = 2j * np.pi * np.arange(size) / size
    sums = np.fft.ifft((1 - more - fewer + more * np.exp(-turns) + fewer * np.exp(turns)) ** n).real
    return float(np.clip(sums[np.arange(-n, difference + 1)].sum(), 0.0, 1.0))


@lru_cache(maxsize=4096)
def loss_upper(broke: int, fixed: int, n: int, level: float) -> float:
    """The largest loss that is not refuted at `level`, to a thousandth; 1 where nothing is."""
    low, high = 0, 1000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if loss_shown_small(broke, fixed, n, middle / 1000, level) else (middle, high)
    return high / 1000


@lru_cache(maxsize=4096)
def items_needed(broke: int, fixed: int, limit: float, level: float) -> int:
    """The smallest number of items with which so many broken and fixed ones still show a loss below `limit`."""
    high = max(1, broke + fixed)
    while not loss_shown_small(broke, fixed, high, limit, level):
        high *= 2
    low = max(broke + fixed - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if loss_shown_small(broke, fixed, middle, limit, level) else (middle, high)
    return high


STAKES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5, 0.75, 0.95)
"""The shares of its wealth that a bettor stakes on every item; the wealth is the mean over all of them."""


def betting_e_process(differences: Sequence[float], *, null_mean: float = 0.0) -> Floats:
    """Wealth [n] of a bettor against "the mean difference is at most `null_mean`", after each item; starts from 1.

    `differences` [n] in -1 … 1: after minus before, item by item. However often one looks, the chance that the wealth
    ever reaches 1 / level is at most level (Ville's inequality), so one may stop at any time. Assumes that each
    difference has, given the earlier ones, a mean of at most `null_mean` where that claim is true; independent draws
    do. Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2024).
    """
    values = _differences(differences)
    if not -1 < null_mean < 1:
        raise InputError(f"null_mean = {null_mean} is not between -1 and 1")
    return np.exp(_log_wealth(values, np.array([null_mean]))[:, 0])


def confidence_sequence(differences: Sequence[float], *, level: float = 0.05, steps: int = 200) -> Floats:
    """Bounds (low, high) [n, 2] on the mean difference after each item, all of them right at once.

    The true mean leaves any of these intervals, ever, with probability at most `level`; so one may watch and stop when
    the interval says enough. The means that the betting e-process refuses are cut off, `level` / 2 a side, on a
    grid of `steps` means rounded outward. Same assumption as `betting_e_process`.
    """
    _check_level(level)
    values, means = _differences(differences), np.linspace(-1, 1, steps + 1)[:-1]
    means[0] = -1 + 1e-9

    def lower(side: Floats) -> Floats:
        refused = np.maximum.accumulate(_log_wealth(side, means), axis=0) >= math.log(2 / level)
        # The wealth falls as the mean it bets against rises, so the refused means are the first ones of the grid.
        count = refused.sum(axis=1)
        return np.where(count > 0, means[np.maximum(count - 1, 0)], -1.0)

    return np.stack([lower(values), -lower(-values)], axis=1)


def _log_wealth(values: Floats, means: Floats) -> Floats:
    """Log of the mean wealth [n, len(means)]; a stake c bets c / (1 + mean), so that no wealth falls below 0."""
    total = np.full((len(values), len(means)), -np.inf)
    for stake in STAKES:
        gains = np.log1p(stake * (values[:, None] - means[None]) / (1 + means[None]))
        total = np.logaddexp(total, np.cumsum(gains, axis=0))
    return total - math.log(len(STAKES))


def mean_interval(
    values: Sequence[float], confidence: float = 0.95, *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean and percentile bootstrap interval (mean, low, high) of tokens, milliseconds or the like; their unit.

    Needs two values at least: one says nothing about spread. Deterministic for a seed.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size < 2 or not np.isfinite(data).all():
        raise InputError(f"an interval needs at least 2 values, all finite; got {data.size} values")
    means = np.random.default_rng(seed).choice(data, (resamples, data.size)).mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(data.mean()), float(low), float(high)


# ---- a sequence of updates -----------------------------------------------------------------------------------------


def spend(index: int, alpha: float, patience: int = 5) -> float:
    """The share of `alpha` that decision number `index` (1, 2, …, without end) may use.

    alpha * c / ((index + c - 1)(index + c)) with c = `patience`: the first K shares sum to alpha * K / (K + c), all of
    them to alpha. A larger patience saves for later decisions: about half is left after the first c. (The familiar
    6 / (pi^2 k^2) is spent to 61 % on the first decision, and then starves a tenth update.)
    """
    if index < 1 or patience < 1 or not 0 < alpha < 1:
        raise InputError(f"index {index} and patience {patience} must be at least 1 and alpha {alpha} between 0 and 1")
    return alpha * patience / ((index + patience - 1) * (index + patience))


URN: dict[Decision, float] = {"promote": 3.0, "hold": 0.5, "reject": 0.5}
"""What a history of decisions is expected to look like before the first one: mostly promotions."""


def reuse_share(history: Sequence[Decision]) -> float:
    """The share of an error budget that is left when the same items have already led to these decisions; 1 for none.

    Whoever acts on a verdict and then comes back to the same items has learned something about them: a refused
    candidate is followed by another until the items happen to be lucky. So each possible history gets its own part of
    the budget, namely its probability under Polya's urn: (URN[d] + earlier d) / (4 + earlier ones) for each decision d.
    All histories of one length sum to 1, which makes a union bound over them; an expected history costs little
    (m promotions: 3 / (3 + m)) and a surprising one more. Compare Dwork et al., "The reusable holdout" (2015).
    """
    total = sum(URN.values())
    log_share = math.lgamma(total) - math.lgamma(total + len(history))
    for decision, expected in URN.items():
        log_share += math.lgamma(expected + history.count(decision)) - math.lgamma(expected)
    return math.exp(log_share)


def average_accuracy(accuracy: Sequence[Sequence[float]]) -> float:
    """Mean over all tasks after the last one. `accuracy` is R [T + 1, T]: row t after training task t, row 0 untouched.

    R[t, i] is the accuracy on task i (columns from task 1 on) after update t; row 0 is the model before any update.
    """
    return float(_matrix(accuracy)[-1].mean())


def backward_transfer(accuracy: Sequence[Sequence[float]]) -> float:
    """Mean over the earlier tasks of R[T, i] - R[i, i]: last minus just learned; negative is loss.

    Lopez-Paz and Ranzato, "Gradient episodic memory" (2017). 0 for a single task, which nothing followed.
    """
    matrix = _matrix(accuracy)
    learned = np.diagonal(matrix[1:])
    return float((matrix[-1] - learned)[:-1].mean()) if len(learned) > 1 else 0.0


def forgetting(accuracy: Sequence[Sequence[float]]) -> float:
    """Mean over the earlier tasks of max_t R[t, i] - R[T, i], t = i … T: best since learned minus last; >= 0.

    Chaudhry et al., "Riemannian walk" (2018), and mammoth. Avalanche's "forgetting" is first minus last, which here is
    -backward_transfer. 0 for a single task.
    """
    matrix = _matrix(accuracy)
    tasks = matrix.shape[1]
    drops = [matrix[i + 1 :, i].max() - matrix[-1, i] for i in range(tasks - 1)]
    return float(np.mean(drops)) if drops else 0.0


def above_untouched(accuracy: Sequence[Sequence[float]]) -> float:
    """Mean over all tasks of R[T, i] - R[0, i]: what the whole sequence was worth; negative is below the bare model.

    Backward transfer alone hides this: SEAL's published matrix ends at 24.7 % where its untouched model had 30.7 %.
    """
    matrix = _matrix(accuracy)
    return float((matrix[-1] - matrix[0]).mean())


def _matrix(accuracy: Sequence[Sequence[float]]) -> Floats:
    matrix = np.asarray(accuracy, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] + 1 or matrix.shape[1] < 1:
        raise InputError(f"a matrix of shape {matrix.shape} is not [T + 1, T]; row 0 is the untouched model")
    if not np.isfinite(matrix).all():
        raise InputError("the matrix holds a value that is not finite; measure every task after every update")
    return matrix


def _differences(differences: Sequence[float]) -> Floats:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not (np.abs(values) <= 1).all():
        raise InputError("paired differences are a list of numbers in -1 … 1 (after minus before)")
    return values


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level = {level} is not a probability between 0 and 1")


def _check_count(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise InputError(f"{successes} of {n} is not a count of items")
