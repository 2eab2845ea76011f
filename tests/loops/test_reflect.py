"""What failed is reflected on, found for similar tasks, counted, and gone with what it was about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.engines.fake import FakeEngine
from engrain.errors import InputError
from engrain.gateway.answer import Serving, answer
from engrain.loops import remember
from engrain.loops.forget import preview
from engrain.loops.reflect import Written, by_rules, reflect, solve
from engrain.loops.sleep import Metered
from engrain.memory import HashedEmbedder
from engrain.memory.worth import Worth, worths
from engrain.protocols import Finding
from engrain.records import Feedback, Interaction, Memory, Message, Scope
from engrain.store import SqlStore

ME = Scope()
TASK = "Make tea with the kettle in the kitchen."


class Plugged:
    """Content once the answer speaks of plugging it in."""

    name = "plugged"

    def verify(self, interaction: Interaction) -> Finding:
        good = "plug" in interaction.answer
        return Finding(score=float(good), reason="" if good else "plug in the kettle first")


class Silent:
    name = "silent"

    def verify(self, interaction: Interaction) -> Finding:
        return Finding(score=None, reason="cannot tell")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path)) as made:
        yield made


def ask(store: SqlStore, text: str = TASK) -> Interaction:
    asked = [Message(role="user", content=text)]
    return answer(store, FakeEngine(), HashedEmbedder(), asked, scope=ME, serving=Serving(max_tokens=400))


def test_a_second_try_is_shown_why_the_first_one_failed_and_a_similar_task_succeeds_at_once(store: SqlStore) -> None:
    tried = solve(store, HashedEmbedder(), lambda: ask(store), [Plugged()], scope=ME)
    assert tried.solved and len(tried.interactions) == 2
    (memory,) = tried.reflections
    assert memory.text == f'Asked "{TASK}", mind this: plug in the kettle first'
    like = solve(store, HashedEmbedder(), lambda: ask(store, "Make coffee with the kettle."), [Plugged()], scope=ME)
    assert like.solved and len(like.interactions) == 1 and like.interactions[0].context.memory_ids == (memory.id,)
    assert worths(store, ME, [memory.id]) == {memory.id: Worth(helpful=2)}


def test_without_a_critic_it_only_tries_again_and_what_nobody_can_judge_ends_it(store: SqlStore) -> None:
    tried = solve(store, HashedEmbedder(), lambda: ask(store), [Plugged()], scope=ME, critic=None)
    assert (tried.solved, len(tried.interactions), tried.reflections) == (False, 3, ())
    unknown = solve(store, HashedEmbedder(), lambda: ask(store), [Silent()], scope=ME)
    assert (unknown.solved, len(unknown.interactions)) == (False, 1)
    for more in ({"trials": 0}, {"verifiers": []}):
        with pytest.raises(InputError, match="at least one of each"):
            solve(store, HashedEmbedder(), lambda: ask(store), **({"verifiers": [Silent()], "scope": ME} | more))  # type: ignore[arg-type]


def test_only_what_failed_is_reflected_on_and_only_once(store: SqlStore) -> None:
    good, bad, unsaid = ask(store), ask(store), ask(store)
    remember.feedback(store, good.id, scope=ME, rating=1.0, comment="nice")
    remember.feedback(store, bad.id, scope=ME, rating=0.0, comment="the cups were cold")
    assert reflect(store, HashedEmbedder(), good.id, scope=ME) is None
    assert reflect(store, HashedEmbedder(), unsaid.id, scope=ME) is None
    memory = reflect(store, HashedEmbedder(), bad.id, scope=ME)
    assert memory is not None and "the cups were cold" in memory.text
    assert reflect(store, HashedEmbedder(), bad.id, scope=ME) == memory
    with pytest.raises(InputError, match="is a memory"):
        reflect(store, HashedEmbedder(), memory.id, scope=ME)


def test_of_a_correction_the_value_is_not_kept_twice_for_it_may_change(store: SqlStore) -> None:
    asked = ask(store, "What is the gate code?")
    remember.feedback(store, asked.id, scope=ME, correction="The gate code is 5521.")
    memory = reflect(store, HashedEmbedder(), asked.id, scope=ME)
    assert memory is not None and "5521" not in memory.text and "newest note" in memory.text


def test_a_model_may_write_it_and_its_calls_are_counted(store: SqlStore) -> None:
    class Model(FakeEngine):
        def sample(self, prompts, **more):  # type: ignore[no-untyped-def]
            (prompt,) = prompts
            assert "because" in prompt[0].content.lower() and TASK in prompt[0].content
            return [
                self._complete(
                    [
                        Message(role="system", content="- for tea plug the kettle in the kitchen in"),
                        Message(role="user", content="tea kettle kitchen"),
                    ],
                    (),
                    60,
                )
            ]

    model = Metered(Model())
    tried = solve(store, HashedEmbedder(), lambda: ask(store), [Plugged()], scope=ME, critic=Written(model))
    assert tried.solved and model.calls == 1 and model.tokens > 0
    assert [m.text for m in tried.reflections] == ["for tea plug the kettle in the kitchen in"]
    assert by_rules(tried.interactions[0], " ") == ""


def test_it_goes_when_what_it_was_about_is_forgotten(store: SqlStore) -> None:
    tried = solve(store, HashedEmbedder(), lambda: ask(store), [Plugged()], scope=ME)
    found = preview(store, tried.interactions[0].id, scope=ME)
    assert {m.id for m in store.select(Memory, scope=ME)} == set(found.memories) == {tried.reflections[0].id}


def test_it_goes_when_a_note_that_was_shown_is_forgotten(store: SqlStore) -> None:
    note = remember.tell(store, "The kettle in the kitchen is Petra's.", scope=ME)
    tried = solve(store, HashedEmbedder(), lambda: ask(store), [Plugged()], scope=ME)
    assert note.id in tried.interactions[0].context.memory_ids
    assert tried.reflections[0].id in preview(store, note.id, scope=ME).memories


def test_what_is_said_of_the_answer_before_is_not_laid_on_the_next_one(store: SqlStore) -> None:
    before, after = ask(store), ask(store, "No, that is wrong.")
    store.append(
        Feedback(
            scope=ME,
            interaction=before.id,
            kind="implicit",
            name="corrected",
            score=0.0,
            text="it finds fault",
            causes=(before.id, after.id),
        )
    )
    assert reflect(store, HashedEmbedder(), after.id, scope=ME) is None
    assert reflect(store, HashedEmbedder(), before.id, scope=ME) is not None
