"""Where a text ends, and what of it is handed out when."""

from __future__ import annotations

import random

import pytest
import tokenizers

from redraft.config import GenerationConfig
from redraft.engine import Request
from redraft.engine.output import Output
from redraft.testing import byte_tokenizer, tiny_config
from redraft.text import Tokenizer

TOKENIZER = byte_tokenizer()


def writing(**options) -> Output:
    config = GenerationConfig(**{"max_new_tokens": 400, "eos_token_id": (1,), "seed": 0, **options})
    return Output(0, Request.checked([2], config, tiny_config()), TOKENIZER)


def writing_in_bytes(letter: str) -> Output:
    """With a tokenizer of raw byte tokens as Gemma has them: ids 4 to 259, and `letter` is 3."""
    vocabulary = {"<pad>": 0, "<eos>": 1, "<bos>": 2, letter: 3} | {
        f"<0x{byte:02X}>": 4 + byte for byte in range(256)
    }
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab=vocabulary, merges=[], byte_fallback=True)
    )
    backend.decoder = tokenizers.decoders.Sequence(
        [tokenizers.decoders.ByteFallback(), tokenizers.decoders.Fuse()]
    )
    backend.add_special_tokens(["<pad>", "<eos>", "<bos>"])
    config = GenerationConfig(max_new_tokens=400, eos_token_id=(1,), seed=0)
    return Output(0, Request.checked([2], config, tiny_config()), Tokenizer(backend))


def ids(text: str | bytes) -> list[int]:
    raw = text.encode() if isinstance(text, str) else text
    return [128 + byte for byte in raw]


def test_a_stop_string_across_two_canvases_ends_the_text_before_it() -> None:
    one = writing(stop=("STOP",))
    assert one.commit(ids("hello ST"), 1)[1] == "hello "  # held back: it may become the stop string
    assert one.reason is None
    tokens, text = one.commit(ids("OP and more"), 1)
    assert (text, one.reason) == ("", "stop_string")
    assert tokens == ids("OP")
    assert one.finished().text == "hello "


def test_what_was_held_back_is_handed_out_once_it_is_no_stop_string() -> None:
    one = writing(stop=("STOP",))
    assert one.commit(ids("a ST"), 1)[1] == "a "
    assert one.commit(ids("ART"), 1)[1] == "START"
    one = writing(stop=("STOP",), max_new_tokens=4)
    assert one.commit(ids("a ST and"), 1)[1] == "a ST"  # the text ends by length: nothing is lost
    assert one.reason == "length"


def test_cancelling_hands_out_what_was_held_back() -> None:
    one = writing(stop=("STOP",))
    one.commit(ids("hello ST"), 1)
    finished = one.cancel()
    assert (finished.text, finished.reason) == ("hello ST", "cancelled")


def test_a_run_of_byte_tokens_is_handed_out_when_it_is_over() -> None:
    one = writing_in_bytes("a")
    pieces = [
        one.commit(tokens, 1)[1]
        for tokens in ([3, 4 + 0xC3, 4 + 0xA9], [4 + 0xFF], [3, 4 + 0xC3, 4 + 0xA9], [3, 1])
    ]
    # What looked like a character is none once the next byte is there: the run waits until it is
    # over.
    assert pieces[0] == "a"
    assert "".join(pieces) == one.finished().text
    assert one.finished().text.endswith("aéa")
    assert one.finished().text.startswith("a\ufffd")


def test_special_tokens_and_thoughts_do_not_end_a_run_of_bytes() -> None:
    one = writing_in_bytes("x")
    pieces = [one.commit(tokens, 1)[1] for tokens in ([4 + 0x41, 0], [4 + 0xC3], [3], [1])]
    assert "".join(pieces) == one.finished().text


def test_several_thoughts_are_kept_apart_and_only_labels_are_dropped() -> None:
    one = writing()
    one.commit([100, *ids("thought\nA"), 101, *ids("so"), 100, *ids("thoughtful"), 101, 1], 1)
    assert one.finished().text == "so"
    assert one.finished().reasoning == "A\nthoughtful"


def test_the_earliest_of_several_stops_ends_the_text() -> None:
    one = writing(stop=("zz", "b", "ab"))
    assert one.commit(ids("xxabzz"), 1)[1] == "xx"


def test_half_a_character_waits_for_its_other_half() -> None:
    euro = "€".encode()
    one = writing()
    assert one.commit(ids(b"5 " + euro[:2]), 1)[1] == "5 "
    assert one.commit(ids(euro[2:] + b"!"), 1)[1] == "€!"


def test_a_draft_is_cut_where_the_text_would_end() -> None:
    one = writing(stop=("STOP",), max_new_tokens=9)
    one.commit(ids("ab"), 1)
    assert one.draft_text([*ids("cd"), 1, *ids("ef")]) == "cd"
    assert one.draft_text(ids("cSTOPd")) == "c"
    assert one.draft_text(ids("1234567890")) == "1234567"


def test_reasoning_is_kept_apart_even_when_canvases_cut_it() -> None:
    one = writing()
    assert one.commit([100, *ids("thought\nhm")], 1)[1] == ""
    assert one.commit([*ids("m"), 101, *ids("yes")], 1)[1] == "yes"
    one.commit([1], 1)
    assert one.finished().text == "yes"
    assert one.finished().reasoning == "hmm"


@pytest.mark.parametrize("seed", range(100))
def test_handed_out_pieces_are_the_text_however_it_is_cut(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choice("abS€字 STOP\n") for _ in range(60))
    stops = tuple(rng.sample(["STOP", "ab", "SS", "字€", "zzz"], 2))
    tokens = [*ids(text), 1]
    one, pieces, at = writing(stop=stops), [], 0
    while one.reason is None:
        step = rng.randint(1, 9)
        pieces.append(one.commit(tokens[at : at + step], 1)[1])
        at += step
    found = [position for stop in stops if (position := text.find(stop)) >= 0]
    assert "".join(pieces) == one.finished().text == (text[: min(found)] if found else text)
    assert one.reason == ("stop_string" if found else "stop")
    decoded = TOKENIZER.decode(one.tokens)
    assert decoded.startswith(one.finished().text)
    assert not found or any(decoded.endswith(stop) for stop in stops)
