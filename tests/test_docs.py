"""The documents describe what is: their snippets run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engrain.learner import SPROUT

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not (SPROUT / "model.safetensors").exists(), reason="sprout's weights are not there")
def test_every_snippet_of_the_flow_runs_in_order(tmp_path: Path) -> None:
    names: dict[str, object] = {"home": tmp_path / "home"}
    for snippet in re.findall(r"```python\n(.*?)```", (ROOT / "docs/flow.md").read_text(encoding="utf-8"), re.S):
        exec(compile(snippet, "docs/flow.md", "exec"), names)


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
