"""The closed word lists behind `claims` and `kinds`: small on purpose, because a wrong match would hide a true note."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def any_of(lines: str) -> str:
    """A pattern that matches any of the lines: so that long alternatives stay readable."""
    return "(?:" + "|".join(line.strip() for line in lines.strip().splitlines()) + ")"


NUMBER_WORDS = words(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred half"""
)
COLOURS = words(
    """red blue green yellow orange purple black white grey gray brown pink silver gold turquoise navy dark light pale
    bright cream beige violet crimson sky olive maroon teal amber ivory lime copper lilac mint charcoal scarlet"""
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)

ONE_VALUED = words(
    """address age anthem battery birthday blade boss brand budget calibre capacity capital captain channel coach code
    colour combination contact cost currency date day deadline depth diameter director discount dose email fee floor
    font format foreman frequency fuse grade head height host hostname hours id interval job keeper key-number language
    leader length level licence limit login manager mascot maximum mayor mileage minimum mode model motto name nickname
    number owner passcode password phrase pin place platform point port position president pressure price principal
    quota rank rate rating ratio rent resolution role room rule-number salary score seat setting shift size slogan speed
    supplier surname temperature theme threshold time timeout title torque total url username value version voltage wage
    weight width"""
)
"""Heads of a phrase that names an attribute with one value at a time: the gate *code*, the shop's *manager*."""

MANY_VALUED = words(
    """advantage allergy aunt benefit book brother cat child classmate colleague cousin customer daughter dish dog enemy
    example exam fact film flatmate friend game goal grandchild granddaughter grandson guest habit hobby horse idea
    ingredient interest issue job-offer kid lesson member movie neighbour nephew niece option part partner pet plan
    problem project reason relative roommate side sibling sister skill son song step strength student symptom talent
    task tip toy uncle visitor weakness wish worker"""
)
"""Heads that may well have several values at once: a second sister does not replace the first."""

QUALITIES = words(
    """a an another available bad best better big both broken busy cheap clean cold correct critical dangerous different
    difficult dirty dry early easy empty essential expensive fast fine fixed flat fragile free full gone good great
    happy hard heavy here high hot hungry ill important late less lost loud low missing more most necessary new nice not
    off ok okay old on one open out perfect private public quiet rare ready right safe same secret several short sick
    simple slow small some sometimes special strange strict strong sweet tall temporary there tired tricky ugly unclear
    unique unknown unsafe unusual urgent usual very warm weak well wet worse worst wrong young also often usually always
    never normally mostly too only just still so such written taped stuck
    known shown glued drawn left"""
)
"""First words after "is" that describe a thing instead of naming its value ("the code is *secret*")."""
QUALITY_ENDINGS = ("ful", "ous", "able", "ible", "less", "ing", "ed", "ly", "ical", "ary", "sure")

STATES = {
    word: name
    for name, those in {
        "open": "open closed shut",
        "lock": "locked unlocked",
        "power": "on off",
        "fill": "full empty",
        "order": "broken working fixed repaired",
    }.items()
    for word in those.split()
}
"""Words that exclude each other, by the state that they tell."""

NO_PLACE = words("a an order stock use charge fire love time holiday sale")
"""What follows "in" or "on" without saying where."""
PLACE = words(
    "in on at under behind beside near above below inside outside between by against next opposite beneath underneath"
)
"""Prepositions that say where."""
KEPT = words("kept stored located parked hidden found placed stowed filed hung based moored stabled")

QUALIFIERS = PLACE | words("for during with without after before per from until till to into over through via except")
"""Words that begin a restriction of the value ("5 euros *for members*"); it becomes part of the topic."""
OPENERS = words(
    """because but when if which who whose whom where while whereas unless so though although however it she he they we
    i you her his their its them him is are was were has have had can could should must will would may might does do did
    that"""
)
"""Words in a value that open another clause: such a note says more than one thing and is left alone."""

SPELLINGS = {
    "favorite": "favourite",
    "color": "colour",
    "gray": "grey",
    "neighbor": "neighbour",
    "license": "licence",
}

PRONOUNS = words(
    """it he she they this that there these those here someone somebody nobody everyone everybody what who which where
    how why whose when whom if one some another most many all few each every no none neither both his her their its let
    a an we you"""
)
"""First words of a subject that do not say by themselves which thing is meant."""

MONEY = words("euro euros dollar dollars pound pounds cent cents usd eur gbp francs yen crowns")

PLACE_VERBS = {
    "lives": "live",
    "stays": "stay",
    "hangs": "hang",
    "hang": "hang",
    "stands": "stand",
    "stand": "stand",
    "sits": "sit",
    "sleeps": "sleep",
    "lies": "lie",
}
LINK_VERBS = {("works", "at"), ("works", "for"), ("works", "as"), ("works", "in"), ("reports", "to"), ("belongs", "to")}
TIME_VERBS = {
    "opens": "open",
    "closes": "close",
    "starts": "start",
    "begins": "begin",
    "ends": "end",
    "finishes": "finish",
}
MEASURE_VERBS = {
    "costs": "cost",
    "cost": "cost",
    "weighs": "weigh",
    "weigh": "weigh",
    "lasts": "last",
    "measures": "measure",
}
COUNT_VERBS = {
    form: base
    for base in ("take", "need", "hold", "seat", "have", "use", "own", "eat", "contain", "require")
    for form in (base, "has" if base == "have" else base + "s")
}
STATE_VERBS = frozenset({*PLACE_VERBS, *TIME_VERBS, *MEASURE_VERBS, *COUNT_VERBS, *(verb for verb, _ in LINK_VERBS)})
FIRST_PERSON = {
    "live": "lives",
    "work": "works",
    "stay": "stays",
    "sleep": "sleeps",
    "sit": "sits",
    "report": "reports",
}

ACTIONS = words(
    """press open close lock unlock clean check fill empty lift lower push pull turn move remove replace wash dry cover
    cut paint fold wrap label count weigh measure heat cool mix stir shake pour sand polish grease oil tighten loosen
    reset restart switch unplug plug connect disconnect call tell warn wake feed water walk sign copy print scan send
    post read put take use wait ask go wear tie keep set add run start stop hold wipe rinse drain book order bring leave
    make let store park write report install update delete click type enter hang"""
)
"""Verbs that begin an instruction."""
