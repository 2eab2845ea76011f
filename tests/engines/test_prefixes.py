"""What was read before is found again, by those who may share it, for as long and as much as is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from engrain.engines.prefixes import FOR_EACH, IDLE_S, WORTH, Prefixes

TEXT = list(range(100))


def read(n: int) -> torch.Tensor:
    """A beginning of n tokens: 2 layers, 1 head, width 1; 16 bytes a token."""
    return torch.arange(n, dtype=torch.float32).expand(2, 2, 1, n)[..., None].clone()


def found(prefixes: Prefixes, tokens: list[int], *names: str, adapter: str = "a") -> int:
    """How many tokens it goes on from."""
    before = prefixes.find(adapter, names, tokens)
    return 0 if before is None else before.shape[-2]


def test_a_request_goes_on_from_the_longest_beginning_that_it_shares() -> None:
    prefixes = Prefixes()
    prefixes.keep("a", "ann", TEXT[:40], read)
    prefixes.keep("a", "ann", [*TEXT[:30], *[7] * 30], read)
    assert found(prefixes, [*TEXT[:38], 5, 5, 5], "ann") == 38
    assert found(prefixes, [*TEXT[:30], *[7] * 25, 1], "ann") == 55
    assert torch.equal(prefixes.find("a", ["ann"], [*TEXT[:20], 0])[0, 0, 0, :, 0], torch.arange(20.0))  # type: ignore[index]


def test_the_last_token_is_always_read_and_a_few_in_common_are_not_worth_it() -> None:
    prefixes = Prefixes()
    prefixes.keep("a", "ann", TEXT[:40], read)
    assert found(prefixes, TEXT[:40], "ann") == 39
    assert found(prefixes, [*TEXT[: WORTH - 1], 0, 0, 0], "ann") == 0
    assert found(prefixes, [*TEXT[:WORTH], 0, 0, 0], "ann") == WORTH


def test_neither_another_name_nor_another_adapter_finds_it() -> None:
    prefixes = Prefixes()
    prefixes.keep("a", "ann", TEXT, read)
    assert found(prefixes, TEXT, "ben") == found(prefixes, TEXT) == found(prefixes, TEXT, "ann", adapter="b") == 0
    assert found(prefixes, TEXT, "ben", "ann") == 99


def test_what_goes_further_takes_the_place_of_what_it_began_with() -> None:
    prefixes = Prefixes()
    for n in (20, 40, 41, 60):  # one token more than 40 is not worth keeping
        prefixes.keep("a", "ann", TEXT[:n], read)
    assert prefixes.bytes == read(60).nbytes
    assert found(prefixes, TEXT, "ann") == 60


def test_it_stays_within_its_bytes_and_lets_the_longest_unused_go_first() -> None:
    prefixes = Prefixes(most_bytes=3 * read(50).nbytes)
    for name in ("ann", "ben", "cem"):
        prefixes.keep("a", name, TEXT[:50], read)
    assert found(prefixes, TEXT, "ann") == 50
    prefixes.keep("a", "dan", TEXT[:50], read)
    assert [found(prefixes, TEXT, name) for name in ("ann", "ben", "cem", "dan")] == [50, 0, 50, 50]
    prefixes.keep("a", "eve", TEXT * 2, read)  # larger than all there is room for
    assert prefixes.bytes <= 3 * read(50).nbytes


@pytest.mark.parametrize("used", [0, 3])
def test_one_name_does_not_fill_it_and_keeps_what_it_used_last(used: int) -> None:
    prefixes = Prefixes(clock=ticking(1.0))
    texts = [[n, *TEXT[:30]] for n in range(FOR_EACH + 1)]
    for text in texts[:FOR_EACH]:
        prefixes.keep("a", "ann", text, read)
    assert found(prefixes, texts[used], "ann")
    prefixes.keep("a", "ann", texts[FOR_EACH], read)
    gone = 1 if used == 0 else 0
    assert [n for n, text in enumerate(texts) if not found(prefixes, text, "ann")] == [gone]


def test_what_nobody_went_on_from_for_long_goes_and_clear_lets_go_of_everything() -> None:
    now = [0.0]
    prefixes = Prefixes(clock=lambda: now[0])
    prefixes.keep("a", "ann", TEXT, read)
    now[0] = IDLE_S - 1
    prefixes.keep("a", "ben", TEXT, read)
    now[0] = IDLE_S + 1
    prefixes.drop_idle()
    assert (found(prefixes, TEXT, "ann"), found(prefixes, TEXT, "ben")) == (0, 99)
    prefixes.clear()
    assert (found(prefixes, TEXT, "ben"), prefixes.bytes) == (0, 0)


def ticking(step: float) -> Callable[[], float]:
    """A clock that goes on by a step whenever it is read."""
    now = [0.0]

    def read_clock() -> float:
        now[0] += step
        return now[0]

    return read_clock
