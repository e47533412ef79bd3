"""Several adapters of one network: what each row gets, alone and in a crowd."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import redraft
from redraft.adapters import Adapter, LoraConfig, adapters_of, attach, attach_by_row, save_adapter
from redraft.adapters.attach import shared_copy
from redraft.engine import Engine, Request
from redraft.errors import CheckpointError, ConfigError, MemoryLimitError, RequestError
from redraft.events import Finished
from redraft.network import PREFILL_CHUNK, DiffusionGemma
from redraft.testing import byte_tokenizer, tiny_model
from tests.cases import cases

ALL = ("attention", "dense", "experts", "self_conditioning")
FORMS = {
    "all": LoraConfig(rank=3, alpha=6, targets=ALL),
    "dense": LoraConfig(rank=1, alpha=2, targets=("dense",)),
    "experts": LoraConfig(rank=2, alpha=2, rslora=True, targets=("experts",)),
    "one matrix": LoraConfig(rank=17, alpha=9, targets=(r"layers\.1\.self_attn\.k_proj\.weight",)),
}


def updates(network: DiffusionGemma, config: LoraConfig, seed: int, size: float = 0.4) -> Adapter:
    """Return an adapter with random updates."""
    twin = shared_copy(network)
    found = attach(twin, config, seed)
    generator = torch.Generator().manual_seed(seed)
    return Adapter(config, {
        name: (one.lora_a.detach(), torch.randn(one.lora_b.shape, generator=generator) * size)
        for name, one in found.items()
    })  # fmt: skip


@pytest.fixture(scope="module")
def base() -> DiffusionGemma:
    return tiny_model(3, vocab_size=384)


@pytest.fixture(scope="module")
def adapters(base: DiffusionGemma) -> dict[str, Adapter]:
    return {name: updates(base, form, at) for at, (name, form) in enumerate(FORMS.items())}


@pytest.fixture(scope="module")
def network(base: DiffusionGemma, adapters: Mapping[str, Adapter]) -> DiffusionGemma:
    network = shared_copy(base).eval()
    attach_by_row(network, adapters)
    return network


@pytest.fixture(scope="module")
def naive(base: DiffusionGemma, adapters: Mapping[str, Adapter]) -> dict[Any, DiffusionGemma]:
    """Networks with one adapter each; None has none."""
    found: dict[Any, DiffusionGemma] = {None: base.eval()}
    for name, adapter in adapters.items():
        found[name] = shared_copy(base).eval()
        adapter.attach(found[name])
    return found


def random_requests(rng: random.Random, count: int) -> list[Request]:
    shape = tiny_model(3, vocab_size=384).config
    found = []
    for _ in range(count):
        prompt = [rng.randrange(3, 380) for _ in range(rng.choice((1, 5, 40, 300)))]
        config = redraft.GenerationConfig(
            max_new_tokens=rng.choice((1, shape.canvas_length, 2 * shape.canvas_length + 1)),
            max_denoising_steps=rng.choice((1, 3)),
            seed=rng.randrange(1000),
        )
        method: Any = rng.choice(("diffusion", "diffusion", "autoregressive"))
        name = rng.choice((None, *FORMS))
        found.append(Request.checked(prompt, config, shape, method=method, adapter=name))
    return found


def written(
    network: DiffusionGemma, requests: list[Request], **options: Any
) -> list[tuple[int, ...]]:
    engine = Engine(network, byte_tokenizer(), **options)
    for request in requests:
        engine.add(request)
    ended = [event for event in engine.run() if isinstance(event, Finished)]
    return [event.tokens for event in sorted(ended, key=lambda event: event.request)]


@pytest.mark.parametrize("seed", cases(2, 1))
def test_texts_of_a_crowd_are_those_of_one_adapter_each(
    network: DiffusionGemma, naive: Mapping[Any, DiffusionGemma], seed: int
) -> None:
    """With and without the prefix cache, in small and large chunks of prompts."""
    rng = random.Random(seed)
    requests = random_requests(rng, 6)
    expected = [
        written(naive[one.adapter], [Request(**{**vars(one), "adapter": None})])[0]
        for one in requests
    ]
    assert len(set(expected)) > 2
    cached = {"prefix_cache": 1 << 24, "prefill_chunk": rng.choice((256, PREFILL_CHUNK))}
    assert written(network, requests) == expected
    # In another order of passes, and then with everything in the prefix cache of one engine.
    assert written(network, requests * 2, max_batch_size=3, **cached) == expected * 2


def states(network: DiffusionGemma, names: list[str | None], seeds: list[int]) -> list[Tensor]:
    """Return the states of canvases behind prompts, all in one pass."""
    shape = network.config
    caches, canvases, prompts = [], [], []
    for name, seed in zip(names, seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        caches.append(network.new_cache(40, adapter=name))
        length = 3 + seed % 20
        prompts.append(torch.randint(3, 380, (length,), generator=generator))
        canvases.append(torch.randint(3, 380, (shape.canvas_length,), generator=generator))
    network.encode(prompts, caches)
    signal = torch.ones(len(names), shape.canvas_length, shape.hidden_size) / 8
    return list(network.canvas_states(torch.stack(canvases), caches, signal))


@torch.inference_mode()
@pytest.mark.parametrize("seed", cases(6, 2))
def test_a_row_has_the_same_bits_alone_and_in_a_crowd(
    base: DiffusionGemma,
    network: DiffusionGemma,
    naive: Mapping[Any, DiffusionGemma],
    seed: int,
) -> None:
    rng = random.Random(seed)
    names = [rng.choice((None, *FORMS)) for _ in range(rng.randint(2, 7))]
    seeds = [rng.randrange(1000) for _ in names]
    together = states(network, names, seeds)
    for name, one, found in zip(names, seeds, together, strict=True):
        assert torch.equal(states(network, [name], [one])[0], found)
        if name is None:
            assert torch.equal(states(base, [None], [one])[0], found)
        else:
            alone = states(naive[name], [None], [one])[0]
            assert torch.allclose(alone, found, atol=1e-5)
            assert not torch.allclose(states(base, [None], [one])[0], found, atol=1e-3)


def test_bases_of_all_formats_hold_their_updates(tmp_path: Path) -> None:
    from redraft.checkpoint import Quantization
    from redraft.testing import tiny_checkpoint
    from tests.checkpoint.test_formats import SHAPE

    folder = tiny_checkpoint(tmp_path / "model", **SHAPE)
    for name in ("int8", "int4", "fp8"):
        plain = redraft.load(folder, dtype=Quantization(name, 32)).network.float().eval()
        adapter = updates(plain, FORMS["all"], 1)
        served, alone = shared_copy(plain), shared_copy(plain)
        attach_by_row(served, {"a": adapter, "b": updates(plain, FORMS["dense"], 2)})
        adapter.attach(alone)
        with torch.inference_mode():
            found = states_of(served, ["a", None, "b"])
            assert torch.allclose(found[0], states_of(alone, [None])[0], atol=1e-4), name
            one = states_of(plain, [None, None, None])[1]
            assert torch.equal(found[1], one), name


def states_of(network: DiffusionGemma, names: list[str | None]) -> list[Tensor]:
    prompt = torch.arange(3, 40)
    caches = [network.new_cache(40, adapter=name) for name in names]
    network.encode([prompt] * len(names), caches)
    canvas = torch.arange(3, 3 + network.config.canvas_length).expand(len(names), -1)
    signal = torch.ones(*canvas.shape, network.config.hidden_size) / 8
    return list(network.canvas_states(canvas, caches, signal))


def test_the_prefix_cache_keeps_adapters_apart(network: DiffusionGemma) -> None:
    prompt = list(range(3, 303))
    config = redraft.GenerationConfig(max_new_tokens=1, max_denoising_steps=1, seed=1)
    engine = Engine(network, prefix_cache=1 << 24)
    known = []
    for name in ("all", "dense", None, "all", None):
        engine.add(Request.checked(prompt, config, network.config, adapter=name))
        (*_, ended) = engine.run()
        assert isinstance(ended, Finished)
        known.append(ended.statistics.cached_tokens)
    assert known == [0, 0, 0, 256, 256]


def test_memory_counts_the_updates_of_a_pass(base: DiffusionGemma, network: DiffusionGemma) -> None:
    from redraft.engine.memory_budget import Memory, Share
    from redraft.engine.prefix_cache import PrefixCache

    share = Share(rows=2, caches=2, tokens=50)
    plain, more = (Memory(PrefixCache(one)).needed([share]) for one in (base, network))
    width = max(sum(one.shape[-2:]) for one in adapters_of(naive_all(base)).values())
    assert more - plain == (2 * base.config.canvas_length + 50) * width * 4


def naive_all(base: DiffusionGemma) -> DiffusionGemma:
    network = shared_copy(base)
    attach(network, FORMS["all"])
    return network


def test_what_cannot_be_attached_is_refused(
    base: DiffusionGemma, network: DiffusionGemma, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = updates(base, FORMS["dense"], 1)
    with pytest.raises(ConfigError, match="has an adapter"):
        attach_by_row(network, {"a": good})
    with pytest.raises(ConfigError, match="has an adapter"):
        good.attach(network)
    other = tiny_model(3, vocab_size=384, intermediate_size=80)
    with pytest.raises(CheckpointError, match="another model"):
        attach_by_row(other, {"a": good})
    assert not other.adapters
    fresh = shared_copy(base)
    monkeypatch.setattr("redraft.adapters.by_row.free_memory", lambda device: 100)
    with pytest.raises(MemoryLimitError, match="name fewer"):
        attach_by_row(fresh, {"a": good})
    with pytest.raises(RequestError, match="no adapter 'x': there are all, dense"):
        Engine(network).add(
            Request.checked([3], redraft.GenerationConfig(), base.config, adapter="x")
        )


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, base: DiffusionGemma, adapters: Mapping[str, Adapter]
) -> tuple[Path, dict[str, Path]]:
    """Return a checkpoint, and adapters of it, as files."""
    folder = tmp_path_factory.mktemp("files")
    config = redraft.GenerationConfig(max_new_tokens=8, max_denoising_steps=3)
    redraft.Model(base, byte_tokenizer(), None, config).save(folder / "model")
    found = {}
    for name, adapter in adapters.items():
        twin = shared_copy(base)
        save_adapter(folder / name, adapter.attach(twin), adapter.config, "model")
        found[name] = folder / name
    return folder / "model", found


def test_the_model_of_python(files: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    """Texts, infills, sessions, repairs and scores are those of the model with one adapter."""
    folder, paths = files
    model = redraft.load(folder, adapters=paths)
    assert model.adapters == tuple(FORMS)
    alone: dict[Any, redraft.Model] = {None: redraft.load(folder)}
    alone |= {name: alone[None].with_adapter(path) for name, path in paths.items()}
    names = ["all", None, "experts"]
    found = model.generate(["a b"] * 3, adapter=names, seed=2)
    expected = [alone[name].generate("a b", seed=2) for name in names]
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    for name in names:
        used, one = model.using(name), alone[name]
        assert used.generate("x", seed=1).tokens == one.generate("x", seed=1).tokens
        assert model.generate("x", adapter=name, seed=1).tokens == used.generate("x", seed=1).tokens
        assert used.infill("a<hole>c", seed=1, max_candidates=1).fills == (
            one.infill("a<hole>c", seed=1, max_candidates=1).fills
        )
        likely, theirs = used.score("a", "bcd"), one.score("a", "bcd")
        for ours, other in itertools.zip_longest(likely, theirs):
            assert abs(ours.log_probability - other.log_probability) < 1e-4
        texts = []
        for each in (used, one):
            session = each.edit("one two three")
            session.rewrite([(4, 7)], seed=3, max_candidates=1, hole=redraft.Hole(1, 4))
            session.insert(3, seed=4, max_candidates=2, hole=redraft.Hole(1, 4))
            texts.append(session.text)
        assert texts[0] == texts[1]
        pattern = redraft.Regex("[0-9]{3}")
        assert used.generate("n", constraint=pattern, seed=5).text == (
            one.generate("n", constraint=pattern, seed=5).text
        )
    used, one = model.using("all"), alone["all"]
    assert used.repair("text", seed=1, rounds=1).text == one.repair("text", seed=1, rounds=1).text
    with pytest.raises(RequestError, match="no adapter 'y'"):
        model.using("y")
    with pytest.raises(RequestError, match="no adapter 'y'"):
        model.generate("x", adapter="y")
    with pytest.raises(RequestError, match="2 adapters for 1 prompts"):
        model.generate("x", adapter=["all", "dense"])
    with pytest.raises(CheckpointError, match="redraft merge"):
        model.save(tmp_path / "saved")
    with pytest.raises(ConfigError, match="is no name"):
        redraft.load(folder, adapters={"a\nb": paths["all"]})
    with pytest.raises(CheckpointError, match="cannot be read"):
        redraft.load(folder, adapters={"a": tmp_path})
