"""Words are cut to the stems that SQLite's own tokenizer gives, and quickly enough for any text."""

from __future__ import annotations

import re
import sqlite3
import string
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.store.stems import stem, stems

TEXT = "".join(p.read_text(encoding="utf-8") for p in sorted(Path(__file__).parents[2].glob("docs/**/*.md")))


def by_fts5(words: list[str]) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in words]
    with closing(sqlite3.connect(":memory:")) as raw:
        raw.execute("CREATE VIRTUAL TABLE t USING fts5(text, tokenize='porter unicode61')")
        raw.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(t, instance)")
        raw.executemany("INSERT INTO t(rowid, text) VALUES (?, ?)", list(enumerate(words)))
        for row, term in raw.execute("SELECT doc, term FROM stems ORDER BY doc, offset"):
            found[row].append(term)
    return found


@pytest.mark.parametrize(
    ("word", "root"),
    [
        ("caresses", "caress"), ("ponies", "poni"), ("cats", "cat"), ("agreed", "agre"), ("plastered", "plaster"), ("motoring", "motor"),
        ("hopping", "hop"), ("hoping", "hope"), ("falling", "fall"), ("happy", "happi"), ("sky", "sky"), ("relational", "relat"),
        ("electricity", "electr"), ("hopefulness", "hope"), ("adoption", "adopt"), ("rate", "rate"), ("controlling", "control"),
        ("yelling", "yell"), ("is", "is"), ("4417", "4417"),
    ],
)  # fmt: skip
def test_a_word_is_cut_to_its_root(word: str, root: str) -> None:
    assert stem(word) == root


def test_the_words_of_our_own_documents_have_the_stems_of_fts5() -> None:
    words = sorted(set(re.findall(r"\w+", TEXT.lower())))
    assert len(words) > 2000
    assert {w: (a, b) for w, a, b in zip(words, map(stems, words), by_fts5(words), strict=True) if a != b} == {}


@given(st.lists(st.text(alphabet=string.ascii_lowercase, min_size=4, max_size=14), min_size=1, max_size=50))
def test_any_letters_have_the_stems_of_fts5(words: list[str]) -> None:
    assert list(map(stems, words)) == by_fts5(words)


def test_accents_and_case_do_not_count_and_signs_part_words() -> None:
    assert stems("Zürich's OLD_mills, 日本語") == ["zurich", "s", "old", "mill", "日本語"]
    assert stems("?! \n") == []


def test_a_hostile_word_takes_no_time() -> None:
    begun = time.process_time()
    stems("aeiou" * 100_000 + " " + "b" * 100_000 + " " + "yayayaya" * 1000)
    assert time.process_time() - begun < 2
