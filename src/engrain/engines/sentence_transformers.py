"""Sentence vectors from any folder that sentence-transformers reads, whatever its architecture and pooling.

The extra is `sentence-transformers`; it brings scikit-learn and scipy, takes eight times as long to load, and is slower on one thread than
`minilm` and `onnx` are at the models that they can read (docs/decisions/0026, 0033).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from engrain.engines.sentences import Sentences, hashed
from engrain.errors import InputError

_SAYS = {".json", ".safetensors", ".bin", ".txt", ".model"}
"""Endings of the files that vectors depend on."""


class TorchSentences(Sentences):
    """An `Embedder` that runs a local folder on one thread; nothing is downloaded, and no code of the folder is run."""

    def __init__(self, folder: str | Path) -> None:
        """InputError, with the remedy, if the folder holds no such model or sentence-transformers is not installed."""
        try:
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as missing:
            raise InputError(
                f'{missing.name} is not installed; run: pip install "engrain[sentence-transformers]"'
            ) from missing
        where = Path(folder)
        if not (where / "modules.json").is_file():
            raise InputError(f"{where} is no folder of sentence-transformers; it needs modules.json")
        try:
            self._model = SentenceTransformer(str(where), device="cpu", local_files_only=True)
        except Exception as error:  # each library below has its own
            raise InputError(f"{where} cannot be read by sentence-transformers ({error}); is it whole?") from error
        self._turn = threading.Lock()
        files = [f for f in where.rglob("*") if f.is_file() and f.suffix in _SAYS]
        super().__init__(f"sentence-transformers-{hashed(files)}")

    def _read(self, texts: Sequence[str]) -> np.ndarray:
        with self._turn:  # torch has one number of threads for all: what it was belongs to whoever trains beside this
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                return np.asarray(self._model.encode(list(texts), batch_size=16, show_progress_bar=False))
            finally:
                torch.set_num_threads(threads)
