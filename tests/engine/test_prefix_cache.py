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
from redraft.model import READ_BLOCK, DiffusionGemma
from redraft.testing import tiny_model

PARENTS = [2 * READ_BLOCK, 3 * READ_BLOCK + 7, READ_BLOCK]


def prompts(rng: random.Random, count: int) -> list[list[int]]:
    """Prompts that begin alike, here and there, and end apart."""
    stems = [[rng.randrange(2, 150) for _ in range(length)] for length in PARENTS]
    found = []
    for _ in range(count):
        stem = rng.choice(stems)
        cut = rng.choice((len(stem), len(stem), rng.randrange(1, len(stem))))
        found.append(stem[:cut] + [rng.randrange(2, 150) for _ in range(rng.choice((0, 3, READ_BLOCK + 1)))])
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
            event.tokens if isinstance(event, Finished) else (event.tokens, getattr(event, "entropy", None))
        )
    return found


@pytest.mark.parametrize("case", range(12))
def test_a_text_is_the_same_whatever_is_known_of_its_prompt(case: int) -> None:
    """Every draft's entropies to the last bit, with windows shorter and longer than a block."""
    rng = random.Random(case)
    model = tiny_model(case, max_position_embeddings=4096, sliding_window=rng.choice((8, READ_BLOCK + 44, 1000)))
    asked = requests(model, prompts(rng, 8))
    alone = [told(Engine(model), [one])[0] for one in asked]
    # Rows come one after another, or together; what is kept is all, or so little that it is forgotten again.
    block = READ_BLOCK * sum(2 * layer.num_key_value_heads * layer.head_dim * 4 for layer in model.config.layers)
    engine = Engine(
        model, max_batch_size=rng.choice((1, 3)), prefill_chunk=2 * READ_BLOCK, prefix_cache=rng.choice((3, 100)) * block
    )
    for _ in range(2):
        found = told(engine, asked)
        assert [found[place] for place in range(len(asked))] == alone
        assert engine.prefixes.held <= engine.prefixes.capacity
    assert engine.prefixes.hits > 0
    if engine.prefixes.capacity == 100 * block:
        assert engine.prefixes.hits >= sum(len(one.prompt) // READ_BLOCK * READ_BLOCK for one in asked)


def test_what_is_known_is_counted_and_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(0, max_position_embeddings=2048)
    engine = Engine(model, prefix_cache=1 << 30)
    prompt = [3] * (2 * READ_BLOCK + 5)
    encoded: list[int] = []
    original = engine._runner.next_parts

    def counted(*given: Any) -> Any:
        parts = original(*given)
        encoded.append(sum(len(tokens) for _, tokens in parts))
        return parts

    monkeypatch.setattr(engine._runner, "next_parts", counted)
    figures = []
    for asked in (prompt, prompt, prompt[: 2 * READ_BLOCK], [4, *prompt[1:]]):
        encoded.clear()
        engine.add(requests(model, [asked])[0])
        (finished,) = [event for event in engine.run() if isinstance(event, Finished)]
        figures.append((finished.statistics.cached_tokens, encoded[0]))
    assert figures == [(0, len(prompt)), (2 * READ_BLOCK, 5), (2 * READ_BLOCK, 0), (0, len(prompt))]
    assert engine.prefixes.hits == 4 * READ_BLOCK


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    model = tiny_model(0, max_position_embeddings=2048)
    size = READ_BLOCK * sum(2 * layer.num_key_value_heads * layer.head_dim * 4 for layer in model.config.layers)
    prefixes = PrefixCache(model, 2 * size)

    def known(token: int) -> int:
        tokens = [token] * READ_BLOCK
        cache = prefixes.begin(tokens, READ_BLOCK)
        if not (length := cache.length):
            with torch.inference_mode():
                model.prefill([torch.tensor(tokens)], [cache])
        return length

    assert [known(token) for token in (3, 4, 3, 5)] == [0, 0, READ_BLOCK, 0]
    assert [known(token) for token in (3, 4)] == [READ_BLOCK, 0]
    assert prefixes.held == 2 * size
    prefixes.allow(0)
    assert (prefixes.held, known(4)) == (0, 0)


def test_requests_wait_for_memory_and_are_refused_where_they_would_wait_forever() -> None:
    model = tiny_model(0, max_position_embeddings=4096)
    (one,) = requests(model, [[3] * 300])
    (large,) = requests(model, [[3] * 3000])
    limit = Engine(model).memory.needed([Share(2, 2, 316)])
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
