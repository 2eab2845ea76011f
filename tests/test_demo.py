"""The demo: its own checks can fail, it keeps its promises on any model, and it leaves no mess."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from engrain import demo
from engrain.errors import FormatError, InputError
from engrain.learner import SPROUT, Learner
from engrain.plots import Bar, bars

sys.path.insert(0, str(Path(__file__).parent))
needs_sprout = pytest.mark.skipif(not (SPROUT / "model.safetensors").exists(), reason="sprout's weights are not there")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing: the demo's promises do not depend on how good the answers are."""
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama", max_position_embeddings=4096)


def console() -> tuple[Console, io.StringIO]:
    said = io.StringIO()
    return Console(file=said, width=120, markup=False, emoji=False, highlight=False), said


def test_the_example_data_holds_what_the_demo_asks_corrects_and_forgets() -> None:
    data = demo.workshop()
    questions = {q.text: q.answer for q in demo.read_questions(data / "questions.jsonl")}
    correction = json.loads((data / "correction.json").read_text())
    forget = json.loads((data / "forget.json").read_text())
    notes = "\n".join((data / "notes" / name).read_text() for name in demo.QUICK_NOTES)
    assert correction["question"] in questions and correction["wrong"] in notes
    assert questions[forget["question"]] == forget["answer"] and forget["text"] in notes


def test_the_demo_keeps_its_promises_and_says_so_in_a_table_and_a_picture(base: Path, tmp_path: Path) -> None:
    to, said = console()
    home, out = tmp_path / "home", tmp_path / "picture.png"
    assert demo.run(to, base=base, home=home, quick=True, out=out) == []
    told = said.getvalue()
    for row in ("before", "in context", "after", "after, weights alone", "after forgetting", "after rollback"):
        assert row in told
    assert "nothing found" in told and "8 of 8 answers are the same" in told and "entries, all right" in told
    assert "NOT KEPT" not in told
    assert out.stat().st_size > 10_000
    assert demo.places(home, "6094") == []
    with Learner(home) as me:
        assert "The price of a hull wash is 95 euros." in [m.text for m in me.memories()]
        assert not any("6094" in m.text for m in me.memories(all_states=True))


@needs_sprout
def test_the_quick_demo_keeps_every_promise_with_the_model_that_ships(tmp_path: Path) -> None:
    to, said = console()
    assert demo.run(to, base=SPROUT, home=tmp_path / "home", quick=True) == []
    assert "Verdict:" in said.getvalue()


def test_a_text_is_found_as_words_and_not_inside_a_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(
        b"\x00code 6094.\x01\x06\x09\x15\x01\x09\x016094A\x07"
    )  # the second as a row of words has it
    (tmp_path / "b").write_bytes(b"9f6094ac 0.6094 16094 \x06\x09\x17\x01\x09\x0160941\x07")
    assert demo.places(tmp_path, "6094") == ["a holds 2 times"]
    assert demo.places(tmp_path, "7777") == []


def test_what_a_store_holds_is_found_before_it_is_forgotten(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        me.tell("The safe in the office opens with the code 6094.")
        assert demo.places(tmp_path, "6094")
        me.forget("text:The safe in the office opens with the code 6094.")
        assert demo.places(tmp_path, "6094") == []


def test_ctrl_c_leaves_nothing_behind(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Learner, "consolidate", stop)
    with pytest.raises(KeyboardInterrupt, match="is removed"):
        demo.run(console()[0], base=base, home=tmp_path / "new", quick=True)
    assert not (tmp_path / "new").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyboardInterrupt, match="is removed"):
        demo.run(console()[0], base=base, home=tmp_path / "empty", quick=True)
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(base: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        demo.run(console()[0], base=base, home=tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_version_that_is_live_is_asked_without_the_notes_that_it_knows(base: Path, tmp_path: Path) -> None:
    from test_cli import add_version

    with Learner(tmp_path, base=base) as me:
        me.tell("The gate code is 4417.")
        question = [demo.Question(text="What is the gate code?", answer="4417")]
        assert demo.measure(me, "in context", question, shown="all").notes > 0
        add_version(tmp_path, base)
        assert demo.measure(me, "after", question, shown="served").notes == 0
        assert demo.measure(me, "in context", question, shown="all").notes > 0


def test_asking_to_measure_records_nothing(base: Path, tmp_path: Path) -> None:
    with Learner(tmp_path, base=base) as me:
        me.tell("The gate code is 4417.")
        entries = me.store.verify()
        demo.measure(me, "x", [demo.Question(text="What is the gate code?", answer="4417")], shown="all")
        assert me.store.verify() == entries


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"question": "What?"}',
        '{"question": "", "answer": "a"}',
        "[1]",
        '{"question": "a", "answer": "b"}\n' * 2,
    ],
)
def test_questions_that_cannot_be_scored_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(text)
    with pytest.raises(FormatError, match=r"q\.jsonl"):
        demo.read_questions(tmp_path / "q.jsonl")


def test_a_picture_without_matplotlib_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Bar(name="before", rate=0.5, low=0.3, high=0.7, tokens=0, notes=0, seconds=0)
    bars([row], tmp_path / "a.svg", title="A title")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(InputError, match="--out"):
        bars([row], tmp_path / "a.nonsense", title="A title")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"engrain\[plots\]"):
        bars([row], tmp_path / "b.png", title="A title")


def test_the_questions_that_an_update_broke_are_looked_up_in_its_evidence() -> None:
    from engrain.demo import show_outcome
    from engrain.loops.consolidate import Outcome
    from engrain.records import Evidence, ItemResult, Scope, Verdict

    result = ItemResult(item="f00", group="reading", question="What is [b]?", expected="1", answer="2", right=False)
    after = Evidence(scope=Scope(), adapter="a", suite="gate", results=(result,))
    verdict = Verdict(scope=Scope(), decision="reject", reasons=("harm",), candidate="a", broke=("0",))
    out, text = console()
    show_outcome(out, Outcome(signals=(), verdict=verdict, reason="harm", adapter="a", after=after))
    assert "broke: What is [b]?" in text.getvalue()
