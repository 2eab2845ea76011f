"""What sort of note this is, told from its words: fact, preference or procedure; a style of answering; passing state."""

from __future__ import annotations

import re

from engrain.records import MemoryKind

_SPEAK = r"(?:answer|reply|respond|write|speak|talk|say|address)"
_REPLY = r"(?:answer|reply|replies|response|message)s?"
_LANGUAGE = r"(?:english|german|french|spanish|italian|dutch|polish|portuguese|swedish|danish|norwegian|finnish|czech|greek|turkish|russian|arabic|hindi|japanese|korean|chinese|latin|welsh|irish)"
_EACH = r"(?:every|each|all|all of|any|your|the|all your|every one of your|my)"
_ANSWERS: dict[str, str] = {
    "name": r"(?:^|please |always |to |must |should |[,;] )(?:call|address) (?:me|the user)(?: as)? (?!when|if|at|on|in|after|before|back|tomorrow|later|again|every|by|for|immediately|first|and|or)[\w'\"-]+"
    r"|\bmy nickname is .+ (?:please )?use it|\buse my (?:nick)?name\b",
    "case": rf"\b(?:{_SPEAK}|{_REPLY}|use|want|like|prefer)\b.*\b(?:upper ?-?case|lower ?-?case|capital letters|capitals|all caps|block letters|small letters)\b",
    "ending": rf"\b(?:end|finish|close|conclude)\b (?:{_EACH} )?(?:{_REPLY}|what you say|sentence) with\b",
    "opening": rf"\b(?:start|begin|open)\b (?:{_EACH} )?(?:{_REPLY}|what you say|sentence) with\b",
    "length": rf"\b(?:{_SPEAK}|{_REPLY}|keep it|be|explain|explanations?)\b.*\b(?:short|shorter|brief|briefly|concise|terse|long|longer|detailed|in detail|one word|few words|(?:one|full|whole|complete|single) sentences?)\b"
    rf"|\b(?:short|brief|concise|long|detailed|terse) {_REPLY}|^be (?:brief|concise|short|terse)|^(?:use|write|in) (?:full|whole|complete) sentences",
    "language": rf"\b(?:{_SPEAK}|{_REPLY})\b.* in {_LANGUAGE}\b",
    "units": r"\buse (?:the )?(?:metric|imperial|celsius|fahrenheit)\b|\b(?:metric|imperial) units\b",
    "layout": rf"\b(?:{_SPEAK}|{_REPLY}|use|put|no|avoid)\b.*\b(?:bullet points|bullets|markdown|tables|plain text|emojis?|exclamation marks?|quotation marks|quotes|stars|asterisks)\b",
}
_GENERAL = re.compile(rf"^(?:please |always |never |do not |don't )*{_SPEAK}\b (?!the (?:door|phone)|to \w+'s)|\b(?:your|every|each|all) (?:answers?|repl(?:y|ies)|responses?)\b", re.I)
_TOLD = re.compile(r"^(?:please|always|never|do not|don't|no|only|be|use|keep|end|start|begin|finish|close|call|answer|reply|respond|write|speak|talk|say|address|put|in|avoid|conclude|open|explain|give|make|let)\b|\b(?:I|me|my|user|you|your)\b", re.I)
_CONDITIONAL = re.compile(r"\b(?:when|if|unless|except|on \w+days|while|in emails?|for \w+ questions)\b(?! you (?:talk|answer|reply|speak))", re.I)

_MUTABLE = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|currently|presently|at the moment|right now|just now|for now|so far|temporarily|for the time being|at present"
    r"|this (?:morning|afternoon|evening|week|weekend|month|quarter|year|time)|next (?:week|month|weekend)|not yet|still waiting|waiting for"
    r"|until (?:\w+day|tomorrow|next|further|the \d|\d|january|february|march|april|may|june|july|august|september|october|november|december|noon|tonight)"
    r"|(?:on|from|in|of|out of) stock|in stock|sold out|out of (?:order|office|town|paper|milk)|on (?:holiday|vacation|leave|sick leave)|(?:is|are|am) (?:ill|sick|away|out|busy|broken|late|empty|full|nearly|almost|down|offline|missing)"
    r"|(?:low|short) on|running (?:low|out)|(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|few|no|some) (?:\w+ ){0,3}(?:left|remaining|remain)|stock level|(?:remaining|current|latest) \w+)\b",
    re.I,
)
_LIKES = re.compile(
    r"^(?:I|the user|user|we)(?:'d| would| really| also| always| usually| do not| don't| does not| doesn't| absolutely)* (?:prefers?|likes?|loves?|hates?|dislikes?|enjoys?|rather|wants? (?:you|all|every|your|answers|replies)|can(?:'t|not) stand|favou?rs?)\b"
    r"|^(?:my|the user's|our) (?:least )?(?:favou?rite|preferred|preference)\b|\bis (?:my|the user's) favou?rite\b",
    re.I,
)
_ACT = r"(?:press|open|close|lock|unlock|clean|check|fill|empty|lift|lower|push|pull|turn|move|remove|replace|wash|dry|cover|cut|paint|fold|wrap|label|count|weigh|measure|heat|cool|mix|stir|shake|pour|sand|polish|grease|oil|tighten|loosen|reset|restart|switch|unplug|plug|connect|disconnect|call|tell|warn|wake|feed|water|walk|sign|copy|print|scan|send|post|read|put|take|use|wait|ask|go|wear|tie|keep|set|add|run|start|stop|hold|wipe|rinse|drain|book|order|bring|leave|make|let|store|park|write|report|install|update|delete|click|type|enter|hang)"
_PROCEDURE = re.compile(
    rf"^(?:when|whenever|if|before|after|once|as soon as|in case|to \w+)\b.+[,:] *(?:first |then |please |you (?:must|should|have to|need to) |always |never |do not |don't )*{_ACT}\b"
    rf"|^(?:first,? |please |always |never |do not |don't )*{_ACT}\b(?! (?:is|are|was|has|time|number|code|name))(?:.*\b(?:if|when|whenever|before|after|then|every|twice|once|as soon as)\b|.*)|\bfirst\b.+\bthen\b|, then {_ACT}\b",
    re.I,
)


def answer_style(text: str) -> tuple[str, bool] | None:
    """Which side of answering a note settles (`case`, `length`, `name` …), and whether only under a condition.

    None if the note does not say how to answer.
    """
    body = text.strip().rstrip(".! ")
    if not _TOLD.search(body):
        return None
    for slot, pattern in _ANSWERS.items():
        if re.search(pattern, body, re.I):
            return slot, bool(_CONDITIONAL.search(body))
    return ("other", True) if _GENERAL.search(body) else None


def is_answer_style(text: str) -> bool:
    """Whether the note states how to answer ("answer in upper case", "call me Captain"): shown with every query."""
    return answer_style(text) is not None


def kind_of(text: str) -> MemoryKind:
    """`preference` (what the user likes, how to answer), `procedure` (what to do when), else `fact`."""
    body = text.strip()
    if is_answer_style(body) or _LIKES.search(body):
        return "preference"
    return "procedure" if _PROCEDURE.search(body) else "fact"


def is_mutable(text: str) -> bool:
    """Whether the note tells a passing state ("today", "three boxes left", "is out until Friday"), not a lasting fact."""
    return kind_of(text) != "procedure" and bool(_MUTABLE.search(text))
