"""Hashed vectors: the same everywhere, of length one, near for near words."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engrain.memory.embed import HashedEmbedder

CODE = """
import zlib
from engrain.memory.embed import HashedEmbedder
print(zlib.crc32(HashedEmbedder().embed(["Anna likes mint tea"]).tobytes()))
"""


@given(st.lists(st.text(), max_size=4))
def test_rows_have_length_one_or_zero(texts: list[str]) -> None:
    vectors = HashedEmbedder().embed(texts)
    assert vectors.shape == (len(texts), 512)
    assert vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    assert all(abs(n - 1) < 1e-5 or n == 0 for n in lengths)


def test_another_process_with_another_hash_seed_makes_the_same_vectors() -> None:
    runs = {
        subprocess.run(
            [sys.executable, "-c", CODE],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_a_text_is_the_same_alone_or_among_others() -> None:
    together = HashedEmbedder().embed(["Anna likes tea", "the gate", "Anna"])
    assert np.array_equal(together[0], HashedEmbedder().embed(["Anna likes tea"])[0])


def test_a_typo_stays_near_and_another_subject_far() -> None:
    query, near, far = HashedEmbedder().embed(
        ["What is the wifi pasword?", "The wifi password is birchwood", "Anna feeds the goats"]
    )
    assert query @ near > 0.3 > 0.15 > query @ far


def test_the_name_changes_whenever_the_vectors_would() -> None:
    assert (
        len(
            {
                HashedEmbedder().name,
                HashedEmbedder(dimension=256).name,
                HashedEmbedder(word_weight=2).name,
                HashedEmbedder(group_weight=1).name,
            }
        )
        == 4
    )
