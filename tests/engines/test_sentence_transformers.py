"""A folder of sentence-transformers gives the vectors that it gives there; needs the extra, which is too heavy for every machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from engrain.engines.minilm import MiniLM
from engrain.errors import InputError
from engrain.learner import embedder_of

pytest.importorskip("sentence_transformers", reason='needs pip install "engrain[sentence-transformers]"')

from engrain.engines.sentence_transformers import TorchSentences  # noqa: E402

TEXTS = ["The gate code of the north barn is seventeen.", "Who keeps the keys?", "lathe", ""]


def folder_of(bert: Path, where: Path, *, first: bool) -> Path:
    """The model with the files of sentence-transformers beside it: the mean of its tokens, or the first one."""
    shutil.copytree(bert, where)
    PreTrainedTokenizerFast(
        tokenizer_file=str(bert / "tokenizer.json"), pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(where)  # fmt: skip
    kinds = ("Transformer", ""), ("Pooling", "1_Pooling")
    (where / "modules.json").write_text(
        json.dumps(
            [
                {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for i, (kind, path) in enumerate(kinds)
            ]
        )
    )
    (where / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 48, "pooling_mode_cls_token": first, "pooling_mode_mean_tokens": not first}
    (where / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    assert AutoTokenizer.from_pretrained(where)("a dog")["input_ids"][0] == 2
    return where


def test_its_vectors_are_those_of_the_same_weights_in_numpy_and_threads_are_as_they_were(
    bert: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(2)
    try:
        found = TorchSentences(folder_of(bert, tmp_path / "mean", first=False)).embed(TEXTS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert np.abs(found - MiniLM(bert).embed(TEXTS)).max() < 1e-5


def test_what_numpy_does_not_read_is_read_here(bert: Path, tmp_path: Path) -> None:
    folder = folder_of(bert, tmp_path / "first", first=True)
    embedder = embedder_of(str(folder))
    assert isinstance(embedder, TorchSentences) and embedder.name.startswith("sentence-transformers-")
    assert np.abs(embedder.embed(TEXTS)[:3] - MiniLM(bert).embed(TEXTS)[:3]).max() > 0.01
    before = embedder.name
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text().replace("true", "false", 1))
    assert TorchSentences(folder).name != before


def test_a_folder_that_holds_no_such_model_is_refused_by_name(bert: Path, tmp_path: Path) -> None:
    folder = folder_of(bert, tmp_path / "cut", first=True)
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=str(folder)):
        TorchSentences(folder)
    with pytest.raises(InputError, match=r"modules\.json"):
        TorchSentences(bert)
