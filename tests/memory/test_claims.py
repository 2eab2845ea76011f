"""Two notes about the same thing, told from their words."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engrain.memory.claims import claim_of
from engrain.memory.history import derive
from engrain.memory.phrases import normalise
from engrain.records import Memory, Scope

REPLACED = [
    ("The gate code of the north barn is 4417", "The gate code of the north barn is now 5521"),
    ("The gate code of the north barn is 4417.", "Gate code, north barn: 5521"),
    ("The gate code of the north barn is 4417", "The north barn's gate code is 5521"),
    ("4417 is the gate code of the north barn", "The gate code of the north barn is 5521"),
    ("The gate code of the north barn is 4417", "5521 is the gate code of the north barn"),
    ("The gate code of the north barn is 4417", "The new gate code of the north barn is 5521"),
    ("The gate code of the north barn is 4417", "The gate code of the north barn has changed to 5521"),
    ("The gate code of the north barn is 4417", "The gate code of the north barn was changed from 4417 to 5521."),
    ("The gate code is 4417", "The gate code is no longer 4417 but 5521"),
    ("The gate code is 4417", "The gate code is no longer 4417"),
    ("[2026-01-04] The gate code is 4417.", "[2026-03-19] The gate code is 9082."),
    ("The gate code is 4417", "As of May 3, the gate code is 9082"),
    ("The north barn has 4417 as its gate code", "The gate code of the north barn is 5521"),
    ("The wifi password is maple-river-9", "Actually, the wifi password is birchwood."),
    ("The user's favourite tea is oolong", "The user's favourite tea is mint tea"),
    ("My favourite tea is oolong.", "The user's favorite tea is mint tea."),
    ("Oolong is the user's favourite tea", "The user's favourite tea is mint tea"),
    ("The meeting is on Monday at 9", "The meeting is on Tuesday at 10"),
    ("Our team meeting is at 9:00.", "The team meeting moved to 10:30."),
    ("The concert is on 21 April.", "The concert is on 5 May."),
    ("The concert is on 21 April.", "The concert has been postponed to May 5th."),
    ("Lunch is at noon.", "From Monday on, lunch is at half past twelve."),
    ("The deadline is Friday at 5", "The deadline is now Thursday at 4"),
    ("The exam is on the 4th of June", "The exam is on the 11th of June"),
    ("Nora lives in Leeds.", "Nora lives in Bristol now."),
    ("I live in Leeds", "The user lives in Bristol"),
    ("Nora lives in Leeds.", "Nora no longer lives in Leeds."),
    ("Anna works at Acme", "Anna works at Globex."),
    ("Anna works at Acme", "Anna does not work at Acme any more"),
    ("Marta reports to Ben", "Marta reports to Ines now."),
    ("The blue kayak belongs to Farid", "The blue kayak belongs to Ines"),
    ("Our plumber is Stan Kowalski.", "Our new plumber is Greta Holm."),
    ("Mila's teacher is Mr. Osei.", "Mila's teacher is Ms. Brandt."),
    ("The manager of the shop is Dana.", "The manager of the shop is Lukas."),
    ("Dana is the manager of the shop.", "Lukas is the manager of the shop."),
    ("The capital of the league is Oslo", "The capital of the league is Bergen"),
    ("Honey jars cost 0.85 each.", "Honey jars cost 1.10 each."),
    ("The ferry costs 12 dollars.", "The ferry now costs 14 dollars."),
    ("Waffles weighs 23 kilos.", "Waffles weighs 26 kilos."),
    ("Anna is 34 years old", "Anna is 35"),
    ("The label printer takes 62 mm rolls.", "The label printer takes 58 mm rolls."),
    ("There are 12 goats in the north barn.", "There are 14 goats in the north barn."),
    ("The heating is set to 19 degrees", "The heating was set to 21 degrees"),
    ("The shop closes at 6", "The shop closes at 7"),
    ("The opening hours are 9 to 5", "The opening hours are 10 to 6"),
    ("The price is 5 euros for members", "The price is 6 euros for members"),
    ("The door of the shed is red", "The door of the shed is dark green"),
    ("The pool is closed.", "The pool is open."),
    ("Farid sits at desk 11.", "Farid sits at desk 18."),
    ("The ladder is in the shed", "The ladder is in the garage"),
    ("The spare key is behind the clock.", "The spare key is now under the mat."),
    ("The wood glue is kept on the second shelf", "The wood glue is kept on the top shelf"),
    ("When the pump stops, press reset.", "From now on, when the pump stops, call Owen."),
    ("The user prefers tea over coffee", "The user prefers coffee over tea"),
    ("Answer in upper case.", "Please answer in lower case."),
    ("Call me Captain.", "Please call me Boss when you answer."),
    ("End every answer with 'over and out'.", "Finish your replies with 'cheers'."),
    ("Keep your answers short.", "Give me long, detailed answers."),
    ("Ruth is the contact for the printer", "The contact for the printer is Tom"),
    ("My phone number is 555-0182", "My new phone number is 555-0199"),
]

KEPT = [
    ("The gate code of the north barn is 4417", "The gate code of the south barn is 5521"),
    ("The gate code of the north barn is 4417", "The gate code is 5521"),
    ("The gate code of the barn is 4417", "The gate code of the new barn is 5521"),
    ("The gate code of the barn is 4417", "The door code of the barn is 5521"),
    ("The gate code of the barn is 4417", "The gate code of the barn is easy to remember"),
    ("The gate code of the barn is 4417", "The gate code of the barn is written under the mat"),
    ("The gate code of the barn is 4417 on weekdays", "The gate code of the barn is 5521 on Sundays"),
    ("The gate code of the barn is 4417", "On Sundays the gate code of the barn is 5521"),
    ("The gate code of the barn is 4417", "The gate code of the barn was 3300 last year"),
    ("The gate code of the barn is 4417", "Is the gate code of the barn 5521?"),
    ("The gate code of the barn is 4417", "Anna says the gate code of the barn is 5521"),
    ("The gate code of the barn is 4417", "The gate code of the barn is 4417 and the light is on a timer"),
    ("The colour of the front door of the back yard is red", "The colour of the back door of the front yard is blue"),
    ("Anna likes tea", "Bob likes tea"),
    ("Anna likes tea", "Anna likes coffee"),
    ("Marta called on Tuesday", "Marta called on Friday"),
    ("Marta sold the tractor for 500 euros", "Marta sold the tractor for 700 euros"),
    ("Anna painted the shed red", "Anna painted the shed blue"),
    ("My sister moved to Bristol", "My sister moved to Leeds"),
    ("Our plumber is Stan Kowalski.", "Our plumber moved to Bristol."),
    ("Our plumber is Stan Kowalski.", "Our plumber is expensive."),
    ("Our plumber is Stan Kowalski.", "Our plumber is from Leeds."),
    ("My sister is Nora.", "My sister is Beth."),
    ("Nora's cat is Biscuit.", "Nora's cat is Tom."),
    ("Nora is Anna's friend", "Beth is Anna's friend"),
    ("My son's name is Leo", "My son's name is Tim"),
    ("Anna's hobby is chess", "Anna's hobby is rowing"),
    ("Anna is a nurse", "Anna is a mother"),
    ("Anna is a nurse", "Anna is tall"),
    ("Anna is allergic to walnuts", "Anna is allergic to shellfish"),
    ("Anna is in the choir", "Anna is in Oslo"),
    ("Anna is fluent in English", "Anna is fluent in French"),
    ("Anna knows Ben", "Anna knows Carl"),
    ("Anna has a dog", "Anna has a cat"),
    ("Anna has 3 cats", "Anna has 2 dogs"),
    ("Anna owns a bakery", "Anna owns a hotel"),
    ("Anna lives in Oslo", "Anna lives in a small flat"),
    ("Anna lives in Oslo", "Anna lives with Ben"),
    ("Anna works at Acme", "Anna works as a nurse"),
    ("Anna visited Rome in 2019", "Anna visited Rome in 2021"),
    ("The price is 5 euros for members", "The price is 7 euros for guests"),
    ("The rent is 40 euros per month", "The rent is 480 euros per year"),
    ("A guest pass is 7 dollars", "A day pass is 9 dollars"),
    ("The kayak is 4 metres long", "The kayak is 60 cm wide"),
    ("The kayak weighs 28 kilos", "The kayak seats 2 people"),
    ("Breakfast is at 8", "Breakfast is at 10 on Sundays"),
    ("Breakfast is at 9 on Saturday", "Breakfast is at 10 on Sunday"),
    ("The shop opens at 9", "The shop closes at 6"),
    ("The shop opens at 9", "The shop opens at 11 on Sundays"),
    ("Yoga is on Mondays", "Yoga is on Thursdays"),
    ("The pool is closed on Mondays", "The pool is closed in winter"),
    ("The meeting is on Monday", "The meeting is in room Cedar"),
    ("The meeting is on Monday", "The meeting is about the roof"),
    ("The bus to Leeds leaves at 7:10", "The bus to Leeds leaves at 9:40"),
    ("Room 12 is closed", "Room 14 is closed"),
    ("Locker 12 belongs to Anna", "Locker 14 belongs to Anna"),
    ("The scissors are in the kitchen", "The scissors are on the hook"),
    ("The spare key is behind the clock", "The spare key is brass"),
    ("If the alarm rings, call Anna", "If the alarm rings, leave the building"),
    ("When the pump stops, press reset", "When the fan stops, call Owen"),
    ("Feed the goats at 6:30", "Feed the goats at 18:30"),
    ("Answer in upper case.", "Call me Captain."),
    ("Put your answers in quotation marks.", "Put a star before and after your answers."),
    ("Answer in lower case.", "Use capital letters for my name."),
    ("Answer in German when Ben writes.", "Answer in English when Ines writes."),
    ("Call me Captain.", "Call me when the pump stops."),
    ("The roof is red", "The roof is made of tin"),
    ("Tom and Anna live in Oslo", "Anna lives in Leeds"),
    ("I live in Leeds", "I was in Oslo"),
    ("My weight is 70 kilos", "I was 80 kilos"),
    ("The key is in the shed", "The key is behind the shed"),
    ("It is in the shed", "It is in the garage"),
    ("She is 34", "She is 12"),
    ("The tool of the day is the saw", "The owner of the saw is Owen"),
    ("The team is small", "The team is big"),
    ("The user prefers tea over coffee", "The user prefers trains over planes"),
    ("The ladder is in the garage", "The ladder is not in the shed"),
    ("Roses are red", "Roses are white"),
    ("Marek owns hive four", "Marek owns hive six"),
]


def first_is_replaced(first: str, second: str) -> bool:
    memories = [
        Memory(id=name, scope=Scope(), text=text, valid_from=at, recorded_at=at)
        for name, text, at in (("first", first, 1.0), ("second", second, 2.0))
    ]
    return derive(memories)["first"].state == "superseded"


@pytest.mark.parametrize(("old", "new"), REPLACED)
def test_a_new_value_of_the_same_thing_replaces_the_old(old: str, new: str) -> None:
    assert first_is_replaced(old, new)


@pytest.mark.parametrize(("one", "other"), KEPT)
def test_two_notes_that_can_both_be_true_stay(one: str, other: str) -> None:
    assert not first_is_replaced(one, other)
    assert not first_is_replaced(other, one)


def test_the_order_of_the_words_around_the_verb_does_not_matter() -> None:
    forward, backward = (
        claim_of("The gate code of the north barn is 4417."),
        claim_of("4417 is the north barn's gate code"),
    )
    assert forward is not None
    assert forward == backward
    assert forward.topic == ("north", "barn", "gate", "code")
    assert forward.value == "4417"


@pytest.mark.parametrize(
    "text",
    ["", " ", "?", "...", "is", "is is is", "The is", "of of of is of", "a: b: c", "no longer", "\n", "9", "When , x"],
)
def test_odd_texts_claim_nothing_and_do_not_fail(text: str) -> None:
    assert claim_of(text) is None


WORDS = [
    *[
        "the",
        "of",
        "for",
        "is",
        "are",
        "am",
        "no",
        "longer",
        "not",
        "but",
        "now",
        "my",
        "our",
        "user's",
        "Anna's",
        "code",
        "gate",
        "4417",
        "5",
        "euros",
        "on",
        "Monday",
        "at",
        "9",
        "in",
        "a",
        "shed",
    ],
    *[
        "due",
        "set",
        "by",
        "called",
        "kept",
        "has",
        "as",
        "its",
        "prefers",
        "to",
        "does",
        "live",
        "I",
        "works",
        "from",
        ",",
        ":",
        ".",
        ";",
        "'",
        '"',
        "$",
        "when",
        "new",
        "favourite",
        "name",
    ],
]


@example("{-")
@given(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join) | st.text(max_size=40))
def test_any_text_is_read_without_failing(text: str) -> None:
    claim = claim_of(text)
    assert claim is None or (claim.topic and all(claim.topic))
    assert normalise(normalise(text)) == normalise(text)


def test_stamps_fillers_and_spelling_do_not_make_another_note() -> None:
    assert normalise("[2026-03-02] Actually, the gate code is now 4417.") == normalise("The gate code is 4417")
    assert normalise("My favorite color is red") == normalise("The user's favourite colour is red")
    assert normalise("The gate code is not 4417") != normalise("The gate code is 4417")
