"""The documents describe what is: their snippets run."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from engrain import learner
from engrain.cli import app
from engrain.learner import SPROUT
from engrain.loops.consolidate import Consolidation
from engrain.loops.prepare import Preparation
from engrain.loops.study import Study
from engrain.records import Message

sys.path.insert(0, str(Path(__file__).parent))
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing: what the README promises of commands does not depend on how good the answers are."""
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama", max_position_embeddings=2048)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the example data in it, as one stands in after cloning; consolidation studies hardly at all."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    study = Study(rounds=1, kinds=("plain",), most=1)
    cheap: Callable[[], Consolidation] = partial(Consolidation, preparation=Preparation(study=study))
    monkeypatch.setattr(learner, "Consolidation", cheap)
    return tmp_path


@pytest.mark.skipif(not (SPROUT / "model.safetensors").exists(), reason="sprout's weights are not there")
def test_every_snippet_of_the_flow_runs_in_order(tmp_path: Path) -> None:
    names: dict[str, object] = {"home": tmp_path / "home"}
    for snippet in re.findall(r"```python\n(.*?)```", (ROOT / "docs/flow.md").read_text(encoding="utf-8"), re.S):
        exec(compile(snippet, "docs/flow.md", "exec"), names)


@pytest.mark.parametrize("promoted", [False, True])
def test_the_first_library_example_runs_whatever_the_gate_says_and_has_at_most_ten_lines(
    promoted: bool, checkout: Path, base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from test_cli import add_version

    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    version = add_version(checkout / "my-agent", base) if promoted else ""
    monkeypatch.setattr(learner, "Learner", partial(learner.Learner, base=base))
    exec(compile(block, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) >= 2
    with learner.Learner("my-agent") as me:
        assert me.store.live(me.scope) == ""  # rolled back, or never left
        assert [v.adapter for v in me.versions()] == ["", *([version] if promoted else [])]


def test_the_commands_of_the_readme_run_in_their_order(checkout: Path, base: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    commands = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    assert len(commands) >= 8
    env = {"ENGRAIN_HOME": str(checkout / "home"), "ENGRAIN_BASE": str(base), "ENGRAIN_DEVICE": "cpu", "COLUMNS": "200"}
    said: dict[str, str] = {}
    for program, *words in commands:
        assert program == "engrain"
        result = CliRunner().invoke(app, words, env=env)
        assert result.exit_code == 0, (words, result.output)
        said[words[0]] = result.stdout
    assert "questions.jsonl holds questions and was left out" in said["learn"]
    assert "The band saw is cleaned every Friday." in said["memories"]
    assert "records erased" in said["forget"]


def test_what_the_readme_asks_is_told_in_the_example_data() -> None:
    questions = (ROOT / "examples/workshop/questions.jsonl").read_text(encoding="utf-8")
    asked = set(re.findall(r"chat\(?\s?\"(.+?)\"", README))
    assert asked
    for question in asked:
        assert f'"question": "{question}", "answer": ""' not in questions and question in questions


def test_every_environment_variable_of_the_readme_is_read() -> None:
    source = (ROOT / "src/engrain/cli/common.py").read_text(encoding="utf-8")
    for name in re.findall(r"ENGRAIN_\w+", README):
        assert f'envvar="{name}"' in source or f'os.environ.get("{name}"' in source, name
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in re.findall(r"\b(TORCH\w*)=", README):
        assert re.search(rf"^{name} \?=", makefile, re.M), name


def test_the_readme_names_only_files_and_make_targets_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in re.findall(r"^make (\w+)", text, re.M):
        assert re.search(rf"^{name}:", makefile, re.M), name


def test_every_learning_method_has_a_row() -> None:
    rows = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    for file in (ROOT / "src/engrain/learning/methods").glob("[a-z]*.py"):
        assert file.name in rows, file.name


PAGES = sorted((ROOT / "docs/text").glob("*.md"))


def test_the_python_of_the_pages_on_text_space_runs(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = (Message(role="user", content="Hello"),)
    with learner.Learner("my-agent", base=base) as me:
        names = {"me": me, "messages": said, "act": lambda _: Message(role="assistant", content="Hello to you.")}
        for page in PAGES:
            for snippet in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
                snippet = snippet.replace('me = Learner("my-agent")\n', "")
                exec(compile(snippet, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_commands_of_the_pages_on_text_space_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [x for block in re.findall(r"```sh\n(.*?)```", text, re.S) for x in block.splitlines()]
    for line in [*lines, *re.findall(r"`(engrain [a-z]+(?: [a-z]+)?)[^`|]*`", text)]:
        command: object = typer.main.get_command(app)
        for word in shlex.split(line, comments=True)[1:]:
            known = getattr(command, "commands", None)
            if known is None:
                break
            assert word in known, line
            command = known[word]


def test_every_page_on_text_space_is_listed_and_every_link_leads_somewhere() -> None:
    first = (ROOT / "docs/text/README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w.-]+\.md)\)", first))
    assert linked == {p.name for p in PAGES} - {"README.md"}
