"""What a user thought of an answer, told from what they did next. Pure: an answer and what followed in, a reaction out.

Rules over closed lists of English words, made to be right when they say something and to be silent otherwise. How often they are is
measured on follow-ups that were written and labelled by hand (`benchmarks/implicit.py`, docs/decisions/0020). Nothing here quotes the
user: the grounds name the rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engrain.records import Feedback, Interaction, content_hash

Kind = Literal["accepted", "corrected", "rephrased", "retried", "abandoned"]
SCORES: dict[Kind, float] = {"accepted": 1.0, "corrected": 0.0, "rephrased": 0.0, "retried": 0.0, "abandoned": 0.0}
"""What each says of the answer: it served, or it did not."""
AGAIN_S = 900.0
"""Seconds within which the same request again is about the answer; later it is asked because time has passed."""
MACHINE_S = 1.0
"""Seconds before which nobody has read an answer: a program repeated its request."""
SILENT_S = 1800.0
"""Seconds without a word after which a conversation is over."""
READ = 400
"""Characters of a message that are looked at: a reaction comes first, and what follows may be pasted."""


SOON = 120
"""Characters within which somebody says that it worked; later they tell of something else."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """What the user's next step says of an answer, and by which rule."""

    kind: Kind
    grounds: str


def reaction(asked: str, answer: str, said: str, seconds: float) -> Reaction | None:
    """What `said`, that many seconds after the answer to `asked`, says of the answer; None if it says nothing clear."""
    text, before = _plain(said[:READ]), _plain(answer[-READ:])
    if not re.search(r"\w", text):
        return None
    if _squeezed(said) == _squeezed(asked):
        again = MACHINE_S <= seconds <= AGAIN_S and _is_whole_request(asked)
        return Reaction("retried", "the same request again") if again else None
    if _TRY_AGAIN.fullmatch(text):
        return Reaction("retried", "asks for another try")
    if rule := _corrects(text, before):
        return Reaction("corrected", rule)
    if rule := _accepts(text, _plain(asked)):
        return Reaction("accepted", rule)
    if _IN_OTHER_WORDS.match(text):
        return Reaction("rephrased", "says that it asks the same in other words")
    if seconds <= AGAIN_S and (rule := _asks_the_same(asked, said)):
        return Reaction("rephrased", rule)
    return None


def follow_up(before: Interaction, after: Interaction) -> Feedback | None:
    """The implicit feedback on an answer that the next interaction of its conversation gives; the same two, the same record."""
    if not before.answer and before.finish_reason == "redacted":
        return None
    seconds = max(0.0, after.created_at - after.usage.latency_ms / 1000 - before.created_at)
    found = reaction(before.query, before.answer, after.query, seconds)
    return None if found is None else _feedback(before, found, after.created_at, seconds, (before.id, after.id))


def abandonment(last: Interaction, seconds: float, *, before: Interaction | None = None) -> Feedback | None:
    """The implicit feedback on the last answer of a conversation that nobody went on with for so many seconds.

    Silence by itself says nothing, for who is content leaves, too. It says that somebody gave up where the answer to a request was that
    it cannot be given, or where the last message found fault with the answer `before` and got the same again.
    """
    if seconds < SILENT_S or last.finish_reason == "redacted":
        return None
    complaint = follow_up(before, last) if before is not None else None
    answer = _plain(last.answer)
    if before is not None and complaint is not None and complaint.score == 0.0 and _repeats(before.answer, last.answer):
        rule = f"silence after the answer before was {complaint.name} and came again"
    elif _declines(answer) and (_is_request(_plain(last.query)) or complaint is not None):
        rule = "silence after an answer that was none"
    else:
        return None
    return _feedback(last, Reaction("abandoned", rule), last.created_at + SILENT_S, SILENT_S, (last.id,))


def _feedback(about: Interaction, found: Reaction, at: float, seconds: float, causes: Sequence[str]) -> Feedback:
    return Feedback(
        id="fb_" + content_hash([*causes, found.kind], length=12), scope=about.scope, created_at=at, interaction=about.id,
        kind="implicit", name=found.kind, score=SCORES[found.kind], text=f"{found.grounds}, {seconds:.0f} s later", causes=tuple(causes),
    )  # fmt: skip


# -- finding fault -------------------------------------------------------------------------------------------------------

_NOT = r"(?:n't|\bnot\b|\bcannot\b|\bnever\b)"
_TRY_AGAIN = re.compile(
    r"(?:(?:no|nope|hm+|sorry|ok|okay|please|and|just)[,.! ]+)*"
    r"(?:(?:can|could|would|will) you |let'?s )?(?:please )?"
    r"(?:(?:try|do|redo|retry|have|give|look|count|check|run|read)\b ?(?:it|that|this)? ?(?:over )?"
    r"(?:again|once more|one more time|another (?:go|try|shot)|a second (?:go|try))(?:[.,:] (?!but\b).+)?"
    r"|(?:redo|retry|regenerate)(?: (?:it|that|this))?|again|once more|one more time|(?:another|one more) (?:try|attempt|go))"
    r"[,! ]*(?:please)?[.!? ]*"
)
_CLOSING_NO = re.compile(
    r"no[,.! ]+(?:thanks|thank you|thx|problem|worries|need|rush|hurry|it'?s (?:fine|ok|okay|good|all)|that'?s (?:all|it|fine|ok)|"
    r"that is (?:all|it|fine)|i'?m (?:good|fine)|nothing|no worries|i (?:like|love))"
)
_FAULTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "says that it is wrong",
        re.compile(
            r"^(?:(?:sorry|thanks|hm+|but|um+|eh?m)[,. ]+)*(?:wrong|incorrect|false|not (?:right|true|correct))(?: \w+)?(?:[.!,]|$)"
            r"|(?:that|this|it|you)(?:'s|'re| is| are| was)(?: \w+ly| just| still| also)? (?:wrong|incorrect|false|mistaken|outdated|a myth|not (?:right|true|correct))\b(?! with)"
            r"|\b(?:that|this|it) (?:isn't|is not|wasn't) (?:right|true|correct)\b"
            r"|\bthat one'?s (?:wrong|no longer|not)\b|\b(?:can't|cannot|can not) be (?:right|true|correct)\b"
            r"|\byou (?:got|have|had) (?:that|it|this) wrong\b|\b(?:that|this)(?:'s| is) (?:not helpful|not useful|not helping|no (?:help|use|good))\b|\bmakes no sense\b|\bwrong answer\b|\bthanks for nothing\b"
            r"|\bi (?:don't|do not) think (?:so\b|(?:that|it|this)(?:'s| is)(?: \w+)? (?:right|correct|true|it)\b)"
        ),
    ),
    (
        "says what was meant",
        re.compile(
            r"(?:^|[.,;!] *)(?:sorry,? |but )?(?:i|we) (?:meant\b(?! to\b)|said\b|asked (?:for|about)\b|was asking (?:for|about)\b|did say\b)"
            r"|(?:^|[.,;!] *)you mean\b(?!.*\?)|\bnot what (?:\w+ )?\w+ (?:asked|meant|wanted|said|says|need)"
        ),
    ),
    (
        "says that it does not work",
        re.compile(
            r"\b(?:that|this|it)(?: \w+ly)? (?:didn't|doesn't|did not|does not)(?: even)? (?:work|help|compile|run|answer|change anything)(?: (?:either|at all|for me))?(?:[.,!;]|$)"
            r"|^(?:it |that )?still (?:not\b|crash|fail|broken|doesn't|does not|isn't|gives?|get|the same|wrong|happen)"
        ),
    ),
    (
        "says what the answer did wrong",
        re.compile(
            r"\byou (?:misunderst|misread|misspell|misspelt|missed|left out|forgot|ignored|made (?:that|this|it) up|mixed)|\byou'?re making (?:that|this|it) up"
            r"|^you (?:didn't|did not) "
        ),
    ),
    ("puts it right", re.compile(r"^(?:well,? )?actually,? (?:it|he|she|they|that|there|the)(?:'s|\b)|\bactually[.!]*$")),
)  # fmt: skip

_DENIES = re.compile(
    r"(?:(?:^|[,;.] *)not|\b(?:is|are|was|were) not|\b(?:isn|aren|wasn|weren)'t) (?:(?:by|the|a|an|to|in|on|for) )?([\w'-]+?)(?=[.,!]|$)"
)


def _corrects(text: str, answer: str) -> str:
    """The rule by which a message finds fault with the answer; "" if it does not."""
    asked_back = answer.rstrip(" \"')").endswith("?")
    if not asked_back and not _CLOSING_NO.match(text):
        opening = re.match(r"(?:(?:lol|hm+|eh?m|um+|oh|sorry|thanks|ugh|ah)[,.! ]+)*(?:no|nope|nah|no no)(?:[,.!;:]+ *|$| (?=we\b|it\b|i\b|that\b|you\b|she\b|he\b|they\b|not\b))(.*)", text)  # fmt: skip
        if opening and "?" not in opening[1]:
            return "begins with no"
    for rule, pattern in _FAULTS:
        if (found := pattern.search(text)) and not re.search(_NOT + r" *$", text[: found.start()]):
            return rule
    for denied in _DENIES.finditer(text):
        if "?" not in text and len(text.split()) <= 15 and denied[1] in _words(answer):
            return "denies a word of the answer"
    return ""


# -- being content -------------------------------------------------------------------------------------------------------

_THANKS = r"(?:thanks|thank you|thank u|thankyou|thx|tysm|ty|cheers|danke|much appreciated|ta)"
_WARM = (
    r"(?:ok|okay|oh|ah|yes|yep|yeah|yup|right|great|super|perfect|excellent|awesome|brilliant|lovely|cool|nice|nice one|good|good to know|got it|wow|haha?|"
    r"amazing|wonderful|fantastic|beautiful|sorted|of course|well done|👍)"
)
_THANKS_FIRST = re.compile(
    rf"(?:{_WARM}[,.!:) ]+)*{_THANKS}\b(?! in advance| (?:you )?(?:note|card|letter))(?!\s*,? but\b)"
)
_THANKS_LAST = re.compile(rf"(?:^|[.,!;:)] *|\b(?:right|great|ok|okay|sense|that|it) ){_THANKS}(?: (?:so|very) much| a lot| again| mate| kindly| a (?:ton|million|bunch))?[ .!:)👍🙏🙂😊]*$")  # fmt: skip
_PRAISE = re.compile(
    r"(?:(?:wow|yes|ok|okay|oh|ah|yep)[,.! ]+)*(?:perfect|excellent|awesome|brilliant|lovely|super|wonderful|fantastic|beautiful|amazing|spot on|exactly|great(?: stuff)?|"
    r"i love it|love it|well done|(?:that|this|it)(?:'s| is) (?:it|right|correct|perfect|great|exactly (?:it|right|what .+)|the one|spot on))(?:[.,!] |[.!]*$)"
)
_WORKED = re.compile(
    r"\b(?:that|this|it)(?: has| actually| really| totally| finally)* (?:worked|works|fixed it|solved (?:it|that)|did it|did the trick|helps|helped)(?: (?:now|perfectly|great|well|like a charm|a lot))?(?:[.,!]|$)"
    r"|^(?:yes[,! ]+|yep[,! ]+|great[,! ]+)*(?:works|worked)(?: (?:now|perfectly|great|like a charm))*[,.!]*"
    r"|\bworks now\b|\bdid the trick\b|\bworks like a charm\b|\bthat fixed it\b|\b(?:problem|issue) (?:is )?(?:solved|fixed|gone)\b|\bthat was (?:the (?:problem|issue)|it|easy)\b"
    r"|\bexactly what i (?:needed|wanted|was looking for)\b|\bthat(?:'s| is) (?:exactly it|the one|perfect)\b|\byou(?:'re| are) a (?:lifesaver|star|legend)\b"
    r"|\bit (?:compiles|runs|went through)\b"
)
_BUT = re.compile(rf"\bbut\b|\bexcept\b|\bhowever\b|\bstill\b|{_NOT}")


def _accepts(text: str, asked: str) -> str:
    """The rule by which a message shows that the answer served; "" if it does not."""
    first = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
    if _THANKS_FIRST.match(text) and not _BUT.search(first):
        return "begins with thanks"
    if "?" not in text and "please" not in text and _THANKS_LAST.search(text) and not _BUT.search(text):
        return "ends with thanks"
    if _PRAISE.match(text) and not _BUT.search(first):
        return "begins with praise"
    if (found := _WORKED.search(text[:SOON])) and "?" not in text:
        sentence = re.split(r"[.!]\s", text[: found.end()])[-1]
        if not _BUT.search(sentence) and not re.search(r"\b(?:how|if|whether|when|what)\b", sentence):
            return "says that it worked"
    return ""


# -- asking the same again -----------------------------------------------------------------------------------------------

_SMALL = frozenset(
    re.findall(
        r"\w+",
        """a about all am an and any are as at be been but by can could did do does done for from get give had has have having
    here how i if in into is it its just know let list many me mean mine much must my name need of off on one or our
    out please should show so some tell than that the their them then there these they this those to up us was way we
    were what when where which who whom whose why will with would you your called call kind again much asking put
    differently other words s take takes go goes time day""",
    )
)
_IN_OTHER_WORDS = re.compile(
    r"(?:ok|okay|sorry|well|hm+)?[,. ]*(?:let me (?:put|say|ask|phrase) (?:it|that|this) (?:differently|another way|in other words)|let me rephrase|to rephrase|"
    r"in other words|i mean,|what i mean is|what i'm asking is)"
)
_ASKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("when", re.compile(r"\bwhen\b|\b(?:what|which) (?:time|day|date|year|month)\b")),
    ("where", re.compile(r"\bwhere\b|\b(?:what|which) (?:room|place|street|desk|city)\b")),
    ("number", re.compile(r"\bhow (?:many|much|often|long|far|old|big|tall|heavy)\b|\bcapacity\b")),
    ("who", re.compile(r"\bwho(?:m|se)?\b")),
    ("why", re.compile(r"\bwhy\b")),
)


def _asks_the_same(asked: str, said: str) -> str:
    """The rule by which two requests are one in other words; "" if they are not, or if that cannot be told from their words.

    All telling words of the one must stand in the other, for a word that was put in another's place makes another question ("the south
    barn"): so a rephrasing with synonyms goes unseen.
    """
    if not (_is_request(_plain(said)) or "?" in said) or _asks(asked) != _asks(said):
        return ""
    if bool(re.search(_NOT, _plain(asked))) != bool(re.search(_NOT, _plain(said))):
        return ""
    old, new = _telling(asked), _telling(said)
    shared = old & new
    if (
        len(shared) < 2
        or min(len(old), len(new)) > len(shared)
        or {w for w in old ^ new if any(c.isdigit() for c in w)}
    ):
        return ""
    if len(new - old) > 2:
        return ""
    return f"asks the same in other words ({len(shared)} telling words shared, {len(old ^ new)} not)"


def _asks(text: str) -> str:
    """What kind of thing is asked for."""
    return next((kind for kind, pattern in _ASKS if pattern.search(_plain(text))), "")


def _telling(text: str) -> set[str]:
    return {_stem(w) for w in _words(_plain(text)) if w not in _SMALL}


def _stem(word: str) -> str:
    if any(c.isdigit() for c in word):
        return word
    for ends in (("s",), ("ing", "ed", "ie", "e", "y")):
        word = next((word[: -len(e)] for e in ends if word.endswith(e) and len(word) - len(e) >= 3), word)
    return word


# -- what both need ------------------------------------------------------------------------------------------------------

_REQUEST = re.compile(
    r"(?:(?:please|ok|okay|hi|hello|hey|so|and|but|sorry|now|just)[, ]+)*"
    r"(?:who|whom|whose|what|what's|when|where|which|why|how|is|are|was|were|do|does|did|can|could|will|would|should|may|has|have|"
    r"write|give|tell|show|list|find|translate|explain|summari[sz]e|draft|fix|make|add|convert|count|calculate|compute|solve|name|draw|generate|"
    r"rewrite|plan|book|remind|suggest|recommend|play|describe|compare|check|read|quote|define|use|set|move|send|put|spell|shorten)\b"
)
_DECLINES = re.compile(
    r"^(?:(?:i'?m |i am )?(?:sorry|afraid|unfortunately)[,.: ]+(?:but |that )?)*(?:i (?:do not|don't|cannot|can't|could not|couldn't|didn't|am not able|am unable)\b|i'm (?:not able|unable)\b|"
    r"no idea\b|i have no (?:information|idea|access|record)|it depends\b)"
)
_ALL_THE_SAME = re.compile(r", but i(?:'ve| have| will|'ll)? (?!don't|can't|cannot)\w+")


def _is_request(text: str) -> bool:
    return "?" in text or _REQUEST.match(text) is not None


def _is_whole_request(text: str) -> bool:
    """Whether a request can be meant again: a word that only turns the page ("next", "continue") cannot."""
    return len(text.split()) >= 3


def _declines(answer: str) -> bool:
    """Whether an answer says that there is none."""
    return not answer or (_DECLINES.match(answer) is not None and _ALL_THE_SAME.search(answer) is None)


def _repeats(one: str, other: str) -> bool:
    a, b = set(_words(_plain(one))), set(_words(_plain(other)))
    return len(a & b) >= 0.5 * len(a | b)


def _plain(text: str) -> str:
    return " ".join(text.replace("’", "'").lower().split())


def _squeezed(text: str) -> str:
    """A message without case, spaces and punctuation, so that the same one typed again is the same."""
    return re.sub(r"[\W_]+", "", text.lower())


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:[.:/@-]\w+)*", text.replace("'s", ""))
