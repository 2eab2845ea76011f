"""A candidate on trial: it answers its share, feedback decides, and until then the live version stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.adapters import rollback, versions
from engrain.adapters.canary import answers, on_trial
from engrain.engines.fake import FakeEngine
from engrain.errors import NotFound
from engrain.evaluation.canary import Trial
from engrain.gateway import answer
from engrain.loops import remember
from engrain.loops.trial import begin, decide, outcomes, settle
from engrain.memory import HashedEmbedder
from engrain.records import Adapter, Canary, Interaction, Message, Scope, Verdict
from engrain.store import SqlStore

SCOPE = Scope()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home")) as made:
        yield made


def tried(store: SqlStore, engine: FakeEngine, trial: Trial | None = None, fact: str = "The code is 4417.") -> Canary:
    """A candidate that the gate let through, on trial beside what is live."""
    name = engine.teach([fact])
    store.append(Adapter(id=name, scope=SCOPE, base=engine.base, batch="", memory_ids=()))
    verdict = Verdict(
        scope=SCOPE, decision="promote", reasons=("better",), candidate=name, against=store.live(SCOPE), alpha_spent=0.01,
        causes=(name,),
    )  # fmt: skip
    return begin(store, verdict, trial or Trial())


def asked(store: SqlStore, engine: FakeEngine, conversation: str = "") -> Interaction:
    query = [Message(role="user", content="What is the code?")]
    return answer(store, engine, HashedEmbedder(), query, scope=SCOPE, conversation=conversation)


def test_both_versions_answer_and_a_conversation_stays_with_one(store: SqlStore) -> None:
    engine = FakeEngine()
    canary = tried(store, engine)
    assert store.live(SCOPE) == "" and [v.decision for v in versions(store, SCOPE)] == ["", "on trial"]
    found = [asked(store, engine) for _ in range(40)]
    by = [i.stamp.adapter for i in found]
    assert {"", canary.candidate} == set(by) and all(canary.id in i.causes for i in found)
    assert len({asked(store, engine, "one").stamp.adapter for _ in range(6)}) == 1
    shares = [answers(canary, f"conversation {n}") for n in range(2000)]
    assert 0.45 < sum(shares) / len(shares) < 0.55


def rate_until_decided(store: SqlStore, engine: FakeEngine, canary: Canary, mine: float, live: float) -> Verdict | None:
    for _ in range(400):
        interaction = asked(store, engine)
        score = mine if interaction.stamp.adapter == canary.candidate else live
        remember.feedback(store, interaction.id, scope=SCOPE, rating=score)
        if (verdict := settle(store, SCOPE)) is not None:
            return verdict
    return None


def test_a_candidate_whose_answers_are_good_goes_live_by_itself(store: SqlStore) -> None:
    engine = FakeEngine()
    canary = tried(store, engine, Trial(margin=0.3))
    verdict = rate_until_decided(store, engine, canary, 1.0, 0.0)
    assert verdict is not None and verdict.decision == "promote" and "canary: candidate 100%" in verdict.reasons[0]
    assert store.live(SCOPE) == canary.candidate and on_trial(store, SCOPE) is None
    assert verdict.alpha_spent == 0.0 and canary.id in verdict.causes
    assert rollback(store, SCOPE) == ""


def test_a_candidate_that_does_harm_is_stopped_and_never_was_live(store: SqlStore) -> None:
    engine = FakeEngine()
    canary = tried(store, engine)
    verdict = rate_until_decided(store, engine, canary, 0.0, 1.0)
    assert verdict is not None and verdict.decision == "reject"
    assert store.live(SCOPE) == "" and not store.pointer_history(SCOPE)
    assert {i.stamp.adapter for i in (asked(store, engine) for _ in range(20))} == {""}
    assert settle(store, SCOPE) is None


def test_the_first_word_on_an_answer_counts_and_a_correction_is_a_failure(store: SqlStore) -> None:
    engine = FakeEngine()
    canary = tried(store, engine)
    first, second, third = (asked(store, engine) for _ in range(3))
    remember.feedback(store, first.id, scope=SCOPE, rating=1.0)
    remember.feedback(store, first.id, scope=SCOPE, rating=0.0)
    remember.feedback(store, second.id, scope=SCOPE, correction="5521")
    remember.feedback(store, third.id, scope=SCOPE, comment="hm")
    assert [x for _, x in outcomes(store, canary)] == [1.0, 0.0]
    assert [a for a, _ in outcomes(store, canary)] == [i.stamp.adapter == canary.candidate for i in (first, second)]


@pytest.mark.parametrize("approve", [True, False])
def test_the_operator_may_decide(store: SqlStore, approve: bool) -> None:
    engine = FakeEngine()
    canary = tried(store, engine)
    verdict = decide(store, SCOPE, approve=approve, reason="looked at it")
    assert verdict.decision == ("promote" if approve else "reject") and "by hand (looked at it)" in verdict.reasons[0]
    assert store.live(SCOPE) == (canary.candidate if approve else "")
    with pytest.raises(NotFound, match="on trial"):
        decide(store, SCOPE, approve=True)


def test_a_trial_ends_when_another_version_goes_live_or_the_candidate_is_forgotten(store: SqlStore) -> None:
    engine = FakeEngine()
    canary = tried(store, engine)
    store.erase([canary.candidate], scope=SCOPE, reason="forgotten")
    assert on_trial(store, SCOPE) is None and asked(store, engine).stamp.adapter == ""
    second = tried(store, engine, fact="The code is 5521.")
    assert on_trial(store, SCOPE) == second
    other = tried(store, engine, fact="The code is 6000.")
    decide(store, SCOPE, approve=True)
    assert store.live(SCOPE) == other.candidate and on_trial(store, SCOPE) is None
