"""What is true stands for ever; what was only experience fades, the slower the more it is used; and a kind has room for so many."""

from __future__ import annotations

from typing import get_args

from engrain.memory.laws import DAY_S, LAWS, Law, Use, fading, strength
from engrain.records import Memory, MemoryKind, Scope


def memory(kind: MemoryKind, at: float = 0.0) -> Memory:
    return Memory(scope=Scope(), kind=kind, text="x", valid_from=at, recorded_at=at)


def test_every_kind_has_a_law() -> None:
    assert set(LAWS) == set(get_args(MemoryKind))


def test_facts_rules_preferences_and_skills_never_fade() -> None:
    for kind in ("fact", "procedure", "preference", "skill", "block"):
        assert strength(memory(kind), Use(), 1e12) == 1.0  # type: ignore[arg-type]
    assert fading([memory("fact")], {}, 1e12) == {}


def test_a_half_life_halves_and_use_makes_it_longer_and_begins_it_anew() -> None:
    life = LAWS["note"].half_life_days
    assert life is not None
    later = life * DAY_S
    assert strength(memory("note"), Use(), later) == 0.5
    assert strength(memory("note"), Use(shown=1), later) == 0.5**0.5  # 1 + log2(2) = 2 half-lives
    assert strength(memory("note"), Use(shown=3, last=later), later) == 1.0
    assert strength(memory("note", at=later), Use(), 0.0) == 1.0  # a clock that went back


def test_the_faded_and_the_weakest_of_too_many_go_with_a_reason() -> None:
    some = [memory("reflection", at=float(i)) for i in range(5)]
    laws = {**LAWS, "reflection": Law(ends_by="", half_life_days=1.0, most=2)}
    gone = fading(some, {some[0].id: Use(shown=7, last=10.0)}, 20.0, laws=laws)
    assert set(gone) == {some[1].id, some[2].id, some[3].id}  # the one that was used stays, and the newest
    assert all("2 at most" in reason for reason in gone.values())
    old = fading(some, {some[0].id: Use(shown=7, last=10.0)}, 4 * DAY_S, laws=laws)
    assert set(old) == {m.id for m in some[1:]} and "strength 0.06, 0.1 at least" in old[some[1].id]
