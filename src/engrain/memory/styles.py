"""Notes that tell the assistant how to answer ("answer in upper case", "call me Captain"), known by their words."""

# ruff: noqa: E501 (one alternative a line reads best)
from __future__ import annotations

import re

from engrain.memory.lexicon import any_of

_REPLY = any_of(r"""
    \b(?:your|every|each|all|any|those|long|short|brief|the whole|in|good|one-word) (?:\w+ ){0,2}(?:answers?|repl(?:y|ies)|responses?)\b
    \b(?:answers?|repl(?:y|ies)|responses?) (?:to me|for this user|with|without|in|that|only|should|must|are|is|go|between|of|around)\b
    \b(?:what|whatever|everything) (?:you|I) (?:say|said|write|answer|ask)\b
    \b(?:when|whenever|before|after|if) you (?:answer|reply|respond|talk|speak|write)\b
    \b(?:talk|speak|reply|write|writing|respond|answer|message)(?:ing)?(?: back)? (?:to |with )?me\b
    \b(?:with|to|for|from) me\b
    \beach time you reply\b
""")  # fmt: skip
_LEAD = (
    any_of(r"""
    please|always|never|just|also|only|kindly|from now on|starting (?:now|today)|from here on|let's
    remember to|(?:do not|don't|never) forget to|note:|style:|preference:
    (?:can|could|would|will) you(?: please)?|would you mind|you (?:should|must|can|may|will)
    (?:I|the user|user) (?:wants?|would like|needs?|likes?|prefers?|asks|asked|has asked|enjoy)(?: you)?(?: to| for| it (?:when|if) you)?
    it (?:would be nice|would make me \w+|makes me \w+) (?:if|when) you|I would be happy if you
""")
    + ",? "
)
_SAY = any_of("""
    answer|answering|reply|respond|speak|talk|write|type|say|phrase|begin|start|open|lead|end|ended|ending|finish|close
    conclude|sign|wrap|put|use|using|keep|make|give|add|stick|drop|skip|leave|avoid|surround|place|be|sound|show|limit|swap
""")
_CAPITALS = any_of(r"""
    (?:upper|lower) ?-?case|(?:capital|block|small|big) letters?|capitals?\b(?! (?:of|city|is))
    all caps|caps lock|capitali[sz]e|in caps
""")
_MARKS = any_of(r"""
    exclamation (?:marks?|points?)|quotation marks?|in quotes|quotes around|with quotes
    asterisks?|between (?:two )?stars|stars? (?:around|before|in front)
    bullet points?|markdown|emojis?|plain text
""")
_SENTENCE = any_of("""
    (?:full|whole|complete|proper|finished|single|one|two|long|short) sentences?|in (?:a )?sentences?
    one-word (?:answers|replies)|(?:few|fewer|as few|extra|one or two|waste|single) words?
""")
_LANGUAGE = "in " + any_of("""
    english|german|french|spanish|italian|dutch|polish|portuguese|swedish|danish|norwegian|finnish|czech|greek|turkish
    russian|arabic|hindi|japanese|korean|chinese|latin|welsh|irish
""")
_NOT_A_NAME = """(?!when|if|at|on|in|after|before|back|tomorrow|later|again|every|by|for|immediately|first|and|or|to|about
    |once|until|only|as soon)""".replace("\n    ", "")
_WORDED = {
    "name": any_of(rf"""
        \b(?:(?:call|calling|called|address|treat|greet|refer to|speak to) (?:me|the user)|name me) (?:as |by the name )?{_NOT_A_NAME}[\w'\"-]+
        \b(?:I|the user)\b.* to be (?:called|addressed|known)\b|\b(?:I|the user) (?:go|goes) by\b
        \b(?:preferred name|name to use)\b.*:|\bas my name\b|\bmy name is .+ (?:use it|to you)\b
        \b(?:my name|my nickname|the name|i am)\b.*(?:\buse it\b|\bwhen you\b|\bthis chat\b|\b(?:from|to) you\b)
    """),
    "case": _CAPITALS,
    "layout": _MARKS,
    "ending": any_of(r"""
        \b(?:ends?|ended|ending|finish|closes?|conclude|sign(?: every answer)?|wrap up)\b.*\b(?:with|on|by saying|off|in)\b
        \b(?:last|final|closing) (?:words?|thing|line)\b|\bat the (?:very )?end\b|\b(?:to|on) the end of\b|\blast\b$
    """),
    "opening": any_of(r"""
        \b(?:starts?|started|begin|opens?|lead|kick off)\b.*\b(?:with|on|by saying|off)\b
        \b(?:first|opening) (?:words?|thing|line)\b|\bat the (?:very )?(?:start|beginning|front)\b|\bon the front of\b|\bfirst\b$
    """),
    "length": any_of(rf"""
        {_SENTENCE}|\blong (?:answers|replies|sentences)\b
        \b(?:short|shorter|brief|briefly|concise|concisely|terse|snappy|to the point|longer|detailed|in detail|at length)\b
        \b(?:bare minimum|nothing else|no more$|the talk)\b
    """),
    "language": any_of(rf"""
        \b(?:answer|reply|respond|speak|talk|write)\b.*\b{_LANGUAGE}\b
        \b(?:answers|replies) {_LANGUAGE}\b
    """),
    "units": r"\b(?:metric|imperial) units\b|\buse (?:celsius|fahrenheit)\b",
}  # fmt: skip
_SIDES = {side: re.compile(pattern, re.I) for side, pattern in _WORDED.items()}
"""The sides of answering and the words that name them; all but the name count only where somebody is told to do so."""

_DIRECTED = re.compile(rf"^(?:{_LEAD})*(?:(?:do not|don't|not) )?{_SAY}(?:e?d)?\b|^(?:{_LEAD})+|{_REPLY}", re.I)
_FRAGMENT = re.compile(
    r"^(?:(?:only|no|all|just|the user (?:likes|prefers|dislikes|finds)|I (?:like|prefer|find|don't like)|my) )*"
    rf"(?:{_CAPITALS}|{_MARKS}|{_SENTENCE}|short (?:and|answers)|brief)",
    re.I,
)
_ANYHOW = re.compile(
    any_of(rf"""
    ^(?:{_LEAD})*(?:do not |don't )?(?:answer|reply|respond|talk to me|speak to me)\b(?! the (?:door|phone)|\w+ to \w+'s)
    \b(?:your|every|each|all|those) (?:answers?|repl(?:y|ies)|responses?)\b
    \b(?:whatever|everything|what) you (?:say|answer|write)\b
    \bwhen(?:ever)? you (?:answer|reply|respond|talk to me|speak to me)\b
    \b(?:replies|answers|reply|answer) to me\b
"""),
    re.I,
)
_CONDITIONAL = re.compile(
    any_of(r"""
    \b(?:when|if|while|unless) (?!you (?:talk|answer|reply|speak|respond|end|begin|write))
    \bexcept\b|\bon \w+days\b|\bin e?mails?\b
    \bfor (?:\w+ questions|(?:my|the|his|her|our) (?!whole|user|full))
"""),
    re.I,
)


def answer_style(text: str) -> tuple[str, bool] | None:
    """Which side of answering a note settles (`case`, `length`, `name` …), and whether nothing else can on that side.

    None if the note does not say how to answer. Stars and quotation marks go together, and what holds only under a
    condition leaves room for others.
    """
    body = text.strip().rstrip(".! ")
    if len(body.split()) > 20:
        return None
    directed = bool(_DIRECTED.search(body) or _FRAGMENT.match(body))
    for side, pattern in _SIDES.items():
        if (directed or side == "name") and pattern.search(body):
            return side, side != "layout" and not _CONDITIONAL.search(body)
    return ("other", False) if _ANYHOW.search(body) else None


def is_answer_style(text: str) -> bool:
    """Whether the note states how to answer: such a preference is shown with every query, whatever it asks."""
    return answer_style(text) is not None
