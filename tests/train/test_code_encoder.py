from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from redraft.editing import Template
from redraft.editing.layout import Pieces, place
from redraft.network import DiffusionGemma
from redraft.tasks.code.holes import WEIGHTS, CodeExample, of_text
from redraft.text import ChatTemplate, Tokenizer
from redraft.train import Recipe, losses
from redraft.train.batch import batch_of, make_batch
from redraft.train.code_encoder import encode_code, encode_within
from redraft.train.example_encoder import ExampleEncoder
from redraft.train.forward import ForwardPasses
from redraft.train.initial import initialise
from redraft.train.loss import Corruption

RECIPES = Path(__file__).parents[2] / "recipes"
SOURCE = Path(random.__file__).read_text(encoding="utf-8")
LENGTH, PREFIX = 128, 256
BOS, EOS, PAD = 2, 1, 0


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(RECIPES / "small-code")


@pytest.fixture(scope="module")
def encoder(tokenizer: Tokenizer) -> ExampleEncoder:
    return ExampleEncoder(tokenizer, ChatTemplate("", {}), LENGTH, PREFIX)


@given(st.sampled_from(sorted(WEIGHTS)), st.integers(0, 5), st.integers(0, 10_000))
@settings(max_examples=200, deadline=None)
def test_holes_lie_as_infilling_lays_them(kind: int, padding: int, seed: int) -> None:
    tokenizer = Tokenizer.from_folder(RECIPES / "small-code")
    encoder = ExampleEncoder(tokenizer, ChatTemplate("", {}), LENGTH, 4096)
    example = of_text(SOURCE, kind, random.Random(seed))
    assume(example is not None and example.holes)
    assert example is not None
    row = encode_within(example, encoder, 4095, lambda _: padding)
    text = example.prompt + example.answer
    shift = len(example.prompt)
    spans = [(first + shift, last + shift) for first, last in example.holes]
    inside = [tokenizer.encode(text[first:last], bos=False) for first, last in spans]
    pieces = Pieces.of(Template.around(text, spans), tokenizer, [BOS], [], [EOS], LENGTH)
    total = pieces.between_length + sum(len(part) + padding for part in inside)
    assume(total <= LENGTH - LENGTH // 8)
    placed = place(pieces, [len(part) + padding for part in inside], LENGTH, EOS).layout
    open_positions = [at for hole in placed.holes for at in hole]
    written = row.canvas[: len(placed.tokens)]
    assert row.prefix == pieces.prefix
    assert [
        at for at, known in enumerate(row.frozen[: len(written)]) if not known
    ] == open_positions
    expected = list(placed.tokens)
    for hole, part in zip(placed.holes, inside, strict=True):
        expected[hole.start : hole.stop] = [*part, *[PAD] * padding]
    assert written == expected
    assert row.canvas[len(written) :] in ([], [EOS])


@given(st.sampled_from(sorted(WEIGHTS)), st.integers(0, 10_000))
@settings(max_examples=300, deadline=None)
def test_rows_fit_and_their_answer_is_the_text(kind: int, seed: int) -> None:
    tokenizer = Tokenizer.from_folder(RECIPES / "small-code")
    encoder = ExampleEncoder(tokenizer, ChatTemplate("", {}), LENGTH, PREFIX)
    rng = random.Random(seed)
    example = of_text(SOURCE, kind, rng)
    assume(example is not None)
    assert example is not None
    row = encode_code(example, encoder, rng)
    assert len(row.canvas) == len(row.frozen) <= LENGTH
    assert len(row.answer) <= LENGTH
    assert 1 <= len(row.prefix) <= PREFIX
    assert row.prefix[0] == BOS
    assert not all(row.frozen)
    answer = tokenizer.decode(row.answer)
    text = example.prompt + example.answer
    assert (answer and text.endswith(answer)) or answer in text
    assert tokenizer.decode(row.prefix) in text
    ended = row.answer[-1] == EOS
    assert not ended or (example.ends and text.endswith(answer))


def test_what_lies_behind_a_text_is_open(encoder: ExampleEncoder) -> None:
    example = CodeExample("", "x = 1\ny = 2\n", 2, ((4, 5),), ends=True)
    batch = batch_of([encode_within(example, encoder, PREFIX - 1)], encoder)
    size = len(encoder.tokenizer.encode("x = ", bos=False))
    assert batch.frozen[0, :size].all()
    end = int(batch.answer_lengths[0])
    assert not batch.frozen[0, end - 1 :].any()
    assert (batch.target[0, end - 1 :] == EOS).all()
    assert float(batch.weight[0, end:].sum()) == pytest.approx(4.0)


def test_the_loss_over_the_prefix_is_that_of_its_next_tokens(encoder: ExampleEncoder) -> None:
    recipe = Recipe.from_file(RECIPES / "minute.toml")
    model = initialise(DiffusionGemma(recipe.model), torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    prefixes = torch.randint(5, 512, (3, 12), generator=generator)
    example = CodeExample("x = 1\n", "y = 2\n", 2, ((4, 5),))
    short = ExampleEncoder(encoder.tokenizer, encoder.template, 16, 12)
    batch = make_batch([example] * 3, short, random.Random(1))
    batch = type(batch)(
        **vars(batch)
        | {"prefix": prefixes, "prefix_lengths": torch.tensor([12, 7, 1])}
        | {"target": batch.target % 512, "answer": batch.answer % 512}
    )
    corruption = Corruption.of(batch, 1, 512, generator)
    found = losses(ForwardPasses(model), batch, corruption, prefix_weight=0.5)
    states, _ = ForwardPasses(model).encode(prefixes)
    wanted = []
    for row, length in enumerate((12, 7, 1)):
        for at in range(length - 1):
            logits = model.logits(states[row, at])
            wanted.append(-logits.log_softmax(-1)[prefixes[row, at + 1]])
    assert found.prefix is not None
    assert found.diffusion is not None
    torch.testing.assert_close(found.prefix, torch.stack(wanted).mean())
    torch.testing.assert_close(found.total, found.diffusion + 0.5 * found.prefix)
