"""A model folder that is not whole is refused with a remedy; a whole one has a stable hash."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engrain.engines.folder import content_hash
from engrain.engines.local import LocalEngine
from engrain.errors import FormatError


@pytest.fixture
def copy(llama_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llama_folder, tmp_path / "copy"))


def opening(folder: Path) -> LocalEngine:
    return LocalEngine(folder, adapters_dir=folder / "adapters")


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no model folder"):
        opening(tmp_path / "nowhere")


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"config\.json is missing"):
        opening(tmp_path)


def test_pickled_weights_are_never_opened(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(FormatError, match="safetensors only"):
        opening(copy)


@pytest.mark.parametrize("size", [4, 200, 20_000])
def test_a_truncated_weight_file_is_refused(copy: Path, size: int) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(FormatError, match="truncated"):
        opening(copy)


def test_a_file_that_is_not_safetensors_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes((4).to_bytes(8, "little") + b"junk")
    with pytest.raises(FormatError, match="no safetensors header"):
        opening(copy)


def test_a_missing_shard_is_refused(copy: Path) -> None:
    (copy / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}})
    )
    with pytest.raises(FormatError, match="is missing although the index lists it"):
        opening(copy)


@pytest.mark.parametrize("index", ["{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', '{"weight_map": {}}'])
def test_an_index_that_names_no_files_is_refused(copy: Path, index: str) -> None:
    (copy / "model.safetensors.index.json").write_text(index)
    with pytest.raises(FormatError, match=r"index\.json has no .*copy the folder again"):
        opening(copy)


def test_a_config_that_cannot_be_read_is_refused_with_the_remedy(copy: Path) -> None:
    (copy / "config.json").write_text("[" * 200_000)
    with pytest.raises(FormatError, match=r"config\.json is not JSON"):
        opening(copy)
    (copy / "config.json").unlink()
    (copy / "config.json").mkdir()
    with pytest.raises(FormatError, match=r"config\.json cannot be read .*make it readable"):
        opening(copy)


def test_weights_that_do_not_fit_the_config_are_refused_and_not_filled_with_random_numbers(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(FormatError, match="do not match"):
        opening(copy)


def test_a_folder_without_chat_template_is_refused_with_the_remedy(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(FormatError, match=r"chat_template\.jinja"):
        opening(copy)


def test_a_folder_without_tokenizer_is_refused(copy: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    with pytest.raises(FormatError, match="tokenizer"):
        opening(copy)


def test_a_model_that_looks_ahead_is_refused(copy: Path) -> None:
    from transformers import BertConfig, BertLMHeadModel

    shape = {
        "vocab_size": 400,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    BertLMHeadModel(BertConfig(**shape, is_decoder=True)).save_pretrained(copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"is_decoder": False}))
    with pytest.raises(FormatError, match="decoder-only"):
        opening(copy)


def test_an_encoder_decoder_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "t5", "is_encoder_decoder": True}))
    with pytest.raises(FormatError, match="encoder-decoder"):
        opening(copy)


def test_the_hash_follows_the_content_and_not_the_path(llama_folder: Path, copy: Path) -> None:
    assert content_hash(copy) == content_hash(llama_folder)
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert content_hash(copy) != content_hash(llama_folder)
