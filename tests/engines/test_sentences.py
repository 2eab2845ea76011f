"""What a folder holds says who reads it, and what all readers of sentence models promise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from engrain.engines.minilm import MiniLM
from engrain.engines.sentences import Sentences, hashed, pooling
from engrain.errors import InputError
from engrain.learner import embedder_of

Written = Callable[..., Path]


class Letters(Sentences):
    """How often each letter occurs, or what it is told to say."""

    said: np.ndarray | None = None

    def _read(self, texts: Sequence[str]) -> np.ndarray:
        if self.said is not None:
            return self.said
        return np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32)


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Written:
    """A copy of the model with these JSON files."""

    def write(**files: object) -> Path:
        where = tmp_path / "model"
        shutil.copytree(bert, where, dirs_exist_ok=True)
        (where / "1_Pooling").mkdir(exist_ok=True)
        for name, value in files.items():
            (where / {"pooling": "1_Pooling/config.json"}.get(name, f"{name}.json")).write_text(json.dumps(value))
        return where

    return write


def steps(*names: str) -> list[dict[str, str]]:
    return [{"type": f"sentence_transformers.models.{name}"} for name in names]


def test_vectors_have_length_one_and_no_words_no_vector() -> None:
    found = Letters("letters").embed(["aab", "", " \n", "b"])
    assert found.dtype == np.float32 and np.allclose(np.linalg.norm(found, axis=1), [1, 0, 0, 1])
    assert found[0, 0] == pytest.approx(2 / 5**0.5)
    assert Letters("letters").embed([]).shape == (0, 26) and not Letters("letters").embed([""]).any()


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_vector_that_says_nothing_is_refused(value: float) -> None:
    model = Letters("letters")
    model.said = np.full((1, 26), value)
    with pytest.raises(InputError, match="letters makes vectors that are no numbers, or all zero"):
        model.embed(["a"])


def test_how_close_is_close_is_asked_of_the_model() -> None:
    vectors = Letters("letters")
    assert 0.8 < vectors.least_cosine < 1.0, "whoever only counts letters calls all sentences alike"


def test_pooling_is_what_the_folder_says(folder: Written) -> None:
    assert pooling(folder()) == "mean"
    assert pooling(folder(pooling={"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})) == "cls"
    assert pooling(folder(pooling={"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True})) == ""
    assert pooling(folder(pooling={"pooling_mode_max_tokens": True})) == ""
    assert pooling(folder(pooling={}, modules=steps("Transformer", "Pooling", "Normalize"))) == "mean"
    assert pooling(folder(modules=steps("Transformer", "Pooling", "Dense"))) == ""
    (folder() / "modules.json").write_text("[")
    with pytest.raises(InputError, match=r"modules\.json is no JSON"):
        pooling(folder())


def test_a_bert_with_mean_pooling_is_read_in_numpy_and_any_other_by_who_can(
    folder: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = steps("Transformer", "Pooling")
    assert isinstance(embedder_of(str(folder())), MiniLM)
    assert isinstance(embedder_of(str(folder(modules=plain))), MiniLM)
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    for changed in ({"pooling": {"pooling_mode_cls_token": True}}, {"config": {"model_type": "mpnet"}}):
        with pytest.raises(InputError, match=r'pip install "engrain\[sentence-transformers\]"'):
            embedder_of(str(folder(modules=plain, **changed)))
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    (folder() / "model.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r'pip install "engrain\[onnx\]"'):
        embedder_of(str(folder()))


def test_a_name_changes_with_every_file_and_every_setting(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    names = {hashed([one]), hashed([other]), hashed([one, other]), hashed([one], 256), hashed([one], 128)}
    assert len(names) == 5 and hashed([one, other]) == hashed([other, one])
