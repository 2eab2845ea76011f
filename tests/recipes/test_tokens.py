"""sprout is trained on exactly what its chat template writes, and a word falls into the same pieces in any case."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from engrain.engines.local import LocalEngine
from engrain.learner import SPROUT
from engrain.records import Message

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes/sprout"))
from model import QUERIES, Shape, Sprout, collate  # noqa: E402
from tasks import Doc  # noqa: E402
from tokens import LONGEST, Encoder, Row, capital, twins, upper  # noqa: E402

NOTES = [("system", "Notes:\n- The pot is blue.\n- It costs 14 euros.")]


@pytest.fixture(scope="module")
def sprout(tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    return LocalEngine(SPROUT, adapters_dir=tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(Tokenizer.from_file(str(SPROUT / "tokenizer.json")))


@pytest.mark.parametrize("prefix", [[], NOTES, [("user", "The pot is blue."), ("assistant", "Noted.")]])
@pytest.mark.parametrize(
    "asked", [[("user", "Which pot?")], [("user", "Which pot?"), ("assistant", "the blue one"), ("user", "How much?")]]
)
def test_a_row_of_training_is_what_the_template_writes(
    sprout: LocalEngine, encoder: Encoder, prefix: list[tuple[str, str]], asked: list[tuple[str, str]]
) -> None:
    [row] = encoder(Doc(prefix, [[*asked, ("assistant", "14 euros")], [("user", "What?"), ("assistant", "I see")]]))
    mine = [i for i, branch in enumerate(row.branch) if branch < 2]
    assert [row.position[i] for i in mine] == list(range(len(mine)))
    ids, learned = [row.ids[i] for i in mine], [row.learned[i] for i in mine]
    shown = [Message(role=role, content=text) for role, text in (*prefix, *asked)]  # type: ignore[arg-type]
    prompt = sprout.encode(shown, room=1)
    assert ids[: len(prompt)] == prompt
    assert not learned[len(prompt) - 1] and all(learned[len(prompt) :])
    assert sprout.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True) == " 14 euros"


@pytest.mark.parametrize("queries", [QUERIES, 8])
def test_conversations_side_by_side_do_not_see_one_another(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, queries: int
) -> None:
    """The same loss in one row, with its siblings and padding, as in rows of their own, however many look back at once."""
    monkeypatch.setattr("model.QUERIES", queries)
    torch.manual_seed(0)
    shape = Shape(vocab=encoder.tokenizer.get_vocab_size(), layers=2, width=64, inner=96, heads=4)
    model, rng = Sprout(shape), np.random.default_rng(0)
    asked = [[("user", q), ("assistant", a)] for q, a in (("Which pot?", "the blue one"), ("How much?", "14 euros"))]
    both, first, second = (encoder(Doc(NOTES, some))[0] for some in (asked, asked[:1], asked[1:]))

    def loss(row: Row) -> float:
        return float(model.loss(collate([row], len(row.ids) + 7, rng, rest_share=0)).detach())

    assert loss(both) == pytest.approx(loss(first) + loss(second), rel=0.01)  # bfloat16


def test_a_document_that_is_too_long_for_a_row_takes_several_and_loses_no_question(encoder: Encoder) -> None:
    notes = [("system", "Notes:" + "\n- The pot is blue." * 100)]
    rows = encoder(Doc(notes, [[("user", f"Which pot {i}?"), ("assistant", "the blue one")] for i in range(60)]))
    assert len(rows) > 1 and all(len(row.ids) <= LONGEST for row in rows)
    assert sum(max(row.branch) for row in rows) == 60
    assert encoder(Doc([("system", "blue " * LONGEST)], [[("user", "What?"), ("assistant", "blue")]])) == []


@pytest.mark.parametrize("word", ["varnish", "halden", "quicklime", "ottobrunn"])
def test_a_word_falls_into_the_same_pieces_in_any_case(encoder: Encoder, word: str) -> None:
    def pieces(text: str) -> list[str]:
        return list(encoder.tokenizer.encode(" " + text, add_special_tokens=False).tokens)

    plain = pieces(word)
    assert pieces(word.upper()) == [upper(p) for p in plain]
    assert pieces(word.capitalize()) == [capital(plain[0]), *plain[1:]]
    known = {(a, b) for a, b, _ in twins(encoder.tokenizer)}
    ids = encoder.tokenizer.get_vocab()
    assert all((ids[p], ids[upper(p)]) in known for p in plain)
