"""Skills wait to be trusted, are written from lessons that proved good, go out for any agent, and fall with what they were made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.engines.fake import FakeEngine
from engrain.errors import EngrainError
from engrain.gateway.answer import Serving, answer
from engrain.loops import remember
from engrain.loops.change import change
from engrain.loops.curate import Operation, curate
from engrain.loops.forget import preview
from engrain.loops.reflect import reflect
from engrain.loops.skills import Distilling, active_skills, distil, put_out, take
from engrain.memory import HashedEmbedder
from engrain.memory.playbook import Playbook
from engrain.memory.skills import Skill, read, write
from engrain.records import Memory, Message, Scope
from engrain.store import SqlStore

ME = Scope()
KILN = Skill(name="fire-the-kiln", description="Fires the kiln: use it when pots are dry.", body="1. Close the flap.")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home")) as made:
        yield made


def test_a_skill_from_a_folder_waits_until_it_is_trusted(store: SqlStore, tmp_path: Path) -> None:
    folder = write(KILN, tmp_path)
    (memory,) = take(store, folder, scope=ME)
    assert memory.proposed and active_skills(store, ME) == [] and take(store, tmp_path, scope=ME) == []
    assert [m.id for m in take(store, folder, scope=ME, trusted=True)] == [memory.id]  # now it is
    assert active_skills(store, ME) == [KILN] and take(store, folder, scope=ME, trusted=True) == []
    (written,) = put_out(store, tmp_path / "out", scope=ME)
    assert read(written) == KILN
    for names, match in ((["none"], "no skill none"), ([], "there already")):
        with pytest.raises(EngrainError, match=match):
            put_out(store, tmp_path / "out", scope=ME, names=names)
    for path in (tmp_path / "nowhere", tmp_path / "home"):
        with pytest.raises(EngrainError, match=r"SKILL\.md"):
            take(store, path, scope=ME)


def test_of_several_none_is_kept_if_one_is_no_skill(store: SqlStore, tmp_path: Path) -> None:
    write(KILN, tmp_path / "all")
    bad = write(Skill(name="bad", description="x"), tmp_path / "all") / "SKILL.md"
    bad.write_text("no front matter")
    with pytest.raises(EngrainError, match="begin with a line"):
        take(store, tmp_path / "all", scope=ME, trusted=True)
    assert active_skills(store, ME) == []


def test_lessons_that_proved_good_become_a_skill_that_names_them(store: SqlStore, tmp_path: Path) -> None:
    texts = (
        "Before a backup check the free space.",
        "Label each backup with its day.",
        "Test a backup by restoring one file.",
    )
    lessons = [Memory(scope=ME, kind="lesson", text=t, valid_from=1.0) for t in (*texts, "Water the ferns at dawn.")]
    store.append_all(lessons)
    loose, quick = Distilling(cosine=0.1), Playbook(tried=2)
    assert distil(store, HashedEmbedder(), scope=ME, playbook=quick, settings=loose) == []
    for _ in range(4):
        shown = answer(
            store, FakeEngine(), HashedEmbedder(), [Message(role="user", content="Make a backup now.")], scope=ME
        )
        assert {m.id for m in lessons[:3]} == set(shown.context.memory_ids)
        remember.feedback(store, shown.id, scope=ME, rating=1.0)
    (memory,) = distil(store, HashedEmbedder(), scope=ME, playbook=quick, settings=loose)
    assert memory.proposed and set(memory.causes) == {m.id for m in lessons[:3]}
    assert distil(store, HashedEmbedder(), scope=ME, playbook=quick, settings=loose) == []  # once
    change(store, "accept", memory.id, scope=ME, reason="good advice")
    (skill,) = active_skills(store, ME)
    assert "backup" in skill.name and all(t in skill.body for t in texts) and "ferns" not in skill.body
    assert read(put_out(store, tmp_path, scope=ME)[0]) == skill
    assert memory.id in preview(store, lessons[0].id, scope=ME).memories


def test_what_went_wrong_becomes_a_skill_by_way_of_reflections_and_lessons(store: SqlStore, tmp_path: Path) -> None:
    whys = ("the free space was not checked", "the backup had no label with its day", "nobody tried to restore a file")
    advice = tuple(f"Before a backup is done mind this: {why}." for why in whys)
    failed: list[str] = []
    for why in whys:
        asked = [Message(role="user", content=f"Make a backup, number {len(failed)}.")]
        failed.append(answer(store, FakeEngine(), HashedEmbedder(), asked, scope=ME).id)
        remember.feedback(store, failed[-1], scope=ME, rating=0.0, comment=why)
    reflections = [reflect(store, HashedEmbedder(), name, scope=ME) for name in failed]
    shown = tuple(m.id for m in reflections if m is not None)
    made = curate(store, [Operation(type="ADD", content=text) for text in advice], scope=ME, shown=shown, grounds=shown)
    roomy = Serving(budget_tokens=4000, playbook=Playbook(tokens=2000))  # this engine's tokens are bytes
    for _ in range(4):
        now = [Message(role="user", content="Make a backup now.")]
        done = answer(store, FakeEngine(), HashedEmbedder(), now, scope=ME, serving=roomy)
        assert {*made.lessons} <= {*done.context.memory_ids}
        remember.feedback(store, done.id, scope=ME, rating=1.0)
    (memory,) = distil(
        store, HashedEmbedder(), scope=ME, playbook=Playbook(tried=2), settings=Distilling(cosine=0.1)
    )  # fmt: skip
    change(store, "accept", memory.id, scope=ME, reason="good advice")
    (skill,) = active_skills(store, ME)
    assert all(text in skill.body for text in advice) and read(put_out(store, tmp_path, scope=ME)[0]) == skill
    assert memory.id in {
        n.id for n in store.walk(failed[0], "effects", scope=ME)
    }  # from the answer that failed to the skill
    assert memory.id in preview(store, failed[0], scope=ME).memories
