"""The command line on a tiny real model: what each command does, says and returns."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from engrain import __version__
from engrain.cli import app
from engrain.learner import Learner
from engrain.records import (
    Adapter,
    Batch,
    Decision,
    Evidence,
    Example,
    Interaction,
    ItemResult,
    Memory,
    Message,
    Stamp,
    Task,
    Verdict,
)

sys.path.insert(0, str(Path(__file__).parent))
SOURCE = Path(__file__).parents[1] / "src"
NOTE = "The gate code of the north barn is 4417."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def engrain(*words: str, home: Path | None = None, base: Path | None = None, said: str | None = None) -> Result:
    options = [*(("--home", str(home)) if home else ()), *(("--base", str(base)) if base else ())]
    return CliRunner().invoke(
        app, [*words, *options], input=said, env={"COLUMNS": "200", "ENGRAIN_HOME": None, "ENGRAIN_BASE": None}
    )


def add_version(home: Path, base: Path, decision: Decision = "promote", *, seed: int = 0) -> str:
    """An adapter of a few trained numbers, with a batch, evidence and a verdict; promoted if that is the verdict."""
    with Learner(home, base=base) as me:
        notes = [m.id for m in me.memories()]
        live = me.store.live(me.scope)
        query = (Message(role="user", content=f"What opens the gate ({seed})?"),)
        held = Example(query=query, reference="4417", memory_ids=tuple(notes))
        batch = Batch(
            scope=me.scope,
            parent=live,
            train=(),
            holdout=(held,),
            memory_ids=tuple(notes),
            seed=seed,
            causes=tuple(notes),
        )
        student = me.engine.student(live, rank=2, seed=seed)
        name = student.save(scale=1.0 + seed)
        adapter = Adapter(
            id=name, scope=me.scope, base=me.engine.base, parent=live, batch=batch.id, memory_ids=tuple(notes),
            causes=(batch.id, *notes),
        )  # fmt: skip
        result = ItemResult(item=held.hash, group="new", question="?", expected="4417", answer="4417", right=True)
        evidence = Evidence(scope=me.scope, adapter=name, suite="gate", results=(result,), causes=(name,))
        verdict = Verdict(
            scope=me.scope, decision=decision, reasons=("made by a test",), candidate=name, against=live, alpha_spent=0.01,
            causes=(name, evidence.id),
        )  # fmt: skip
        me.store.append_all([batch, adapter, evidence, verdict])
        if decision == "promote":
            me.store.set_live(me.scope, name, verdict.id, expected=live)
        return name


# ---- the door itself --------------------------------------------------------------------------------------------------


def test_the_version_is_said() -> None:
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.stdout) == (0, f"engrain {__version__}\n")


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    probe = (
        "import sys, time\nsys.argv = ['engrain', '--help']\nfrom engrain.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(time.process_time()); print([m for m in ('torch', 'transformers', 'sqlalchemy', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", probe],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    spent, loaded = out.stdout.splitlines()[-2:]
    assert float(spent) < 0.5
    assert loaded == "[]"


@pytest.mark.parametrize("command", [c.name or c.callback.__name__ for c in app.registered_commands if c.callback])
def test_the_help_of_every_command_teaches_by_an_example(command: str) -> None:
    said = engrain(command, "--help")
    assert said.exit_code == 0
    assert f"Example:  engrain {command}" in said.output
    others = {
        "demo": ("--base",),
        "work": ("--base",),
        "serve": ("--base", "--tenant"),
        "jobs": ("--user", "--tenant"),
        "canary": ("--user", "--tenant"),
        **dict.fromkeys(("note", "search", "revert", "change", "history"), ("--user", "--tenant")),
    }
    for option in ("--home", *others.get(command, ("--base", "--user", "--tenant"))):
        assert option in said.output


def test_what_cannot_be_done_is_one_line_and_exit_code_1_and_a_wrong_usage_is_2(home: Path) -> None:
    engrain("tell", NOTE, home=home)
    missing = engrain("trace", "mem_000000000000", home=home)
    assert missing.exit_code == 1
    assert missing.stderr.strip().count("\n") == 0
    assert "mem_000000000000" in missing.stderr
    assert engrain("learn", str(home / "nowhere"), home=home, base=home).exit_code == 1
    assert engrain("tell", home=home).exit_code == 2
    assert engrain("nonsense").exit_code == 2


def test_what_only_looks_makes_no_home_and_says_how_to_begin_one(home: Path, base: Path, tmp_path: Path) -> None:
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "Who?", "answer": ""}\n')
    for words in (
        ["verify"], ["versions"], ["memories"], ["rollback"], ["trace", "mem_1"], ["forget", "mem_1"],
        ["forget", "user:"], ["eval", str(questions)],
    ):  # fmt: skip
        said = engrain(*words, home=home, base=base)
        assert said.exit_code == 1, words
        assert f"no engrain home at {home}" in said.stderr and "--home" in said.stderr
    assert not home.exists()


def test_the_environment_names_the_home(tmp_path: Path) -> None:
    runner = CliRunner(env={"ENGRAIN_HOME": str(tmp_path / "from-env")})
    assert runner.invoke(app, ["tell", NOTE]).exit_code == 0
    assert (tmp_path / "from-env" / "engrain.db").exists()


def test_ctrl_c_leaves_with_130_and_says_what_to_run_again(home: Path) -> None:
    command = [sys.executable, "-m", "engrain.cli", "chat", "--home", str(home)]
    env = os.environ | {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}

    def as_in_a_terminal() -> None:  # a shell starts what it runs in the background deaf to Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
        preexec_fn=as_in_a_terminal,
    )  # fmt: skip
    assert process.stdout is not None
    assert "Say or ask" in process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Nothing is lost" in err
    assert f"engrain chat --home {home}" in err


# ---- telling and asking -----------------------------------------------------------------------------------------------


def test_what_is_told_is_listed_as_it_stands(home: Path) -> None:
    assert engrain("tell", NOTE, home=home).exit_code == 0
    assert engrain("tell", "The sign says [red]stop[/red] :smile: \x1b[2J.", home=home).exit_code == 0
    listed = engrain("memories", home=home).stdout
    assert NOTE in listed
    assert "[red]stop[/red] :smile:" in listed
    assert "\x1b" not in listed
    assert NOTE not in engrain("memories", "--user", "somebody", home=home).stdout


def test_a_folder_is_learned_once(home: Path, base: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "keys.md").write_text(f"# Keys\n\n- {NOTE}\n- The dog is called Biscuit.\n")
    chat = {"messages": [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hello."}]}
    (notes / "monday.jsonl").write_text(json.dumps(chat) + "\n")
    first = engrain("learn", str(notes), home=home, base=base)
    assert "from 2 files" in first.stdout
    assert NOTE in engrain("memories", home=home).stdout
    assert "0 new memories" in engrain("learn", str(notes), home=home, base=base).stdout


def test_a_file_that_cannot_be_learned_is_named_and_the_rest_is_learned(home: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_bytes("Käse ist gut".encode("latin-1"))
    (notes / "b.md").write_text(f"- {NOTE}\n")
    said = engrain("learn", str(notes), home=home)
    assert said.exit_code == 1
    assert "a.txt is not UTF-8" in said.stdout and "1 new memories from 1 files" in said.stdout
    assert "1 files could not be learned" in said.stderr
    assert NOTE in engrain("memories", home=home).stdout


def test_an_answer_says_what_answered_and_which_notes_it_was_shown(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    plain = engrain("chat", "What is the gate code?", "--no-remember", home=home, base=base)
    assert plain.exit_code == 0
    assert NOTE not in plain.stdout
    told = engrain("chat", "What is the gate code?", "--no-remember", "--verbose", home=home, base=base).stdout
    assert NOTE in told
    assert "version base" in told
    assert "int_" in told


def test_a_conversation_takes_ratings_corrections_and_exchanges_back(home: Path, base: Path) -> None:
    lines = ["/good", "What is the gate code?", "/good", "/correct", f"/correct {NOTE}", "/what", "/forget", "/quit"]
    said = engrain("chat", "--no-remember", home=home, base=base, said="\n".join(lines) + "\n")
    assert said.exit_code == 0
    assert "There is no answer yet" in said.stdout
    assert "no feedback was given" in said.stdout  # the empty correction, and the conversation went on
    assert "the next answer uses it" in said.stdout
    assert "records erased" in said.stdout
    with Learner(home, base=base) as me:
        assert me.memories() == []  # the correction came from the exchange that was taken back


def test_a_conversation_is_sent_as_far_as_it_went_without_what_was_corrected_or_taken_back(
    home: Path, base: Path
) -> None:
    lines = ["One.", "Two.", "/correct It was three.", "Four.", "/forget", "Five.", "/quit"]
    said = engrain("chat", "--no-remember", "--max-tokens", "3", home=home, base=base, said="\n".join(lines) + "\n")
    assert said.exit_code == 0
    with Learner(home) as me:
        found = {i.query: i for i in me.store.select(Interaction, scope=me.scope)}
    asked = {query: [m.content for m in i.messages if m.role == "user"] for query, i in found.items()}
    assert asked == {"One.": ["One."], "Two.": ["One.", "Two."], "Five.": ["One.", "Five."]}
    assert found["Two."].messages[1] == Message(role="assistant", content=found["One."].answer)
    assert len({i.conversation for i in found.values()}) == 1 and found["One."].conversation
    assert all(i.usage.output_tokens <= 3 for i in found.values())


def test_a_bare_correction_in_a_conversation_can_be_read_later(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    lines = ["What is the gate code of the north barn?", "/correct 5521", "/quit"]
    engrain("chat", "--no-remember", "--max-tokens", "3", home=home, base=base, said="\n".join(lines) + "\n")
    listed = engrain("memories", home=home).stdout
    assert "The gate code of the north barn is 5521." in listed
    assert NOTE not in listed


def test_the_end_of_the_input_ends_a_conversation(home: Path) -> None:
    assert engrain("chat", home=home, said="").exit_code == 0


# ---- weights ----------------------------------------------------------------------------------------------------------


def test_a_consolidation_with_nothing_to_learn_says_so(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    said = engrain("consolidate", home=home, base=base)
    assert said.exit_code == 0
    assert "Nothing was trained" in said.stdout
    assert "Live: base" in said.stdout


def test_a_trace_for_other_tools_speaks_opentelemetry_and_holds_words_only_when_asked(home: Path, base: Path) -> None:
    with Learner(home, base=base) as me:
        said = me.chat(NOTE)
    told = json.loads(engrain("trace", said.id, "--json", home=home).stdout)
    assert told["record"]["attributes"]["gen_ai.operation.name"] == "chat"
    assert NOTE not in json.dumps(told)
    whole = json.loads(engrain("trace", said.id, "--json", "--content", home=home).stdout)
    assert NOTE in whole["record"]["attributes"]["gen_ai.input.messages"]


def test_a_trace_shows_every_version_however_many_answers_came_in_between(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    with Learner(home, base=base) as me:
        memory = me.memories()[0].id
        for n in range(12):
            me.chat(f"What is the gate code ({n})?", max_tokens=1)
    name = add_version(home, base)
    told = engrain("trace", memory, home=home).stdout
    assert all(shown in told for shown in (f"adapter {name[:20]}", "verdict ver_", "batch bat_"))
    assert "and 4 more" in told


def test_a_version_far_down_a_line_of_corrections_is_shown_at_the_end_of_the_trace(home: Path, base: Path) -> None:
    with Learner(home, base=base) as me:
        told = me.tell(NOTE)[0].id
        asked = [
            Interaction(
                scope=me.scope,
                messages=(Message(role="user", content="?"),),
                answer="!",
                stamp=Stamp(base="b"),
                causes=(told,),
            )
            for _ in range(12)
        ]
        late = Memory(scope=me.scope, text="The dog is called Biscuit.", valid_from=0.0, causes=(asked[-1].id,))
        me.store.append_all([*asked, late, Adapter(id="a" * 32, scope=me.scope, base="b", causes=(late.id,))])
    assert f"adapter {'a' * 20}  0 memories  (3 steps away)" in engrain("trace", told, home=home).stdout


def test_a_forgotten_id_is_followed_to_what_the_ledger_says_and_to_the_receipt(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    with Learner(home, base=base) as me:
        memory = me.memories()[0].id
        receipt = me.forget(memory, reason="moved out")
    told = engrain("trace", memory, home=home).stdout
    assert "(erased)" in told and f"receipt {receipt.id}" in told
    lines = [line.split() for line in told.splitlines() if line.startswith("  20")]
    assert [line[2:] for line in lines] == [["memory"], ["forget", "moved", "out"]]
    form = json.loads(engrain("trace", memory, "--json", home=home).stdout)
    assert [e["event"] for e in form["ledger"]] == ["memory", "forget"] and form["receipts"] == [receipt.id]
    assert engrain("trace", memory, "--user", "bob", home=home).exit_code == 1


def test_a_trace_takes_what_rollback_takes_and_says_whose_it_must_be(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    with Learner(home) as me:
        memory = me.memories()[0].id
    name = add_version(home, base)
    for given in ("1", name[:8], name):
        assert f"adapter {name[:20]}" in engrain("trace", given, home=home).stdout.splitlines()[0]
    assert "bare base" in engrain("trace", "base", home=home).stderr
    assert "'xyz' is no record" in engrain("trace", "xyz", home=home).stderr
    for command in ("trace", "forget"):
        said = engrain(command, memory, "--user", "bob", home=home, base=base)
        assert said.exit_code == 1 and "--user" in said.stderr and "--tenant" in said.stderr


def test_a_trace_for_other_tools_can_be_printed_whatever_was_said(home: Path, base: Path) -> None:
    with Learner(home, base=base) as me:
        said = Interaction(
            scope=me.scope, messages=(Message(role="user", content="?"),), answer="half a pair: \ud83d",
            stamp=Stamp(base="b"),
        )  # fmt: skip
        me.store.append(said)
    shown = engrain("trace", said.id, "--json", "--content", home=home)
    assert shown.exit_code == 0 and "half a pair" in shown.stdout


def test_versions_are_listed_traced_and_rolled_back(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    with Learner(home) as me:
        memory = me.memories()[0].id
    name = add_version(home, base)
    listed = engrain("versions", home=home).stdout
    assert name[:12] in listed
    assert "promote" in listed
    down = engrain("trace", memory, home=home).stdout
    assert f"adapter {name[:20]}" in down
    told = json.loads(engrain("trace", memory, "--json", home=home).stdout)
    assert name in [effect["id"] for effect in told["effects"] if effect["kind"] == "adapter"]
    up = engrain("trace", name[:12], home=home).stdout
    assert NOTE in up
    back = engrain("rollback", home=home).stdout
    assert f"Went from version 1 ({name[:12]}) to version 0 (base)" in back
    assert "Live: base" in back
    assert engrain("rollback", home=home).exit_code == 1
    assert f"Live: {name[:12]}" in engrain("rollback", "1", home=home).stdout


def test_a_version_that_the_gate_held_cannot_be_rolled_back_to(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    name = add_version(home, base, "hold")
    refused = engrain("rollback", name[:12], home=home)
    assert refused.exit_code == 1
    assert "hold" in refused.stderr


def test_a_version_of_a_run_that_was_killed_before_its_verdict_cannot_go_live(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    with Learner(home, base=base) as me:
        name = me.engine.student("", rank=2).save()
        me.store.append(Adapter(id=name, scope=me.scope, base=me.engine.base))
    refused = engrain("rollback", name[:12], home=home)
    assert refused.exit_code == 1
    assert "never was let through (verdict: none)" in refused.stderr


def test_a_note_that_is_too_long_is_named_by_its_file(home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(f"- {NOTE}\n- The sail {'and the sail ' * 200}\n")
    said = engrain("learn", str(tmp_path / "notes.md"), home=home)
    assert said.exit_code == 0
    assert "notes.md: 1 of 2 notes are longer than 2000 characters" in said.stdout
    assert "1 new memories from 1 files" in said.stdout


def test_questions_are_scored_before_in_context_and_live(home: Path, base: Path, tmp_path: Path) -> None:
    engrain("tell", NOTE, home=home)
    questions = tmp_path / "q.jsonl"
    questions.write_text(
        '{"question": "What is the gate code?", "answer": "4417"}\n{"question": "Who?", "answer": ""}\n'
    )
    said = engrain("eval", str(questions), home=home, base=base)
    assert said.exit_code == 0
    for row in ("before", "in context", "live (base)"):
        assert row in said.stdout
    for _ in range(2):  # once kept, they are kept
        assert engrain("eval", str(questions), "--keep", home=home, base=base).exit_code == 0
    with Learner(home) as me:
        assert [(t.question, t.answer) for t in me.store.select(Task, scope=me.scope)] == [
            ("What is the gate code?", "4417"),
            ("Who?", "I don't know"),
        ]
    assert "--keep keeps" in engrain("eval", "--keep", home=home, base=base).stderr
    nothing = engrain("eval", home=home, base=base)
    assert nothing.exit_code == 1
    assert "FILE.jsonl" in nothing.stderr
    add_version(home, base)
    assert "0/1" in engrain("eval", home=home, base=base).stdout
    questions.write_text('{"query": "What?"}\n')
    assert "line 1" in engrain("eval", str(questions), home=home, base=base).stderr
    questions.write_text("[" * 200_000)
    assert "line 1" in engrain("eval", str(questions), home=home, base=base).stderr


# ---- operators --------------------------------------------------------------------------------------------------------


def test_forgetting_prints_a_receipt_and_takes_the_version_along(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    name = add_version(home, base)
    answered = engrain("chat", "What is the gate code?", "--no-remember", "-v", home=home, base=base).stdout
    assert f"version {name[:12]}" in answered
    with Learner(home) as me:
        asked = next(me.store.select(Interaction, scope=me.scope)).id
    assert "verdict ver_" in engrain("trace", asked, home=home).stdout
    said = engrain("forget", f"text:{NOTE}", home=home, base=base)
    assert said.exit_code == 0, said.stderr
    assert engrain("verify", home=home).exit_code == 0
    assert f"{name[:16]} (erased)" in engrain("trace", asked, home=home).stdout
    assert "Receipt rcp_" in said.stdout
    assert name[:12] in said.stdout
    assert not (home / "adapters" / name).exists()
    # as a word of its own: a hash may hold these digits by chance
    assert not any(re.search(rb"\b4417\b", path.read_bytes()) for path in home.rglob("engrain.db*"))
    with Learner(home) as me:
        assert list(me.store.select(Memory, scope=me.scope)) == []


def test_a_file_is_forgotten_by_the_path_that_is_typed(
    home: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "keys.md").write_text(f"- {NOTE}\n")
    (tmp_path / "notes" / "README.md").write_text("About this folder.\n")
    monkeypatch.chdir(tmp_path)
    assert "README.md was left out" in engrain("learn", "notes", home=home).stdout
    monkeypatch.chdir(tmp_path / "notes")
    assert "0 new memories" in engrain("learn", ".", home=home).stdout
    said = engrain("forget", "source:keys.md", home=home, base=base)
    assert said.exit_code == 0, said.stderr
    assert NOTE not in engrain("memories", home=home).stdout


def test_a_device_that_is_not_there_is_one_line(home: Path, base: Path) -> None:
    said = engrain("chat", "Hi", "--device", "gpu", home=home, base=base)
    assert said.exit_code == 1
    assert "give auto, cpu or cuda" in said.stderr


def test_everything_of_a_user_goes_only_after_a_yes(home: Path, base: Path) -> None:
    engrain("tell", NOTE, home=home)
    assert engrain("forget", "user:", home=home, base=base, said="n\n").exit_code == 1
    assert NOTE in engrain("memories", home=home).stdout
    assert engrain("forget", "user:", "--yes", home=home, base=base).exit_code == 0
    assert NOTE not in engrain("memories", home=home).stdout


def test_the_ledger_is_verified_against_what_was_noted(home: Path) -> None:
    engrain("tell", NOTE, home=home)
    noted = engrain("verify", home=home).stdout.split()[-1]
    engrain("tell", "The dog is called Biscuit.", home=home)
    assert engrain("verify", "--expected", noted, home=home).exit_code == 0
    count, _, last = noted.partition(":")
    assert engrain("verify", "--expected", f"{count}:{last[::-1]}", home=home).exit_code == 1
    assert engrain("verify", "--expected", "7", home=home).exit_code == 1


def test_a_key_is_shown_once_and_can_be_revoked_or_rotated(home: Path) -> None:
    made = engrain("keys", "new", "--tenant", "acme", "--allow", "serve", "--name", "the shop", home=home)
    secret = made.stdout.strip()
    assert made.exit_code == 0 and len(secret) > 40
    listed = engrain("keys", "list", home=home).stdout
    assert "acme" in listed and "the shop" in listed and secret not in listed
    key = re.search(r"key_\w+", listed)
    assert key is not None
    rotated = engrain("keys", "revoke", key.group(), "--rotate", home=home)
    assert rotated.exit_code == 0 and rotated.stdout.strip() not in ("", secret)
    assert engrain("keys", "list", home=home).stdout.count("acme") == 2
    assert engrain("keys", "revoke", key.group(), home=home).exit_code == 1
    assert engrain("keys", "new", "--allow", "fly", home=home).exit_code == 1


def test_a_service_that_could_be_reached_from_outside_needs_a_key(home: Path) -> None:
    refused = engrain("serve", "--host", "0.0.0.0", home=home)
    assert refused.exit_code == 1 and "engrain keys new" in refused.output


def test_a_database_of_a_server_takes_the_place_of_the_file(
    home: Path, new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: str) -> Result:
        return CliRunner().invoke(
            app, [*words, "--home", str(home)], env={"COLUMNS": "200", "ENGRAIN_DATABASE": address}
        )

    address = new_database()
    assert run("tell", NOTE).exit_code == 0 and not (home / "engrain.db").exists()
    assert NOTE in run("memories").output
    checked = run("doctor").output
    assert "postgresql" in checked and "1 ledger entries, all right" in checked
