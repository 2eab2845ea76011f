"""What sort of note this is, told from its words: fact, preference or procedure, and whether it tells passing state."""

from __future__ import annotations

import re

from engrain.memory.lexicon import ACTIONS, MONTHS, any_of
from engrain.memory.styles import is_answer_style
from engrain.records import MemoryKind

_MUTABLE = re.compile(
    r"\b"
    + any_of(rf"""
    today|tonight|tomorrow|yesterday|currently|presently|at the moment|right now|just now|for now|so far|temporarily
    for the time being|at present|not yet|still waiting|waiting for|stock level|(?:remaining|current) \w+
    this (?:morning|afternoon|evening|week|weekend|month|quarter|year|time)|next (?:week|month|weekend)
    until (?:\w+day|tomorrow|tonight|next|further|the \d|(?:\d+ )?(?:{"|".join(MONTHS)}))
    (?:on|from|in|of|out of) stock|sold out|out of (?:order|office|town|paper|milk)
    on (?:holiday|vacation|leave|sick leave)
    (?:is|are|am) (?:ill|sick|away|out|busy|broken|late|empty|full|nearly|almost|down|offline|missing)
    (?:low|short) on|running (?:low|out)
    (?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|few|no|some) (?:\w+ ){{0,3}}(?:left|remaining|remain)
""")
    + r"\b",
    re.I,
)
_LIKES = re.compile(
    any_of(r"""
    ^(?:I|the user|user|we)(?:'d| would| really| also| always| usually| do not| don't| does not| doesn't| absolutely)* (?:prefers?|likes?|loves?|hates?|dislikes?|enjoys?|rather|wants? (?:you|all|every|your|answers|replies)|can(?:'t|not) stand|favou?rs?)\b
    ^(?:my|the user's|our) (?:least )?(?:favou?rite|preferred|preference)\b
    \bis (?:my|the user's) favou?rite\b
"""),  # noqa: E501
    re.I,
)
_ACT = f"(?:{'|'.join(sorted(ACTIONS))})"
_PROCEDURE = re.compile(
    any_of(rf"""
    ^(?:when|whenever|if|before|after|once|as soon as|in case|to \w+)\b.+[,:] *(?:first |then |please |you (?:must|should|have to|need to) |always |never |do not |don't )*{_ACT}\b
    ^(?:first,? |please |always |never |do not |don't )*{_ACT}\b(?! (?:is|are|was|has|time|number|code|name))
    \bfirst\b.+\bthen\b
    , then {_ACT}\b
"""),  # noqa: E501
    re.I,
)


def kind_of(text: str) -> MemoryKind:
    """`preference` (what the user likes, how to answer), `procedure` (what to do when), else `fact`."""
    body = text.strip()
    if is_answer_style(body) or _LIKES.search(body):
        return "preference"
    return "procedure" if _PROCEDURE.search(body) else "fact"


def is_mutable(text: str) -> bool:
    """Whether the note tells a passing state: "today", "three boxes left", "is out until Friday"."""
    return kind_of(text) != "procedure" and bool(_MUTABLE.search(text))
