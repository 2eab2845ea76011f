"""A tenant at a glance: counts, numbers and ledger of its own users, and of nobody else's."""

from __future__ import annotations

from collections.abc import Callable

from engrain.records import Adapter, Context, Feedback, Interaction, Memory, Scope, Usage
from engrain.store import SqlStore

Make = Callable[..., Memory]
Ask = Callable[..., Interaction]


def test_everybody_of_a_tenant_is_listed_with_what_is_kept_of_them_the_last_active_first(
    store: SqlStore, memory: Make, scope: Scope, other: Scope
) -> None:
    gone = memory()
    store.append_all([gone, memory(), memory(scope=other), memory(scope=Scope(tenant="rival", user="eve"))])
    store.erase([gone.id], scope=scope, reason="asked")
    found = store.people("acme")
    assert [(p.scope.user, p.kept["memory"]) for p in found] == [("bob", 1), ("ada", 1)]
    assert [p.scope for p in store.people("acme", "ada")] == [scope]
    assert store.people("nobody") == store.people("rival", "ada") == []


def test_the_newest_records_come_in_pages(store: SqlStore, memory: Make, scope: Scope, other: Scope) -> None:
    notes = [memory(scope=scope if n % 2 else other) for n in range(5)]
    store.append_all([*notes, memory(scope=Scope(tenant="rival", user="ada"))])
    first = store.newest(Memory, tenant="acme", limit=3)
    rest = store.newest(Memory, tenant="acme", before=first[-1][0])
    assert [m.id for _, m in first + rest] == [m.id for m in reversed(notes)]
    assert [m.id for _, m in store.newest(Memory, tenant="acme", user="ada")] == [notes[3].id, notes[1].id]


def test_the_numbers_of_answers_and_judgements_are_read_without_their_words(
    store: SqlStore, interaction: Ask, scope: Scope
) -> None:
    asked = interaction(
        "half a surrogate \ud83d", context=Context(tokens=40), usage=Usage(input_tokens=55, output_tokens=7), created_at=5.0
    )  # fmt: skip
    fb = [Feedback(scope=scope, interaction=asked.id, name=n, score=s, created_at=t) for n, s, t in
          (("rating", 0.25, 1.0), ("comment", None, 2.0), ("correction", None, 3.0))]  # fmt: skip
    store.append_all([asked, *fb, interaction(scope=Scope(tenant="rival", user="ada"))])
    (row,) = store.served(tenant="acme")
    assert (row.id, row.user, row.at, row.adapter) == (asked.id, "ada", 5.0, "")
    assert (row.shown_tokens, row.input_tokens, row.output_tokens) == (40, 55, 7)
    assert [(j.name, j.score, j.interaction) for j in store.judged(tenant="acme", user="ada")] == [
        ("rating", 0.25, asked.id),
        ("correction", None, asked.id),
    ]
    assert store.judged(tenant="acme", user="bob") == []


def test_what_was_found_of_answers_is_counted_for_each_verifier_by_itself(
    store: SqlStore, interaction: Ask, scope: Scope
) -> None:
    asked = interaction()
    given = [("automated", "exact", 1.0), ("automated", "exact", 0.25), ("automated", "exact", None), ("automated", "judge", None),
             ("implicit", "rephrased", 0.0), ("explicit", "rating", 1.0), ("explicit", "comment", None)]  # fmt: skip
    fb = [Feedback(scope=scope, interaction=asked.id, kind=k, name=n, score=s) for k, n, s in given]  # type: ignore[arg-type]
    store.append_all([asked, *fb])
    found = [(f.kind, f.name, f.good, f.scored, f.silent) for f in store.found(tenant="acme")]
    assert found == [
        ("automated", "exact", 1, 2, 1),
        ("automated", "judge", 0, 0, 1),
        ("implicit", "rephrased", 0, 1, 0),
    ]
    assert [f.name for f in store.found(tenant="acme", limit=3)] == ["rephrased"]  # the last feedback alone
    assert store.found(tenant="acme", user="bob") == [] == store.found(tenant="rival")


def test_a_tenants_part_of_the_ledger_has_its_records_moves_and_erasures_alone(
    store: SqlStore, memory: Make, scope: Scope, other: Scope
) -> None:
    stranger = Scope(tenant="rival", user="ada")
    mine, name = memory(), "a" * 64
    theirs = memory(scope=stranger)
    store.append_all([mine, theirs, *(Adapter(id=name, scope=s, base="b", created_at=1.0) for s in (scope, stranger))])
    for moving in (scope, stranger):
        store.set_live(moving, name, expected="", event="rollback", reason="for a test")
    store.erase([theirs.id], scope=stranger, reason="theirs")
    store.erase([mine.id], scope=scope, reason="asked")
    rows = store.tenant_ledger("acme")
    assert [(e.event, user) for e, user in rows] == [
        ("forget", "ada"), ("rollback", "ada"), ("adapter", "ada"), ("memory", "ada"),
    ]  # fmt: skip
    assert rows[0][0].reason == "asked" and len(store.tenant_ledger("rival")) == 4
    assert [e.event for e, _ in store.tenant_ledger("acme", before=rows[1][0].seq)] == ["adapter", "memory"]
    assert len(store.tenant_ledger("acme", limit=1)) == 1 and other.user not in {u for _, u in rows}
