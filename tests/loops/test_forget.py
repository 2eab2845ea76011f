"""Forget: what only the weights said goes too, and so does what an interrupted run left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engrain.learner import Learner
from engrain.records import Adapter, Interaction, Message, Stamp

sys.path.insert(0, str(Path(__file__).parents[1]))
SECRET = "The safe in the office opens with the code 6094."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama")


def said(me: Learner, question: str, answer: str, adapter: str) -> str:
    """An answer given with no note shown."""
    stamp = Stamp(base=me.engine.base, adapter=adapter)
    interaction = Interaction(
        scope=me.scope, messages=(Message(role="user", content=question),), answer=answer, stamp=stamp,
        causes=(adapter,) if adapter else (),
    )  # fmt: skip
    me.store.append(interaction)
    return interaction.id


def test_an_answer_that_repeats_a_forgotten_fact_from_the_weights_goes_with_it(base: Path, tmp_path: Path) -> None:
    me = Learner(tmp_path / "home", base=base)
    secret, other = me.tell(SECRET)[0], me.tell("The dog is called Biscuit.")[0]
    name = me.engine.student("", rank=2).save()
    taught = (secret.id, other.id)
    batch = _batch(me, taught)
    me.store.append_all(
        [batch, Adapter(id=name, scope=me.scope, base=me.engine.base, batch=batch.id, memory_ids=taught)]
    )
    leaked = said(me, "What is the code of the safe?", "6094", name)
    harmless = said(me, "Who is the dog?", "Biscuit", name)
    me.forget(secret.id)
    kept = list(me.store.select(Interaction, scope=me.scope))
    assert {i.id for i in kept} >= {harmless} and leaked not in {i.id for i in kept}
    assert all(i.answer != "6094" for i in kept)
    assert "What is the code of the safe?" in [i.query for i in kept]  # the question is the user's own and stays
    files = [p.read_bytes() for p in me.home.rglob("engrain.db*")]
    assert files and not any(b"code 6094" in f or b'"6094"' in f for f in files)


def test_an_adapter_that_no_record_leads_to_goes_at_the_next_forgetting(base: Path, tmp_path: Path) -> None:
    me = Learner(tmp_path / "home", base=base)
    secret = me.tell(SECRET)[0]
    stray = me.engine.student("", rank=2).save()  # as a run leaves it that was killed before it recorded its adapter
    assert (me.home / "adapters" / stray).is_dir()
    me.forget(secret.id)
    assert not (me.home / "adapters" / stray).exists()


def _batch(me: Learner, memories: tuple[str, ...]):  # type: ignore[no-untyped-def]
    from engrain.records import Batch

    return Batch(scope=me.scope, parent="", train=(), holdout=(), memory_ids=memories, causes=memories)
