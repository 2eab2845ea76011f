"""Sentence vectors from a model that was exported to ONNX, by onnxruntime: half of the time that numpy takes, and most architectures.

The extra is `onnx`. A folder holds `model.onnx` (or `onnx/model.onnx`, as models on the hub do) and `tokenizer.json`; beside them, where they
differ from the usual, `1_Pooling/config.json` (mean pooling) and `sentence_bert_config.json` (256 tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engrain.engines.minilm import batches
from engrain.engines.sentences import LONGEST, Sentences, hashed, pooling, said
from engrain.errors import InputError

_TAKES = {"input_ids", "attention_mask", "token_type_ids"}


def model_of(folder: Path) -> Path | None:
    """The file of the model; None if there is none."""
    return next((file for file in (folder / "model.onnx", folder / "onnx" / "model.onnx") if file.is_file()), None)


class OnnxSentences(Sentences):
    """An `Embedder` that runs `model.onnx` on one thread: on a busy machine a second one costs more than it gives."""

    def __init__(self, folder: str | Path) -> None:
        """InputError, with the remedy, if the folder holds no such model or onnxruntime is not installed."""
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ModuleNotFoundError as missing:
            raise InputError(f'{missing.name} is not installed; run: pip install "engrain[onnx]"') from missing
        where = Path(folder)
        model = model_of(where)
        if model is None:
            raise InputError(f"{where} holds no model.onnx; export one, or name a folder that has it")
        self._pooling, pad = pooling(where), said(where, "config.json").get("pad_token_id")
        longest = int(said(where, "sentence_bert_config.json").get("max_seq_length") or LONGEST)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
            self._tokenizer = Tokenizer.from_file(str(where / "tokenizer.json"))
        except Exception as error:  # each library has its own
            raise InputError(
                f"{where} holds no sentence model ({error}); it needs model.onnx and tokenizer.json"
            ) from error
        self._tokenizer.enable_truncation(longest)
        self._tokenizer.no_padding()
        self._pad = int(pad or 0)
        self._takes = {given.name for given in self._session.get_inputs()}
        gives = [given.name for given in self._session.get_outputs()]
        self._gives = "sentence_embedding" if "sentence_embedding" in gives else gives[0]
        if not self._takes <= _TAKES:
            raise InputError(
                f"{model} asks for {', '.join(sorted(self._takes - _TAKES))}; a sentence model takes {', '.join(sorted(_TAKES))}"
            )
        if not self._pooling and self._gives != "sentence_embedding":
            raise InputError(
                f"{where} does more with its tokens than their mean; export it with its pooling, as the output sentence_embedding"
            )
        # Large weights are in files of their own beside the graph.
        files = [*model.parent.glob("model.onnx*"), where / "tokenizer.json"]
        super().__init__(f"onnx-{hashed(files, self._pooling, longest)}")

    def _read(self, texts: Sequence[str]) -> np.ndarray:
        tokens = [e.ids for e in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
        parts: list[np.ndarray] = []
        for some in batches([len(tokens[i]) for i in order]):
            parts.append(self._forward([tokens[order[i]] for i in some]))
        found = np.empty((len(texts), parts[0].shape[1]), dtype=np.float32)
        found[order] = np.concatenate(parts)
        return found

    def _forward(self, tokens: Sequence[Sequence[int]]) -> np.ndarray:
        """Vectors [B, D] of these texts. Shapes: B texts, T tokens with padding, D width."""
        ids_BT = np.full((len(tokens), max(map(len, tokens))), self._pad, dtype=np.int64)
        mask_BT = np.zeros_like(ids_BT)
        for row, own in enumerate(tokens):
            ids_BT[row, : len(own)], mask_BT[row, : len(own)] = own, 1
        given = {"input_ids": ids_BT, "attention_mask": mask_BT, "token_type_ids": np.zeros_like(ids_BT)}
        found = np.asarray(self._session.run([self._gives], {name: given[name] for name in self._takes})[0])
        if found.ndim == 2:
            return found
        if self._pooling == "cls":
            return np.asarray(found[:, 0])
        return np.asarray((found * mask_BT[..., None]).sum(1) / mask_BT.sum(1, keepdims=True))
