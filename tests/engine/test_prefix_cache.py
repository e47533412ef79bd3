"""What is kept of prompts changes no bit of a text, and stays within its bounds."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest
import torch

from redraft.config import GenerationConfig
from redraft.engine import Engine, Request, Share
from redraft.engine.prefix_cache import PrefixCache
from redraft.errors import ConfigError, MemoryLimitError
from redraft.events import Finished
from redraft.network import ENCODE_BLOCK, DiffusionGemma
from redraft.testing import tiny_model
from tests.cases import cases

PARENTS = [2 * ENCODE_BLOCK, 3 * ENCODE_BLOCK + 7, ENCODE_BLOCK]


def prompts(rng: random.Random, count: int) -> list[list[int]]:
    """Prompts that begin alike, here and there, and end apart."""
    stems = [[rng.randrange(2, 150) for _ in range(length)] for length in PARENTS]
    found = []
    for _ in range(count):
        stem = rng.choice(stems)
        cut = rng.choice((len(stem), len(stem), rng.randrange(1, len(stem))))
        found.append(
            stem[:cut]
            + [rng.randrange(2, 150) for _ in range(rng.choice((0, 3, ENCODE_BLOCK + 1)))]
        )
    return found


def requests(model: DiffusionGemma, asked: list[list[int]]) -> list[Request]:
    config = GenerationConfig(max_new_tokens=20, max_denoising_steps=3, eos_token_id=(), seed=5)
    return [Request.checked(prompt, config, model.config) for prompt in asked]


def told(engine: Engine, asked: list[Request]) -> dict[int, list[Any]]:
    """All events but for figures that measure time, or what was encoded."""
    numbers = {engine.add(one): place for place, one in enumerate(asked)}
    found = defaultdict(list)
    for event in engine.run():
        found[numbers[event.request]].append(
            event.tokens
            if isinstance(event, Finished)
            else (event.tokens, getattr(event, "entropy", None))
        )
    return found


def counting(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets how many tokens each pass encodes."""
    encoded: list[int] = []
    original = engine._runner.plan

    def counted(*given: Any) -> Any:
        plan = original(*given)
        encoded.append(sum(len(part.tokens) for _, part in plan.parts))
        return plan

    monkeypatch.setattr(engine._runner, "plan", counted)
    return encoded


@pytest.mark.parametrize("case", cases(12, 4))
def test_a_text_is_the_same_whatever_is_known_of_its_prompt(case: int) -> None:
    """Every draft's entropies to the last bit, with windows shorter and longer than a block."""
    rng = random.Random(case)
    model = tiny_model(
        case, max_position_embeddings=4096, sliding_window=rng.choice((8, ENCODE_BLOCK + 44, 1000))
    )
    asked = requests(model, prompts(rng, 8))
    alone = [told(Engine(model), [one])[0] for one in asked]
    # Rows come one after another, or together; what is kept is all, or so little that it is
    # forgotten again.
    block = ENCODE_BLOCK * sum(
        2 * layer.num_key_value_heads * layer.head_dim * 4 for layer in model.config.layers
    )
    engine = Engine(
        model,
        max_batch_size=rng.choice((1, 3)),
        prefill_chunk=2 * ENCODE_BLOCK,
        prefix_cache=rng.choice((3, 100)) * block,
    )
    for _ in range(2):
        found = told(engine, asked)
        assert [found[place] for place in range(len(asked))] == alone
        assert engine.prefixes.held <= engine.prefixes.capacity
    assert engine.prefixes.hits > 0
    if engine.prefixes.capacity == 100 * block:
        assert engine.prefixes.hits >= sum(
            len(one.prompt) // ENCODE_BLOCK * ENCODE_BLOCK for one in asked
        )


def test_what_is_known_is_counted_and_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(0, max_position_embeddings=2048)
    engine = Engine(model, prefix_cache=1 << 30)
    prompt = [3] * (2 * ENCODE_BLOCK + 5)
    encoded = counting(engine, monkeypatch)
    figures = []
    for asked in (prompt, prompt, prompt[: 2 * ENCODE_BLOCK], [4, *prompt[1:]]):
        encoded.clear()
        engine.add(requests(model, [asked])[0])
        (finished,) = [event for event in engine.run() if isinstance(event, Finished)]
        figures.append((finished.statistics.cached_tokens, encoded[0]))
    assert figures == [
        (0, len(prompt)),
        (2 * ENCODE_BLOCK, 5),
        (2 * ENCODE_BLOCK, 0),
        (0, len(prompt)),
    ]
    assert engine.prefixes.hits == 4 * ENCODE_BLOCK


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    model = tiny_model(0, max_position_embeddings=2048)
    size = ENCODE_BLOCK * sum(
        2 * layer.num_key_value_heads * layer.head_dim * 4 for layer in model.config.layers
    )
    prefixes = PrefixCache(model, 2 * size)

    def known(token: int) -> int:
        tokens = [token] * ENCODE_BLOCK
        cache = prefixes.begin(tokens, ENCODE_BLOCK)
        if not (length := cache.length):
            with torch.inference_mode():
                model.prefill([torch.tensor(tokens)], [cache])
        return length

    assert [known(token) for token in (3, 4, 3, 5)] == [0, 0, ENCODE_BLOCK, 0]
    assert [known(token) for token in (3, 4)] == [ENCODE_BLOCK, 0]
    assert prefixes.held == 2 * size
    prefixes.allow(0)
    assert (prefixes.held, known(4)) == (0, 0)


def block_bytes(model: DiffusionGemma) -> int:
    return ENCODE_BLOCK * sum(
        2 * layer.num_key_value_heads * layer.head_dim * 4 for layer in model.config.layers
    )


def test_a_prompt_longer_than_the_cache_is_known_as_far_as_it_goes() -> None:
    model = tiny_model(0, max_position_embeddings=2048)
    engine = Engine(model, prefix_cache=4 * block_bytes(model))
    (asked,) = requests(model, [list(range(2, 142)) * 10])
    (other,) = requests(model, [[5] * (2 * ENCODE_BLOCK)])
    cached = []
    for request in (asked, asked, other, asked):
        engine.add(request)
        (ended,) = [event for event in engine.run() if isinstance(event, Finished)]
        cached.append(ended.statistics.cached_tokens)
    # The other's two blocks took the place of the last two.
    assert cached == [0, 4 * ENCODE_BLOCK, 0, 2 * ENCODE_BLOCK]
    assert engine.prefixes.held == engine.prefixes.capacity


def test_what_stands_behind_a_block_that_is_gone_is_not_kept() -> None:
    model = tiny_model(0, max_position_embeddings=2048)
    prefixes = PrefixCache(model, 100 * block_bytes(model))
    tokens = torch.tensor([3] * ENCODE_BLOCK)
    cache = prefixes.begin([3] * (3 * ENCODE_BLOCK), 3 * ENCODE_BLOCK)
    with torch.inference_mode():
        model.prefill([tokens], [cache])
        prefixes.allow(0)
        prefixes.allow(100 * block_bytes(model))
        for _ in range(2):
            model.prefill([tokens], [cache])
    assert (prefixes.held, prefixes.known([3] * (3 * ENCODE_BLOCK))) == (0, 0)


def test_a_long_prompt_is_encoded_once_for_all_that_ask_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model(0, max_position_embeddings=4096)
    engine = Engine(model, prefill_chunk=2 * ENCODE_BLOCK, prefix_cache=1 << 30)
    rng = random.Random(1)
    prompt = [rng.randrange(2, 150) for _ in range(7 * ENCODE_BLOCK + 5)]
    encoded = counting(engine, monkeypatch)
    for request in requests(model, [prompt] * 3 + [[*prompt[: 3 * ENCODE_BLOCK], 7, 8]]):
        engine.add(request)
    assert sum(isinstance(event, Finished) for event in engine.run()) == 4
    commits = 4 * model.config.canvas_length
    assert sum(encoded) == len(prompt) + 2 * 5 + 2 + commits


def test_whoever_was_refused_first_goes_first() -> None:
    model = tiny_model(0)
    whole = Engine(model).memory.needed([Share(1, 1, 400)])
    memory = Engine(model, memory=whole).memory
    large, small = Share(1, 1, 400), Share(1, 1, 40)
    assert memory.take(1, small)
    assert [memory.take(2, large), memory.take(3, small), memory.take(2, large)] == [False] * 3
    memory.release(1)
    assert [memory.take(3, small), memory.take(2, large)] == [False, True]
    memory.release(2)
    assert memory.take(3, small)
    # One that will not wait leaves no trace.
    assert [memory.take(4, large), memory.take(5, small)] == [False, False]
    memory.release(4)
    assert memory.take(5, small)
    assert not memory._refused


def test_a_request_that_is_cancelled_while_it_waits_lets_others_go_first() -> None:
    model = tiny_model(0, max_position_embeddings=4096)
    small, large = requests(model, [[3] * 300, [3] * 1000])
    engine = Engine(model, memory=Engine(model).memory.needed([Share(1, 1, 1016)]))
    engine.add(small)
    number = engine.add(large)
    engine.add(small)
    engine.step()
    engine.cancel(number)
    assert engine.memory._refused == {}
    assert sum(isinstance(event, Finished) for event in engine.run()) == 2


def test_requests_wait_for_memory_and_are_refused_where_they_would_wait_forever() -> None:
    model = tiny_model(0, max_position_embeddings=4096)
    (one,) = requests(model, [[3] * 300])
    (large,) = requests(model, [[3] * 3000])
    # Room for two, and for the share that large ones leave to others.
    limit = Engine(model).memory.needed([Share(2, 2, 316)]) * 8 // 7
    engine = Engine(model, memory=limit, prefix_cache=limit)
    with pytest.raises(MemoryLimitError, match="1 x 3016 tokens"):
        engine.add(large)
    for _ in range(6):
        engine.add(one)
    ended, most = 0, 0
    while engine.busy:
        ended += sum(isinstance(event, Finished) for event in engine.step())
        most = max(most, len(engine._scheduler.running))
        assert engine.prefixes.held + engine.memory.needed(engine.memory._held.values()) <= limit
    assert (ended, most) == (6, 2)
    assert not engine.memory._held


def test_an_engine_whose_prompts_are_cut_elsewhere_keeps_none() -> None:
    with pytest.raises(ConfigError, match="multiple of"):
        Engine(tiny_model(0), prefill_chunk=100, prefix_cache=1000)
