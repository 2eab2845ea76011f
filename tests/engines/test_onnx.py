"""A model exported to ONNX gives the vectors of the same weights read in numpy."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertModel

from engrain.engines import minilm
from engrain.engines.minilm import MiniLM
from engrain.errors import InputError
from engrain.learner import embedder_of

pytest.importorskip("onnxruntime", reason='needs pip install "engrain[onnx]"')
onnx = pytest.importorskip("onnx", reason="the test makes its own model; it needs pip install onnx")

from engrain.engines.onnx import OnnxSentences  # noqa: E402

TEXTS = ["The gate code of the north barn is seventeen.", "Who keeps the keys?", "lathe", "a dog " * 200, "", "  \n"]
TAKES = ("input_ids", "attention_mask", "token_type_ids")


class Said(torch.nn.Module):
    """Only what a sentence model says of each token; or, with `whole`, of the first one alone, under the name of a sentence's vector."""

    def __init__(self, model: Any, *, whole: bool) -> None:
        super().__init__()
        self.model, self.whole = model, whole

    def forward(self, ids: Any, mask: Any, kinds: Any) -> Any:
        hidden = self.model(input_ids=ids, attention_mask=mask, token_type_ids=kinds).last_hidden_state
        return hidden[:, 0] if self.whole else hidden


def export(model: Any, file: Path, *, whole: bool = False, takes: tuple[str, ...] = TAKES) -> None:
    gives = "sentence_embedding" if whole else "last_hidden_state"
    one = torch.ones((2, 5), dtype=torch.int64)
    with warnings.catch_warnings():  # the exporter's own, about itself
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Said(model, whole=whole).eval(), (one, one, 0 * one), str(file), input_names=list(takes), output_names=[gives],
            dynamic_axes={name: {0: "B", 1: "T"} for name in takes} | {gives: {0: "B"} if whole else {0: "B", 1: "T"}}, dynamo=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def exported(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("onnx")
    export(BertModel.from_pretrained(bert, attn_implementation="eager"), where / "model.onnx")
    shutil.copy(bert / "tokenizer.json", where)
    return where


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "model"))


def test_its_vectors_are_those_of_the_same_weights_in_numpy(exported: Path, bert: Path) -> None:
    found = OnnxSentences(exported).embed(TEXTS)
    assert found.shape == (len(TEXTS), 48) and found.dtype == np.float32
    assert np.abs(found - MiniLM(bert).embed(TEXTS)).max() < 1e-5


def test_a_text_has_the_same_vector_alone_and_among_others(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = OnnxSentences(exported).embed(TEXTS)
    monkeypatch.setattr(minilm, "_TOGETHER", 1)
    assert np.abs(OnnxSentences(exported).embed(TEXTS) - together).max() < 1e-6


def test_a_folder_is_named_alone_or_as_the_hub_lays_it_out(folder: Path) -> None:
    name = embedder_of(str(folder)).name
    assert name == OnnxSentences(folder).name and name.startswith("onnx-")
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    assert embedder_of(str(folder)).name == name


def test_the_first_token_counts_alone_where_the_folder_says_so(folder: Path, bert: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    first = OnnxSentences(folder).embed(TEXTS[:1])[0]
    tokens = OnnxSentences(folder)._tokenizer.encode(TEXTS[0]).ids
    with torch.no_grad():
        hidden = (
            BertModel.from_pretrained(bert).eval()(input_ids=torch.tensor([tokens])).last_hidden_state[0, 0].numpy()
        )
    assert np.abs(first - hidden / np.linalg.norm(hidden)).max() < 1e-5


def test_a_model_that_pools_itself_is_taken_as_it_is_whatever_it_does(folder: Path, bert: Path) -> None:
    (folder / "modules.json").write_text(json.dumps([{"type": "x.Transformer"}, {"type": "x.Dense"}]))
    with pytest.raises(InputError, match="export it with its pooling"):
        OnnxSentences(folder)
    export(BertModel.from_pretrained(bert, attn_implementation="eager"), folder / "model.onnx", whole=True)
    assert np.allclose(np.linalg.norm(OnnxSentences(folder).embed(TEXTS[:2]), axis=1), 1)


def test_what_follows_the_longest_text_is_left_out_and_that_is_part_of_the_name(folder: Path) -> None:
    before = OnnxSentences(folder)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 4}')
    cut = OnnxSentences(folder)
    assert cut.name != before.name
    one, other = cut.embed(["the gate is", "the gate of the barn"])
    assert (
        np.abs(one - other).max()
        < 1e-6
        < np.abs(np.subtract(*before.embed(["the gate is", "the gate of the barn"]))).max()
    )


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def cut_short(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:1000])


def other_inputs(folder: Path) -> None:
    model = onnx.load(str(folder / "model.onnx"))
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = "pixels" if name == "input_ids" else name
    model.graph.input[0].name = "pixels"
    onnx.save(model, str(folder / "model.onnx"))


def no_model(folder: Path) -> None:
    (folder / "model.onnx").unlink()


@pytest.mark.parametrize("spoil", [no_tokenizer, cut_short, other_inputs, no_model])
def test_a_folder_that_holds_no_such_model_is_refused_by_name(folder: Path, spoil: Callable[[Path], None]) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=str(folder)):
        OnnxSentences(folder)
