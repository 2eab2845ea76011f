"""Verifiers run over each answer once, in the background or when asked; their findings decide a canary, and what users only seem to say does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.errors import InputError, NotFound
from engrain.loops import remember
from engrain.loops.background import Background, work
from engrain.loops.trial import outcomes
from engrain.loops.verify import RECENT_S, Verifying, verify
from engrain.records import Canary, Feedback, Interaction, Message, Scope, Stamp
from engrain.signals import Exact, Function
from engrain.store import SqlStore

ADA, BEN = Scope(user="ada"), Scope(user="ben")
ASKED = "What is the gate code?"
RIGHT = Exact(name="right", answers={ASKED: "4417"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home")) as made:
        yield made


def answered(
    store: SqlStore, answer: str = "4417", *, scope: Scope = ADA, age_s: float = 0.0, causes: tuple[str, ...] = ()
) -> Interaction:
    made = Interaction(
        scope=scope, messages=(Message(role="user", content=ASKED),), answer=answer, stamp=Stamp(base="b"), causes=causes,
        created_at=time.time() - age_s,
    )  # fmt: skip
    store.append(made)
    return made


def said(store: SqlStore, scope: Scope = ADA) -> list[tuple[str, str, float | None]]:
    return [(f.interaction, f.name, f.score) for f in store.select(Feedback, scope=scope)]


def test_a_verifier_says_it_once(store: SqlStore) -> None:
    about = answered(store)
    counted: list[str] = []
    count = Function(name="count", check=lambda i: not counted.append(i.id))  # type: ignore[func-returns-value]
    first = verify(store, [count], about.id, scope=ADA)
    assert verify(store, [count, RIGHT], about.id, scope=ADA)[0] == first[0]
    assert counted == [about.id] and said(store) == [(about.id, "count", 1.0), (about.id, "right", 1.0)]
    assert [n.id for n in store.causes(first[0].id, scope=ADA)] == [about.id]


def test_two_that_verify_one_answer_at_once_find_the_same(store: SqlStore) -> None:
    about = answered(store)
    theirs: list[Feedback] = []

    def check(interaction: Interaction) -> bool:
        if not theirs:  # another is quicker
            theirs.extend([*verify(store, [Function(name="slow", check=lambda _: False)], interaction.id, scope=ADA)])
        return True

    assert verify(store, [Function(name="slow", check=check), RIGHT], about.id, scope=ADA)[0] == theirs[0]
    assert said(store) == [(about.id, "slow", 0.0), (about.id, "right", 1.0)]


def test_an_answer_before_one_that_was_verified_when_asked_for_is_verified_too(store: SqlStore) -> None:
    before, asked = answered(store), answered(store)
    verify(store, [RIGHT], asked.id, scope=ADA)
    verifying = Verifying(store, lambda: [RIGHT])
    assert verifying.look(threading.Event()) == 1 and said(store)[-1][0] == before.id


def test_only_an_answer_of_ones_own_is_verified(store: SqlStore) -> None:
    told = remember.tell(store, "The gate code is 4417.", scope=ADA)
    with pytest.raises(InputError, match="is a memory"):
        verify(store, [RIGHT], told.id, scope=ADA)
    with pytest.raises(InputError, match="not a record of"):
        verify(store, [RIGHT], answered(store).id, scope=BEN)
    with pytest.raises(NotFound):
        verify(store, [RIGHT], "int_0", scope=ADA)


def test_each_new_answer_is_verified_once_also_after_a_restart(store: SqlStore) -> None:
    old = answered(store, age_s=RECENT_S + 60)
    mine = [answered(store, text) for text in ("4417", "5521")] + [answered(store) for _ in range(20)]
    theirs = answered(store, scope=BEN)
    stop, made = threading.Event(), [0]

    def verifiers() -> list[Exact]:
        made[0] += 1
        return [RIGHT]

    verifying = Verifying(store, verifiers)
    assert verifying.look(stop) == 23 and verifying.look(stop) == 0 and made == [1]
    assert [i for i, _, _ in said(store)] == [i.id for i in mine]  # in the order in which they were answered
    assert [s for _, _, s in said(store)][:3] == [1.0, 0.0, 1.0] and said(store, BEN) == [(theirs.id, "right", 1.0)]
    assert Verifying(store, verifiers).look(stop) == 0
    late = answered(store)
    assert verifying.look(stop) == 1 and said(store)[-1][0] == late.id
    assert old.id not in {i for i, _, _ in said(store)}


def test_what_is_stopped_goes_on_where_it_was(store: SqlStore) -> None:
    for _ in range(3):
        answered(store)
    stop = threading.Event()
    stops = Function(name="stops", check=lambda _: stop.set() or True)
    verifying = Verifying(store, lambda: [stops])
    assert verifying.look(stop) == 1
    stop.clear()
    assert verifying.look(stop) == 1
    stop.clear()
    assert verifying.look(stop) == 1 and len(said(store)) == 3


def test_the_worker_verifies_between_its_jobs(store: SqlStore) -> None:
    about = answered(store)
    verifying = Verifying(store, lambda: [RIGHT])
    background = Background(idle_s=0.0, poll_s=0.01)
    work(store, lambda: None, home=store.home, worker="w", background=background, until_empty=True, verifying=verifying)  # type: ignore[arg-type, return-value]
    assert said(store) == [(about.id, "right", 1.0)]


def tried(store: SqlStore) -> Canary:
    canary = Canary(scope=ADA, candidate="c" * 64, against="", verdict="ver_1", share=0.5, margin=0.1, alpha=0.05)
    store.append(canary)
    return canary


def test_verifiers_judge_a_canary_by_the_lowest_of_their_scores_unless_they_cannot_tell(store: SqlStore) -> None:
    canary = tried(store)
    good, bad, silent = (answered(store, text, causes=(canary.id,)) for text in ("4417", "5521", "4417"))
    long = Function(name="long", check=lambda i: True if i.id != silent.id else None)
    unknown = Exact(name="unknown", answers={})
    for about in (good, bad):
        verify(store, [long, unknown, RIGHT], about.id, scope=ADA)
    verify(store, [long, unknown], silent.id, scope=ADA)
    assert [x for _, x in outcomes(store, canary)] == [1.0, 0.0]
    remember.feedback(store, silent.id, scope=ADA, rating=0.5)
    remember.feedback(store, good.id, scope=ADA, rating=0.0)  # the verifiers had the first word
    assert [x for _, x in outcomes(store, canary)] == [1.0, 0.0, 0.5]


def test_what_a_user_only_seems_to_say_judges_no_canary(store: SqlStore) -> None:
    canary = tried(store)
    about = answered(store, causes=(canary.id,))
    for name in ("accepted", "corrected", "rating"):
        store.append(
            Feedback(scope=ADA, interaction=about.id, kind="implicit", name=name, score=1.0, causes=(about.id,))
        )
    assert outcomes(store, canary) == []
    remember.feedback(store, about.id, scope=ADA, rating=0.0)
    assert [x for _, x in outcomes(store, canary)] == [0.0]
