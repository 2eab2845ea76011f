"""Random words for the slots of the frames: the open vocabulary that makes sprout copy instead of recite.

Every pool is split once, by a hash of the word, into a training part and a held-out part (about one word in eight). Names, brands
and codes are built from syllables and digits; built names are split by the same hash, so a held-out name was never trained on.
"""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path

HELD_OUT_ONE_IN = 8

WORDS: dict[str, list[str]] = {
    k: v for k, v in json.loads((Path(__file__).parent / "words.json").read_text()).items() if isinstance(v, list)
}


def held_out(word: str) -> bool:
    """Whether this word belongs to the part of the vocabulary that training never sees."""
    return zlib.crc32(word.lower().encode()) % HELD_OUT_ONE_IN == 0


def listed(text: str) -> list[str]:
    return [w.strip() for w in text.replace("\n", "|").split("|") if w.strip()]


FIRST = listed(
    "Marta|Ana|Ben|Clara|Daniel|Eva|Felix|Greta|Hugo|Ines|Jonas|Karin|Leo|Mia|Nils|Olga|Paul|Rosa|Sam|Tina|Uwe|Vera|Walt|Yara|Zoe|Adam|Bella|"
    "Carlos|Dora|Emil|Fatima|George|Hannah|Ivan|Julia|Kofi|Lena|Marco|Nora|Omar|Petra|Quentin|Rita|Stefan|Thea|Ursula|Viktor|Wendy|Xavier|"
    "Yusuf|Zara|Aisha|Boris|Chloe|Diego|Elena|Farid|Gina|Henry|Isla|Jamal|Kira|Liam|Maya|Noah|Otto|Priya|Rafael|Sofia|Tom|Una|Vince|Will|Alma|"
    "Bruno|Celia|Dan|Edith|Finn|Gwen|Hector|Irene|Jack|Kate|Lars|Mona|Ned|Oscar|Pia|Ravi|Sara|Theo|Uma|Val|Wanda|Yvonne|Ali|Beth|Chen|Dev|"
    "Emma|Frank|Grace|Hiro|Ida|Joe|Kim|Lucy|Max|Nina|Owen|Peter|Rachel|Simon|Tara|Victor|Anton|Betty|Cyril|Debra|Eric|Flora|Glen|Holly|Igor|"
    "Joan|Keith|Lola|Martin|Nadia|Oliver|Paula|Robert|Susan|Tim|Alice|Bob|Carol|Dave|Erin|Fred|Gloria|Harry|Ingrid|James|Karen|Linda|Mike|Nancy"
)
SURNAME = listed(
    "Quill|Berger|Novak|Okafor|Lindqvist|Tanaka|Moreau|Rossi|Keller|Hughes|Patel|Silva|Ward|Becker|Doyle|Ferrari|Grant|Hansen|Ivanov|Jensen|Kowalski|"
    "Larsen|Meyer|Nguyen|Olsen|Park|Reyes|Santos|Thorne|Vance|Weber|Young|Abbott|Blake|Crane|Drummond|Ellis|Fisher|Goode|Hart|Miller|Halloran|Carter"
)
TITLE = listed("Dr.|Dr|Mr.|Mr|Mrs.|Mrs|Ms.|Ms|Prof.|Professor|Uncle|Aunt|Captain|Nurse|Coach|Sister|Father|Judge")
"""Of these none is held out: what ends a name and what is a stop is learned from the few that have one."""
TOWN = listed(
    "Oslo|Lisbon|Cork|Boston|Denver|Lyon|Ghent|Turin|Porto|Leeds|York|Bern|Graz|Riga|Split|Malmo|Quito|Lima|Accra|Kyoto|Perth|Austin|Dublin|Prague|Vienna|"
    "Madrid|Bristol|Norwich|Salem|Dover|Naples|Seville|Bergen|Tallinn|Krakow|Cairo|Delhi|Hanoi|Sydney|Toronto|Wales|Portugal|Norway|Kenya|Chile|Japan"
)
PLACE = listed(
    "barn|kitchen|office|cellar|attic|garage|workshop|garden|shed|library|hall|lobby|canteen|warehouse|storeroom|bathroom|bedroom|stable|greenhouse|"
    "lab|classroom|studio|bakery|chapel|harbour|market|car park|loading dock|reading room|meeting room|front desk|back yard|boat house|tool room|"
    "archive|basement|balcony|pantry|porch|laundry room|gym|clinic|pharmacy|museum|station|field|orchard|pond|gate|tower|bridge|tunnel|cottage|cabin|"
    "hut|tent|van|cupboard|drawer|shelf|box|cabinet|locker|safe|fridge|freezer|bench|counter|boiler room|server room|paint shop|dining room|sports hall"
)
PLACE_ADJ = listed(
    "north|south|east|west|old|new|upper|lower|back|front|main|small|big|left|right|outer|inner|second|third|blue|red|green|long|far|far left|rear|side|top|bottom"
)
ATTR = listed(
    "gate code|colour|size|weight|price|name|password|door code|phone number|serial number|best-before date|spare part number|opening time|closing time|"
    "address|email address|birthday|age|height|width|length|depth|speed|voltage|temperature|pressure|capacity|model number|licence plate|room number|"
    "shelf number|order number|batch number|account number|pin|wifi password|user name|nickname|shoe size|favourite colour|favourite food|favourite song|"
    "favourite book|blood type|middle name|home town|job title|salary|rent|deposit|fee|discount|delivery date|due date|start date|end date|start time|"
    "departure time|arrival time|platform|seat number|flight number|ticket price|table number|locker number|key number|part number|paint colour|brand|"
    "maker|owner|supplier|contact|keeper|manager|driver|author|founder|inspector|thread size|oil type|fuel type|tyre pressure|blade width|cable length|"
    "battery type|bulb type|filter size|fuse rating|torque|tension|dose|meeting point|backup day|cleaning day|watering day|feeding time|bath time|"
    "alarm code|entry code|safe combination|invoice number|customer number|member number|policy number|tax number|version|port|host name|folder|font|"
    "screen size|resolution|timeout|limit|interval|quota|budget|score|record|rank|grade|title|theme|motto|slogan|logo colour|mascot|anthem|capital"
)
ATTR_HEAD = listed(
    "code|number|name|size|limit|colour|price|date|time|type|level|label|setting|weight|length|rate|grade|position|owner|keeper|day|word|rule|mode|count|fee"
)
COLOR = listed(
    "red|blue|green|yellow|orange|purple|black|white|grey|brown|pink|silver|gold|turquoise|navy blue|dark green|light grey|cream|beige|violet|crimson|"
    "sky blue|olive|maroon|teal|amber|ivory|lime green|pale yellow|bright red|copper|lilac|mint green|charcoal|scarlet"
)
MATERIAL = listed(
    "oak|steel|brass|copper|pine|glass|leather|wool|cotton|plastic|rubber|stone|clay|iron|marble|paper|linen|silk|bamboo|concrete|walnut|felt|tin|cork|slate|wax"
)
FOOD = listed(
    "lentil soup|apple pie|rye bread|goat cheese|plum cake|rice pudding|fried eggs|mushroom stew|pasta|pancakes|tomato salad|roast chicken|carrot cake|"
    "smoked fish|potato soup|porridge|dumplings|pizza|lemon drizzle|walnuts|shellfish|peanuts|oats|honey|yoghurt|strawberries|garlic bread|bean stew"
)
DRINK = listed(
    "black coffee|green tea|oolong|apple juice|lemonade|hot chocolate|ginger beer|mint tea|milk|tap water|espresso|cider|red wine|oat milk|herbal tea|cocoa|sparkling water|iced tea|orange juice|rooibos"
)
JOB = listed(
    "carpenter|nurse|teacher|baker|plumber|electrician|pilot|dentist|lawyer|farmer|painter|librarian|welder|cook|driver|engineer|vet|gardener|tailor|"
    "mechanic|architect|journalist|surgeon|barber|florist|potter|translator|accountant|fisherman|beekeeper|night guard|tour guide|violin maker|"
    "shop assistant|bus driver|sailor|chemist|geologist|midwife|postman|roofer|glazier|programmer|photographer|clerk"
)
HOBBY = listed(
    "chess|rowing|knitting|pottery|climbing|fishing|running|birdwatching|painting|dancing|sailing|baking|gardening|cycling|swimming|woodwork|archery|"
    "singing|stamp collecting|karate|yoga|skiing|playing the cello|model trains|juggling|fencing|hiking|photography|tennis|table tennis|card games|origami"
)
LANGUAGE = listed(
    "Spanish|French|German|Italian|Dutch|Polish|Turkish|Arabic|Hindi|Japanese|Korean|Swedish|Greek|Russian|Portuguese|Finnish|Czech|Swahili|Welsh|Danish|Thai|Hebrew|Latin|Norwegian|Basque|Irish"
)
WEEKDAY = listed("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday")
TIMES = listed(
    "noon|midnight|sunrise|sunset|dawn|dusk|lunchtime|teatime|nightfall|nine o'clock|six o'clock|four o'clock|one o'clock|seven in the morning|ten at night"
)
NUMBERS = listed("two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty")
PER = listed(
    "a day|a week|a month|a year|an hour|a minute|a night|a head|a person|a bag|a piece|a dozen|a kilo|a metre|a visit|each|per day|per hour|per person|in all|at most|at least|or more"
)
CONTAINER = listed("jar|bag|box|tin|pair|set|bottle|pile|roll|crate|bucket|bundle|basket|sack|tray")
NUMBERED = listed(
    "room|gate|hive|bed|shelf|aisle|bay|platform|floor|desk|table|locker|bench|lane|dock|shed|tray|drawer|row|tank|field|unit|cabin|box"
)
MONTH = listed("January|February|March|April|May|June|July|August|September|October|November|December")
UNIT = listed(
    "litres|boxes|kilos|metres|bags|cups|grams|bottles|sheets|pieces|rolls|bars|crates|tons|spoons|packets|buckets|pairs|jars|slices|cans|mm|cm|miles|km|kg|degrees|volts|bar|rpm|psi|watts|inches|feet|pounds|pints|ounces|barrels|panes|hooks|planks|tiles|turns|acres|gallons|amps|percent"
)
VERB = listed(
    "press|open|close|lock|unlock|clean|check|fill|empty|lift|lower|push|pull|turn|move|remove|replace|wash|dry|cover|cut|paint|fold|wrap|label|count|weigh|"
    "measure|heat|cool|mix|stir|shake|pour|sand|polish|grease|oil|tighten|loosen|reset|restart|switch off|switch on|turn off|turn on|unplug|plug in|connect|"
    "disconnect|call|tell|warn|wake|feed|water|walk|sign|copy|print|scan|send|post|read|burn|bury|hide|find|bring|fetch|carry|drop|throw away|put away|pick up|"
    "sell|buy|order|cancel|book|repair|test|drain|flush|rinse|soak|wipe|sweep|stack|load|unload|pack|unpack|hang up|take down|write down|report|archive|delete"
)
ADVERB = listed(
    "twice|slowly|carefully|at once|by hand|with a cloth|three times|firmly|gently|again|every hour|before noon|with gloves on|overnight|from the left|in the dark|without water|for ten seconds|from above|in silence"
)
PREDICATE = listed(
    "turns red|turns green|starts to smoke|is empty|is full|is broken|makes a loud noise|will not open|does not start|gets too hot|gets wet|runs dry|"
    "falls over|stops|leaks|rings|beeps twice|goes missing|arrives late|is stuck|is locked|smells bad|looks damaged|is out of paper|flashes|jams|freezes|"
    "breaks down|shows an error|drops below ten|is too heavy|comes back|is sold out|is overdue|begins to shake|slips|catches fire|starts to rust|"
    "loses power|cannot be found|has a crack|does not fit|is not ready|turns blue|is closed|overheats|vibrates|starts to drip|runs out"
)
PAST_PREDICATE = listed(
    "was worn|was too small|broke|was late|was wet|was missing|did not fit|was too expensive|had a crack|was full|fell over|was stolen|was out of date|"
    "leaked|was closed|was empty|made too much noise|was damaged|got lost|was the wrong size|had no power|was too slow|cracked|ran out|rusted"
)
ROLE = listed(
    "the plumber|my aunt|my uncle|the manager|the night guard|the caretaker|my sister|my brother|the vet|the landlord|our neighbour|the nurse|the foreman|"
    "the safety officer|the office|my mother|my father|the driver|the receptionist|the cleaner|the head cook|my boss|the accountant|the fire brigade|our lawyer"
)
PHRASE = listed(
    "safety comes first|keep it simple|closed for repairs|handle with care|ask before you cut|never on Sundays|see you soon|measure twice|mind the step|"
    "slow and steady|first come first served|over and out|to be continued|all is well|no smoking here|thank you and goodbye"
)
OPENING = [
    "b",
    "bl",
    "br",
    "c",
    "ch",
    "cl",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "qu",
    "r",
    "s",
    "sh",
    "sk",
    "st",
    "t",
    "th",
    "tr",
    "v",
    "w",
    "y",
    "z",
]
MIDDLE = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "o", "ou", "a", "e", "i"]
ENDING = [
    "n",
    "r",
    "l",
    "m",
    "s",
    "t",
    "k",
    "ck",
    "nd",
    "rn",
    "st",
    "th",
    "x",
    "sk",
    "rt",
    "ll",
    "ndel",
    "ver",
    "dan",
    "lo",
    "ra",
    "na",
    "mi",
    "ko",
    "bel",
    "ric",
    "ton",
    "wick",
    "den",
    "ley",
    "by",
    "ford",
    "sen",
    "",
]
DOMAIN = listed("mill.org|barnet.com|post.net|quarry.io|works.co|lakeside.eu|oldtown.org|mail.com")


class Fill:
    """Draws one random filler for a slot type; `held` draws from the held-out part of every pool."""

    def __init__(self, rng: random.Random, *, held: bool = False) -> None:
        self.rng, self.held = rng, held
        self.pools: dict[int, list[str]] = {}

    def one(self, pool: list[str]) -> str:
        part = self.pools.get(id(pool))
        if part is None:
            part = [w for w in pool if held_out(w) == self.held]
            if len(part) < 2:  # a fact may need two different ones
                part = pool
            self.pools[id(pool)] = part
        return part[int(self.rng.random() * len(part))]

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def __call__(self, kind: str) -> str:
        return getattr(self, KINDS.get(kind, kind.rstrip("0123456789")))()

    def built(self) -> str:
        """A word that no list holds, from syllables."""
        r = self.rng
        while True:
            word = "".join(r.choice(OPENING) + r.choice(MIDDLE) for _ in range(r.choice((1, 1, 1, 2)))) + r.choice(
                ENDING
            )
            if len(word) > 3 and held_out(word) == self.held:
                return word

    def noun(self) -> str:
        return self.one(WORDS["noun"])

    def adj(self) -> str:
        return self.one(WORDS["adj"]) if self.chance(0.7) else self.one(COLOR)

    def verb(self) -> str:
        return self.one(VERB) if self.chance(0.6) else self.one(WORDS["verb"])

    def thing(self) -> str:
        roll = self.rng.random()
        if roll < 0.35:
            return f"{self.adj()} {self.noun()}"
        if roll < 0.50:
            return f"{self.noun()} {self.noun()}"
        if roll < 0.55:
            return f"{self.adj()} {self.noun()} {self.noun()}"
        if roll < 0.60:
            return f"{self.one(MATERIAL)} {self.noun()}"
        if roll < 0.65:
            return f"{self.noun()} {self.mark()}"
        if roll < 0.67:
            return f"{self.one(CONTAINER)} of {self.noun()}"
        return self.noun()

    def mark(self) -> str:
        """What tells one of several like things from another: room 4, gate B, hive two."""
        roll = self.rng.random()
        if roll < 0.5:
            return str(self.rng.randint(1, 30))
        return self.letters(1, 1) if roll < 0.7 else self.rng.choice(NUMBERS[:9])

    def place(self) -> str:
        roll = self.rng.random()
        if roll < 0.40:
            return f"{self.one(PLACE_ADJ)} {self.one(PLACE)}"
        if roll < 0.65:
            return self.one(PLACE)
        if roll < 0.80:
            return f"{self.noun()} {self.one(PLACE)}"
        if roll < 0.86:
            return f"{self.rng.choice(NUMBERED)} {self.mark()}"
        return self.thing()

    def person(self) -> str:
        roll = self.rng.random()
        name = self.one(FIRST) if self.chance(0.6) else self.built().capitalize()
        if roll < 0.62:
            return name
        surname = self.one(SURNAME) if self.chance(0.4) else self.built().capitalize()
        if roll < 0.88:
            return f"{name} {surname}"
        return f"{self.rng.choice(TITLE)} {surname}"

    def town(self) -> str:
        return self.one(TOWN) if self.chance(0.4) else self.built().capitalize()

    def org(self) -> str:
        name = self.built().capitalize() if self.chance(0.6) else self.noun().capitalize()
        roll = self.rng.random()
        if roll < 0.35:
            return name
        if roll < 0.75:
            return f"{name} {self.rng.choice(('Ltd', 'Supplies', 'Works', 'Brothers', 'Tools', 'Foods', 'Books', 'Club', 'Bank', 'Motors', 'Design', 'Farm'))}"
        return f"{name} & {self.built().capitalize()}"

    def attr(self) -> str:
        roll = self.rng.random()
        if roll < 0.45:
            return self.one(ATTR)
        if roll < 0.70:
            return f"{self.noun()} {self.one(ATTR_HEAD)}"
        if roll < 0.90:
            return self.one(WORDS["attribute"])
        return f"{self.adj()} {self.one(WORDS['attribute'])}"

    def digits(self, low: int, high: int) -> str:
        return "".join(self.rng.choice("0123456789") for _ in range(self.rng.randint(low, high)))

    def letters(self, low: int, high: int) -> str:
        return "".join(self.rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(self.rng.randint(low, high)))

    def code(self) -> str:
        roll = self.rng.random()
        if roll < 0.40:
            return self.digits(3, 6)
        if roll < 0.60:
            return f"{self.letters(1, 3)}-{self.digits(2, 4)}"
        if roll < 0.75:
            return f"{self.letters(1, 2)}{self.digits(1, 3)}"
        if roll < 0.85:
            return f"{self.digits(2, 3)}-{self.digits(2, 3)}"
        if roll < 0.92:
            return f"{self.letters(1, 2)}{self.digits(1, 2)}-{self.digits(2, 3)}"
        return f"{self.built()}-{self.noun()}-{self.digits(1, 2)}"

    def num(self) -> str:
        if self.chance(0.2):
            return self.rng.choice(NUMBERS)
        return str(self.rng.randint(2, 400))

    def qty(self) -> str:
        much = f"{self.num()} {self.one(UNIT)}"
        roll = self.rng.random()
        if roll < 0.12:
            return f"{much} {self.rng.choice(PER)}"
        return f"{self.num()} to {much}" if roll < 0.15 else much

    def money(self) -> str:
        n = str(self.rng.choice((self.rng.randint(2, 99), self.rng.randint(100, 2500))))
        if self.chance(0.25):
            n += "." + self.rng.choice(("50", "20", "99", "75", "10"))
        much = self.rng.choice((f"{n} euros", f"${n}", f"{n} dollars", f"£{n}", f"€{n}", f"{n} euros", f"{n} pounds"))
        return f"{much} {self.rng.choice(PER)}" if self.chance(0.15) else much

    def time(self) -> str:
        r = self.rng
        hour, minute = r.randint(1, 23), r.choice(("00", "15", "30", "45", "10", "20", "40", "50", "05"))
        roll = r.random()
        if roll < 0.5:
            return f"{hour}:{minute}"
        if roll < 0.7:
            return f"{r.randint(1, 12)} {r.choice(('am', 'pm'))}"
        if roll < 0.8:
            return f"{r.randint(1, 12)}:{minute} {r.choice(('am', 'pm'))}"
        if roll < 0.93:
            return f"{r.choice(('half past', 'quarter past', 'quarter to'))} {r.choice(('one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven'))}"
        return r.choice(TIMES)

    def date(self) -> str:
        r = self.rng
        day, month = r.randint(1, 28), r.choice(MONTH)
        roll = r.random()
        if roll < 0.35:
            return f"{day} {month}"
        if roll < 0.65:
            return f"{month} {day}"
        if roll < 0.75:
            suffix = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(day, "th")
            return r.choice((f"the {day}{suffix} of {month}", f"{month} {day}{suffix}", f"{day}{suffix} {month}"))
        if roll < 0.85:
            return f"{day} {month} {r.randint(1990, 2032)}"
        return f"{r.randint(2019, 2030)}-{r.randint(1, 12):02d}-{day:02d}"

    def weekday(self) -> str:
        day = self.rng.choice(WEEKDAY)
        roll = self.rng.random()
        if roll < 0.08:
            return f"{day} {self.rng.choice(('morning', 'morning', 'afternoon', 'evening', 'night'))}"
        return f"{day}s" if roll < 0.14 else day

    def month(self) -> str:
        return self.rng.choice(MONTH)

    def year(self) -> str:
        return str(self.rng.randint(1890, 2035))

    def duration(self) -> str:
        r = self.rng
        unit = r.choice(("minutes", "hours", "days", "weeks", "months", "years", "seconds", "minutes"))
        return (
            f"{self.num()} {unit}"
            if self.chance(0.85)
            else r.choice(("a week", "half an hour", "a month", "an hour and a half", "a fortnight", "a whole day"))
        )

    def color(self) -> str:
        return self.one(COLOR)

    def material(self) -> str:
        return self.one(MATERIAL) if self.chance(0.6) else self.one(WORDS["material"])

    def food(self) -> str:
        roll = self.rng.random()
        return (
            self.one(FOOD)
            if roll < 0.4
            else self.one(WORDS["food"])
            if roll < 0.8
            else f"{self.one(WORDS['food'])} {self.rng.choice(('soup', 'cake', 'salad', 'stew', 'pie'))}"
        )

    def drink(self) -> str:
        return (
            self.one(DRINK)
            if self.chance(0.7)
            else f"{self.noun()} {self.rng.choice(('tea', 'juice', 'syrup', 'milk'))}"
        )

    def animal(self) -> str:
        return self.one(WORDS["animal"]) if self.chance(0.7) else f"{self.adj()} {self.one(WORDS['animal'])}"

    def job(self) -> str:
        return self.one(JOB) if self.chance(0.6) else self.one(WORDS["role"])

    def hobby(self) -> str:
        return (
            self.one(HOBBY)
            if self.chance(0.7)
            else f"{self.noun()} {self.rng.choice(('collecting', 'racing', 'painting', 'making', 'throwing'))}"
        )

    def language(self) -> str:
        return (
            self.one(LANGUAGE)
            if self.chance(0.8)
            else self.built().capitalize() + self.rng.choice(("ish", "ese", "an"))
        )

    def word(self) -> str:
        roll = self.rng.random()
        word = self.built() if roll < 0.6 else self.noun()
        return word.capitalize() if self.chance(0.6) else word

    def act(self) -> str:
        roll = self.rng.random()
        what = self.thing() if roll < 0.4 else self.noun()
        text = f"{self.verb()} {'a' if self.chance(0.1) else 'the'} {what}"
        roll = self.rng.random()
        if roll < 0.25:
            text += " " + self.one(ADVERB)
        elif roll < 0.35:
            text += f" {self.rng.choice(('in', 'behind', 'under', 'next to', 'on', 'from', 'into'))} the {self.place()}"
        elif roll < 0.42:
            text = self.rng.choice(
                (
                    f"call {self.person()}",
                    f"wait {self.duration()}",
                    f"ask {self.person()}",
                    f"go to the {self.place()}",
                    f"tell {self.one(ROLE)}",
                    f"wait for the {self.noun()}",
                )
            )
        return text

    def cond(self) -> str:
        roll = self.rng.random()
        if roll < 0.65:
            return f"the {self.thing()} {self.one(PREDICATE)}"
        if roll < 0.80:
            return f"{self.rng.choice(('a customer', 'a visitor', 'somebody', 'a guest', 'a child', self.person()))} {self.rng.choice(('asks for', 'returns', 'breaks', 'loses', 'brings', 'wants', 'touches', 'complains about'))} the {self.thing()}"
        if roll < 0.90:
            return f"there is {self.rng.choice(('a', 'no'))} {self.thing()} in the {self.place()}"
        return f"the {self.noun()} is {self.adj()}"

    def reason(self) -> str:
        roll = self.rng.random()
        if roll < 0.7:
            return f"the {self.thing()} {self.one(PAST_PREDICATE)}"
        if roll < 0.85:
            return f"{self.person()} {self.rng.choice(('forgot', 'lost', 'broke', 'sold', 'wanted', 'needed', 'hated'))} the {self.noun()}"
        return f"the {self.noun()} was {self.adj()}"

    def role(self) -> str:
        return self.one(ROLE) if self.chance(0.7) else f"the {self.one(WORDS['role'])}"

    def email(self) -> str:
        return (
            f"{self.built()}@{self.built()}.{self.rng.choice(('com', 'org', 'net', 'eu'))}"
            if self.chance(0.6)
            else f"{self.one(FIRST).lower()}@{self.rng.choice(DOMAIN)}"
        )

    def phone(self) -> str:
        return self.rng.choice(
            (
                f"555-{self.digits(4, 4)}",
                f"0{self.digits(3, 3)} {self.digits(5, 6)}",
                f"+{self.digits(2, 2)} {self.digits(3, 3)} {self.digits(4, 4)}",
                self.digits(7, 8),
            )
        )

    def url(self) -> str:
        return f"{self.built()}.{self.rng.choice(('com', 'org', 'net', 'io'))}" + (
            f"/{self.noun()}" if self.chance(0.4) else ""
        )

    def phrase(self) -> str:
        if self.chance(0.35):
            return self.one(PHRASE)
        return self.rng.choice(
            (
                f"{self.adj()} {self.noun()}",
                f"the {self.thing()}",
                f"no {self.noun()} in the {self.noun()}",
                f"{self.verb()} the {self.noun()}",
                f"{self.noun()} and {self.noun()}",
            )
        )


KINDS = {"person2": "person", "person3": "person", "thing2": "thing", "place2": "place", "person-role": "role"}
