"""The memory of a constraint's inference is counted where a request is admitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from redraft.config import GenerationConfig
from redraft.engine import Engine, Request
from redraft.engine.generation import Generation
from redraft.engine.memory_budget import UNCOUNTED_INFERENCE, Share
from redraft.errors import MemoryLimitError
from redraft.grammar.reach import memory_of
from redraft.grammar.tokens.token_dfa import TokenDFA
from redraft.testing import tiny_model


def of_edges(count: int) -> TokenDFA:
    """Return a DFA of two states and so many edges, as far as its memory goes."""
    dfa = TokenDFA.__new__(TokenDFA)
    object.__setattr__(dfa, "edge_source", np.zeros(count, dtype=np.int64))
    return dfa


def test_a_constraint_of_a_million_edges_is_counted_and_a_usual_one_is_not() -> None:
    model = tiny_model()
    plain = Share(rows=1, caches=1, tokens=40)
    memory = Engine(model, memory=1 << 30).memory
    large = memory_of(of_edges(1_000_000), 96)
    assert large == 96 * 8_000_000
    assert memory.needed([replace(plain, inference=UNCOUNTED_INFERENCE)]) == memory.needed([plain])
    found = memory.needed([plain, replace(plain, inference=large)])
    assert found == memory.needed([plain, plain]) + large - UNCOUNTED_INFERENCE
    # A second one waits for the first to end.
    assert memory.take(1, replace(plain, inference=large))
    assert not memory.take(2, replace(plain, inference=large))
    memory.release(1)
    assert memory.take(2, replace(plain, inference=large))


def test_a_request_whose_inference_does_not_fit_is_refused_with_its_constraint_named() -> None:
    model = tiny_model()
    engine = Engine(model, memory=1 << 30)
    request = Request.checked([5, 6], GenerationConfig(max_new_tokens=8, seed=1), model.config)
    positions = model.config.canvas_length
    dfa = of_edges((2 << 30) // (8 * positions))
    work = Generation(request)
    work.request = replace(request, dfa=dfa)
    assert work.share(model.config).inference == memory_of(dfa, positions)
    with pytest.raises(MemoryLimitError, match="its constraint"):
        engine.check_memory(work)
