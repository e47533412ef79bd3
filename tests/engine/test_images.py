"""Images in requests: their places, what neighbours and caches change (no bit), and what is counted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import redraft
from redraft.config import GenerationConfig
from redraft.engine import Engine, Request, Scoring, Share
from redraft.engine.image_encoder import ImageEncoder
from redraft.engine.images import MAX_IMAGES, PlacedImage, expand_images, prefix_tokens
from redraft.errors import (
    ChatTemplateError,
    ContextLengthError,
    ImageError,
    MemoryLimitError,
    NonFiniteError,
    RedraftError,
    TokenRangeError,
)
from redraft.events import Completed, Failed, Finished
from redraft.images import PreparedImage, prepare
from redraft.images.prepare import from_pixels
from redraft.testing import tiny_checkpoint, tiny_encoder, tiny_model
from redraft.testing.tiny import tiny_vision_config
from redraft.text import ChatTemplate
from redraft.text.chat_template import IMAGE_TEMPLATE

BOI, IMAGE, EOI = 125, 126, 127
CONFIG = tiny_vision_config()


def pixels(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def exact(seed: int, rows: int, columns: int) -> PreparedImage:
    """An image of so many soft tokens, whatever budgets there are."""
    return from_pixels(pixels(seed, rows * 6, columns * 6), CONFIG)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> redraft.Model:
    folder = tmp_path_factory.mktemp("vision") / "model"
    encoder = tiny_encoder(1)
    return redraft.load(tiny_checkpoint(folder, 3, vision=encoder, max_position_embeddings=4096))


def user(*content: Any) -> list[dict[str, Any]]:
    parts = [
        {"type": "text", "text": one} if isinstance(one, str) else {"type": "image", "image": one}
        for one in content
    ]
    return [{"role": "user", "content": parts}]


def request(
    model: redraft.Model, *content: Any, method: str = "diffusion", **settings: Any
) -> Request:
    """A request whose prompt is token ids and prepared images."""
    tokens, images = [], []
    for one in content:
        tokens += [IMAGE] if isinstance(one, PreparedImage) else list(one)
        images += [one] if isinstance(one, PreparedImage) else []
    prompt = expand_images(tokens, images, model.config)
    config = GenerationConfig(
        **{"max_new_tokens": 20, "max_denoising_steps": 3, "eos_token_id": (), "seed": 5} | settings
    )
    return Request.checked(
        prompt.tokens,
        config,
        model.config,
        images=prompt.images,
        method=method,  # type: ignore[arg-type]
    )


def engine_of(model: redraft.Model, **options: Any) -> Engine:
    assert model.images is not None
    images = ImageEncoder(model.images.encoder)
    return Engine(model.network, model.tokenizer, images=images, **options)


def told(engine: Engine, asked: list[Request]) -> list[list[Any]]:
    """What each request gives, with the entropy of every draft."""
    places = {engine.add(one): place for place, one in enumerate(asked)}
    found: dict[int, list[Any]] = defaultdict(list)
    for event in engine.run():
        assert not isinstance(event, Failed), event
        found[places[event.request]].append((event.tokens, getattr(event, "entropy", None)))
    return [found[place] for place in range(len(asked))]


TEXT = [200, 210, 220]


def scenes(model: redraft.Model) -> list[Request]:
    """At the start, wider than the window of 8, two in a prompt, over the edge of a block."""
    one, wide, long = exact(1, 1, 2), exact(2, 7, 6), exact(3, 15, 10)
    return [
        request(model, one, TEXT),
        request(model, TEXT, wide, TEXT),
        request(model, one, TEXT, wide),
        request(model, TEXT * 50, long, TEXT * 90),
        request(model, TEXT * 50, long, TEXT * 30, one, TEXT * 80, wide),
        request(model, TEXT * 3),
        request(model, TEXT, wide, TEXT, method="autoregressive", max_new_tokens=5),
    ]


def test_neighbours_and_caches_change_no_bit(model: redraft.Model) -> None:
    asked = scenes(model)
    alone = [told(engine_of(model), [one])[0] for one in asked]
    assert told(engine_of(model), asked) == alone
    assert told(engine_of(model, prefill_chunk=256), asked) == alone
    kept = engine_of(model, prefix_cache=1 << 24, prefill_chunk=256)
    for again in range(3):
        assert told(kept, asked[::-1])[::-1] == alone, again
    assert kept.prefixes.hits > 0


def test_the_prefix_cache_knows_an_image_by_its_content(model: redraft.Model) -> None:
    engine = engine_of(model, prefix_cache=1 << 24)
    first, other = exact(3, 15, 10), exact(4, 15, 10)
    asked = [request(model, TEXT * 50, one, TEXT * 90) for one in (first, other, exact(3, 15, 10))]
    assert asked[0].prompt == asked[1].prompt
    answers = [told(engine, [one])[0] for one in asked]
    assert answers[0] == answers[2] != answers[1]
    images = engine._runner.images
    assert images is not None
    assert (images.misses, images.hits) == (2, 0)  # the third was not even asked for
    # Blocks end at the image's end, 301, and at 512.
    spans = [one.span for one in asked[0].images]
    assert (
        engine.prefixes.known(prefix_tokens(asked[0].prompt, asked[0].images), images=spans) == 512
    )


def test_soft_tokens_have_names_of_their_own() -> None:
    one, other = exact(1, 2, 3), exact(2, 2, 3)
    tokens = [5, IMAGE, IMAGE, IMAGE, IMAGE, IMAGE, IMAGE, 6]
    first = prefix_tokens(tokens, [PlacedImage(one, 1)])
    second = prefix_tokens(tokens, [PlacedImage(other, 1)])
    assert (first[0], first[-1]) == (5, 6)
    assert max(first[1:-1]) < 0
    assert len({*first, *second}) == 2 + 12
    assert prefix_tokens(tokens, []) == tuple(tokens)


def test_one_image_is_encoded_a_step_while_others_go_on(model: redraft.Model) -> None:
    engine = engine_of(model)
    images = [exact(number, 2, 2) for number in range(4)]
    engine.add(request(model, TEXT, max_new_tokens=40, max_denoising_steps=8))
    engine.add(request(model, *images, TEXT))
    encoder, seen = engine._runner.images, []
    assert encoder is not None
    while engine.busy:
        before = encoder.misses
        events = engine.step()
        seen.append((encoder.misses - before, len(events)))
    assert [count for count, _ in seen[:5]] == [1, 1, 1, 1, 0]
    assert all(events for _, events in seen[:4])  # the first text's drafts


def test_a_broken_image_encoder_fails_the_requests_with_images_alone(model: redraft.Model) -> None:
    encoder = tiny_encoder(1)
    encoder.vision_tower.std_bias[3] = float("nan")
    engine = Engine(model.network, images=ImageEncoder(encoder))
    text, image = request(model, TEXT), request(model, exact(1, 2, 2), TEXT)
    wanted = told(engine_of(model), [text])
    numbers = [engine.add(one) for one in (text, image, text)]
    ends = {e.request: e for e in engine.run() if isinstance(e, Finished | Failed)}
    failed = ends[numbers[1]]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, NonFiniteError)
    assert "vision_tower.std_bias" in str(failed.error)
    for number in (numbers[0], numbers[2]):
        assert ends[number].tokens == wanted[0][-1][0]  # type: ignore[union-attr]


def test_what_the_encoder_keeps_has_a_bound() -> None:
    encoder = ImageEncoder(tiny_encoder(0), capacity=10 * 32 * 4)  # ten soft tokens
    images = [exact(number, 2, 2) for number in range(3)]
    first = encoder.features(images[0])
    assert encoder.features(images[0]) is first
    encoder.features(images[1])
    encoder.features(images[2])  # the first has to go
    assert encoder.held == 8 * 32 * 4
    assert torch.equal(encoder.features(images[0]), first)
    assert (encoder.hits, encoder.misses) == (1, 4)
    encoder.features(exact(9, 4, 4))  # too large to be kept
    assert encoder.held <= encoder.capacity
    encoder.allow(0)
    assert encoder.held == 0
    encoder.features(images[0])
    assert encoder.held == 0


def test_memory_counts_images(model: redraft.Model) -> None:
    engine = engine_of(model)
    image = exact(1, 20, 20)
    asked = request(model, image, TEXT)
    plain = Share(rows=1, caches=1, tokens=len(asked.prompt))
    needed = engine.memory.needed([Share(1, 1, plain.tokens, (400,))])
    assert needed >= engine.memory.needed([plain]) + 400 * 32 * 4
    small = engine_of(model, memory=needed // 2)
    with pytest.raises(MemoryLimitError):
        small.add(asked)
    # Together they wait for one another, and give what they give alone.
    tight = engine_of(model, memory=engine.memory.needed([asked_share(model, asked)]) * 5 // 4)
    assert told(tight, [asked, asked, asked]) == told(engine_of(model), [asked]) * 3


def asked_share(model: redraft.Model, asked: Request) -> Share:
    from redraft.engine.generation import Generation

    return Generation(asked).share(model.config)


def test_scores_behind_an_image_depend_on_it(model: redraft.Model) -> None:
    def scores(image: PreparedImage, prefix_cache: int = 0) -> list[float]:
        asked = request(model, TEXT, image, TEXT)
        engine = engine_of(model, prefix_cache=prefix_cache)
        found = []
        for _ in range(2):
            engine.add(Scoring(asked.prompt, [200, 201, 202], images=asked.images))
            found = [e.result for e in engine.run() if isinstance(e, Completed)]
        return [one.log_probability for one in found[0]]

    assert scores(exact(1, 18, 18)) == scores(exact(1, 18, 18), 1 << 24)
    assert scores(exact(1, 18, 18)) != scores(exact(2, 18, 18))


# Messages.


def test_an_image_becomes_its_soft_tokens_between_two_marks(model: redraft.Model) -> None:
    tokens = model.chat_prompt(user("a", pixels(1), "b"))
    count = tokens.count(IMAGE)
    first = tokens.index(IMAGE)
    assert count == prepare(pixels(1), CONFIG).soft_tokens
    assert tokens[first - 1] == BOI
    assert tokens[first : first + count + 1] == [IMAGE] * count + [EOI]
    assert model.chat_prompt(user("a", "b")) == tokens[: first - 1] + tokens[first + count + 1 :]


def test_a_user_who_writes_the_token_of_an_image_gets_text(model: redraft.Model) -> None:
    spelled = user("<|image|> and <|image>", pixels(1), "<|image|>")
    tokens = model.chat_prompt(spelled)
    assert tokens.count(IMAGE) == prepare(pixels(1), CONFIG).soft_tokens
    assert tokens.count(BOI) == tokens.count(EOI) == 1
    assert model.tokenizer is not None
    assert model.tokenizer.decode(tokens).count("<|image|>") == 2
    with pytest.raises(ImageError, match="3 places"):
        model.chat_prompt(spelled, sanitize_control_tokens=False)
    with pytest.raises(TokenRangeError, match="image"):
        model.generate(messages=user("<|image|>"), sanitize_control_tokens=False)


def test_answers_depend_on_images_and_on_their_order(model: redraft.Model) -> None:
    def answer(*content: Any) -> tuple[int, ...]:
        return model.generate(
            messages=user(*content), seed=1, max_new_tokens=12, max_denoising_steps=4
        ).tokens

    one, other = pixels(1), pixels(2)
    found = [answer("x", one), answer("x", other), answer(one, other), answer(other, one)]
    assert len(set(found)) == 4
    assert answer("x", one) == found[0]
    assert answer(one)  # an image-only turn


def test_images_of_history_and_of_a_tools_result_stand_in_the_prompt(model: redraft.Model) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    talk = [
        *user(pixels(1), "first"),
        {"role": "assistant", "content": "an answer", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "image", "image": pixels(2)}]},
        *user("and now?"),
    ]
    tokens = model.chat_prompt(talk)
    assert tokens.count(BOI) == 2
    assert model.generate(messages=talk, max_new_tokens=4, max_denoising_steps=2).tokens


def test_the_number_of_images_has_a_limit(model: redraft.Model) -> None:
    with pytest.raises(ImageError, match=str(MAX_IMAGES)):
        model.chat_prompt(user(*[pixels(1)] * (MAX_IMAGES + 1)))


def test_soft_tokens_count_for_the_context(model: redraft.Model) -> None:
    with pytest.raises(ContextLengthError):
        model.generate(
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "image": pixels(n), "max_soft_tokens": 1120}
                        for n in range(4)
                    ],
                }
            ]
        )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ messages[0].content }}", "no place"),
        ("{% for p in messages[0].content %}{{ p.text }}{% endfor %}", "0 places"),
        (IMAGE_TEMPLATE.replace("'<|image|>' if", "'<|image|><|image|>' if"), "4 places"),
        (IMAGE_TEMPLATE.replace("in message.content %}", "in message.content|reverse %}"), "order"),
    ],
)
def test_a_template_that_misplaces_images_is_noticed(
    model: redraft.Model, source: str, words: str
) -> None:
    processor = replace(model.processor, chat_template=ChatTemplate(source, {"bos_token": "<bos>"}))
    with pytest.raises((ImageError, ChatTemplateError), match=words):
        processor.chat(user(pixels(1), "x", pixels(2)))


def test_a_model_without_an_image_encoder_says_so(tmp_path: Path) -> None:
    model = redraft.load(tiny_checkpoint(tmp_path / "text", 1))
    for kind, value in (("image", pixels(1)), ("image_url", {"url": "data:image/png;base64,x"})):
        with pytest.raises(
            ImageError, match="only text can: this checkpoint was saved without"
        ) as error:
            model.generate(messages=[{"role": "user", "content": [{"type": kind, kind: value}]}])
        assert "messages[0].content[0]" in str(error.value)
    with pytest.raises(ImageError, match="no images"):
        model.image_features(pixels(1))
    assert isinstance(error.value, RedraftError)


@pytest.mark.parametrize(
    "images",
    [
        [(2, exact(1, 1, 2))],  # one place too far
        [(1, exact(1, 1, 3))],  # larger than its place
        [(1, exact(1, 1, 2)), (3, exact(1, 1, 2))],
        [(-1, exact(1, 1, 2))],
        [],
    ],
)
def test_places_that_do_not_fit_are_refused(images: list[tuple[int, PreparedImage]]) -> None:
    shape = tiny_model(0, boi_token_id=BOI, image_token_id=IMAGE, eoi_token_id=EOI).config
    placed = [PlacedImage(image, start) for start, image in images]
    with pytest.raises((ImageError, TokenRangeError)):
        Request.checked([9, IMAGE, IMAGE, 9], GenerationConfig(), shape, images=placed)


def test_features_are_what_stands_in_the_prompt(model: redraft.Model) -> None:
    features = model.image_features(pixels(1), 140)
    assert features.shape == (prepare(pixels(1), CONFIG, 140).soft_tokens, 32)
    features.zero_()  # a copy: nothing is spoilt
    assert model.image_features(pixels(1), 140).abs().max() > 0


def test_surprise_leaves_images_out(model: redraft.Model) -> None:
    assert model.surprise(messages=user(pixels(1), "x")) == 0
    assert model.surprise(messages=user("x")) > 0
