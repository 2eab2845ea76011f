"""Questions that follow from a note's grammar: many wordings of one fact, in English that people write."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from engrain.loops.grammar import MOST, plain_questions
from engrain.loops.verbs import base_form, third_person
from engrain.prompts import QUESTION_KINDS

ASKED = {
    "The gate code of the north barn is 4417.": [
        "What is the gate code of the north barn?",
        "What is the north barn's gate code?",
        "Which gate code does the north barn have?",
        "For the north barn, what is the gate code?",
        "The north barn's gate code?",
    ],
    "Dad's favourite cake is lemon drizzle.": [
        "What cake does Dad like best?",
        "Whose favourite cake is lemon drizzle?",
    ],
    "The user's favourite tea is oolong.": ["What is my favourite tea?", "Which tea is my favourite?"],
    "The pet door code is 77B.": ["What is the pet door code?", "Which code does the pet door have?"],
    "At 8:10 the north hall is locked.": ["When is the north hall locked?", "At what time is the north hall locked?"],
    "For the summer party Lena makes a cherry cake.": ["What does Lena make for the summer party?"],
    "Under the mat lies the spare key of the barn.": ["Where is the spare key of the barn?"],
    "From Halden comes the flour.": ["Where does the flour come from?"],
    "Every Tuesday somebody inspects the silo.": ["On which day does somebody inspect the silo?"],
    "Steam is what the mill runs on.": ["What does the mill run on?"],
    "The pump runs on diesel.": ["What does the pump run on?"],
    "The drill press stands next to the north window.": [
        "Where does the drill press stand?",
        "Where is the drill press?",
    ],
    "The barn is looked after by Piet Hagen.": ["Who looks after the barn?"],
    "Hartmann made the crane.": ["Who made the crane?"],
    "45 guests are invited to the wedding.": ["How many guests are invited to the wedding?"],
    "Anna Bell has locker number 6289.": [
        "What is the locker number of Anna Bell?",
        "Which locker number does Anna Bell have?",
    ],
    "In May Tom moved to Halden.": ["Where did Tom move in May?", "In which month did Tom move to Halden?"],
    "The safe in the office opens with the code 6094.": ["What does the office safe open with?"],
    "The boat Heron belongs to a doctor named Weiss.": [
        "Who does the boat Heron belong to?",
        "Who does the Heron belong to?",
    ],
    "The password of the guest network is slowtide.": ["What is the guest network password?"],
    "The price of a hull wash is 85 euros.": ["How much is a hull wash?", "What is the price of a hull wash?"],
    "The mayor of Thornby is Agnes Pell.": ["Who is the mayor of Thornby?", "Who is Thornby's mayor?"],
    "Rosa always orders cold brew.": [
        "What does Rosa always order?",
        "What does Rosa order?",
        "Rosa always orders what?",
        "Tell me what Rosa always orders.",
        "Who always orders cold brew?",
    ],
    "Rosa bought a yellow boat in Gdansk.": [
        "What did Rosa buy in Gdansk?",
        "What did Rosa buy?",
        "Where did Rosa buy a yellow boat?",
        "What kind of boat did Rosa buy in Gdansk?",
        "Who bought a yellow boat in Gdansk?",
    ],
    "The key of the paint room hangs behind the clock.": [
        "Where does the key of the paint room hang?",
        "Where can I find the key of the paint room?",
        "What hangs behind the clock?",
    ],
    "We keep the ladder in the green shed.": [
        "Where do we keep the ladder?",
        "Where is the ladder?",
        "In which shed do we keep the ladder?",
    ],
    "The school office closes at 3:30.": [
        "When does the school office close?",
        "At what time does the school office close?",
    ],
    "The choir meets on Wednesday.": ["When does the choir meet?", "On which day does the choir meet?"],
    "The old mill was built in 1671 by Jan Verhulst.": [
        "When was the old mill built by Jan Verhulst?",
        "In what year was the old mill built by Jan Verhulst?",
        "Who built the old mill?",
        "By whom was the old mill built in 1671?",
    ],
    "The hall has 248 chairs.": ["How many chairs does the hall have?", "The hall has how many chairs?"],
    "There are 248 chairs in the hall.": ["How many chairs are there in the hall?"],
    "The glaze takes 25 minutes.": ["How long does the glaze take?"],
    "Waffles weighs 23 kilos.": ["How much does Waffles weigh?", "How heavy is Waffles?"],
    "The laundry token costs 2 dollars.": ["How much is the laundry token?", "What is the price of the laundry token?"],
    "The oil is called Delta 46.": ["What is the oil called?", "What is the name of the oil?"],
    "The boat Heron belongs to Ada.": ["Who does the boat Heron belong to?", "Whose is the boat Heron?"],
    "We buy flour from the Miller farm.": ["Where do we buy flour from?", "Which farm do we buy flour from?"],
    "The user parks their car in bay 4.": ["Where do I park my car?", "Where is my car?"],
    "You must wear a yellow helmet inside the shed.": ["What must I wear?", "Where must I wear a yellow helmet?"],
    "The user prefers oak over pine.": [
        "What do I prefer to pine?",
        "Rather than pine, what do I want?",
        "What does the user prefer to pine?",
    ],
    "For the user, frost is better than drizzle.": [
        "What do I prefer to drizzle?",
        "What does the user like more than drizzle?",
    ],
    "For Rosa, tea is better than coffee.": ["What does Rosa prefer to coffee?"],
    "Marta likes tea better than coffee.": ["What does Marta prefer to coffee?"],
    "Smoking is only allowed under the old plum tree.": ["Where is smoking only allowed?"],
    "Femi must not eat walnuts because they make him sick.": [
        "What must Femi not eat?",
        "Why must Femi not eat walnuts?",
    ],
    "The dust bag has to be emptied on Fridays.": ["When does the dust bag have to be emptied?"],
    "Hay is delivered every second Tuesday. It comes from the Miller farm.": [
        "How often is Hay delivered?",
        "Where does Hay come from?",
    ],
    "Our vet is Dr. Halloran and her number is 555-0182.": ["Who is our vet?", "What is our vet's number?"],
    "When the alarm rings, switch off the saw, then open the door.": [
        "What should I do when the alarm rings?",
        "What is the first step when the alarm rings?",
        "What do I do last when the alarm rings?",
        "The alarm rings. What now?",
        "When should I switch off the saw?",
    ],
    "The clock was repaired by a smith named Orlo in 1988.": [
        "Which smith was the clock repaired by in 1988?",
        "When was the clock repaired?",
    ],
    "Parking is forbidden in front of the chapel.": ["Where is parking forbidden?"],
    "Before you leave the studio, close the windows, then lock the door.": [
        "What must I do before I leave the studio?"
    ],
    "To reset Dot, hold the back button, then let go.": ["How do I reset Dot?", "What must I do to reset Dot?"],
}


@pytest.mark.parametrize("note", ASKED)
def test_a_note_is_asked_about_in_the_wordings_that_its_grammar_allows(note: str) -> None:
    texts = [q for q, *_ in plain_questions(note)]
    assert [q for q in ASKED[note] if q not in texts] == []


@pytest.mark.parametrize("note", ASKED)
def test_there_are_many_wordings_each_once_and_the_forward_ones_come_first(note: str) -> None:
    asked = plain_questions(note)
    kinds = [kind for _, kind, _ in asked]
    assert len([k for k in kinds if k != "reversed"]) >= 6
    assert len({text for text, *_ in asked}) == len(asked) <= MOST
    assert set(kinds) <= set(QUESTION_KINDS)
    assert kinds == sorted(kinds, key=lambda k: k == "reversed")
    assert plain_questions(note) == asked


NOT_ASKED = {
    "The teacher from Oslo speaks Greek.": ["What does Oslo speak?"],
    "The ferry to Lund takes 45 minutes.": ["How long does the Lund take?"],
    "Every second Friday Anna cleans the oven.": ["What does Friday Anna clean every second?"],
    "On Market Street Anna Bell sells honey.": [
        "What does Street Anna Bell sell on Market?",
        "What does On Market Street Anna Bell sell?",
    ],
    "At least five volunteers are needed for the market.": ["How many volunteers are needed for the market at least?"],
    "Until the bridge is repaired the bus stops at the mill.": ["How is the bus stops at the mill until the bridge?"],
    "I have locker number 12.": ["Which locker number does I have?"],
    "Three cats live in the attic.": ["How many cats lives in the attic?"],
    "Coffee is what Miriam drinks in the morning.": ["Where does Miriam drink?"],
    "Nobody has a key.": ["Who has a key?"],
    "By noon the bread is sold out.": ["Who sells out the bread?"],
    "The form is returned by Friday.": ["Who returns the form?"],
}
"""Questions that would be bad English, or ask for something else."""


@pytest.mark.parametrize("note", NOT_ASKED)
def test_a_note_is_not_asked_what_it_does_not_tell(note: str) -> None:
    texts = {q.text for q in plain_questions(note)}
    assert texts.isdisjoint(NOT_ASKED[note])


def test_who_does_a_thing_is_asked_straight_and_who_merely_is_somewhere_the_other_way_round() -> None:
    kinds = {
        note: {q.kind for q in plain_questions(note) if q.answer == subject}
        for note, subject in (
            ("Hartmann made the crane.", "Hartmann"),
            ("Piet Hagen looks after the barn.", "Piet Hagen"),
            ("Rex sleeps under the kitchen table.", "Rex"),
            ("Nora knows the code.", "Nora"),
        )
    }
    assert list(kinds.values()) == [{"plain"}, {"plain"}, {"reversed"}, {"reversed"}]


ANSWERS = {
    "Rosa bought a yellow boat in Gdansk.": {
        "What did Rosa buy in Gdansk?": "a yellow boat",
        "Where did Rosa buy a yellow boat?": "in Gdansk",
        "Who bought a yellow boat in Gdansk?": "Rosa",
    },
    "The old mill was built in 1671 by Jan Verhulst.": {
        "Who built the old mill?": "by Jan Verhulst",
        "In what year was the old mill built by Jan Verhulst?": "in 1671",
    },
    "The user prefers oak over pine.": {"What do I prefer to pine?": "oak"},
    "If the cart squeaks, this is what you do: oil the hub, then close the shed.": {
        "What should I do if the cart squeaks?": "oil the hub, then close the shed",
        "What is the first step if the cart squeaks?": "oil the hub",
        "What is the second step if the cart squeaks?": "close the shed",
    },
    "When the alarm rings, switch off the saw, the fan, then open the door.": {
        "What should I do when the alarm rings?": "switch off the saw, the fan, then open the door",
        "What is the first step when the alarm rings?": "switch off the saw, the fan",
        "What do I do last when the alarm rings?": "open the door",
        "When should I switch off the saw, the fan?": "When the alarm rings",
    },
    "Before you leave the studio, close the windows, then lock the door.": {
        "When should I close the windows?": "Before you leave the studio",
    },
    "Ada lives in Ghent. Ada lives in Bruges.": {"Where does Ada live?": ""},
    "What Rosalind always orders is cold brew.": {
        "What does Rosalind always order?": "cold brew",
        "Who always orders cold brew?": "Rosalind",
    },
}


@pytest.mark.parametrize("note", ANSWERS)
def test_a_question_knows_which_part_of_the_note_it_asks_for(note: str) -> None:
    found = {q.text: q.answer for q in plain_questions(note)}
    assert {q: found.get(q) for q in ANSWERS[note]} == ANSWERS[note]


@pytest.mark.parametrize("note", ASKED)
def test_requests_do_not_crowd_out_other_forms(note: str) -> None:
    kinds = Counter((q.answer, q.kind) for q in plain_questions(note))
    assert all(count <= 2 for (_, kind), count in kinds.items() if kind == "request")


@pytest.mark.parametrize(
    "note",
    [
        "",
        "🙂",
        "What matters is speed.",
        "Bake the loaf at 230 degrees for 35 minutes.",
        "Keep your answers short.",
        "What is the gate code?",
        "Lining for the coat: 3 metres of navy silk",
        "Der Schlüssel ist unter dem Stein.",
        "La clé est sous le pot de fleurs.",
        "<b>The code</b> is 4417.",
        "鍵は棚の上にあります。",
    ],
)
def test_a_text_of_another_shape_is_asked_nothing(note: str) -> None:
    assert plain_questions(note) == []


@pytest.mark.parametrize("text", ["the code of ", "When a, ", "x's ", "A. ", "and it is ", ", ", "a"])
def test_a_long_text_costs_next_to_nothing(text: str) -> None:
    started = time.perf_counter()
    plain_questions((text * 100_000)[:1000])
    assert plain_questions((text * 100_000)[:100_000]) == []
    assert time.perf_counter() - started < 1


def test_verbs_find_their_base() -> None:
    forms = ["goes", "has", "carries", "washes", "opened", "stopped", "carried", "baked", "bought", "lies"]
    bases = ["go", "have", "carry", "wash", "open", "stop", "carry", "bake", "buy", "lie"]
    assert [base_form(form)[0] for form in forms] == bases
    assert [base_form(form)[1] for form in ("goes", "go", "went")] == ["does", "do", "did"]
    assert [third_person(base) for base in ("carry", "play", "wash", "have")] == ["carries", "plays", "washes", "has"]
