"""A team's memory reaches its members, follows what is changed there, and can be left and forgotten; nobody reads a scope of somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.errors import InputError, NotFound
from engrain.loops import remember
from engrain.loops.change import change
from engrain.loops.correct import correct
from engrain.loops.curate import Operation, curate
from engrain.loops.teams import ask, forget_in_team, gather, join, leave, members, share, spread, team_scope, tell_team
from engrain.memory import HashedEmbedder, derive
from engrain.records import Memory, Scope
from engrain.store import SqlStore

ADA, BEN = Scope(tenant="acme", user="ada"), Scope(tenant="acme", user="ben")
HARBOUR = team_scope("acme", "harbour")
CODE = "The gate code of the north barn is 44170923."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path)) as made:
        yield made


def held(store: SqlStore, scope: Scope) -> list[str]:
    return [s.memory.text for s in derive(store.history(scope=scope)).values() if s.state == "active"]


def no_model():  # type: ignore[no-untyped-def]
    raise AssertionError("no weights were learned, so no model is needed")


def test_what_is_told_to_a_team_reaches_its_members_and_nobody_else(store: SqlStore) -> None:
    join(store, HARBOUR, "ada")
    tell_team(store, HARBOUR, CODE, by="ada")
    assert join(store, HARBOUR, "ben") == 1  # who comes later gets what there is
    assert held(store, ADA) == held(store, BEN) == [CODE]
    assert spread(store, HARBOUR) == 0  # once is enough
    assert held(store, Scope(tenant="umbrella", user="ada")) == [] == held(store, Scope(tenant="acme", user="eve"))
    (copy,) = store.select(Memory, scope=ADA)
    assert copy.source == "team:harbour" and store.get(copy.id, scope=ADA).scope == ADA
    assert members(store, HARBOUR) == ["ada", "ben"]


def test_what_is_changed_in_the_team_is_changed_with_its_members(store: SqlStore) -> None:
    for user in ("ada", "ben"):
        join(store, HARBOUR, user)
    (told,) = tell_team(store, HARBOUR, CODE, by="ada")
    tell_team(store, HARBOUR, "The gate code of the north barn is 5521.", by="ben")
    assert held(store, ADA) == ["The gate code of the north barn is 5521."]
    (other,) = tell_team(store, HARBOUR, "The kettle is blue.", by="ben")
    correct(store, other.id, scope=HARBOUR)
    change(
        store,
        "archive",
        *[m.id for m in store.select(Memory, scope=HARBOUR) if "5521" in m.text],
        scope=HARBOUR,
        reason="sold",
    )
    spread(store, HARBOUR)
    assert held(store, ADA) == held(store, BEN) == held(store, HARBOUR) == []
    assert told.scope == HARBOUR


def test_whatever_door_changes_a_team_s_memory_its_members_follow(tmp_path: Path) -> None:
    from engrain.learner import Learner

    with Learner(tmp_path, user="team:harbour", tenant="acme") as team:
        for user in ("ada", "ben"):
            join(team.store, HARBOUR, user)
        (told,) = team.tell(CODE)
        assert held(team.store, ADA) == held(team.store, BEN) == [CODE]
        (done,) = team.text.change("archive", told.id, reason="sold")
        assert held(team.store, ADA) == held(team.store, BEN) == []
        team.text.change("undo", done.id, reason="not yet")
        (kettle,) = team.tell("The kettle of the harbour is blue.")
        team.correct(kettle.id)
        assert held(team.store, ADA) == [CODE]
        team.text.lesson("Ring before you open the gate.")
        assert held(team.store, ADA) == [CODE, "Ring before you open the gate."]
        with Learner(tmp_path, user="ada", tenant="acme") as ada:
            ada.tell("Ada keeps the key of the harbour master.")
        known = ask(team.store, HashedEmbedder(), "gate code, and key of the harbour master", HARBOUR)
        assert {(k.memory.text, k.by) for k in known} >= {
            (CODE, ("team:harbour", "ada", "ben")), ("Ada keeps the key of the harbour master.", ("ada",)),
        }  # fmt: skip


def test_one_s_own_stays_private_until_it_is_shared(store: SqlStore) -> None:
    join(store, HARBOUR, "ben")
    own = remember.tell(store, CODE, scope=ADA)
    assert held(store, BEN) == []
    given = share(store, own.id, HARBOUR, scope=ADA)
    assert held(store, BEN) == [CODE] and given.source == "ada"
    with pytest.raises(InputError, match="same tenant"):
        share(store, own.id, team_scope("umbrella", "x"), scope=ADA)


def test_a_member_may_leave_and_what_one_forgot_does_not_come_back(store: SqlStore) -> None:
    for user in ("ada", "ben"):
        join(store, HARBOUR, user)
    tell_team(store, HARBOUR, CODE, by="ada")
    assert leave(store, HARBOUR, "ben", reason="another job") == 1 and held(store, BEN) == []
    (copy,) = store.select(Memory, scope=ADA)
    store.erase([copy.id], scope=ADA, reason="asked")
    assert spread(store, HARBOUR) == 0 and held(store, ADA) == [] and held(store, HARBOUR) == [CODE]
    with pytest.raises(NotFound, match="no member"):
        leave(store, HARBOUR, "ben", reason="again")


def test_what_the_team_forgets_goes_with_everybody(store: SqlStore, tmp_path: Path) -> None:
    for user in ("ada", "ben"):
        join(store, HARBOUR, user)
    (told,) = tell_team(store, HARBOUR, CODE, by="ada")
    receipts = forget_in_team(store, no_model, told.id, HARBOUR, home=tmp_path)
    assert {r.scope.user for r in receipts} == {"ada", "ben", "team:harbour"}
    assert held(store, ADA) == held(store, BEN) == held(store, HARBOUR) == []
    assert b"44170923" not in (tmp_path / "engrain.db").read_bytes()
    assert spread(store, HARBOUR) == 0 and store.verify() > 0
    with pytest.raises(NotFound, match="no memory of"):
        forget_in_team(store, no_model, told.id, HARBOUR, home=tmp_path)


def test_everyone_is_the_tenant(store: SqlStore) -> None:
    remember.tell(store, "Ada sails.", scope=ADA)
    remember.tell(store, "Somebody else's.", scope=Scope(tenant="umbrella", user="eve"))
    everyone = team_scope("acme", "everyone")
    tell_team(store, everyone, CODE, by="ada")
    assert members(store, everyone) == ["ada"] and CODE in held(store, ADA)


def test_an_aggregator_asks_each_agent_and_says_who_knows(store: SqlStore) -> None:
    remember.tell(store, CODE, scope=ADA)
    remember.tell(store, CODE, scope=BEN)
    remember.tell(store, "The gate of the south barn has no code.", scope=BEN)
    found = gather(store, HashedEmbedder(), "What is the gate code of the north barn?", [ADA, BEN])
    assert found[0].memory.text == CODE and found[0].by == ("ada", "ben")
    assert [k.by for k in found[1:]] == [("ben",)]
    with pytest.raises(InputError, match="several tenants"):
        gather(store, HashedEmbedder(), "x", [ADA, Scope(tenant="umbrella", user="eve")])


@pytest.mark.parametrize("name", ["", "two words", "a:b", "x" * 65])
def test_an_odd_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="names no team"):
        team_scope("acme", name)


def test_what_was_made_of_a_forgotten_memory_goes_with_every_member(store: SqlStore, tmp_path: Path) -> None:
    join(store, HARBOUR, "ada")
    told = Memory(scope=HARBOUR, kind="reflection", text="The secret door code is 44170923.", valid_from=1.0)
    store.append(told)
    asked = [Operation(type="ADD", content="Always ask before using the secret code 44170923.")]
    curate(store, asked, scope=HARBOUR, shown=(told.id,), grounds=(told.id,))
    spread(store, HARBOUR)
    assert len(held(store, ADA)) == 2
    forget_in_team(store, no_model, told.id, HARBOUR, home=tmp_path)
    assert list(store.select(Memory, scope=ADA)) == list(store.select(Memory, scope=HARBOUR)) == []
