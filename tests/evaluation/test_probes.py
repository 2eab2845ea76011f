"""The probe bank: three parts that share no prompt, with enough items for the gate."""

from __future__ import annotations

from collections import Counter

from engrain.engines.fake import FakeEngine
from engrain.evaluation.probes import guard_probes, probe_group, probes
from engrain.evaluation.suites import check_holdout, is_unknown
from engrain.records import Example, Message


def test_no_prompt_stands_in_two_parts() -> None:
    parts = [{e.query for e in probes(part)} for part in ("guard", "scale", "gate")]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


def test_the_gate_has_enough_items_of_every_group() -> None:
    groups = Counter(probe_group(e) for e in probes("gate"))
    assert set(groups) == {"reading", "unknown", "style"}
    assert sum(groups.values()) >= 300
    assert min(groups.values()) >= 60


def test_what_guards_training_never_judges_it() -> None:
    check_holdout(guard_probes(200), probes("gate"))


def test_guards_are_chosen_by_content_and_are_of_every_group() -> None:
    assert guard_probes(20) == guard_probes(20)
    assert guard_probes(20, seed=1) != guard_probes(20)
    assert {probe_group(e) for e in guard_probes(400)} == {"reading", "unknown", "style"}


def test_an_unknown_probe_expects_a_dont_know_and_anything_else_is_no_probe() -> None:
    assert all(is_unknown(e.reference) for e in probes("gate") if probe_group(e) == "unknown")
    assert probe_group(Example(query=(Message(role="user", content="What is this?"),))) is None


def test_a_small_window_is_given_fewer_probes_and_none_that_it_cannot_read() -> None:
    class Small(FakeEngine):
        window = 400

    few = probes("gate", engine=Small())
    assert 0 < len(few) < len(probes("gate")) == len(probes("gate", engine=FakeEngine()))
    assert all(sum(len(m.content) for m in e.query) < 400 for e in (*few, *guard_probes(200, engine=Small())))
