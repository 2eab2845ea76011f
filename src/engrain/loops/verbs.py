"""The verbs that notes are mostly made of, and how their forms come about."""

from __future__ import annotations

from engrain.memory.lexicon import words

BE = words("is are was were am")
AUXILIARIES = BE | words("has have had will would can could must should may might shall cannot can't")

_IRREGULAR = """
    be was been, become became become, begin began begun, break broke broken, bring brought brought,
    build built built, buy bought bought, catch caught caught, choose chose chosen, come came come, cost cost cost,
    cut cut cut, do did done, draw drew drawn, drink drank drunk, drive drove driven, eat ate eaten, fall fell fallen,
    feed fed fed, fight fought fought, find found found, forbid forbade forbidden, freeze froze frozen, fly flew flown, forget forgot forgotten, get got got, give gave given,
    go went gone, grow grew grown, hang hung hung, have had had, hear heard heard, hide hid hidden, hit hit hit,
    hold held held, keep kept kept, know knew known, lead led led, learn learnt learnt, leave left left,
    lend lent lent, let let let, lie lay lain, lose lost lost, make made made, mean meant meant, meet met met,
    pay paid paid, put put put, read read read, ride rode ridden, ring rang rung, run ran run, say said said,
    see saw seen, sell sold sold, send sent sent, set set set, show showed shown, shut shut shut, sing sang sung,
    shake shook shaken, shoot shot shot, sit sat sat, sleep slept slept, speak spoke spoken, spend spent spent, stand stood stood, steal stole stolen,
    sweep swept swept, swim swam swum, take took taken, teach taught taught, tell told told, think thought thought, throw threw thrown,
    wear wore worn, wake woke woken, win won won, wind wound wound, write wrote written
"""
_REGULAR = """
    accept add adopt allow answer apply arrive ask attend bake belong boil book borrow call carry celebrate change
    charge check clean climb close collect connect contain cook cover dance deliver design discover drill drip earn
    empty end enjoy enter expect expire face feature fetch fill finish fit fix follow guard hate help host include
    insure invent invite join jump kick last laugh launch leak lease lift like limp listen live load lock look love manage
    marry measure miss mix move need offer open operate order own pack paint park pass phone pick plant play post
    practise prefer prepare print produce provide pull push reach receive record remember remove rent repair replace
    report require reserve rest retire return roll save seat sell serve share ship sign ski smell smoke snow sponsor
    start stay stop store study suit supply support switch talk taste train travel treat try turn use visit wait wake
    walk want warm wash watch water weigh wipe work
"""
_PAST: dict[str, str] = {}  # past form -> base
PAST_OF: dict[str, str] = {}
"""The past that goes with a participle: "Who *took* it?" for "it was taken"."""
BASES: set[str] = set()


def third_person(base: str) -> str:
    if base in ("have", "be"):
        return {"have": "has", "be": "is"}[base]
    if base.endswith("y") and base[-2] not in "aeou":
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("s", "sh", "ch", "x", "z", "o")) else "s")


def _regular_past(base: str) -> str:
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2] not in "aeou":
        return base[:-1] + "ied"
    twice = base in words("stop drip drop fit ship plan prefer chat wrap trim tap clip") or base == "travel"
    return base + (base[-1] if twice else "") + "ed"


for _base, _past, _participle in (entry.split() for entry in _IRREGULAR.split(",")):
    BASES.add(_base)
    _PAST[_past] = _base
    PAST_OF[_participle] = _past
for _base in _REGULAR.split():
    BASES.add(_base)
    _PAST.setdefault(_regular_past(_base), _base)
    PAST_OF.setdefault(_regular_past(_base), _regular_past(_base))
THIRD = {third_person(base): base for base in BASES}
PASTS = frozenset(_PAST)
_SAME = words("cut cost hit let put read set shut run come become learned")
"""Forms that are also bases, and so say nothing of the tense by themselves."""
_PAST["learned"] = "learn"
_FINAL_E = tuple(sorted(words("v c z u rg dg ng at ir ur bl pl tl dl gl kl as is os us")))


def is_participle(word: str) -> bool:
    return word in PAST_OF or word in ("born", "due") or (len(word) > 4 and word.endswith("ed"))


def base_form(form: str) -> tuple[str, str]:
    """The base of a verb form and the form of "do" that asks with it: ("go", "does") for "goes"."""
    word = form.lower()
    if word in THIRD:
        return THIRD[word], "does"
    if word in BASES and (word not in _PAST or word in _SAME):
        return word, "do"
    if word in _PAST:
        return _PAST[word], "did"
    if word.endswith("ed") and len(word) > 4:
        stem = word[:-2]
        if stem.endswith("i"):
            return stem[:-1] + "y", "did"
        if stem[-1] == stem[-2] and stem[-2:] not in ("ll", "ss", "zz", "ff", "ee"):
            return stem[:-1], "did"
        return stem + ("e" if stem.endswith(_FINAL_E) else ""), "did"
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y", "does"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes", "oes")):
        return word[:-2], "does"
    return (word[:-1], "does") if word.endswith("s") and not word.endswith("ss") else (word, "do")
