"""Token by token, an answer's text grows to what all of its tokens say, and no piece of it is taken back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.gateway.growing import Growing

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny_models  # noqa: E402


@cache
def tokenizer_of(kind: str) -> Any:
    return getattr(tiny_models, f"{kind}_tokenizer")(eos="<e>", pad="<p>", bos="<b>", special=["<b>", "<e>", "<p>"])


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece_like"])
@given(text=st.text(max_size=30) | st.text("Zoë 🦆.", max_size=30), lost=st.integers(0, 3))
def test_it_grows_to_the_text_of_all_the_tokens(kind: str, text: str, lost: int) -> None:
    tokenizer = tokenizer_of(kind)
    tokens: list[int] = tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False)
    tokens = tokens[: len(tokens) - lost]  # the last character may lack its end

    def text_of(some: Sequence[int]) -> str:
        found: str = tokenizer.decode(list(some), skip_special_tokens=True)
        return found

    growing, whole = Growing(text_of), tokenizer.decode(tokens, skip_special_tokens=True)
    seen = ""
    for token in tokens:
        seen = growing.with_token(token)
        assert whole.startswith(seen.rstrip("\ufffd"))
    assert seen == whole


def test_each_token_is_decoded_with_few_others() -> None:
    decoded: list[int] = []

    def text_of(some: Sequence[int]) -> str:
        decoded.append(len(some))
        return "x" * len(some)

    growing = Growing(text_of)
    assert [len(growing.with_token(n)) for n in range(500)] == list(range(1, 501))
    assert max(decoded) <= 2
