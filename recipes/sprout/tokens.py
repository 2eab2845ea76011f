"""sprout's tokenizer and chat template, and documents as rows of token ids."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from frames import load
from tasks import Doc, Maker, Turn

SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
END = SPECIAL.index("<|end|>")
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|> ' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
LONGEST = 1024
"""Tokens of a row; what is longer is left out."""


class Row(NamedTuple):
    """Notes read once, and the conversations that follow them side by side: each sees the notes and itself."""

    ids: list[int]
    learned: list[bool]
    branch: list[int]
    """0 for what all see, then 1, 2, … for the conversations."""
    position: list[int]
    """As if each conversation were the only one."""

    @classmethod
    def shared(cls, ids: list[int], learned: list[bool]) -> Row:
        """A row without conversations yet: all of it is seen by whatever follows."""
        return cls(ids, learned, [0] * len(ids), [*range(len(ids))])


_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_SPACE = "Ġ"
"""How byte-level BPE writes a space."""


def upper(token: str) -> str:
    """The token in upper case. Only ASCII letters are letters here: the others stand for bytes."""
    return token.translate(_UPPER)


def capital(token: str) -> str:
    """The token with its first letter in upper case."""
    letter = 2 if token.startswith(_SPACE) else 1
    return upper(token[:letter]) + token[letter:]


def train_tokenizer(folder: Path, merges: int, documents: int = 60_000) -> Tokenizer:
    """Byte-level BPE with single digits, learned from the recipe's own training text in lower case.

    Each merge is entered three times: as it is, with its first letter in upper case, and all in upper case. So a word falls into the
    same pieces however it is written, and to write it in another case is to exchange each piece for its twin.
    """
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|\d| ?[^\sA-Za-z\d]+|\s+(?!\S)|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    lower = Tokenizer(models.BPE())
    lower.pre_tokenizer = split
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) + merges, initial_alphabet=alphabet, show_progress=False)
    lower.train_from_iterator(_texts(documents), trainer)
    pairs: dict[tuple[str, str], None] = {}
    for left, right in json.loads(lower.to_str())["model"]["merges"]:
        first = (left, capital(right)) if left == _SPACE else (capital(left), right)
        pairs |= dict.fromkeys([(left, right), first, (upper(left), upper(right))])
    vocab = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    for left, right in pairs:
        vocab.setdefault(left + right, len(vocab))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=list(pairs)))
    tokenizer.pre_tokenizer, tokenizer.decoder = split, decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|pad|>",
        "clean_up_tokenization_spaces": False, "model_max_length": 4096, "chat_template": TEMPLATE,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    return tokenizer


def _texts(documents: int) -> Iterator[str]:
    maker = Maker(random.Random(0), load()[0])
    for _ in range(documents):
        doc = maker.any(3, 8)
        for turns in (doc.prefix, *doc.branches):
            for _, text in turns:
                yield " " + text.lower()


def twins(tokenizer: Tokenizer) -> list[tuple[int, int, bool]]:
    """(token, its twin in another case, whether that is all in upper case) for each token that begins in lower case."""
    vocab = tokenizer.get_vocab()
    out: list[tuple[int, int, bool]] = []
    for token, i in vocab.items():
        if token in SPECIAL or upper(token) == token or any(c in string.ascii_uppercase for c in token):
            continue
        out += [(i, vocab[capital(token)], False)] if capital(token) != upper(token) else []
        out += [(i, vocab[upper(token)], True)]
    return out


class Encoder:
    """Documents to rows, as the chat template writes them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.role = {r: tokenizer.token_to_id(f"<|{r}|>") for r in ("system", "user", "assistant")}

    def __call__(self, doc: Doc) -> list[Row]:
        """The document in as few rows as hold it."""
        shared, _ = self.turns(doc.prefix)
        rows: list[Row] = []
        for branch in doc.branches:
            ids, learned = self.turns(branch)
            if len(shared) + len(ids) > LONGEST:
                continue
            if not rows or len(rows[-1].ids) + len(ids) > LONGEST:
                rows.append(Row.shared([*shared], [False] * len(shared)))
            row = rows[-1]
            row.branch.extend([max(row.branch, default=0) + 1] * len(ids))
            row.position.extend(range(len(shared), len(shared) + len(ids)))
            row.ids.extend(ids)
            row.learned.extend(learned)
        return rows

    def turns(self, turns: list[Turn]) -> tuple[list[int], list[bool]]:
        """Turns as the chat template writes them; every answer is learned."""
        ids: list[int] = []
        learned: list[bool] = []
        for role, text in turns:
            body = [*self.tokenizer.encode(" " + text, add_special_tokens=False).ids, END]
            ids += [self.role[role], *body]
            learned += [False] + [role == "assistant"] * len(body)
        return ids, learned
