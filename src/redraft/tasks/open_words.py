"""Words without end: common ones, names, numbers, and words that nobody ever wrote."""

from __future__ import annotations

import random

VERBS = tuple(
    """answer ask bake book borrow bring brush build buy call cancel change charge check clean clear
    close collect cook copy count cut deliver draw drop dry email empty explain feed file fill find
    finish fix fold follow freeze get give glue grow hang help hide iron join keep learn lend load
    lock make measure meet mend move mow order pack paint pay pick plan plant polish post practise
    prepare print pull read record remind remove rent repair replace reply return rinse save sell
    send set sew share sharpen show sign sort stack start stop store study sweep swim take teach
    test thank throw tidy tie translate trim try turn update vacuum visit walk wash watch water
    weed wipe wrap write""".split()
)
NOUNS = tuple(
    """account address apple apron attic balcony ball banana bank basket bath battery bean bed bell
    belt bike bill bin bird blanket boat bone book boots bottle bowl box bread brick bridge broom
    bucket bulb bus butter button cable cake calendar camera candle car card carpet carrot cat chair
    cheese chicken child church clock cloth coat code coffee coin comb computer contract cork cotton
    cover cow cream cup cupboard curtain dentist desk diary dictionary dinner dish doctor dog door
    drain drawer dress drill duck egg engine envelope essay fan faucet fence fish flag floor flour
    flower folder fork form fridge fruit game garage garden gate gift glass glove goat grass guitar
    hammer hat hedge helmet honey horse hose invoice jacket jam jar juice kettle key kitchen knife
    ladder lamp laptop lawn leaf lemon letter library light list lunch mail map mask meal meat
    medicine menu milk mirror money mop mouse nail needle neighbour net newspaper notebook nurse
    nuts oil onion orange oven paint pan paper parcel passport pasta pen pencil pepper phone photo
    piano picture pillow pipe plan plane plate plum pocket poem pond poster pot potato printer
    puzzle radio rake rent report rice ring roof room rope rose rug salad salt sandwich saw scarf
    school scissors seat seeds shed sheet shelf ship shirt shoes shop shower sink sister skirt soap
    sock sofa soup spade spoon stairs stamp stove string suit sugar suitcase table tap tax tea tent
    ticket tie tiles toast tomato tool towel toy train tree trousers truck umbrella vase vegetables
    violin wall wallet watch wheel window wine wood wool yard""".split()
)
ADJECTIVES = tuple(
    """big black blue broken brown cheap clean cold dark dirty dry empty first fresh full good green
    heavy hot large last light little long loud new next old other own quiet red second short small
    soft spare sweet tall thick thin third tiny warm wet white yellow young""".split()
)
STARTS = "b br c ch d dr f fl g gr h j k kl l m n p pr qu r s sh sk sl st t th tr v w z".split()
MIDDLES = "a e i o u a e i o u ai ea oo ou ie oa".split()
ENDS = ["", "", *"n r s l t m ck nd p x ng d st b g".split()]
TAILS = (
    None,
    None,
    "for {name}",
    "to {name}",
    "from {name}",
    "at {number}",
    "on {day}",
    "before {day}",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "tomorrow")


def new_word(rng: random.Random) -> str:
    """Return a word that nobody wrote, of one to three syllables or of random letters."""
    if rng.random() < 0.3:
        letters = rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))
        return "".join(letters)
    parts = (STARTS, MIDDLES, ENDS) * rng.randint(1, 3)
    return "".join(rng.choice(part) for part in parts)


def noun(rng: random.Random) -> str:
    """Return a noun, common or new, now and then with an adjective."""
    word = rng.choice(NOUNS) if rng.random() < 0.6 else new_word(rng)
    return f"{rng.choice(ADJECTIVES)} {word}" if rng.random() < 0.2 else word


def name(rng: random.Random) -> str:
    """Return a capitalised name."""
    return new_word(rng).capitalize()


def item(rng: random.Random) -> str:
    """Return the text of a to-do item, without characters of HTML."""
    verb = rng.choice(VERBS) if rng.random() < 0.8 else new_word(rng)
    kind = rng.random()
    if kind < 0.15:
        text = noun(rng)
    elif kind < 0.25:
        text = f"{rng.randint(2, 99)} {noun(rng)}"
    else:
        article = rng.choice(("", "", "the ", "a ", "my ", f"{rng.randint(2, 40)} "))
        text = f"{verb} {article}{noun(rng)}"
    if tail := rng.choice(TAILS) if rng.random() < 0.4 else None:
        number, day = str(rng.randint(1, 12)), rng.choice(DAYS)
        text += " " + tail.format(name=name(rng), number=number, day=day)
    style = rng.random()
    return text.capitalize() if style < 0.1 else text.upper() if style < 0.12 else text


def mistyped(text: str, rng: random.Random) -> str:
    """Return a text with one letter left out, doubled, or two exchanged, in its middle."""
    places = [at for at in range(1, len(text) - 2) if text[at : at + 2].isalpha()]
    if not places:
        return text
    at = rng.choice(places)
    pair = rng.choice((text[at + 1], text[at] * 2 + text[at + 1], text[at + 1] + text[at]))
    return text[:at] + pair + text[at + 2 :]
