"""Tokens by how their texts begin and end, against a look at every one."""

from __future__ import annotations

import random

from redraft.text.token_texts import TokenTexts


def test_tokens_are_found_by_the_start_and_the_end_of_their_text() -> None:
    rng = random.Random(1)
    letters = ["a", "b", " ", "\u00e9", "\U0010ffff", "\ud7ff", "_"]
    for _ in range(60):
        made = ["".join(rng.choices(letters, k=rng.randrange(5))) for _ in range(80)]
        texts = TokenTexts(made)
        for _ in range(40):
            text = "".join(rng.choices(letters, k=rng.randint(1, 4)))
            starting = [token for token, one in enumerate(made) if one.startswith(text)]
            ending = [token for token, one in enumerate(made) if one.endswith(text)]
            assert (texts.starting(text), texts.ending(text)) == (starting, ending)
