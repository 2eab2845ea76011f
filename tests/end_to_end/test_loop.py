"""One user's facts all the way round, on the real small model: learned, answered from weights, forgotten, rolled back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engrain.errors import HomeBusy
from engrain.evaluation.canary import Trial
from engrain.learner import SPROUT, Learner
from engrain.loops.background import Background, work
from engrain.loops.consolidate import Consolidation
from engrain.loops.prepare import Preparation
from engrain.loops.study import Study
from engrain.loops.trial import decide
from engrain.records import Batch, Interaction, Memory
from engrain.store import SqlStore, home_lock

sys.path.insert(0, str(Path(__file__).parents[1]))

from promoting import PromoteEverything  # noqa: E402

FACTS = (
    "The gate code of the north barn is 4417.",
    "Marta repairs the sails.",
    "The colour of the van is dark green.",
    "Old Tom's phone number is 555-0182.",
    "The password of the printer is maple.",
    "Hugo Keller sends the invoices.",
    "The owner of the kiln is Petra.",
    "The departure time of the ferry is 7:40.",
)
SECRET = "The safe code of the office is 90210."


QUICK = Consolidation(
    preparation=Preparation(study=Study(rounds=1, most=8), guards=40, least_memories=2, near_misses=1),
    gate=PromoteEverything(),
    least_steps=20,
    learning_rate=6e-3,
    batch_size=16,
    scale_items=30,
    plan={"new": 0.8, "guard": 0.1},
    steps_per_memory=0,
    gate_items=30,
    checkpoint_every=5,
    least_advantage=-1.0,
    scales=(1.0, 0.5),
)
pytestmark = pytest.mark.skipif(not (SPROUT / "model.safetensors").exists(), reason="sprout's weights are not there")


def learner(home: Path, facts: tuple[str, ...] = FACTS) -> Learner:
    """A home that was told these facts at one fixed time, so that two homes can be compared."""
    me = Learner(home, consolidation=QUICK)
    known = {m.text for m in me.memories(all_states=True)}
    for fact in facts:
        if fact not in known:
            me.tell(fact)
    return me


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Learner:
    """A home whose facts, a secret among them, were consolidated and promoted."""
    me = learner(tmp_path_factory.mktemp("taught") / "home", (*FACTS, SECRET))
    outcome = me.consolidate()
    assert outcome.verdict is not None, outcome.reason
    assert outcome.verdict.decision == "promote", outcome.verdict.reasons
    return me


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The adapter of the facts, learned in another home with nothing in between."""
    with learner(tmp_path_factory.mktemp("undisturbed") / "home") as me:
        return me.consolidate().adapter


@pytest.fixture(scope="module")
def of_three(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The adapter of the first three facts alone."""
    with learner(tmp_path_factory.mktemp("three") / "home", FACTS[:3]) as me:
        return me.consolidate().adapter


def test_a_consolidation_teaches_facts_that_are_then_answered_without_notes(taught: Learner) -> None:
    batch = next(taught.store.select(Batch, scope=taught.scope))
    before = taught.evaluate(batch.holdout, version="base")
    after = taught.evaluate(batch.holdout)
    assert sum(r.right for r in after.results) > sum(r.right for r in before.results)
    assert all(not e.context or e.context not in {m.content for m in e.query} for e in batch.holdout)


def test_every_answer_is_stamped_and_can_be_walked_up_to_the_note_and_down_to_the_adapter(taught: Learner) -> None:
    interaction = taught.chat("What is the gate code of the north barn?")
    assert interaction.stamp.adapter == taught.store.live(taught.scope)
    assert interaction.stamp.base == taught.engine.base
    assert taught.store.get(interaction.id, scope=taught.scope) == interaction
    memory = next(m for m in taught.memories() if m.text == FACTS[0])
    _, effects = taught.trace(memory.id)
    assert interaction.stamp.adapter in {node.id for node in effects}
    causes, _ = taught.trace(interaction.id)
    assert memory.id in {node.id for node in causes}


def test_rollback_is_one_move_and_gives_the_same_bits(taught: Learner) -> None:
    question = "Who repairs the sails?"
    now = taught.chat(question, memory=False)
    live = taught.store.live(taught.scope)
    bare = taught.chat(question, memory=False, version="base")
    assert taught.rollback() == ""
    back = taught.chat(question, memory=False)
    assert (back.token_ids, back.logprobs) == (bare.token_ids, bare.logprobs)
    taught.rollback(live)
    again = taught.chat(question, memory=False)
    assert (again.token_ids, again.logprobs) == (now.token_ids, now.logprobs)
    assert taught.store.verify() > 0


def test_forgetting_leaves_the_adapter_of_a_history_in_which_the_record_never_was(
    taught: Learner, undisturbed: str
) -> None:
    taught.chat("What is the safe code of the office?")
    secret = next(m for m in taught.memories() if m.text == SECRET)
    receipt = taught.forget(secret.id)
    ((_, rebuilt),) = receipt.rebuilt
    assert taught.store.live(taught.scope) == rebuilt
    assert undisturbed == rebuilt

    assert SECRET not in {m.text for m in taught.memories(all_states=True)}
    for file in taught.home.rglob("*"):
        if file.is_file():
            assert b"90210" not in file.read_bytes(), file
    assert taught.store.verify() > 0
    assert taught.consolidate().verdict is None  # nothing is new, and nothing comes back
    assert taught.store.live(taught.scope) == rebuilt


def test_a_fact_that_changes_is_answered_from_memory_at_once_and_the_adapter_is_stale(taught: Learner) -> None:
    from engrain.loops.consolidate import stale_memories

    old = next(m for m in taught.memories() if m.text == FACTS[7])
    taught.tell("The departure time of the ferry is now 9:15.")
    asked = taught.chat("What is the departure time of the ferry?")
    new = next(m for m in taught.memories() if "9:15" in m.text)
    assert new.id in asked.context.memory_ids
    assert old.id not in asked.context.memory_ids
    assert old.id in stale_memories(taught.store, taught.scope)


def test_what_was_recalled_into_a_prompt_is_never_remembered_again(taught: Learner) -> None:
    before = len(taught.memories(all_states=True))
    asked = taught.chat("What is the colour of the van?", remember_it=True)
    assert isinstance(asked, Interaction)
    assert len(taught.memories(all_states=True)) == before


def test_two_consolidations_of_one_home_do_not_run_at_once(taught: Learner) -> None:
    with home_lock(taught.home), pytest.raises(HomeBusy, match=str(os.getpid())):
        taught.consolidate()


def test_forgetting_rebuilds_a_version_and_its_child_as_if_the_record_had_never_been(tmp_path: Path) -> None:
    def history(home: Path, first: tuple[str, ...]) -> Learner:
        me = learner(home, first)
        me.consolidate()
        for later in ("The vet of the goats is Dr. Lund.", "The kiln needs 3 kW."):
            me.tell(later)
        me.consolidate()
        return me

    with history(tmp_path / "told", (*FACTS[:3], SECRET)) as me, history(tmp_path / "never", FACTS[:3]) as never:
        child = me.versions()[-1]
        assert child.parent == me.versions()[-2].adapter
        receipt = me.forget(next(m.id for m in me.memories() if m.text == SECRET))
        assert [old for old, _ in receipt.rebuilt] == [child.parent, child.adapter]
        assert [v.adapter for v in me.versions()] == [v.adapter for v in never.versions()]
        assert me.store.live(me.scope) == never.store.live(never.scope)


def test_a_changed_fact_is_corrected_in_the_weights_by_the_next_run(tmp_path: Path) -> None:
    from engrain.loops.consolidate import stale_memories

    with learner(tmp_path / "home", FACTS[4:]) as me:
        first = me.consolidate().adapter
        me.tell("The departure time of the ferry is now 9:15.")
        assert stale_memories(me.store, me.scope)
        outcome = me.consolidate()
        assert outcome.verdict is not None, outcome.reason
        assert outcome.adapter != first
        assert not stale_memories(me.store, me.scope)
        batch = me.store.get(outcome.batch, scope=me.scope)
        assert isinstance(batch, Batch)
        taught = " ".join(e.reference for e in (*batch.train, *batch.holdout))
        assert "9:15" in taught
        assert "7:40" not in taught


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from end_to_end_settings import learner
me = learner(Path(sys.argv[1]))
print("ready", flush=True)
me.consolidate(progress=lambda what, share: print(what, share, flush=True))
"""
FORGET = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from end_to_end_settings import learner
me = learner(Path(sys.argv[1]), ())
me.forget(sys.argv[2], progress=lambda what, share: print(what, share, flush=True))
"""
WORK = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from end_to_end_settings import QUICK, learner
from engrain.loops.background import Background, work
me = learner(Path(sys.argv[1]))
how = Background(idle_s=0.0, beat_s=0.05, lease_s=1.0)
work(me.store, lambda: me.engine, home=me.home, worker="killed", settings=QUICK, background=how, until_empty=True)
"""


def killed_at(moment: str, command: Sequence[str]) -> None:
    """Run this and kill it as soon as it prints a line that begins so."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert any(line.startswith(moment) for line in process.stdout)
        os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def helper(tmp_path: Path) -> str:
    """The folder of a module through which another process comes by this file's learner."""
    (tmp_path / "end_to_end_settings.py").write_text(
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('loop_tests', {str(Path(__file__))!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\nlearner, QUICK = module.learner, module.QUICK\n"
    )
    return str(tmp_path)


@pytest.mark.parametrize("moment", ["rebuilding", "learning 0.5"])
def test_a_forgetting_killed_at_any_moment_has_taken_the_content_away_and_is_finished_by_the_next_command(
    tmp_path: Path, helper: str, of_three: str, moment: str
) -> None:
    home = tmp_path / "home"
    with learner(home, (*FACTS[:3], SECRET)) as me:
        me.consolidate()
        secret = next(m.id for m in me.memories() if m.text == SECRET)
    killed_at(moment, [sys.executable, "-c", FORGET.format(tests=helper), str(home), secret])
    with Learner(home, consolidation=QUICK) as me:
        assert me.store.live(me.scope) == ""  # the newest version that never saw it
        assert me.store.verify() > 0
        assert not [f for f in home.rglob("*") if f.is_file() and b"90210" in f.read_bytes()]
        me.consolidate()  # finishes what was begun, and finds nothing new to learn
        assert me.store.live(me.scope) == of_three


def test_ctrl_c_keeps_the_last_whole_step(tmp_path: Path, undisturbed: str) -> None:
    def stop(what: str, share: float) -> None:
        if what == "learning" and share >= 0.6:
            raise KeyboardInterrupt

    with learner(tmp_path / "home") as me, pytest.raises(KeyboardInterrupt):
        me.consolidate(progress=stop)
    seen: list[tuple[str, float]] = []
    with learner(tmp_path / "home") as me:
        adapter = me.consolidate(progress=lambda what, share: seen.append((what, share))).adapter
    assert next(share for what, share in seen if what == "learning") == 0.65  # step 12 of 20 was kept
    assert adapter == undisturbed


@pytest.mark.parametrize("moment", ["studying", "learning 0.5", "choosing the scale 0.5", "evaluating"])
def test_a_consolidation_killed_at_any_moment_leaves_the_old_version_live_and_goes_on(
    tmp_path: Path, helper: str, undisturbed: str, moment: str
) -> None:
    command = [sys.executable, "-c", RUN.format(tests=helper), str(tmp_path / "home")]
    killed_at(moment, command)
    with Learner(tmp_path / "home", consolidation=QUICK) as me:
        assert me.store.live(me.scope) == ""
        assert me.store.verify() > 0
        assert len(list(me.store.select(Memory, scope=me.scope))) == len(FACTS)
        seen: list[tuple[str, float]] = []
        outcome = me.consolidate(progress=lambda what, share: seen.append((what, share)))
        if moment.startswith("learning"):
            assert (
                next(share for what, share in seen if what == "learning") > 0.25
            )  # it went on, it did not start again
    assert outcome.adapter == undisturbed


def test_a_worker_killed_while_it_learns_is_followed_by_one_that_goes_on_and_promotes_once(
    tmp_path: Path, helper: str
) -> None:
    home, how = tmp_path / "home", Background(idle_s=0.0, beat_s=0.05, lease_s=1.0)
    with (
        closing(SqlStore(home)) as store,
        subprocess.Popen([sys.executable, "-c", WORK.format(tests=helper), str(home)]) as killed,
    ):
        while not list((home / "runs").rglob("consolidate-[1-9]*.safetensors")):
            assert killed.poll() is None, store.jobs()
            time.sleep(0.02)
        os.kill(killed.pid, signal.SIGKILL)
    with learner(home) as me:
        (left,) = me.store.jobs()
        assert (left.state, left.stage, me.store.live(me.scope)) == ("running", "learning", "")
        assert me.chat("Who repairs the sails?").stamp.adapter == ""
        time.sleep(how.lease_s)
        work(me.store, lambda: me.engine, home=home, worker="next", settings=QUICK, background=how, until_empty=True)
        (done,) = me.store.jobs()
        assert (done.state, done.attempts, done.worker) == ("done", 2, "next"), done.outcome
        assert done.outcome.startswith("promote") and len(me.store.pointer_history(me.scope)) == 1
        assert me.chat("Who repairs the sails?").stamp.adapter == me.store.live(me.scope) != ""
        assert me.store.add_job(me.scope, "again").id != done.id


def test_a_candidate_on_trial_answers_beside_the_live_version_until_the_trial_has_ended(tmp_path: Path) -> None:
    with Learner(tmp_path / "home", consolidation=replace(QUICK, trial=Trial(share=0.5))) as me:
        for fact in FACTS:
            me.tell(fact)
        outcome = me.consolidate()
        assert outcome.verdict is not None and outcome.verdict.decision == "promote" and not me.store.live(me.scope)
        assert "on trial" in me.consolidate().reason
        by = {me.chat("Who repairs the sails?", conversation=str(n)).stamp.adapter for n in range(12)}
        assert by == {"", outcome.adapter}
        decide(me.store, me.scope, approve=True)
        assert me.store.live(me.scope) == outcome.adapter
        assert me.rollback() == "" and me.store.verify() > 0


def test_forgetting_comes_before_what_is_learned_in_the_background(tmp_path: Path, helper: str) -> None:
    home = tmp_path / "home"
    with subprocess.Popen([sys.executable, "-c", WORK.format(tests=helper), str(home)]) as worker:
        with closing(SqlStore(home)) as store:
            while not any(j.stage == "learning" for j in store.jobs()):
                assert worker.poll() is None, store.jobs()
                time.sleep(0.02)
        with learner(home) as me:
            me.forget(next(m.id for m in me.memories() if m.text == FACTS[2]))
            assert worker.wait(300) == 0  # it went on, with what was left
            (job,) = me.store.jobs()
            assert job.state == "done" and job.outcome.startswith("promote"), job
            (batch,) = me.store.select(Batch, scope=me.scope)
            assert FACTS[2] not in {e.context for e in batch.train} and len(batch.memory_ids) == len(FACTS) - 1
            assert me.store.verify() > 0
