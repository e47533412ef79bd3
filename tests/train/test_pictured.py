"""Examples whose prompt has something in the place of an image: read as an image is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from redraft.errors import ConfigError
from redraft.network.segments import ImageSpan
from redraft.tasks.sudoku_reading import READ, SudokuReading, pictured
from redraft.tasks.task import Example
from redraft.testing import byte_tokenizer, tiny_model
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.train.batch import make_batch
from redraft.train.example_encoder import ExampleEncoder
from redraft.train.forward import ForwardPasses
from redraft.train.image_noise import with_image_noise

BORDERS = (108, 109)
TEMPLATE = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})


def encoder(**changes: object) -> ExampleEncoder:
    given = {"image_borders": BORDERS} | changes
    return ExampleEncoder(byte_tokenizer(), TEMPLATE, 96, 160, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", sorted(set(READ)))
def test_the_picture_stands_between_its_borders(form: str) -> None:
    grid = "12030" * 16 + "9"
    found = encoder().encode(pictured(form, grid, grid), random.Random(0))
    assert found.picture is not None
    start, stop = found.picture
    tokenizer = byte_tokenizer()
    assert (found.prefix[start - 1], found.prefix[stop]) == BORDERS
    assert tokenizer.decode(found.prefix[start:stop]) == grid
    plain = encoder().encode_prompt(Example(form.format(grid), grid, 0))
    assert [token for token in found.prefix if token not in BORDERS] == plain


def test_the_batch_has_the_image_and_sliding_layers_see_all_of_it() -> None:
    task, rng = SudokuReading(), random.Random(3)
    batch = make_batch([task.draw(rng) for _ in range(3)], encoder(), rng)
    passes = ForwardPasses(tiny_model())
    states, _ = passes.encode(batch.prefix, images=batch.images)
    network, spans = passes.network, []
    for row, (one,) in enumerate(batch.images):
        features = network.embed(batch.prefix[row, one.start : one.stop])
        spans.append([ImageSpan(one.start, one.stop, features)])
    # The same as an image whose soft tokens are the embeddings of the digits.
    expected, _ = passes.encode(batch.prefix, images=spans)
    assert torch.equal(states, expected)
    causal, _ = passes.encode(batch.prefix)
    assert not torch.allclose(states, causal)
    assert batch.part(1, 3).images == batch.images[1::3]


def test_a_model_without_borders_says_so() -> None:
    example = SudokuReading().draw(random.Random(0))
    with pytest.raises(ConfigError, match="boi_token_id"):
        encoder(image_borders=None).encode(example, random.Random(0))


def test_the_examples_are_right() -> None:
    task, rng = SudokuReading(solved=0.5), random.Random(5)
    solved = 0
    for _ in range(40):
        example = task.draw(rng)
        first, last = example.picture or (0, 0)
        grid = example.prompt[first:last]
        assert task.check(example, example.answer)
        assert not task.check(example, example.answer[::-1] + "x")
        assert len(grid) == 81 == len(example.answer)
        if "sudoku" in example.prompt:
            solved += 1
            assert all(a in ("0", b) for a, b in zip(grid, example.answer, strict=True))
        else:
            assert grid == example.answer
    assert 8 < solved < 32
    assert replace(example, picture=None) != example


def test_noise_leaves_the_digits_the_nearest() -> None:
    task, rng, network = SudokuReading(), random.Random(3), tiny_model()
    batch = make_batch([task.draw(rng) for _ in range(3)], encoder(), rng)
    generator = torch.Generator().manual_seed(1)
    noisy = with_image_noise(batch, network, 0.1, generator)
    for row, (one,) in enumerate(noisy.images):
        assert one.features is not None
        right = network.embed(batch.prefix[row, one.start : one.stop])
        assert not torch.equal(one.features, right)
        distance = torch.cdist(one.features.float(), right.float())
        own = distance.diagonal()
        assert (own <= distance.min(dim=1).values + 1e-4).float().mean() > 0.9
    still = with_image_noise(batch, network, 0.0, generator)
    assert noisy.images[0][0].start == still.images[0][0].start
    passes = ForwardPasses(network)
    states, _ = passes.encode(batch.prefix, images=batch.images)
    assert not torch.allclose(states, passes.encode(batch.prefix, images=noisy.images)[0])
