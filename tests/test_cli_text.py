"""The commands of text space: what each keeps, shows and refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from engrain.learner import Learner
from engrain.memory.skills import Skill, write
from engrain.records import Feedback, Interaction, Message, Stamp
from test_cli import base as base
from test_cli import engrain, home  # noqa: F401

LESSON = "Always check the free space of the disk before a backup."


def test_a_lesson_is_kept_listed_exported_and_read_back(home: Path, tmp_path: Path) -> None:  # noqa: F811
    assert engrain("lessons", "add", LESSON, "--section", "ops", home=home).output == "kept\n"
    assert "merged into mem_" in engrain("lessons", "add", LESSON.replace(" a ", " any "), home=home).output
    assert "0.50" in (listed := engrain("lessons", "list", home=home).output) and LESSON in listed
    text = engrain("lessons", "export", home=home).output
    assert text.startswith("## ops\n[mem_") and f"helpful=0 harmful=0 :: {LESSON}" in text
    (file := tmp_path / "playbook.txt").write_text(text)
    assert "1 lessons were read; 1 stand now" in engrain("lessons", "import", str(file), home=tmp_path / "other").output
    (tmp_path / "odd.txt").write_text("nothing of the kind")
    odd = engrain("lessons", "import", str(tmp_path / "odd.txt"), home=home)
    assert odd.exit_code == 1 and "no bullet of a playbook" in odd.output


def test_what_failed_is_reflected_on_and_a_change_is_made_and_undone(home: Path) -> None:  # noqa: F811
    with Learner(home) as me:
        asked = Interaction(
            scope=me.scope, messages=(Message(role="user", content="Deploy."),), answer="no", stamp=Stamp(base="b")
        )
        bad = Feedback(
            scope=me.scope,
            interaction=asked.id,
            kind="automated",
            name="t",
            score=0.0,
            text="no port",
            causes=(asked.id,),
        )
        me.store.append_all([asked, bad])
    assert 'Asked "Deploy.", mind this: no port' in engrain("reflect", asked.id, home=home).output
    with Learner(home) as me:
        memory = me.text.lessons()[0].memory.id
    done = engrain("change", "archive", memory, "--reason", "done with it", home=home).output
    change = next(w for w in done.split() if w.startswith("dlt_"))
    assert engrain("change", "undo", change, "--reason", "not quite", home=home).exit_code == 0
    told = engrain("history", memory, home=home).output
    assert "done with it" in told and told.rstrip().endswith("now: active")
    assert "'burn' is no change" in engrain("change", "burn", memory, "--reason", "x", home=home).output
    assert engrain("history", asked.id, home=home).exit_code == 1


def test_a_playbook_is_curated_from_a_file(home: Path, base: Path, tmp_path: Path) -> None:  # noqa: F811
    engrain("lessons", "add", LESSON, home=home)
    file = tmp_path / "changes.json"
    file.write_text('{"operations": [{"type": "ADD", "content": "Ask first."}, {"type": "RETIRE", "id": "mem_0"}]}')
    done = engrain("lessons", "curate", str(file), "--base", str(base), home=home).output
    assert "refused: RETIRE mem_0: mem_0 is no lesson that holds" in done and "holds: mem_" in done
    assert "hold: there is no task to judge it by" in done
    waits = engrain("lessons", "curate", str(file), "--wait", "--base", str(base), home=home).output
    assert "waits: mem_" in waits
    file.write_text("Ask first.")
    odd = engrain("lessons", "curate", str(file), "--base", str(base), home=home)
    assert odd.exit_code == 1 and '{"operations": [' in odd.output


def test_notes_are_linked_and_a_sleep_says_what_it_did(home: Path, base: Path) -> None:  # noqa: F811
    engrain("note", "The kiln in the north barn runs on propane from Heller.", home=home)
    assert "linked with mem_" in engrain("note", "Heller delivers propane to the north barn.", home=home).output
    assert "nothing to do" in engrain("sleep", home=home, base=base).output


def test_a_query_finds_and_says_how_well(home: Path) -> None:  # noqa: F811
    with Learner(home) as me:
        me.tell("The ferry leaves at 8:10.")
        me.text.note("The ferry is red.")
    hits = engrain("search", "When does the ferry leave?", home=home).output.splitlines()
    assert len(hits) == 2 and "8:10" in hits[0] and float(hits[0].split()[0]) >= float(hits[1].split()[0])
    assert "red" in engrain("search", "ferry", "--kind", "note", home=home).output
    assert engrain("search", "ferry", "--kind", "episode", home=home).output == "nothing was found\n"
    odd = engrain("search", "ferry", "--kind", "poem", home=home)
    assert odd.exit_code == 1 and "give one of fact" in odd.output


def test_skills_are_taken_accepted_shown_and_written(home: Path, tmp_path: Path) -> None:  # noqa: F811
    kiln = Skill(name="fire-the-kiln", description="Fires the kiln: use it when pots are dry.", body="Close the flap.")
    taken = engrain("skills", "take", str(write(kiln, tmp_path / "in")), home=home).output
    memory = taken.split()[0]
    assert "waits to be accepted" in taken and memory in engrain("skills", "list", home=home).output
    assert "no skill" in engrain("skills", "show", "fire-the-kiln", home=home).output
    engrain("change", "accept", memory, "--reason", "read", home=home)
    assert engrain("skills", "list", "--fitting", "fire pots in the kiln", home=home).output.startswith(
        "fire-the-kiln: "
    )
    assert (
        engrain("skills", "show", "fire-the-kiln", home=home).output
        == '<skill name="fire-the-kiln">\nClose the flap.\n</skill>\n'
    )
    written = engrain("skills", "write", str(tmp_path / "out"), home=home).output.strip()
    assert Path(written).name == "fire-the-kiln"
    assert "too few lessons" in engrain("skills", "distil", home=home).output


def test_a_block_is_written_and_a_stale_edit_refused(home: Path, base: Path) -> None:  # noqa: F811
    first = engrain("blocks", "write", "user", "Ada builds clocks.", home=home, base=base).output
    version = first.split("(")[1].split(")")[0]
    assert (
        engrain("blocks", "write", "user", "Ada builds boats.", "--seen", version, home=home, base=base).exit_code == 0
    )
    late = engrain("blocks", "write", "user", "Ada sails.", "--seen", version, home=home, base=base)
    assert late.exit_code == 1 and "rewritten meanwhile" in late.output
    assert "Ada builds boats." in engrain("blocks", "list", home=home).output


def test_a_team_is_joined_told_and_left(home: Path, base: Path) -> None:  # noqa: F811
    assert "0 records" in engrain("team", "join", "harbour", "--user", "ada", home=home).output
    engrain("team", "tell", "harbour", "The gate code of the north barn is 4417.", "--user", "ada", home=home)
    assert "1 records" in engrain("team", "join", "harbour", "--user", "ben", home=home).output
    assert engrain("team", "members", "harbour", home=home).output == "ada\nben\n"
    told = engrain("memories", "--user", "team:harbour", home=home).output
    left = engrain("team", "leave", "harbour", "--user", "ben", "--reason", "left", home=home).output
    assert "1 memories were put away" in left
    memory = next(w for w in told.split() if w.startswith("mem_"))
    gone = engrain("team", "forget", "harbour", memory, home=home, base=base).output
    assert "ada: receipt rcp_" in gone and "team:harbour: receipt rcp_" in gone
    assert "names no team" in engrain("team", "join", "a:b", home=home).output


@pytest.mark.parametrize(
    "command", [["lessons", "list"], ["skills", "list"], ["blocks", "list"], ["history", "x"], ["sleep"]]
)
def test_what_only_looks_makes_no_home(command: list[str], home: Path) -> None:  # noqa: F811
    assert engrain(*command, home=home).exit_code == 1 and not home.exists()
