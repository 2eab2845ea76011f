"""Which token comes next, worked by hand."""

from __future__ import annotations

import pytest
import torch

from engrain.engines.decode import choose

LOGITS = torch.tensor([[0.5, 0.2, 0.3]]).log()


@pytest.mark.parametrize(
    ("uniform", "top_p", "chosen"),
    [
        (0.0, 1.0, 0),
        (0.49, 1.0, 0),
        (0.51, 1.0, 1),
        (0.71, 1.0, 2),
        (0.61, 0.8, 0),  # 0.5 and 0.3 are enough: the first has 5/8 of them
        (0.64, 0.8, 2),
        (0.99, 0.81, 2),
        (0.71, 0.81, 2),
        (0.99, 0.5, 0),
    ],
)
def test_a_number_picks_among_the_likeliest(uniform: float, top_p: float, chosen: int) -> None:
    token, logprob = choose(LOGITS, 1.0, torch.tensor([[uniform]]), top_p)
    assert int(token) == chosen
    assert float(logprob) == pytest.approx(float(LOGITS[0, chosen]))


def test_without_a_number_it_is_the_likeliest() -> None:
    assert int(choose(LOGITS, 0.0, None)[0]) == 0
