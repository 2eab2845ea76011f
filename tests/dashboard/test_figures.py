"""The numbers of the pages, worked by hand."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest

from engrain.dashboard.figures import (
    DAY_S,
    MOST_STEPS,
    PER_STEP,
    Point,
    Share,
    comparison_of,
    good_over_time,
    outcomes,
    saved,
    shown_by_version,
    shown_over_time,
    updates,
)
from engrain.evaluation.statistics import wilson
from engrain.loops import remember
from engrain.loops.trial import decide
from engrain.records import Scope
from engrain.store import SqlStore
from engrain.store.reading import Judged, Served

sys.path.insert(0, str(Path(__file__).parent))
import homes  # noqa: E402


def judged(
    at: float, name: str = "rating", score: float | None = 1.0, interaction: str = "", user: str = "ada"
) -> Judged:
    return Judged(interaction=interaction or f"int_{at}", user=user, at=at, name=name, score=score)


def served(shown: int, adapter: str = "", user: str = "ada", at: float = 0.0) -> Served:
    return Served(id="i", user=user, at=at, adapter=adapter, shown_tokens=shown, input_tokens=50, output_tokens=5)


def test_a_share_has_wilsons_interval_and_shares_add_up() -> None:
    share = Share(good=3, n=4) + Share(good=1, n=6)
    assert (share.good, share.n, share.rate, share.interval) == (4, 10, 0.4, wilson(4, 10))
    assert Share(good=0, n=0).rate == 0.0


def test_the_first_word_on_an_answer_counts_and_a_correction_says_that_it_was_not_good() -> None:
    said = [
        judged(1.0, score=1.0, interaction="a"), judged(2.0, score=0.0, interaction="a"), judged(3.0, "correction", None, "b"),
        judged(4.0, score=0.5, interaction="c"), judged(5.0, score=1.0, interaction="b"),
        judged(6.0, score=0.0, interaction="a", user="bob"),
    ]  # fmt: skip
    assert outcomes(said) == [(1.0, True), (3.0, False), (4.0, True), (6.0, False)]


def test_a_curve_has_a_point_for_each_day_with_what_was_judged_on_it() -> None:
    days = [judged(day * DAY_S + n, score=float(n < 9)) for day in (10, 12) for n in range(PER_STEP * 2)]
    points = good_over_time(days)
    assert [(p.at / DAY_S, p.n) for p in points] == [(10.5, 20), (12.5, 20)]
    assert [(p.value, p.low, p.high) for p in points] == [(0.45, *wilson(9, 20))] * 2
    assert good_over_time([]) == []


def test_a_long_or_a_thin_history_is_shown_in_longer_steps() -> None:
    many = good_over_time([judged(n * DAY_S / 4) for n in range(4000)])
    assert 20 < len(many) <= MOST_STEPS + 1 and sum(p.n for p in many) == 4000
    assert len(good_over_time([judged(n * DAY_S) for n in range(30)])) <= 4


def test_tokens_shown_are_averaged_by_step_and_by_version() -> None:
    rows = [*(served(n, at=1.0) for n in (10, 30)), *(served(n, "a1", at=2.0) for n in (0, 8))]
    assert [(name, p.value, p.n) for name, p in shown_by_version(rows)] == [("", 20.0, 2), ("a1", 4.0, 2)]
    (whole,) = shown_over_time(rows)
    assert whole.value == 12.0 and whole.low <= 12.0 <= whole.high
    assert shown_over_time([served(7)])[0] == Point(at=DAY_S / 2, value=7, low=7, high=7, n=1)


def test_what_is_saved_is_counted_against_the_same_users_bare_base() -> None:
    rows = [
        served(20),
        served(40),
        served(10, "a1"),
        served(0, "a1"),
        served(100, user="bob"),
        served(5, "b1", user="cleo"),
    ]
    found = saved(rows)
    assert found is not None and (found.answers, found.before, found.after, found.tokens) == (2, 30.0, 5.0, 50)
    assert saved([served(5), served(5, user="bob")]) is None


@pytest.mark.parametrize("approve", [True, False])
def test_a_candidate_is_listed_once_with_its_last_verdict_and_the_gates_evidence(tmp_path: Path, approve: bool) -> None:
    scope = Scope(user="cleo")
    with closing(SqlStore(tmp_path / "home")) as store:
        canary = homes.on_trial(store, scope)
        gate = store.get(canary.verdict, scope=scope)
        end = decide(store, scope, approve=approve)
        (update,) = updates(store, "local", known={})
        assert update.verdict == end and update.scope == scope
        assert update.taught is not None and update.taught[0] == Share(good=0, n=5)
        compared = comparison_of(store, end)
        assert compared.update == update and len(compared.pairs) == 125
        assert [name for name, *_ in compared.groups] == ["new", "reading", "unknown"]
        assert comparison_of(store, gate).pairs == compared.pairs  # type: ignore[arg-type]
        assert update.broke is not None
        assert update.broke.good == sum(p.change == "broke" for p in compared.pairs)
        assert update.broke.n == sum(p.before.right for p in compared.pairs)


def test_numbers_outlive_the_answers_that_were_erased_and_the_answers_do_not(tmp_path: Path) -> None:
    scope = Scope(user="ada")
    with closing(SqlStore(tmp_path / "home")) as store:
        notes = [remember.tell(store, text, scope=scope) for text in homes.NOTES]
        _, verdict = homes.version(store, scope, notes, "reject", at=1.0)
        known: dict[str, object] = {}
        (before,) = updates(store, "local", "ada", known=known)  # type: ignore[arg-type]
        store.erase([c for c in verdict.causes if c.startswith("ev_")], scope=scope, reason="asked")
        assert updates(store, "local", "ada", known=known) == [before]  # type: ignore[arg-type]
        assert comparison_of(store, verdict).pairs == [] and comparison_of(store, verdict).update.broke is None
