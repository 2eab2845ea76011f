"""Continuous batching: in whatever company and from whatever moment, a request gets what it would get alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tiny_models
from engrain.engines import lora
from engrain.engines.batching import Batcher
from engrain.engines.local import LocalEngine
from engrain.errors import InputError, NotFound
from engrain.learner import SPROUT
from engrain.records import Message


def ask(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def adapters(engine: LocalEngine, count: int) -> list[str]:
    """Adapters of different ranks whose answers differ from the base's."""
    made: list[str] = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        pairs = lora.fresh(engine.network.layers, rank=2 + seed % 3, seed=seed, device="cpu")
        made.append(
            engine.save({n: (a, torch.randn(b.shape, generator=generator) * 0.3) for n, (a, b) in pairs.items()})
        )
    return made


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    return LocalEngine(SPROUT, adapters_dir=tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def versions(engine: LocalEngine) -> list[str]:
    return ["", *adapters(engine, 5)]


@pytest.fixture
def batcher(engine: LocalEngine) -> Iterator[Batcher]:
    with Batcher(engine, rows=4) as made:
        yield made


QUESTIONS = [
    "What is the gate code of the north barn?",
    "Hi",
    "When the alarm of the drill press rings at night, who must be called first, and who must be called after that?",
    "Who made the blue chair?",
    "Please remember that the boat leaves at nine.",
]


def test_among_others_a_request_gets_what_it_gets_alone(
    engine: LocalEngine, batcher: Batcher, versions: list[str]
) -> None:
    asked = [(q, v) for v in versions for q in QUESTIONS]
    tickets = [batcher.submit(ask(q), adapter=v, max_tokens=12) for q, v in asked]
    alone = [engine.sample([ask(q)], adapter=v, max_tokens=12)[0] for q, v in asked]
    assert len({a.logprobs for a in alone}) == len(asked)  # the adapters do answer differently
    for ticket, wanted in zip(tickets, alone, strict=True):
        found = ticket.done.result(60)
        assert found.token_ids == wanted.token_ids
        assert found.logprobs == pytest.approx(wanted.logprobs, abs=1e-3)
        assert (found.text, found.finish_reason) == (wanted.text, wanted.finish_reason)
        assert found.input_tokens == wanted.input_tokens


def test_a_drawn_answer_depends_on_its_seed_and_not_on_its_company(
    engine: LocalEngine, batcher: Batcher, versions: list[str]
) -> None:
    asked = [(v, seed) for v in versions[:3] for seed in range(3)]
    tickets = [
        batcher.submit(ask(QUESTIONS[0]), adapter=v, max_tokens=10, temperature=1.0, seed=seed) for v, seed in asked
    ]
    for (version, seed), ticket in zip(asked, tickets, strict=True):
        alone = engine.sample([ask(QUESTIONS[0])], adapter=version, max_tokens=10, temperature=1.0, seed=seed)[0]
        assert ticket.done.result(60).token_ids == alone.token_ids


def test_tokens_stream_as_they_come_and_a_latecomer_joins(batcher: Batcher, versions: list[str]) -> None:
    early = batcher.submit(ask(QUESTIONS[2]), adapter=versions[1], max_tokens=40)
    stream = early.stream()
    first = next(stream)
    late = batcher.submit(ask("Hi"), max_tokens=4)
    rest = list(stream)
    assert (first, *rest) == early.done.result(60).token_ids
    assert len(late.done.result(60).token_ids) <= 4


def test_what_was_read_before_is_not_read_again_and_the_answer_is_the_same(
    engine: LocalEngine, batcher: Batcher, versions: list[str]
) -> None:
    notes = "Notes:\n- The gate code of the north barn is 4417.\n- The blue chair was made by Ilse."
    asked = [
        [Message(role="system", content=notes), *ask(q)]
        for q in (
            "What is the gate code of the north barn?",
            "Who made the blue chair?",
            "Who made the blue chair, please?",
        )
    ]
    for version in versions[:3]:
        for number, conversation in enumerate(asked * 2):
            found = batcher.sample([conversation], adapter=version, max_tokens=12, open_to={"ann": None})[0]
            alone = engine.sample([conversation], adapter=version, max_tokens=12)[0]
            assert found.token_ids == alone.token_ids
            assert found.logprobs == pytest.approx(alone.logprobs, abs=1e-3)
            assert (found.cached_tokens > 30) == (number > 0), number
            assert found.cached_tokens < found.input_tokens == alone.input_tokens
    others = [batcher.submit(c, adapter=versions[1], max_tokens=12, open_to={"ann": None}) for c in asked * 4]
    for ticket, conversation in zip(others, asked * 4, strict=True):  # with what others have read, in one batch
        assert ticket.done.result(60).token_ids == engine.sample([conversation], adapter=versions[1], max_tokens=12)[0].token_ids  # fmt: skip


def test_others_go_on_only_from_what_is_open_to_them(batcher: Batcher) -> None:
    system = Message(
        role="system", content="You answer for the office of the harbour, in one short sentence each time."
    )

    def cached(question: str, **names: list[Message] | None) -> int:
        return batcher.sample([[system, *ask(question)]], max_tokens=3, open_to=names)[0].cached_tokens

    own = [system, Message(role="user", content="")]
    question = "When does the last boat leave for the island on Sunday evening?"
    assert cached(question, ann=None, harbour=own) == 0
    mine = cached(question, ann=None, harbour=own)
    theirs = cached(question, ben=None, harbour=own)
    assert mine > theirs > 16  # the application's words, and not that the question was asked before
    assert theirs == cached("Who made the blue chair?", ben=None, harbour=own)
    assert cached(question) == cached(question, mill=own) == 0
    batcher.drop()
    assert cached(question, ann=None) == 0


def test_what_is_being_read_when_all_is_dropped_is_not_kept(batcher: Batcher) -> None:
    ticket = batcher.submit(ask(QUESTIONS[2]), max_tokens=200, temperature=2.0, open_to={"ann": None})
    next(ticket.stream())
    batcher.drop()
    batcher.sample([ask("Hi")], max_tokens=1)  # joins, so that what is dropped has been let go
    ticket.cancel()
    ticket.done.result(60)
    assert batcher.sample([ask(QUESTIONS[2])], max_tokens=1, open_to={"ann": None})[0].cached_tokens == 0


def test_what_is_given_up_frees_its_row_and_the_rest_goes_on(batcher: Batcher) -> None:
    tickets = [batcher.submit(ask(q), max_tokens=400, temperature=2.0, seed=3) for q in QUESTIONS[:4]]
    for ticket in tickets:
        next(ticket.stream())
        ticket.cancel()
    assert batcher.submit(ask("Hi"), max_tokens=3).done.result(60).token_ids
    assert all(len(t.done.result(60).token_ids) < 400 for t in tickets)


def test_a_version_that_is_not_there_and_a_prompt_that_does_not_fit_are_refused_at_once(batcher: Batcher) -> None:
    with pytest.raises(NotFound):
        batcher.submit(ask("Hi"), adapter="f" * 64)
    with pytest.raises(InputError, match="exceed"):
        batcher.submit(ask("Hi"), max_tokens=10**6)
    with pytest.raises(InputError, match="max_tokens=0"):
        batcher.submit(ask("Hi"), max_tokens=0)


def test_an_adapter_that_goes_while_its_request_waits_is_an_error_of_that_request_alone(
    engine: LocalEngine, tmp_path: Path
) -> None:
    (gone,) = adapters(engine, 6)[5:]
    with Batcher(engine, rows=1) as batcher:
        first = batcher.submit(ask(QUESTIONS[2]), max_tokens=300, temperature=2.0)
        waiting = batcher.submit(ask("Hi"), adapter=gone, max_tokens=3)
        (engine.adapters_dir / gone).rename(tmp_path / "gone")
        last = batcher.submit(ask("Hi"), max_tokens=3)
        first.cancel()
        with pytest.raises(NotFound):
            list(waiting.stream())
        assert last.done.result(60).token_ids


def test_many_callers_at_once_are_all_answered(batcher: Batcher, versions: list[str]) -> None:
    found: list[str] = []

    def call(number: int) -> None:
        ticket = batcher.submit(ask(QUESTIONS[number % 5]), adapter=versions[number % 6], max_tokens=6)
        found.append(ticket.done.result(60).text)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24


def test_closing_ends_what_is_under_way(engine: LocalEngine) -> None:
    batcher = Batcher(engine, rows=2)
    tickets = [batcher.submit(ask(QUESTIONS[0]), max_tokens=2000, temperature=2.0, seed=s) for s in range(4)]
    batcher.close()
    assert all(t.done.result(60).finish_reason in ("stop", "length") for t in tickets)
    with pytest.raises(InputError, match="closed"):
        batcher.submit(ask("Hi"))


def test_a_model_of_another_family_is_refused_with_its_reason(tmp_path: Path) -> None:
    other = LocalEngine(tiny_models.ALL["gpt2"](tmp_path / "model"), adapters_dir=tmp_path / "adapters")
    with pytest.raises(InputError, match="family"):
        Batcher(other)
