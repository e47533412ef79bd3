"""Filling in: what stands outside the holes is never touched, widths are searched, misuse is
told."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import redraft
from redraft.api import Model
from redraft.diffusion import Canvas, DenoisingOptions, DenoisingState, Noise, denoise
from redraft.editing import Candidate, Hole, Infilled, Template, infill, plan
from redraft.editing.candidate_row import CandidateRow
from redraft.editing.infill import InfillCandidates
from redraft.editing.layout import Pieces, place, widths_to_try
from redraft.editing.scores import score_texts, total
from redraft.editing.token_healing import before_hole, behind_hole
from redraft.engine.prefix_rows import prefix_row
from redraft.engine.row import LastState, Part, Row
from redraft.errors import ConfigError, NonFiniteError, RedraftError, RequestError, TokenRangeError
from redraft.events import Draft
from redraft.testing import byte_tokenizer, tiny_model
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.text.token_texts import TokenTexts
from redraft.text.tokenizer import REPLACEMENT_CHARACTER
from tests.engine.probe import run_course

STEPS = {"max_denoising_steps": 2}


# Random texts, holes and characters that the property test fills; REDRAFT_CASES=10000 makes it a
# long one.
CASES = int(os.environ.get("REDRAFT_CASES", "150"))


@pytest.fixture(scope="module")
def model() -> Model:
    network = tiny_model(3, vocab_size=384, canvas_length=32, max_position_embeddings=2048)
    return Model(network, byte_tokenizer(), ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"}))


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


WORDS = st.lists(
    st.sampled_from(
        ["def", " acc", "items", " ", "\n", "    ", "in", "é", "total", "0", ".", "🙂"]
    ),
    max_size=20,
)


ROWS: list[CandidateRow] = []


class Witness(CandidateRow):
    """A row that is seen by the tests."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        ROWS.append(self)


PLANS: list[InfillCandidates] = []


class WitnessPlan(InfillCandidates):
    """An infill whose plan is seen by the tests."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        PLANS.append(self)


@pytest.fixture(scope="module")
def wordy() -> Iterator[Model]:
    """Random weights with a tokenizer of words, so that holes fall inside them."""
    small = redraft.load("small-text")
    shape = {
        "num_hidden_layers": 2,
        "layer_types": ("sliding_attention", "full_attention"),
        "canvas_length": 16,
    }
    network = tiny_model(
        3, vocab_size=small.config.vocab_size, max_position_embeddings=2048, **shape
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(infill, "CandidateRow", Witness)
        patch.setattr(plan, "InfillCandidates", WitnessPlan)
        yield Model(network, small.tokenizer, small.chat_template)


@settings(max_examples=CASES, deadline=None)
@given(
    st.lists(st.one_of(TEXTS, WORDS.map("".join)).filter(bool), min_size=2, max_size=3),
    st.sampled_from([1, 2, 5, 20, 40]),
    st.integers(0, 5),
    st.data(),
)
def test_text_outside_the_holes_is_as_it_was(
    wordy: Model, texts: list[str], width: int, seed: int, data: st.DataObject
) -> None:
    parts: list[str | Hole] = []
    for text in texts:
        parts += [text, Hole(1, width)]
    if data.draw(st.booleans()):
        parts = parts[:-1]
    if data.draw(st.booleans()):
        parts = parts[1:]
    template = (
        Template.of(parts)
        if any(isinstance(part, Hole) for part in parts)
        else Template.of("a<hole>")
    )
    instruction = data.draw(st.sampled_from([None, "fill"]))
    ROWS.clear()
    PLANS.clear()
    filled = wordy.infill(
        template, instruction=instruction, seed=seed, max_candidates=2, max_denoising_steps=1
    )
    assert filled.text == template.filled(filled.fills)
    assert len(ROWS) in (1, 2, 4)  # each width apart, and healed where there are borders
    tokenizer = wordy.tokenizer
    assert tokenizer is not None
    placed_rows = PLANS[0].plan.placed
    for row, placed in zip(ROWS, placed_rows, strict=True):
        pieces = placed.pieces
        fills = [tokenizer.decode(row.fill(number)) for number in range(len(template.holes))]
        borders = [
            ((before.text if before else ""), (behind.text if behind else ""))
            for before, behind in pieces.borders
        ]
        if all(
            fill.startswith(first) and fill.endswith(last)
            for fill, (first, last) in zip(fills, borders, strict=True)
        ):
            # What the model read, hole by hole, is the text: what the borders took is in their holes,
            # and nowhere else.
            read = tokenizer.decode(pieces.left)
            for fill, between in zip(fills, [*pieces.between, pieces.right], strict=True):
                read += fill + tokenizer.decode(between)
            bare = [
                fill[len(first) : len(fill) - len(last)]
                for fill, (first, last) in zip(fills, borders, strict=True)
            ]
            if all(
                len(fill) >= len(first + last)
                for fill, (first, last) in zip(fills, borders, strict=True)
            ):
                plain = [
                    tokenizer.decode(tokenizer.encode(text, bos=False)) for text in template.texts
                ]
                plain[-1] = plain[-1].rstrip("\r\n") if instruction else plain[-1]
                whole = (
                    "".join(part for pair in zip(plain, bare, strict=False) for part in pair)
                    + plain[-1]
                )
                assert REPLACEMENT_CHARACTER in read or whole.endswith(
                    read
                )  # a text may be cut inside a character
        # And so it lies on the canvases: the pieces in their order around the holes, and nothing of
        # them changed.
        at, holes = 0, placed.layout.holes
        for text_tokens, hole in zip([pieces.left, *pieces.between], holes, strict=True):
            assert row.tokens[at : hole.start] == text_tokens
            at = hole.stop
        seen_behind = pieces.right[: placed.right_seen - (pieces.right_length - len(pieces.right))]
        assert row.tokens[at : at + len(seen_behind)] == seen_behind
        assert [place for canvas in placed.layout.canvases for place in canvas] == list(
            range(len(row.tokens))
        )
    seen, there = filled.right_context
    assert seen <= there <= len(tokenizer.encode(template.texts[-1], bos=False))


def test_the_same_seed_fills_the_same(model: Model) -> None:
    once, again, other = (
        model.infill("def f(<hole>):\n    return <hole>\n", seed=seed, **STEPS)
        for seed in (1, 1, 2)
    )
    assert once == again
    assert once.candidates != other.candidates
    assert [one.score for one in once.candidates] == sorted(
        (one.score for one in once.candidates), reverse=True
    )
    assert once.fills == once.candidates[0].fills
    drawn = model.infill("a <hole> b", **STEPS)
    assert model.infill("a <hole> b", seed=drawn.seed, **STEPS) == drawn


def test_a_score_is_the_texts_log_probability(model: Model) -> None:
    network, prefix = model.network, [2, 200, 201, 202]
    texts = [[210, 211, 212], [220], [230, 231]]

    def course(resources):
        row = prefix_row(resources, prefix, 40, LastState())
        yield [row]
        scored = yield from score_texts(resources, row, row.result, texts)
        assert row.begin().length == len(prefix)
        return [total(one) for one in scored]

    found = run_course(network, course)
    with torch.inference_mode():
        for text, score in zip(texts, found, strict=True):
            states = network.encode([torch.tensor(prefix + text)], [network.new_cache(40)])[0]
            likely = network.logits(states).log_softmax(-1)[len(prefix) - 1 : -1]
            assert score == pytest.approx(float(likely[range(len(text)), text].sum()), abs=1e-3)


def test_a_long_text_is_told_how_much_of_it_was_seen(model: Model) -> None:
    before, after = "x" * 500 + "\n", "y" * 100
    filled = model.infill([before, Hole(4, 4), after], seed=1, **STEPS)
    assert filled.right_context == (28, 100)
    assert filled.text.startswith(before)
    assert filled.text.endswith(after)


def test_the_line_of_the_first_hole_is_on_the_canvas_and_what_comes_before_is_not() -> None:
    tokenizer = byte_tokenizer()
    pieces = Pieces.of(Template.of("ab\ncd<hole>e<hole>fg"), tokenizer, [2], [106], [106], 16)
    assert pieces.prefix == [2, *tokenizer.encode("ab\n", bos=False)]
    assert pieces.left == tokenizer.encode("cd", bos=False)
    placed = place(pieces, (2, 3), 16, 1)
    assert placed.layout.holes == (range(2, 4), range(5, 8))
    assert placed.layout.tokens[8:] == [*tokenizer.encode("fg", bos=False), 106, 1, 1, 1, 1, 1]
    assert placed.layout.canvases == (range(16),)
    short = place(pieces, (2, 3), 9, 1)
    assert (short.right_seen, short.layout.tokens[8]) == (1, tokenizer.encode("f", bos=False)[0])


def test_widths_go_from_least_to_most() -> None:
    template = Template.of(["a", Hole(1, 24), "b", Hole(4, 4)])
    tried = widths_to_try(template, 6)
    assert (tried[0], tried[-1]) == ((1, 4), (24, 4))
    assert tried == sorted(tried)
    assert len(tried) == len(set(tried)) <= 6
    assert widths_to_try(Template.of("a<hole>"), 1) == [(24,)]


@pytest.mark.parametrize(
    ("template", "error", "said"),
    [
        ("no hole", RequestError, "no hole"),
        ("", RequestError, "no hole"),
        ("a<hole><hole>b", RequestError, "touch"),
        (["a", 3], RequestError, "int"),
        ("x" * 2040 + "\n<hole>", RequestError, "the context holds 2048"),
        (["x" * 40, Hole(2010, 2020)], RequestError, "the context holds 2048"),
    ],
)
def test_templates_that_cannot_be_filled_are_told(
    model: Model, template, error: type[RedraftError], said: str, monkeypatch
) -> None:
    monkeypatch.setattr(model.network, "encode", lambda *_, **__: pytest.fail("work was done"))
    with pytest.raises(error, match=said):
        model.infill(template, seed=1)


def test_spans_and_holes_that_cannot_be_are_told(model: Model) -> None:
    for spans, said in (
        ([(2, 5), (4, 6)], "overlaps"),
        ([(3, 2)], "does not lie"),
        ([(0, 99)], "does not lie"),
        ([(-1, 2)], "lie"),
    ):
        with pytest.raises(RequestError, match=said):
            model.rewrite("0123456789", spans)
    for sizes in ((0, 3), (4, 3), (1.5, 2)):
        with pytest.raises(ConfigError):
            Hole(*sizes)
    with pytest.raises(ConfigError, match="max_candidates"):
        model.infill("a<hole>", max_candidates=0)
    with pytest.raises(RequestError, match="tokenizer"):
        Model(model.network).infill("a<hole>")


def test_options_mean_what_they_mean_in_writing(model: Model) -> None:
    letter = byte_tokenizer().encode("q", bos=False)[0]
    filled = model.infill(["a", Hole(4, 4), "b"], seed=1, logit_bias={letter: 1e4}, **STEPS)
    assert filled.fills == ("qqqq",)
    with pytest.raises(ConfigError, match="999"):
        model.infill("a<hole>", logit_bias={999: 1.0})
    with pytest.raises(ConfigError, match="entropy_bond"):
        model.infill("a<hole>", entropy_bond=1.0)


def test_broken_weights_are_named() -> None:
    network = tiny_model(3, vocab_size=384, canvas_length=32)
    with torch.no_grad():
        network.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"layers\.1\.mlp\.up_proj"):
        Model(network, byte_tokenizer()).infill("a<hole>", seed=1)


def test_something_is_put_in_or_written_anew(model: Model) -> None:
    inserted = model.insert("one three", 4, hole=Hole(2, 2), seed=1, **STEPS)
    assert inserted.text == f"one {inserted.fills[0]}three"
    again = model.rewrite("one two three", [(4, 7)], hole=Hole(3, 3), seed=1, **STEPS)
    assert again.text == f"one {again.fills[0]} three"


def test_a_hole_wider_than_a_canvas_is_written_over_several(model: Model) -> None:
    before, after = "x" * 100 + "\nab", "y" * 20
    drafts = list(
        model.stream_infill(
            [before, Hole(70, 70), after], seed=1, max_candidates=1, max_denoising_steps=3
        )
    )
    filled = drafts.pop()
    assert isinstance(filled, Infilled)
    # 2 tokens of the line and 70 of the hole: the last canvas holds 16 of what stands behind, the
    # first are full.
    canvases = sorted({draft.canvas for draft in drafts if isinstance(draft, Draft)})
    assert canvases == [0, 1, 2]
    assert filled.text == before + filled.fills[0] + after
    assert filled.right_context == (16, 20)
    assert len(filled.history) == 70
    assert filled == model.infill(
        [before, Hole(70, 70), after], seed=1, max_candidates=1, max_denoising_steps=3
    )


def test_a_session_writes_over_several_canvases_as_a_model_does(model: Model) -> None:
    text = "x" * 300 + "\n"
    options = {"hole": Hole(70, 70), "seed": 1, "max_candidates": 1, **STEPS}
    session = model.edit(text)
    assert (
        session.insert(len(text), **options).after == model.insert(text, len(text), **options).text
    )
    assert session.insert(100, **options).filled == model.insert(
        session.edits[0].after, 100, **options
    )


def test_canvases_behind_each_other_are_what_one_prefix_makes_them(model: Model) -> None:
    """The second canvas sees the first as a prefix: the same tokens as if the first had been part
    of the text before."""
    one = model.infill(
        ["ab\n", Hole(52, 52), "cd"], seed=5, max_candidates=1, max_denoising_steps=4
    )
    tokenizer, network = byte_tokenizer(), model.network
    pieces = Pieces.of(Template.of(["ab\n", Hole(52, 52), "cd"]), tokenizer, [2], [], [], 32)
    placed = place(pieces, (52,), 32, 1)
    assert placed.layout.canvases == (range(22), range(22, 54))
    config = model.generation_config.with_options({"seed": 5, "max_denoising_steps": 4})
    drafts: list[Draft] = []

    def course(resources):
        prefix = Row(resources.prefixes, 200)
        prefix.append(Part(tuple(pieces.prefix), LastState()))
        yield [prefix]
        ignored = tokenizer.special_tokens()
        row = CandidateRow(0, placed.layout, prefix, resources, config, None, ignored)
        while not row.settled:
            yield [row.row]
            drafts.append(row.absorb())
        assert prefix.begin().length == len(pieces.prefix)  # the shared prefix is as it was
        return row

    row = run_course(network, course)
    first = row.text_tokens(range(22))
    with torch.inference_mode():
        again = network.new_cache(200)
        network.prefill([torch.tensor(pieces.prefix + first)], [again])
        frozen = torch.zeros(1, 32, dtype=torch.bool)
        frozen[0, 30:] = True
        noise = Noise.of([(5, 0, 1)])
        tokens = torch.where(
            frozen,
            torch.tensor([[0] * 30 + tokenizer.encode("cd", bos=False)]),
            noise.initial(32, 384),
        )
        state = DenoisingState.start(
            Canvas(tokens, frozen), network.config.hidden_size, network.dtype
        )
        steps = list(denoise(network, state, [again], DenoisingOptions.of([config]), noise))
    second = [draft for draft in drafts if draft.canvas == 1]
    assert [draft.tokens for draft in second] == [
        tuple(step.argmax_canvas[0].tolist()) for step, _ in steps
    ]
    assert one.fills == (tokenizer.decode(row.fill(0)),)


def test_drafts_tell_what_was_revised_and_the_history_what_was_held(model: Model) -> None:
    template = ["ab", Hole(3, 3), "c", Hole(2, 2), "d"]
    *drafts, filled = model.stream_infill(template, seed=4, max_candidates=1, max_denoising_steps=6)
    assert isinstance(filled, Infilled)
    assert [draft.step for draft in drafts] == list(range(1, len(drafts) + 1))
    before = None
    for draft in drafts:
        last = before or draft.tokens
        assert draft.revised[:9] == tuple(
            old != new for old, new in zip(last[:9], draft.tokens[:9], strict=True)
        )
        assert not any(draft.revised[9:])  # nobody reads what lies behind the text
        assert draft.text.startswith("ab")
        assert draft.text.endswith("d")
        assert all(0 <= one <= 1 + 1e-6 for one in draft.confidence)
        before = draft.tokens
    assert drafts[-1].text == filled.text
    open_positions = [
        0,
        1,
        2,
        4,
        5,
    ]  # all of the first line but BOS is on the canvas: there is nothing before it
    assert [held[-1] for held in filled.history] == [
        drafts[-1].tokens[2 + at] for at in open_positions
    ]
    assert all(len(held) == len(drafts) for held in filled.history)


def test_a_word_is_finished_as_the_model_spells_it() -> None:
    small = redraft.load("small-text")
    text = "def step(shops):\n    acc = 0\n    for one in shops:\n        acc += one.age\n    ret<hole>\n"
    healed = small.infill(text, instruction="fill python", seed=1)
    assert healed.fills == ("urn acc",)
    apart = small.infill(text, instruction="fill python", seed=1, heal=False)
    assert apart.candidates[0].score < healed.candidates[0].score


def test_a_canvas_of_padding_is_no_text(model: Model) -> None:
    padding = {"logit_bias": {0: 1e4}, "seed": 1, **STEPS}
    wide = model.infill(["ab\n", Hole(70, 70), "cd"], **padding)
    assert (wide.text, wide.fills) == ("ab\ncd", ("",))
    assert model.infill(["ab\n", Hole(3, 3)], **padding).text == "ab\n"
    ended = model.infill(["ab\n", Hole(3, 3), "c"], **{**padding, "logit_bias": {106: 1e4}})
    assert (ended.text, ended.candidates[0].score) == ("ab\nc", score_of(model, "c"))


def score_of(model: Model, text: str) -> float:
    """Of a text behind "ab" that ends there."""
    tokenizer, end = byte_tokenizer(), [model.generation_config.eos_token_id[0]]

    def course(resources):
        row = prefix_row(resources, tokenizer.encode("ab\n"), 40, LastState())
        yield [row]
        texts = [tokenizer.encode(text, bos=False) + end]
        (scored,) = yield from score_texts(resources, row, row.result, texts)
        return total(scored)

    return run_course(model.network, course)


def test_options_that_name_no_token_are_refused(model: Model) -> None:
    for options in ({}, {"instruction": "do"}, {"method": "typewriter"}):
        with pytest.raises(ConfigError, match="eos_token_id"):
            model.infill("x<hole>y", eos_token_id=5000, **options)


def test_a_text_that_ends_with_a_hole_is_scored_with_its_end(model: Model) -> None:
    letter = {
        token: -1e9 for token in range(384) if token not in range(225, 250)
    }  # printable characters alone
    short = model.infill(["ab\n", Hole(1, 8)], seed=1, logit_bias=letter, **STEPS)
    assert len(short.candidates) > 1
    for one in short.candidates:
        assert one.score == pytest.approx(score_of(model, one.fills[0]), abs=1e-3)


def test_tokens_that_the_model_does_not_know_are_refused() -> None:
    few = Model(tiny_model(3, vocab_size=200, canvas_length=16), byte_tokenizer())
    for call_it in (few.infill, few.repair):
        with pytest.raises(TokenRangeError):
            call_it("abc <hole> \u00ff")


def test_where_a_word_goes_on_there_is_a_seam() -> None:
    texts = TokenTexts(["", " ", "pr", "print", "(", "int", "nt", "  ", "x", "x1"])
    before = before_hole([4, 2], texts)
    assert before is not None
    assert (before.text, before.count, before.allowed) == ("pr", 1, (2, 3))
    behind = behind_hole([6, 4], texts)
    assert behind is not None
    assert (behind.text, behind.count, behind.allowed) == ("nt", 1, (3, 5, 6))
    spaced = TokenTexts([*texts, " y"])
    # The space belongs to the word that follows.
    assert before_hole([8, 1], spaced) is not None
    assert before_hole([1], spaced) is None  # it indents
    assert before_hole([7], texts) is before_hole([4], texts) is before_hole([], texts) is None
    assert before_hole([3], texts) is behind_hole([4], texts) is None
    deep = before_hole([4, 1, 2], TokenTexts([*texts, " print"]))
    assert deep is not None
    assert (deep.text, deep.count, deep.allowed) == (" pr", 2, (10,))


def test_a_budget_of_steps_ends_the_search(model: Model) -> None:
    template = ["one ", Hole(1, 8), " two"]
    free = model.infill(template, seed=1, max_denoising_steps=8)
    bound = model.infill(template, seed=1, max_denoising_steps=8, max_steps=10)
    assert sum(one.steps for one in free.candidates) > 20
    assert 10 <= sum(one.steps for one in bound.candidates) < 20
    wide = model.infill(["a\n", Hole(70, 70), "b"], seed=1, max_denoising_steps=4, max_steps=1)
    assert wide.text == f"a\n{wide.fills[0]}b"  # one candidate is always made whole
    with pytest.raises(ConfigError, match="max_steps"):
        model.infill(template, max_steps=0)


def test_typed_holes_are_searched_too(model: Model) -> None:
    template = ["one ", Hole(2, 9), " two ", Hole(1, 4), " three"]
    typed = model.infill(template, method="typewriter", seed=1)
    assert typed.text == f"one {typed.fills[0]} two {typed.fills[1]} three"
    (candidate,) = typed.candidates
    first, second = candidate.widths
    assert (2 <= first <= 9, 1 <= second <= 4) == (True, True)
    with pytest.raises(ConfigError, match="method"):
        model.infill(template, method="handwriting")  # type: ignore[arg-type]


def test_the_small_model_finds_what_both_sides_say() -> None:
    small = redraft.load("small-text")
    assert isinstance(small, Model)
    text = (
        "def total(items):\n<hole>\n    for item in items:\n        acc += item\n    return acc\n"
    )
    filled = small.infill(text, instruction="fill python", seed=1)
    assert isinstance(filled, Infilled)
    assert filled.fills[0].startswith("    acc = ")
    assert all(isinstance(one, Candidate) for one in filled.candidates)
