"""What the gate decides, says and refuses, on evidence counted by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import InputError, ScopeError
from engrain.evaluation.gates import Check, SequentialGate, pair, regression_rate
from engrain.evaluation.statistics import Paired, loss_shown_small, loss_upper, reuse_share, spend
from engrain.records import Decision, Evidence, ItemResult, Scope, Verdict

ANN = Scope(user="ann")
GATE = SequentialGate()


def evidence(adapter: str, *, scope: Scope = ANN, **groups: Sequence[bool]) -> Evidence:
    """One version's results; each keyword is a group and says item by item what was right."""
    results = tuple(
        ItemResult(
            item=f"{group}-{i}",
            group=group,
            question=f"{group} question {i}",
            expected="blue",
            answer="blue" if good else "I don't know",
            right=good,
            output_tokens=2,
            latency_ms=5.0,
        )
        for group, answers in groups.items()
        for i, good in enumerate(answers)
    )
    return Evidence(scope=scope, adapter=adapter, suite="own", results=results)


def some(wrong: int, n: int) -> list[bool]:
    return [False] * wrong + [True] * (n - wrong)


BASE = evidence("", new=some(32, 32), reading=some(0, 150))


def decide(
    candidate: Evidence,
    *,
    live: Evidence = BASE,
    origin: Evidence = BASE,
    index: int = 1,
    history: Sequence[Decision] = (),
    clusters: Mapping[str, str] | None = None,
) -> Verdict:
    return GATE.decide(
        scope=ANN,
        index=index,
        history=history,
        candidate=candidate,
        live=live,
        origin=origin,
        clusters=clusters,
    )


def test_a_clean_update_is_promoted_and_says_why() -> None:
    candidate = evidence("c", new=some(4, 32), reading=some(0, 150))
    verdict = decide(candidate)
    assert verdict.decision == "promote"
    assert (verdict.candidate, verdict.against, verdict.alpha_spent) == ("c", "", spend(1, 0.05))
    assert verdict.causes == (candidate.id, BASE.id)
    assert len(verdict.fixed) == 28
    assert verdict.broke == ()
    text = "\n".join(verdict.reasons)
    assert "gain: 28 of 32 new items fixed, 0 broken" in text
    assert f"loss at most {loss_upper(0, 0, 150, spend(1, 0.05)):.1%} with 99.17% confidence, limit 5%" in text
    assert "kept: retained against origin: 0 of 150 broke" in text
    assert "regressions: 0 of 150" in text
    assert re.search(r"false don't-knows: 17\.6% \(\d.*% to .*%\) -> 2\.2%", text)
    assert "tokens out per answer: 2.0 (2.0 to 2.0) -> 2.0 (2.0 to 2.0)" in text


@pytest.mark.parametrize("index", [1, 2, 3])
def test_one_broken_item_of_200_still_passes_early_in_the_sequence_and_is_named(index: int) -> None:
    base = evidence("", new=some(32, 32), reading=some(0, 200))
    verdict = decide(evidence("c", new=some(0, 32), reading=some(1, 200)), live=base, origin=base, index=index)
    assert verdict.decision == "promote"
    assert verdict.broke == ("32",)  # in the candidate's evidence, after 32 new items


def test_reasons_never_quote_a_question() -> None:
    verdict = decide(evidence("c", new=some(5, 32), reading=some(9, 150)))
    assert not any("question" in reason or "blue" in reason for reason in verdict.reasons)


def test_a_verdict_names_items_and_never_their_words_so_that_it_outlives_a_forgetting() -> None:
    verdict = decide(evidence("c", new=some(5, 32), reading=some(9, 150)))
    assert len(verdict.broke) == 9 and len(verdict.fixed) == 27
    assert "question" not in repr(verdict) and "blue" not in repr(verdict)


def test_an_update_without_a_gain_is_rejected() -> None:
    verdict = decide(evidence("c", new=some(32, 32), reading=some(0, 150)))
    assert verdict.decision == "reject"
    assert verdict.reasons[0] == "no gain: 0 of 32 new items fixed, 0 broken"


def test_a_gain_too_small_to_show_is_held_and_the_reason_says_what_it_takes() -> None:
    verdict = decide(evidence("c", new=some(26, 32), reading=some(0, 150)))
    assert verdict.decision == "hold"
    assert "it takes 7 fixed" in verdict.reasons[0]


def test_an_update_that_plainly_breaks_things_is_rejected() -> None:
    verdict = decide(evidence("c", new=some(0, 32), reading=some(12, 150)))
    assert verdict.decision == "reject"
    assert any(reason.startswith("harm: retained against live: 12 of 150 broke") for reason in verdict.reasons)


def test_doubtful_harm_is_held_and_the_reason_says_how_many_items_are_needed() -> None:
    verdict = decide(evidence("c", new=some(0, 32), reading=some(3, 150)))
    assert verdict.decision == "hold"
    held = next(r for r in verdict.reasons if r.startswith("not shown: retained against live"))
    needed = int(held.split("it takes ")[1].split(" items")[0])
    base = evidence("", new=some(32, 32), reading=some(0, needed))
    assert decide(evidence("c", new=some(0, 32), reading=some(3, needed)), live=base, origin=base).decision == "promote"


def test_too_few_items_hold_without_spending_anything() -> None:
    base = evidence("", new=some(32, 32), reading=some(0, 40))
    verdict = decide(evidence("c", new=some(0, 32), reading=some(0, 40)), live=base, origin=base)
    assert (verdict.decision, verdict.alpha_spent) == ("hold", 0.0)
    assert verdict.reasons[0] == "too few items to decide; nothing was spent"
    assert "it takes 121 items with as many broken and fixed" in "\n".join(verdict.reasons)


def test_without_retained_or_without_new_items_nothing_is_promoted() -> None:
    only_new = decide(
        evidence("c", new=some(0, 32)), live=evidence("", new=some(32, 32)), origin=evidence("", new=some(32, 32))
    )
    assert (only_new.decision, only_new.alpha_spent) == ("hold", 0.0)
    old = evidence("", reading=some(0, 150))
    assert decide(old, live=old, origin=old).decision == "hold"
    empty = evidence("")
    assert decide(empty, live=empty, origin=empty).decision == "hold"


def test_small_losses_that_add_up_are_stopped_by_the_anchored_origin() -> None:
    n = 600
    decisions: list[Decision] = []
    live = origin = evidence("", new=some(32, 32), reading=some(0, n))
    for index in range(1, 9):
        candidate = evidence(str(index), new=some(0, 32), reading=some(12 * index, n))  # 2 more points lost each time
        before = Evidence(
            scope=ANN, adapter=live.adapter, suite="own", results=(*origin.results[:32], *live.results[32:])
        )
        verdict = decide(candidate, live=before, origin=origin, index=index, history=decisions)
        decisions.append(verdict.decision)
        if verdict.decision != "promote":
            assert any(r.startswith("harm: retained against origin") for r in verdict.reasons)
            assert any(r.startswith("kept: retained against live: 12 of 600") for r in verdict.reasons)
            break
        live = candidate
    assert decisions[0] == "promote"
    assert decisions[-1] == "reject"
    assert 12 * (len(decisions) - 1) / n <= GATE.budget


def test_a_loss_hidden_in_one_group_is_found_behind_a_gain_of_the_whole() -> None:
    base = evidence("", new=some(32, 32), reading=some(0, 80), replay=some(0, 600))
    hurt = decide(evidence("c", new=some(0, 32), reading=some(13, 80), replay=some(0, 600)), live=base, origin=base)
    assert hurt.decision == "reject"
    text = "\n".join(hurt.reasons)
    assert "kept: retained against live: 13 of 680 broke" in text
    assert "harm: reading against live: 13 of 80 broke" in text


def test_items_that_tip_both_ways_are_no_loss_and_what_broke_is_named() -> None:
    live = evidence("l", new=some(32, 32), reading=[True] * 200 + [False] * 200)
    tipped = evidence("c", new=some(0, 32), reading=[False] * 9 + [True] * 200 + [False] * 191)
    verdict = decide(tipped, live=live, origin=live)
    assert verdict.decision == "promote"
    assert len(verdict.broke) == 9
    lost = evidence("c", new=some(0, 32), reading=[False] * 18 + [True] * 182 + [False] * 200)
    assert decide(lost, live=live, origin=live).decision == "reject"


def test_items_that_hang_together_count_as_one() -> None:
    clusters = {f"reading-{i}": f"note-{i // 3}" for i in range(150)}
    candidate = evidence("c", new=some(0, 32), reading=some(0, 150))
    verdict = decide(candidate, clusters=clusters)
    assert verdict.decision == "hold"
    assert any("0 of 50 broke" in reason for reason in verdict.reasons)


def test_a_cluster_broke_if_any_of_its_items_did_and_a_gain_goes_with_the_majority() -> None:
    before = {r.item: r for r in evidence("l", reading=[True, False, False]).results}
    after = {r.item: r for r in evidence("c", reading=[False, True, True]).results}
    one = dict.fromkeys(before, "note")
    assert pair(before, after, list(before), one) == Paired(n=1, broke=1, fixed=0)
    assert pair(before, after, list(before), one, net=True) == Paired(n=1, broke=0, fixed=1)
    assert pair(before, after, list(before), {}) == Paired(n=3, broke=1, fixed=2)


def test_the_regression_rate_counts_only_what_was_right() -> None:
    broke, n, low, high = regression_rate(evidence("l", new=some(2, 12)), evidence("c", new=some(4, 12)))
    assert (broke, n) == (2, 10)
    assert low < 0.2 < high
    assert regression_rate(evidence("l", new=some(3, 3)), evidence("c", new=some(0, 3))) == (0, 0, 0.0, 1.0)


def test_evidence_of_somebody_else_is_refused() -> None:
    with pytest.raises(ScopeError, match="local/bob"):
        decide(evidence("c", scope=Scope(user="bob"), new=some(0, 32)))


def test_versions_that_answered_different_items_or_one_item_twice_are_refused() -> None:
    with pytest.raises(InputError, match=r"candidate and live .*\(item reading-149 differs\)"):
        decide(evidence("c", new=some(0, 32), reading=some(0, 149)))
    with pytest.raises(InputError, match="twice"):
        decide(Evidence(scope=ANN, adapter="c", suite="own", results=BASE.results[:1] * 2))


def test_settings_that_promise_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="alpha = 0"):
        SequentialGate(alpha=0.0)
    with pytest.raises(InputError, match="patience"):
        SequentialGate(patience=0)
    with pytest.raises(InputError, match="no limit"):
        GATE.judge(Paired(n=32, broke=0, fixed=32), [], 1)


def test_items_that_led_to_refusals_before_must_show_more_than_fresh_ones() -> None:
    base = evidence("", new=some(32, 32), reading=some(0, 300))
    candidate = evidence("c", new=some(0, 32), reading=some(4, 300))
    assert decide(candidate, live=base, origin=base, index=3).decision == "promote"
    again = decide(candidate, live=base, origin=base, index=3, history=("reject", "reject"))
    assert again.decision == "hold"
    assert again.alpha_spent in (0.0, spend(3, 0.05))


def test_where_too_few_items_rule_a_promotion_out_the_answers_are_not_looked_at() -> None:
    base = evidence("", new=some(32, 32), reading=some(0, 40))
    for wrong in (0, 40):
        verdict = decide(evidence("c", new=some(0, 32), reading=some(wrong, 40)), live=base, origin=base)
        assert (verdict.decision, verdict.alpha_spent) == ("hold", 0.0)


def test_a_group_that_could_show_nothing_any_more_is_judged_with_the_rest() -> None:
    eighty, history = some(0, 80), ("reject",) * 3
    base = evidence("", new=some(32, 32), reading=some(0, 600), own=eighty)
    candidate = evidence("c", new=some(0, 32), reading=some(0, 600), own=eighty)
    verdict = decide(candidate, live=base, origin=base, index=4, history=history)
    assert verdict.decision == "promote" and not any("own against live" in r for r in verdict.reasons)
    assert any("own against live" in r for r in decide(candidate, live=base, origin=base).reasons)


def test_a_few_things_taught_before_that_tip_either_way_do_not_end_all_learning() -> None:
    """Of 60 memories 3 broke and 8 were mended: no loss, but too few to show that of them alone."""
    live = evidence("l", new=some(20, 20), reading=some(0, 600), replay=[True] * 52 + [False] * 8)
    candidate = evidence("c", new=some(2, 20), reading=some(0, 600), replay=[False] * 3 + [True] * 57)
    verdict = decide(candidate, live=live, origin=live, index=4, history=("promote",) * 3)
    assert verdict.decision == "promote" and "3 of 660 broke, 8 fixed" in "\n".join(verdict.reasons)


@pytest.mark.parametrize("history", [(), ("promote",), ("reject", "hold")])
def test_what_the_gate_says_that_it_needs_and_tolerates_is_what_it_goes_by(history: tuple[Decision, ...]) -> None:
    index = len(history) + 1
    gain = Paired(n=32, broke=0, fixed=32)

    def promoted(n: int, broke: int) -> bool:
        limits = (("live", GATE.margin), ("origin", GATE.budget))
        checks = [
            Check(part="retained", against=a, paired=Paired(n=n, broke=broke, fixed=0), limit=m) for a, m in limits
        ]
        return GATE.judge(gain, checks, index, history)[0] == "promote"

    least = GATE.least_retained(index, history)
    assert promoted(least, 0) and not promoted(least - 1, 0)
    for n in (least - 1, least, 300, 554):
        for broke in range(20):
            assert promoted(n, broke) == GATE.tolerates(Paired(n=n, broke=broke, fixed=0), index, history)


def test_an_index_cannot_be_used_twice() -> None:
    with pytest.raises(InputError, match="decision 1 cannot follow 1"):
        decide(BASE, index=1, history=("hold",))


@given(st.integers(0, 400), st.data(), st.integers(1, 60))
def test_a_promotion_always_means_that_every_bound_lies_within_its_limit(
    n: int, data: st.DataObject, index: int
) -> None:
    broke, fixed = data.draw(st.integers(0, n // 8)), data.draw(st.integers(0, 32))
    gain = Paired(n=32, broke=0, fixed=fixed)
    checks = [Check(part="retained", against="live", paired=Paired(n=n, broke=broke, fixed=0), limit=GATE.margin)]
    decisions: st.SearchStrategy[Decision] = st.sampled_from(("promote", "hold", "reject"))
    history: list[Decision] = data.draw(st.lists(decisions, max_size=index - 1))
    decision, spent = GATE.judge(gain, checks, index, history)
    budget = spend(index, GATE.alpha, GATE.patience)
    level = budget * reuse_share(history)
    safe = loss_shown_small(broke, 0, n, GATE.margin, level)
    assert (decision == "promote") == (safe and 0.5**fixed <= budget)
    assert spent == budget if decision != "hold" else spent in (0.0, budget)
