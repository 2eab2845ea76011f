"""Evaluation sets: kept apart from training by content, answered by one version, scored item by item.

An item is a records.Example; what it is for is its group (`new`, `replay`, `unknown`, `reading`, `style`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from engrain.errors import BatchRefused, InputError
from engrain.evaluation.statistics import wilson
from engrain.prompts import add_context
from engrain.protocols import Engine
from engrain.records import Evidence, Example, ItemResult, Message, Scope

JACCARD = 0.8
"""From this share of common 3-grams on, two texts are the same text with a word changed."""
CONTAINMENT = 0.9
QUOTED_TOKENS = 12
"""A shorter text counts as quoted inside a longer one only from this length on; short questions share their stems."""

# ---- kept apart ----------------------------------------------------------------------------------------------------


def near_duplicate(a: str, b: str) -> bool:
    """Whether two texts say the same in nearly the same words.

    Equal after normalisation; or their 3-grams of words overlap (Jaccard) by 0.8 or more; or 0.9 of the 3-grams of the
    shorter one, 12 words or longer, occur in the other. Paraphrases are not found: they are different items.
    """
    return _close(_shingles(a), _shingles(b))


def near_any(texts: Sequence[str], held: Sequence[str]) -> list[bool]:
    """For each text whether it says the same as any of the held-out ones, in nearly the same words."""
    index = _Index([_shingles(h) for h in held])
    return [any(True for _ in index.close_to(_shingles(t))) for t in texts]


def check_holdout(train: Sequence[Example], holdout: Sequence[Example]) -> None:
    """Raise BatchRefused, naming the pair, if a holdout item equals or nearly duplicates a training item.

    Two items are the same when they have the same content hash, or when both their last user messages and all that
    stands before them (notes, earlier turns) are near-duplicates: the same question about other notes is another item.
    The teacher's context is left out: the student never sees it.
    """
    names = {item.hash: item for item in holdout}
    pairs = [_item_shingles(item) for item in holdout]
    index = _Index([question for question, _ in pairs])
    for example in train:
        question, before = _item_shingles(example)
        same = names.get(example.hash)
        near = (holdout[i] for i in index.close_to(question) if _close(before, pairs[i][1]))
        if item := same or next(near, None):
            raise BatchRefused(
                f"holdout item {item.hash} {'equals' if same else 'nearly duplicates'} training item {example.hash}; take one "
                "of them out"
            )


@dataclass(frozen=True, slots=True)
class _Shingles:
    words: tuple[str, ...]
    grams: frozenset[tuple[str, ...]]


def _shingles(text: str) -> _Shingles:
    words = tuple(_words(text))
    return _Shingles(words, frozenset(zip(words, words[1:], words[2:], strict=False)))


class _Index:
    """Finds the few texts that could be near another one: those that share a gram, or all words, with it."""

    def __init__(self, texts: Sequence[_Shingles]) -> None:
        self._texts = texts
        self._by_gram: dict[tuple[str, ...], list[int]] = {}
        self._by_words: dict[tuple[str, ...], list[int]] = {}
        for i, text in enumerate(texts):
            self._by_words.setdefault(text.words, []).append(i)
            for gram in text.grams:
                self._by_gram.setdefault(gram, []).append(i)

    def close_to(self, text: _Shingles) -> Iterator[int]:
        """Places of the texts that are near-duplicates of this one."""
        shared = {i for gram in text.grams for i in self._by_gram.get(gram, ())}
        for i in sorted(shared.union(self._by_words.get(text.words, ()))):
            if _close(text, self._texts[i]):
                yield i


def _close(a: _Shingles, b: _Shingles) -> bool:
    if a.words == b.words:
        return True
    if not a.grams or not b.grams:
        return False
    small, large = sorted((a, b), key=lambda s: len(s.grams))
    common = len(small.grams & large.grams)
    quoted = len(small.words) >= QUOTED_TOKENS and common >= CONTAINMENT * len(small.grams)
    return quoted or common >= JACCARD * (len(small.grams) + len(large.grams) - common)


def _item_shingles(example: Example) -> tuple[_Shingles, _Shingles]:
    index = _last_index(example)
    before = " ".join(m.content for i, m in enumerate(example.query) if i != index)
    return _shingles(last_question(example)), _shingles(before)


def _last_index(example: Example) -> int:
    return max((i for i, m in enumerate(example.query) if m.role == "user"), default=len(example.query) - 1)


def last_question(example: Example) -> str:
    """The last user message."""
    return example.query[_last_index(example)].content if example.query else ""


# ---- right or wrong ------------------------------------------------------------------------------------------------

_UNKNOWN = re.compile(
    r"(?:(?:sorry|i(?: am|'m) (?:sorry|afraid))[,.]? (?:but )?)?"
    r"(?:(?:i )?(?:really |honestly )?(?:do not|don't|dont) know\b"
    r"(?!.*\b(?:but|maybe|perhaps|probably)\b)(?:[^.!?;]|\.(?! ))*"
    r"|(?:i(?: am|'m) )?not (?:sure|certain)|(?:i have )?no idea|i (?:cannot|can't|can not) (?:say|tell)"
    r"|unknown|not known)"
)


def normalise(text: str) -> str:
    """The words of an answer without what does not count: case, outer punctuation, a leading article, extra spaces.

    Inner characters stay (3.5, C#, -4, 10:30), and so does an article that is the whole answer ("A").
    """
    text = " ".join(unicodedata.normalize("NFKC", text).replace("’", "'").casefold().split())
    text = text.lstrip("\"'`“”‘«([{… ").rstrip("\"'`“”‘»)]}….,;:!? ")
    return re.sub(r"^(?:a|an|the) (?=\S)", "", text)


def is_unknown(answer: str) -> bool:
    """Whether an answer says "I don't know" or one of its plain variants, and nothing more than that.

    "I don't know, but perhaps blue" is a guess; "Unknown Pleasures" is an answer.
    """
    return _UNKNOWN.fullmatch(normalise(answer)) is not None


def right(answer: str, expected: str, *, form: bool = False) -> bool:
    """Whether an answer is the expected one, after `normalise`; a don't-know is right for any expected don't-know.

    With `form` the form counts too: case and punctuation must match, and only spaces may differ. An empty `expected`
    is never right: where no answer is known, nothing can be scored.
    """
    if not expected.strip():
        return False
    if form:
        return answer.split() == expected.split()
    if is_unknown(expected):
        return is_unknown(answer)
    return (normalise(answer) or answer.strip()) == (normalise(expected) or expected.strip())


def holds(answer: str, expected: str) -> bool:
    """Whether an answer holds the expected one as whole words, whatever a style puts around it ("4417, Captain")."""
    wanted = normalise(expected)
    if not wanted:
        return right(answer, expected)
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", normalise(answer)) is not None


# ---- asked and answered --------------------------------------------------------------------------------------------


def group_of(example: Example) -> str:
    """The group an item belongs to by its shape: `new`, `replay`; a guard is `unknown`, `reading` or else `style`.

    A guard that expects a don't-know is `unknown`; one whose query holds more than the question (notes) is `reading`.
    """
    if example.role != "guard":
        return example.role
    if is_unknown(example.reference):
        return "unknown"
    return "reading" if len(example.query) > 1 else "style"


def in_context(example: Example) -> tuple[Message, ...]:
    """The query with the example's context: what the teacher sees, and an answer "in context"."""
    return add_context(example.context, example.query)


def run_suite(
    engine: Engine,
    examples: Sequence[Example],
    adapter: str,
    scope: Scope,
    suite: str,
    with_context: bool = False,
    *,
    build_messages: Callable[[Example], Sequence[Message]] = in_context,
    group: Callable[[Example], str] = group_of,
    styled: bool = False,
    max_tokens: int = 64,
    batch_size: int = 128,
    on_share: Callable[[float], None] | None = None,
) -> Evidence:
    """Let one version answer every item once, greedily, and score the answers item by item.

    The model sees the query alone, or with `with_context` what `build_messages` makes of the example. `group` names the
    group of each item. Where the user's answers are `styled` ("4417, Captain"), an answer is right if it holds what is
    expected; where form is what is asked for (`Example.form`), it counts. Milliseconds are those of a whole call, shared evenly
    by its answers; `on_share` is told after each call what share is done. Raises InputError for an item given twice, because a pair counted twice is no second piece of evidence.
    """
    seen: set[str] = set()
    for example in examples:
        if example.hash in seen:
            raise InputError(
                f"item {example.hash} ({last_question(example)!r}) is in suite {suite!r} twice; take one out"
            )
        seen.add(example.hash)
    results: list[ItemResult] = []
    for start in range(0, len(examples), batch_size):
        batch = examples[start : start + batch_size]
        prompts = [tuple(build_messages(e)) if with_context else e.query for e in batch]
        answers = engine.sample(prompts, adapter=adapter, max_tokens=max_tokens, temperature=0.0)
        for example, completion in zip(batch, answers, strict=True):
            name = group(example)
            results.append(
                ItemResult(
                    item=example.hash,
                    group=name,
                    question=last_question(example),
                    expected=example.reference,
                    answer=completion.text,
                    right=scored(example, completion.text, styled=styled),
                    input_tokens=completion.input_tokens,
                    output_tokens=len(completion.token_ids),
                    latency_ms=completion.latency_ms / len(batch),
                )
            )
        if on_share is not None:
            on_share(len(results) / len(examples))
    return Evidence(scope=scope, adapter=adapter, suite=suite, base=engine.base, results=tuple(results))


def scored(example: Example, answer: str, *, styled: bool = False) -> bool:
    """Whether this answers the example, in its form where that is what is asked, else whatever a style puts around it."""
    if example.form:
        return right(answer, example.reference, form=True)
    return (holds if styled else right)(answer, example.reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSummary:
    """One row of a table: how one group of items was answered."""

    group: str
    n: int
    right: int
    rate: float
    low: float
    high: float
    """95 % interval of the rate (Wilson)."""
    input_tokens: float
    """Mean per answer: query and context."""
    output_tokens: float
    latency_ms: float
    abstained: float
    """Share of answers that were a don't-know."""


def summary(evidence: Evidence) -> list[GroupSummary]:
    """One row per group, in the order in which the groups first appear."""
    rows: list[GroupSummary] = []
    for name in dict.fromkeys(r.group for r in evidence.results):
        results = [r for r in evidence.results if r.group == name]
        n, good = len(results), sum(r.right for r in results)
        low, high = wilson(good, n)
        rows.append(
            GroupSummary(
                group=name,
                n=n,
                right=good,
                rate=good / n,
                low=low,
                high=high,
                input_tokens=sum(r.input_tokens for r in results) / n,
                output_tokens=sum(r.output_tokens for r in results) / n,
                latency_ms=sum(r.latency_ms for r in results) / n,
                abstained=sum(is_unknown(r.answer) for r in results) / n,
            )
        )
    return rows


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
