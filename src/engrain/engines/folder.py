"""A model folder on disk: whether it is whole, its content hash, and opening it without running its code."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

from engrain.errors import FormatError

IDENTITY = ("*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")
"""Files that decide what the model says: weights, configuration, tokenizer, chat template."""
_SENTENCEPIECE = "; its tokenizer.model is read only where sentencepiece is installed (pip install sentencepiece)"
_SAFE = {"local_files_only": True, "trust_remote_code": False}


def check(folder: Path) -> dict[str, Any]:
    """Refuse a folder that is not a whole safetensors model, naming the remedy; returns its config.json.

    Reads headers and sizes only, so it costs milliseconds for any size of model.
    """
    if not folder.is_dir():
        raise FormatError(f"no model folder at {folder}; give the path of a folder with config.json and *.safetensors")
    config = _json(
        folder / "config.json", "a Hugging Face model folder has one; copy it from where the weights came from"
    )
    if config.get("is_encoder_decoder"):
        raise FormatError(
            f"{folder} is an encoder-decoder ({config.get('model_type')}); give a decoder-only causal model"
        )
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = _json(index, "copy the folder again").get("weight_map")
        if not isinstance(shards, dict) or not shards or not all(isinstance(s, str) for s in shards.values()):
            raise FormatError(f'{index} has no "weight_map" of tensors to files; copy the folder again')
        names = sorted(set(shards.values()))
    else:
        names = sorted(p.name for p in folder.glob("*.safetensors"))
    if not names:
        found = (
            "only pickled weights (*.bin), which can run code when opened"
            if any(folder.glob("*.bin"))
            else "no weights"
        )
        raise FormatError(
            f"{folder} holds {found}; engrain opens safetensors only. Convert once where you trust the file: "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
        )
    for name in names:
        check_safetensors(folder / name)
    return config


def check_safetensors(path: Path) -> None:
    """Refuse a safetensors file that is cut short or not one at all, by its header and its length."""
    if not path.is_file():
        raise FormatError(f"{path} is missing although the index lists it; copy the folder again")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if 8 + length > size:
            raise FormatError(f"{path} is truncated or not safetensors ({size} bytes); copy it again")
        try:
            header = json.loads(file.read(length))
            end = max((t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FormatError(f"{path} has no safetensors header; copy it again") from error
    if 8 + length + end != size:
        raise FormatError(
            f"{path} is {size} bytes but its header promises {8 + length + end}; it is truncated, copy it again"
        )


def content_hash(folder: Path) -> str:
    """SHA-256 (32 hex digits) over the files that decide what the model says; the folder's path does not enter."""
    digest = hashlib.sha256()
    for path in sorted({p for pattern in IDENTITY for p in folder.glob(pattern)}, key=lambda p: p.name):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:32]


def open_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder; FormatError if there is none that opens."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub client is first imported: a last line of defence
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, **_SAFE)
    except Exception as error:  # transformers raises OSError, ValueError, KeyError and more for one cause
        raise FormatError(
            f"{folder} has no usable tokenizer ({error}); copy its tokenizer.json and tokenizer_config.json beside the weights"
            f"{_SENTENCEPIECE if (folder / 'tokenizer.model').is_file() else ''}"
        ) from error


def load(folder: Path, device: str) -> tuple[Any, Any]:
    """The frozen float32 model and its tokenizer. Offline, safetensors only, and never the folder's own code."""
    check(folder)
    tokenizer = open_tokenizer(folder)
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as hf_logging

    hf_logging.disable_progress_bar()
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
            **_SAFE,
        )
    except Exception as error:
        raise FormatError(f"{folder} does not open as a decoder-only causal model ({error})") from error
    wrong = [*report["missing_keys"], *(str(k) for k in report["mismatched_keys"])]
    if wrong:  # transformers would fill these with random numbers and only warn
        raise FormatError(
            f"{folder}: weights do not match config.json, e.g. {sorted(wrong)[:3]}; copy the whole folder again"
        )
    model.requires_grad_(False).eval().to(device)
    _check_causal(model, folder, device)
    return model, tokenizer


def _check_causal(model: Any, folder: Path, device: str) -> None:
    """A later token must not change an earlier prediction, and the key-value cache must give what the whole gives."""
    import torch

    with torch.inference_mode():
        ids = torch.arange(1, 7, device=device).remainder(model.config.get_text_config().vocab_size)[None]
        other = ids.clone()
        other[0, -1] = 0
        try:
            whole = model(input_ids=ids, use_cache=False).logits
            changed = model(input_ids=other, use_cache=False).logits
            cache = model(input_ids=ids[:, :-1], use_cache=True).past_key_values
            last = model(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True).logits
        except Exception as error:
            raise FormatError(
                f"{folder} does not run as a decoder-only model with a key-value cache ({error})"
            ) from error
        tolerance = 1e-3 * (1 + whole.abs().max())
        if (whole[:, :-1] - changed[:, :-1]).abs().max() > tolerance or (whole[:, -1:] - last).abs().max() > tolerance:
            raise FormatError(
                f"{folder} is not decoder-only: later tokens change earlier predictions; give a causal model"
            )


def _json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormatError(f"{path} is missing; {remedy}") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read ({error.strerror}); make it readable, or {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} is not a JSON object; {remedy}")
    return value
