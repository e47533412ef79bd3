from __future__ import annotations

import random
import textwrap
from pathlib import Path

import pytest
import torch

from redraft.errors import ConfigError
from redraft.evals.code_curve import example_of, hole_figures
from redraft.evals.code_set import HeldOutHole, choose, parses, problems, read_places, write_places
from redraft.network import DiffusionGemma
from redraft.tasks.code.store import Corpus, write_split
from redraft.text import ChatTemplate, Tokenizer
from redraft.train import Recipe
from redraft.train.code_encoder import encode_within
from redraft.train.example_encoder import ExampleEncoder
from redraft.train.forward import ForwardPasses
from redraft.train.initial import initialise

RECIPES = Path(__file__).parents[2] / "recipes"
FILES = [
    ("random", "random.py", Path(random.__file__).read_bytes()),
    ("textwrap", "textwrap.py", Path(textwrap.__file__).read_bytes()),
]
COUNTS = {"line": 12, "span": 12, "lines": 6}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    write_split(folder, "held-out", FILES)
    return Corpus(folder, "held-out")


@pytest.fixture(scope="module")
def places(corpus: Corpus) -> list[HeldOutHole]:
    return choose(corpus, COUNTS)


def test_a_set_is_the_same_again_and_survives_its_file(
    corpus: Corpus, places: list[HeldOutHole], tmp_path: Path
) -> None:
    assert choose(corpus, COUNTS) == places != choose(corpus, COUNTS, seed=1)
    write_places(tmp_path / "set.jsonl", places)
    assert read_places(tmp_path / "set.jsonl") == places
    assert len({(place.path, place.first) for place in places}) == len(places) > 10


def test_holes_lie_in_the_code_of_functions_that_parse(
    corpus: Corpus, places: list[HeldOutHole]
) -> None:
    texts = {path: data.decode() for _, path, data in FILES}
    for place, problem in zip(places, problems(places, corpus), strict=True):
        text = texts[place.path]
        function = text[place.first : place.last]
        hole = text[place.start : place.end]
        assert problem.truth == (hole,)
        assert problem.template.filled(problem.truth) == function
        assert parses(function)
        assert problem.check is not None
        assert problem.check(function)
        assert hole.strip()
        assert not hole.startswith(('"""', "#"))
        assert place.group != "line" or 8 <= len(hole) <= 48
        assert (place.group == "lines") or "\n" not in hole
        # A statement in place of the hole would not do if it stood in a docstring.
        assert example_of(problem).prompt + example_of(problem).answer == function


def test_a_file_that_changed_is_refused(corpus: Corpus, places: list[HeldOutHole]) -> None:
    changed = HeldOutHole(**vars(places[0]) | {"sha256": "0" * 64})
    with pytest.raises(ConfigError, match=r"random\.py"):
        problems([changed], corpus)


def test_a_function_that_is_no_python_does_not_parse() -> None:
    assert parses("    def f(x):\n        return x\n")
    assert not parses("    def f(x):\n        return x)\n")
    assert not parses("def f(x):\nreturn x\n")


def test_the_reading_left_to_right_is_that_of_the_whole_text(
    corpus: Corpus, places: list[HeldOutHole]
) -> None:
    """The oracle reads prefix and answer in one piece, one problem at a time."""
    recipe = Recipe.from_file(RECIPES / "small-code.toml")
    model = initialise(DiffusionGemma(recipe.model), torch.Generator().manual_seed(1)).eval()
    tokenizer = Tokenizer.from_folder(RECIPES / "small-code")
    layout = ExampleEncoder(tokenizer, ChatTemplate("", {}), 128, 256)
    found = problems(places, corpus)[:3]
    (group,) = hole_figures(model, layout, found)
    total, count, exact = 0.0, 0, 0
    for problem in found:
        row = encode_within(example_of(problem), layout, 255)
        tokens = torch.tensor([[*row.prefix, *row.answer]])
        with torch.inference_mode():
            states, _ = ForwardPasses(model).encode(tokens)
            log = model.logits(states[0]).log_softmax(-1)
        first = len(row.prefix)
        holes = [first + at for at, known in enumerate(row.frozen) if not known]
        total -= sum(float(log[at - 1, tokens[0, at]]) for at in holes)
        exact += all(int(log[at - 1].argmax()) == int(tokens[0, at]) for at in holes)
        count += len(holes)
    assert group.count == 3
    assert group.autoregressive_nats == pytest.approx(total / count, rel=1e-4)
    assert group.autoregressive_exact == pytest.approx(exact / 3)
    assert group.nats > 5
