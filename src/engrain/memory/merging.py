"""Merge two texts that say nearly the same, and refuse whatever would lose a detail: a number, a name, a condition, the order of steps.

Compressing is where memories decay: a rewritten playbook loses what made it useful (ACE calls it context collapse and brevity bias). So what is
kept is whole sentences, and any text that is to stand for others, whoever wrote it, is held against them first.

Texts that are merged by rules are held against each other sentence by sentence: one says another if they are the same words, but for articles and the
punctuation around them (`covers`). A text in other words, by a model or by hand, is read as tokens: details (numbers with their signs and
units, names, what is quoted), binding words (negations, conditions, bounds) and telling words; what is compared is the details, what the binding
words bind, what the numbers are of, and the order of steps (`lost`). It refuses more than it must, and cannot see what no word tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

from engrain.memory.documents import sentences
from engrain.memory.extract import stem
from engrain.memory.lexicon import NUMBER_WORDS, words

_NEGATIONS = words(
    """not no never none nobody nothing nowhere neither nor cannot hardly rarely seldom dont doesnt isnt wont
    nicht kein keine keinen keinem keiner niemals não nunca jamais jamás niet geen inte ikke eivät nie не нет никогда нельзя"""
)
_LACKING = words("without except lack lacks lacking")
CONDITIONS = _LACKING | words(
    """if unless when whenever until till while before after once only always instead first then finally last each every least most more less must
    over under above below exactly between outside off"""
)
"""Small words on which it depends when, how often and in which order something is to be done, and how much of it."""
_TURNS = words(
    """may might can could or either but up on in out within about during whether assuming provided case max maximum min minimum fewer than all some half almost nearly few many both refuse avoid stop prevent forbid
    fail"""
)
"""Small words that turn what is said, and may be put otherwise."""
_EMPTY = words(
    """a an the this that these those i me my mine you your yours he him his she her hers it its we us our ours they them their theirs is are am was
    were be been being have has had do does did will would shall should to of and also please just very really so as there here any"""
)
_UNITS = words(
    """second seconds minute minutes hour hours day days week weeks month months year years percent degree degrees euro euros dollar dollars metre metres
    meter meters litre litres gram grams byte bytes ms s min h km m cm mm kg g l kb mb gb tb"""
)
_TOKEN = re.compile(
    r"""`[^`]+` | "[^"]+" | (?<!\w)'[^']+'(?!\w)                            # quoted
    | (?:[<>]=?|==?|!=|≤|≥|~)\s*(?=[-+$€£]?\d)                              # how a number is bound
    | (?:(?<![\w)])[-+±])?[$€£¥]?\d(?:[\w.,:/%°]|[-+](?=\w))*               # numbers and codes, with sign, currency and unit
    | \w+(?:[._/:@-]\w+)+(?:\(\))? | \w+\(\) | \w+(?:\+\+|\#)(?!\w)         # names of things in programs, paths, addresses
    | \w+(?:'\w+)? | ->|→|(?<=\s)[-+*/<>=](?=\s) | [$€£]""",
    re.X,
)
_ENDS = re.compile(r"[;.!?](?=\s|$)|,|\b(?:and|or|but|then)\b", re.I)
_NEXT = re.compile(
    r"(?:^|,? )(?:and )?(?:then|next|after that|afterwards|finally|lastly|secondly|thirdly)\b,?|;|->|→|\([a-h1-9]\)",
    re.I,
)
"""What stands between two steps, or before the next one."""
_NO_STEP = words(
    """i we my our in for only because since although always never also additionally however no not note tip remember ensure make avoid prefer don't"""
)
"""A sentence that begins with one of these tells what happened, or what always holds; any other may be a step."""
_CONDITIONAL = words("if when whenever while unless until once after before")
"""A sentence that begins with one of these is a step among steps, and a rule where it stands alone."""
_ARTICLES = words("a an the please")
_OPPOSITES = {
    a: b
    for said in (
        "on off", "in out", "up down", "open close", "start stop", "enable disable", "inside outside", "before after", "more less", "most least", "over under",
        "above below", "allow forbid", "allow refuse", "increase decrease", "true false", "first last", "lock unlock", "always rarely", "must may", "accept reject",
    )
    for pair in (said.split(), [stem(w) for w in said.split()])
    for a, b in (pair, pair[::-1])
}  # fmt: skip
_SHORT = 8
"""Telling words of a sentence in which a "not" concerns all of it."""
_ALIKE, _SAME, _RETOLD = 0.6, 0.9, 0.8
"""Shares of telling words: of two sentences that may contradict each other; that say the same; of steps that are told again."""


_FOLDED = str.maketrans("\u2019\u02bc\u00b4\u2212", "'''-")
"""Other apostrophes and the sign of minus."""


class Token(NamedTuple):
    """One word that says something."""

    text: str
    kind: str
    """`detail`, `binding` or `word`."""


def tokens(sentence: str) -> list[Token]:
    """What a sentence says, word by word; of "the flap of the kiln" as of "the kiln flap"."""
    sentence = re.sub(
        r"\b(?!instead|out|because|all|none|some|most|each|half)([^\W\d]+) of (?:the |a |an |our |my )?([^\W\d]+)\b",
        r"\2 \1",
        _plain(sentence),
    )
    found: list[Token] = []
    for match in _TOKEN.finditer(sentence):
        said = match[0].strip()
        low = said.lower().removesuffix("'s")
        if low in _NEGATIONS or low.endswith("n't"):
            found.append(Token("not", "binding"))
        elif low in CONDITIONS or low in _TURNS or re.fullmatch(r"[^\w$€£]+", low):
            found.append(Token(low, "binding"))
        elif _is_detail(said, sentence[max(0, match.start() - 2) : match.start()]):
            found.append(Token(low.strip("`\"'").rstrip(".,:/"), "detail"))
        elif low not in _EMPTY:
            found.append(Token(stem(low), "word"))
    return found


def details(text: str) -> list[str]:
    """What a shorter text must not lose, in order: numbers, codes, names, what is quoted."""
    return [t.text for s in _apart(text) for t in tokens(s) if t.kind == "detail"]


def conditions(text: str) -> set[str]:
    """The small words on which it depends when, how often and in which order something is to be done; "not" for any negation."""
    return {t.text for s in _apart(text) for t in tokens(s) if t.kind == "binding"}


def covers(whole: str, part: str) -> bool:
    """Whether a text says all that another says: each sentence is one of its own, in the same words, and steps follow each other as they do there."""
    lines, parts = [_spoken(s) for s in sentences(whole)], sentences(part)
    at = 0
    for sentence, step in zip(parts, _are_steps(parts), strict=True):
        wanted = _spoken(sentence)
        place = next((i for i in range(at if step else 0, len(lines)) if lines[i] == wanted), None)
        if place is None:
            return False
        at = place + 1 if step else at
    return True


def contradict(one: str, other: str) -> bool:
    """Whether a sentence of one denies what one of the other says, as far as words tell: the same words, but for a "not" or what it stands before. What both
    texts say does not set them against each other."""
    ours, theirs = ([_saying(s) for s in _apart(t)] for t in (one, other))
    alone = [a for a in ours if not any(_same(a, b) for b in theirs)]
    return any(_opposed(a, b) for b in theirs if not any(_same(a, b) for a in ours) for a in alone)


def overlap(one: Set[str], other: Set[str]) -> float:
    """What two sets of words have in common, as a share of all of them (Jaccard, 1912); 0 … 1, and 0 for two empty ones."""
    return len(one & other) / max(1, len(one | other))


class United(NamedTuple):
    """One text for two, or why there is none."""

    text: str
    reason: str


def united(one: str, other: str, *, longest: int) -> United:
    """One text for two that say nearly the same: the fuller one, and each sentence of the other that it does not say. The text is empty if that is longer than
    `longest` characters, if they contradict each other, or if their steps follow each other in another order."""
    for whole, part in ((one, other), (other, one)):
        if covers(whole, part):
            return United(whole, "it says nothing more")
    if contradict(one, other):
        return United("", "they contradict each other")
    fuller, rest = (one, other) if len(_words_of(one)) >= len(_words_of(other)) else (other, one)
    text = " ".join(map(_ended, _woven(sentences(fuller), sentences(rest))))
    if len(text) > longest:
        return United("", f"together they would be longer than {longest} characters")
    if not (covers(text, one) and covers(text, other)):
        return United("", "their steps follow each other in another order")
    return United(text, "they nearly repeat each other; whole sentences of both are kept")


def _woven(fuller: Sequence[str], rest: Sequence[str]) -> list[str]:
    """The sentences of the fuller one, and those of the other that it does not say, each before the next one that it does say."""
    lines = [_spoken(s) for s in fuller]
    before: dict[int, list[str]] = {}
    at = len(fuller)
    for sentence in reversed(rest):
        wanted = _spoken(sentence)
        if (said := next((i for i in reversed(range(at)) if lines[i] == wanted), None)) is not None:
            at = said
        elif wanted not in lines:
            before.setdefault(at, []).insert(0, sentence)
    return [s for i in range(len(fuller) + 1) for s in (*before.get(i, ()), *fuller[i : i + 1])]


def lost(before: Sequence[str], after: str) -> list[str]:
    """What `after`, which is to stand for all of `before` in its own words, leaves out of them: details, negations and conditions or what they are about,
    which number belongs to what, and the order of steps. Empty: nothing."""
    said, lines = [tokens(s) for s in _apart(after)], {_spoken(s) for s in sentences(after)}
    there = {t.text for some in said for t in some}
    named = there | {
        w.lower() for w in re.findall(r"\b[A-Z]\w+", _plain(after))
    }  # a name may begin the sentence, and is no detail there
    bound = {pair for some in said for pair in _bound(some, every=True)}
    counted = _counted(after, every=True)
    missing: list[str] = []
    for whole in before:
        other = [s for s in sentences(whole) if _spoken(s) not in lines]
        text = " ".join(map(_ended, other))  # what is not said in the same words
        missing += [d for d in details(text) if d not in named]
        for some in map(tokens, _apart(text)):
            for word, what in _bound(some):
                if word not in there:
                    missing += [word] if word not in _TURNS else []
                elif what in there and (word, what) not in bound:
                    missing.append(f"{word} {what}")
        for number, of in _counted(text).items():
            missing += [
                f"{number} of {w}" for w in sorted(of & there) if number in counted and w not in counted[number]
            ]
        missing += [f"the order of the words of {s!r}" for s in other if _turned(tokens(s), said)]
        missing += [f"the order of {', then '.join(chain)}" for chain in steps(whole) if not _follow(chain, after)]
    return list(dict.fromkeys(missing))


def steps(text: str) -> list[list[str]]:
    """The parts of a text whose order matters: the sentences that may tell what to do, and what "then" and the like stand between. Several lists where a
    text tells of several things."""
    told = list[str]()
    found = [told]
    last = told
    parts = sentences(_plain(text))
    for sentence, step in zip(parts, _are_steps(parts), strict=True):
        clauses = [part.strip(" ,.") for part in _NEXT.split(sentence)]
        if len(clauses) == 1 and _opening(sentence) not in _NO_STEP | _CONDITIONAL:
            listed = re.split(r", (?:and )?", clauses[0])
            clauses = listed if len(listed) > 2 else clauses  # "Install the driver, reboot, and run the test"
        if clauses[0]:  # does not go on with the one before
            last = told if step else []
            found.append(last)
        last += filter(None, clauses)
    return [chain for i, chain in enumerate(found) if len(chain) > 1 and not any(chain is c for c in found[:i])]


# -- one sentence and another ---------------------------------------------------------------------------------------


def _spoken(sentence: str) -> tuple[str, ...]:
    """The words of a sentence as they are compared: without articles and the punctuation around them, and small where only the first letter is large."""
    found: list[str] = []
    for word in _plain(sentence).split():
        bare = word.strip('"“”').rstrip('.,;:!?"“”') or word
        bare = bare.lower() if not found or bare[1:].islower() else bare
        found += [bare] if bare not in _ARTICLES else []
    return tuple(found)


def _turned(sentence: Sequence[Token], said: Sequence[Sequence[Token]]) -> bool:
    """Whether nearly the same words are said, but in no sentence in the same order: who pays whom, from where to where."""
    own = [t.text for t in sentence]
    again = [[t.text for t in s] for s in said]
    again = [s for s in again if len(s) <= len(own) + 2 and len(set(own) & set(s)) >= _SAME * len(set(own))]
    return len(own) > 2 and bool(again) and not any(_in_order([w for w in own if w in s], s) for s in again)


class _Saying(NamedTuple):
    """One sentence, as far as it can be held against another one."""

    words: set[str]
    all: set[str]
    details: set[str]
    denied: set[str]
    """What it says is not so; "" where that is not clear."""
    lacking: set[str]
    """What it says is missing: "without heating it"."""


def _saying(sentence: str) -> _Saying:
    said = tokens(sentence)
    pairs = _bound(said)
    return _Saying(
        {t.text for t in said if t.kind != "binding"}, {t.text for t in said}, {t.text for t in said if t.kind == "detail"}, {what for word, what in pairs if word == "not"},
        {what for word, what in pairs if word in _LACKING},
    )  # fmt: skip


def _same(one: _Saying, other: _Saying) -> bool:
    bound = one.all - one.words == other.all - other.words
    return bound and one[3:] == other[3:] and overlap(one.words, other.words) >= _SAME


def _opposed(one: _Saying, other: _Saying) -> bool:
    """In short sentences a "not" counts wherever it stands, for it may be far from what it denies; in longer ones, and a "without", if the other one
    has what it stands before. What has other numbers and names is about something else."""
    if overlap(one.words, other.words) < _ALIKE or (one.details - other.words and other.details - one.words):
        return False
    if any(_OPPOSITES.get(w) in other.all - one.all for w in one.all - other.all):
        return True
    if max(len(one.words), len(other.words)) <= _SHORT and bool(one.denied) != bool(other.denied):
        return True
    return any(
        what & words - theirs
        for what, words, theirs in (
            (one.denied, other.words, other.denied), (other.denied, one.words, one.denied),
            (one.lacking, other.words, other.lacking), (other.lacking, one.words, one.lacking),
        )
    )  # fmt: skip


def _bound(said: Sequence[Token], *, every: bool = False) -> list[tuple[str, str]]:
    """Each binding word with what it stands before; with `every`, with all that comes after it in the sentence."""
    found: list[tuple[str, str]] = []
    for at, token in enumerate(said):
        if token.kind == "binding":
            later = [t.text for t in said[at + 1 :] if t.kind != "binding"] or [""]
            found += [(token.text, what) for what in (later if every else later[:1])]
    return found


def _counted(text: str, *, every: bool = False) -> dict[str, set[str]]:
    """Of each number the words of its own: those nearest to it in its clause that no other number has, too; with `every`, these, too."""
    found: dict[str, set[str]] = {}
    for sentence in _apart(text):
        clauses: list[list[Token]] = [[]]
        for clause in _ENDS.split(sentence):
            said = tokens(clause)
            if any(map(_is_number, said)) and any(map(_is_number, clauses[-1])):
                clauses.append([])
            clauses[-1] = [*clauses[-1], *said]
        for clause in clauses:
            numbers = [i for i, t in enumerate(clause) if _is_number(t)]
            for i, token in enumerate(clause):
                if token.kind != "binding" and i not in numbers and numbers:
                    nearest = min(numbers, key=lambda n, i=i: (abs(n - i), n))  # type: ignore[misc]
                    found.setdefault(clause[nearest].text, set()).add(token.text)
    shared = {w for a in found for w in found[a] for b in found if a != b and w in found[b]}
    return found if every else {number: of - shared for number, of in found.items()}


def _follow(said: Sequence[str], after: str) -> bool:
    """Whether steps follow each other in a text as well, once from the first to the last; or are told there in other words, so that nobody can tell."""
    wanted = [_telling(step) for step in said]
    every = set[str]().union(*wanted)
    whole = [t for s in sentences(_plain(after)) for t in _telling(s)]
    told = [[t for step in chain for t in _telling(step)] for chain in steps(after)]
    told += [_telling(s) for s in sentences(_plain(after))]
    retold = [chain for chain in told if len(every.intersection(chain)) >= _RETOLD * len(every)]
    if not retold and len(every.intersection(whole)) >= _RETOLD * len(every):
        retold = [whole]
    return not retold or any(_step_by_step([set(w) for w in wanted], chain) for chain in retold)


def _step_by_step(wanted: Sequence[Set[str]], chain: Sequence[str]) -> bool:
    """Whether each set of words, as far as they are in the chain, is met there after the one before, or what it adds to all before."""
    met, at, there = set[str](), 0, set(chain)
    for step in wanted:
        left = (step - met or step) & there
        met |= step
        while left and at < len(chain):
            left = left - {chain[at]}
            at += 1
        if left:
            return False
    return True


# -- words ----------------------------------------------------------------------------------------------------------


def _opening(sentence: str) -> str:
    first = re.match(r"\W*([\w']*)", sentence)
    return first[1].lower() if first else ""


def _are_steps(parts: Sequence[str]) -> list[bool]:
    """Which of the sentences follow each other as steps; none if only one does."""
    kinds = [_opening(s) for s in parts]
    told = any(k not in _NO_STEP | _CONDITIONAL for k in kinds)
    found = [k not in _NO_STEP and (k not in _CONDITIONAL or told) for k in kinds]
    return found if sum(found) > 1 else [False] * len(found)


def _in_order(wanted: Sequence[str], there: Sequence[str]) -> bool:
    left = iter(there)
    return all(any(w == other for other in left) for w in wanted)


def _is_detail(said: str, before: str) -> bool:
    name = said[0].isupper() and re.search(r"[a-z,;0-9] $", before)
    unit = said.lower() in _UNITS and re.search(r"\d\s?$", before)
    return (
        bool(name or unit) or not said.replace("'", "").isalpha() or said.lower() in NUMBER_WORDS or said[0] in "`\"'"
    )


def _is_number(token: Token) -> bool:
    return token.kind == "detail" and (any(c.isdigit() for c in token.text) or token.text in NUMBER_WORDS)


def _telling(text: str) -> list[str]:
    return [t.text for t in tokens(text) if t.kind != "binding"]


def _words_of(text: str) -> set[str]:
    return {w for s in sentences(text) for w in _telling(s)}


def _apart(text: str) -> Iterator[str]:
    yield from sentences(_plain(text), apart=True)


def _plain(text: str) -> str:
    return text.translate(_FOLDED)


def _ended(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?", ":", ";", "。", "！", "？", "…")) else f"{text.rstrip()}."
