"""Answers of a given form: JSON by a schema, held token by token.

llguidance says which tokens may come next; every other one has no probability. Needs the extra: pip install "engrain[serve]".
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engrain.errors import InputError

WRITTEN: Any = {"whitespace_flexible": False}
"""One way to write each value, so that no answer is spent on white space."""


class Forms:
    """Makes forms for one tokenizer."""

    def __init__(self, tokenizer: Any, stop: Collection[int], vocab: int) -> None:
        """`vocab` is how many logits the network gives, which may be more than the tokenizer has tokens."""
        self._tokenizer, self._stop, self._vocab = tokenizer, sorted(stop), vocab
        self._known: Any = None
        self._lock = threading.Lock()

    def json(self, schema: str) -> Form:
        """The form of one answer by a JSON schema. InputError for a schema that is wrong or asks for what cannot be held."""
        try:
            from llguidance import LLMatcher
            from llguidance.hf import from_tokenizer
        except ModuleNotFoundError as missing:
            raise InputError(f'{missing.name} is not installed; run: pip install "engrain[serve]"') from missing
        with self._lock:
            if self._known is None:
                try:
                    self._known = from_tokenizer(self._tokenizer, n_vocab=self._vocab, eos_token=self._stop)
                except Exception as error:  # not a fast tokenizer, or of a kind that it does not know
                    raise InputError(f"this model's tokenizer holds no form ({error}); ask without one") from error
        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, defaults=WRITTEN)
        except ValueError as error:
            raise InputError(f"this is no JSON schema: {error}") from error
        matcher = LLMatcher(self._known, grammar, log_level=0)
        if matcher.is_error():
            raise InputError(f"this JSON schema cannot be held: {matcher.get_error().splitlines()[0]}")
        return Form(matcher, self._vocab)


class Form:
    """Where one answer is in its form."""

    def __init__(self, matcher: Any, vocab: int) -> None:
        self._matcher, self._vocab = matcher, vocab

    def hold(self, logits_V: Tensor) -> Tensor:
        """The logits [V] of what comes next, with those of what may not come at minus infinity."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        may = torch.from_numpy(np.unpackbits(bits, bitorder="little")[: self._vocab].astype(bool))
        return logits_V.masked_fill(~may.to(logits_V.device), float("-inf"))

    def took(self, token: int) -> None:
        """This token came."""
        self._matcher.consume_token(token)
