"""What all have in common that run a sentence model of which nothing else is known: unit vectors, none for no words, and how close is close.

Which of them reads a folder, its files say: `read`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from engrain.errors import InputError
from engrain.protocols import Embedder

_APART = (
    "I went to the lake with my sister yesterday.",
    "My brother bought a new car last week.",
    "We are thinking of painting the kitchen yellow.",
    "She told me that she likes her new job.",
    "Can you send me the report by Friday?",
    "The train was late again this morning.",
    "I have been learning the piano for two years.",
    "He is allergic to nuts, so we ordered something else.",
    "Our dog ran away and came back muddy.",
    "The meeting has moved to three o'clock.",
    "I still have not found my keys.",
    "They want to travel to Japan in the spring.",
)
"""Sentences that have nothing to do with one another."""
_POOLINGS = {"": "mean", "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
LONGEST = 256
"""Tokens of a text, where a folder does not say; what follows is left out."""


class Sentences:
    """An `Embedder` but for the model: a subclass says how that reads texts (`_read`)."""

    weight = 1.0
    """As MiniLM's."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def least_cosine(self) -> float:
        """As close as the closest two of a dozen sentences that have nothing to do with one another, for models differ: some call everything alike.

        With MiniLM it is 0.28, where 0.3 was chosen on conversations."""
        vectors = self.embed(_APART)
        return float(np.sort((vectors @ vectors.T).reshape(-1))[-len(_APART) - 1])

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [len(texts), dimension]; each row has length 1, or is all zero for a text without words."""
        clean = [t.encode("utf-8", "replace").decode() for t in texts]  # half a surrogate can be sent nowhere
        rows = [i for i, text in enumerate(clean) if text.strip()]
        made = self._read([clean[i] for i in rows] or ["word"])  # how long a vector is, even of none
        lengths = np.linalg.norm(made, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise InputError(
                f"{self.name} makes vectors that are no numbers, or all zero; is it a whole sentence model?"
            )
        found = np.zeros((len(texts), made.shape[1]), dtype=np.float32)
        if rows:
            found[rows] = made / lengths
        return found

    def _read(self, texts: Sequence[str]) -> np.ndarray:
        """A vector of any length for each text, [len(texts), dimension]; none of them is blank."""
        raise NotImplementedError


def read(folder: Path) -> Embedder:
    """What reads the model of this folder: onnxruntime a `model.onnx`; numpy a BERT with mean pooling; sentence-transformers any other
    folder of its form. InputError if there is none, or what it needs is not installed."""
    if (folder / "model.onnx").is_file() or (
        not (folder / "modules.json").is_file() and (folder / "onnx/model.onnx").is_file()
    ):
        from engrain.engines.onnx import OnnxSentences  # each is loaded only where it is asked for

        return OnnxSentences(folder)
    bert = said(folder, "config.json").get("model_type") == "bert" and (folder / "model.safetensors").is_file()
    if not (folder / "modules.json").is_file() or (bert and pooling(folder) == "mean"):
        from engrain.engines.minilm import MiniLM

        return MiniLM(folder)
    from engrain.engines.sentence_transformers import TorchSentences

    return TorchSentences(folder)


def pooling(folder: Path) -> str:
    """How a text's vector comes of its tokens': `mean`, `cls` (the first one's), or "" for anything else that the folder asks for."""
    steps = {str(step.get("type")).rpartition(".")[2] for step in said(folder, "modules.json")}
    asked = {
        name for name, on in said(folder, "1_Pooling/config.json").items() if name.startswith("pooling_mode_") and on
    }
    if not steps <= {"Transformer", "Pooling", "Normalize"} or len(asked) > 1:
        return ""
    return _POOLINGS.get("".join(asked), "")


def said(folder: Path, name: str) -> Any:
    """What a JSON file of the folder says; {} where it is not there. InputError if it is no JSON."""
    file = folder / name
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise InputError(f"{file} is no JSON ({error}); is the download whole?") from error


def hashed(files: Iterable[Path], *more: object) -> str:
    """Twelve digits that change whenever one of these files does, or what else is given."""
    whole = hashlib.sha256(repr(more).encode())
    for file in sorted(files):
        with file.open("rb") as opened:
            whole.update(hashlib.file_digest(opened, "sha256").digest())
    return whole.hexdigest()[:12]
