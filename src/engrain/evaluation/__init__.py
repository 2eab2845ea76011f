"""Evaluate: is the candidate better, and did it break nothing?

`suites` keeps evaluation items apart from training, lets one version answer them and scores each answer;
`statistics` is the pure arithmetic of evidence; `gates` turns the answers of candidate, live version and anchored
origin into a verdict, and bounds the probability that a harmful update is ever promoted, over all updates together.
"""

from engrain.evaluation.gates import SequentialGate, regression_rate
from engrain.evaluation.suites import (
    check_holdout,
    group_of,
    in_context,
    is_unknown,
    near_duplicate,
    right,
    run_suite,
    summary,
)

__all__ = [
    "SequentialGate",
    "check_holdout",
    "group_of",
    "in_context",
    "is_unknown",
    "near_duplicate",
    "regression_rate",
    "right",
    "run_suite",
    "summary",
]
