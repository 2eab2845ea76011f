"""The words of a text as a search compares them: small letters without accents, each cut to its stem, so that "Hinges" finds "hinge".

Porter 1980, "An algorithm for suffix stripping"; the same words as SQLite's `porter unicode61` tokenizer makes, but in every database.
"""

from __future__ import annotations

import re
import unicodedata

_LONGEST = 64
"""Letters of a word that count."""
_C, _V = "[^aeiou][^aeiouy]*", "[aeiouy][aeiou]*"
_SOME = re.compile(f"^({_C})?{_V}{_C}")
"""Measure above 0: what is left of a word when its ending goes has a vowel and a consonant after it."""
_ONE = re.compile(f"^({_C})?{_V}{_C}({_V})?$")
_MANY = re.compile(f"^({_C})?{_V}{_C}{_V}{_C}")
_VOWEL = re.compile(f"^({_C})?[aeiouy]")
_SHORT = re.compile(f"^{_C}[aeiouy][^aeiouwxy]$")
_SECOND = dict(
    pair.split(":")
    for pair in [
        "ational:ate",
        "tional:tion",
        "enci:ence",
        "anci:ance",
        "izer:ize",
        "bli:ble",
        "alli:al",
        "entli:ent",
        "eli:e",
        "ousli:ous",
        "ization:ize",
        "ation:ate",
        "ator:ate",
        "alism:al",
        "iveness:ive",
        "fulness:ful",
        "ousness:ous",
        "aliti:al",
        "iviti:ive",
        "biliti:ble",
        "logi:log",
    ]
)
_THIRD = dict(pair.split(":") for pair in ["icate:ic", "ative:", "alize:al", "iciti:ic", "ical:ic", "ful:", "ness:"])
_FOURTH = [
    "al",
    "ance",
    "ence",
    "er",
    "ic",
    "able",
    "ible",
    "ant",
    "ement",
    "ment",
    "ent",
    "ou",
    "ism",
    "ate",
    "iti",
    "ous",
    "ive",
    "ize",
    "sion",
    "tion",
]


def _ending(endings: list[str]) -> re.Pattern[str]:
    return re.compile(f"^(.+?)({'|'.join(endings)})$")


_SECONDS, _THIRDS, _FOURTHS = (_ending(list(endings)) for endings in (_SECOND, _THIRD, _FOURTH))


def stems(text: str) -> list[str]:
    """The stems of a text's words, in order."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))
    return [stem(word[:_LONGEST]) for word in re.findall(r"[^\W_]+", plain)]


def stem(word: str) -> str:
    """What is left of a word in small letters without its endings."""
    if len(word) < 3:
        return word
    word = _ends(word.replace("y", "Y", 1) if word[0] == "y" else word)  # a first y is a consonant
    if word.endswith("y") and _VOWEL.match(word[:-1]):
        word = word[:-1] + "i"
    for endings, changed in ((_SECONDS, _SECOND), (_THIRDS, _THIRD)):
        if (found := endings.match(word)) and _SOME.match(found[1]):
            word = found[1] + changed[found[2]]
    if found := _FOURTHS.match(word):
        rest = found[1] + (found[2][0] if found[2] in ("sion", "tion") else "")
        word = rest if _MANY.match(rest) else word
    if word.endswith("e"):
        rest = word[:-1]
        if _MANY.match(rest) or (_ONE.match(rest) and not _SHORT.match(rest)):
            word = rest
    if word.endswith("ll") and _MANY.match(word):
        word = word[:-1]
    return word.lower()


def _ends(word: str) -> str:
    """Without the plural, -ed and -ing."""
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if word.endswith("eed"):
        return word[:-1] if _SOME.match(word[:-3]) else word
    cut = next((word[: -len(end)] for end in ("ed", "ing") if word.endswith(end)), None)
    if cut is None or not _VOWEL.match(cut):
        return word
    if cut.endswith(("at", "bl", "iz")):
        return cut + "e"
    if re.search(r"([^aeiouylsz])\1$", cut):
        return cut[:-1]
    return cut + "e" if _SHORT.match(cut) else cut
