from __future__ import annotations

import random
from pathlib import Path

import pytest

from redraft.api import Model
from redraft.config import GenerationConfig
from redraft.errors import ChatTemplateError, ConfigError
from redraft.evals import SETS, Outcome, evaluate, retry, summarise, wiki_facts
from redraft.evals.autoregressive_infill import PartialInfill, infill_autoregressively
from redraft.evals.example_requests import example_request
from redraft.evals.plot import plot_rows
from redraft.tasks import Example, Infill, Wiki
from redraft.tasks.task import held_out, is_held_out
from redraft.testing import byte_tokenizer, tiny_model
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE

TWO = Example("fill python", "a = [1]\nb = (2)\n", 3, ((5, 6), (8, 15)))


@pytest.fixture(scope="module")
def model() -> Model:
    config = GenerationConfig(max_new_tokens=400, max_denoising_steps=3)
    network = tiny_model(2, canvas_length=400, max_position_embeddings=4000)
    return Model(
        network, byte_tokenizer(), ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"}), config
    )


def test_a_request_freezes_all_but_the_holes(model: Model) -> None:
    rooms = set()
    for seed in range(40):
        asked = example_request(model, TWO, seed, {})
        free = [at for at in range(400) if at not in asked.frozen]
        rooms.add(len(free))
        assert 8 <= len(free) <= 8 + 12
        tokens = [asked.frozen.get(at, 0) for at in range(400)]
        assert model.tokenizer.decode(tokens) == "a = []\n\n"
        assert model.generate(list(asked.prompt), frozen=asked.frozen, seed=seed).text.startswith(
            "a = ["
        )
    assert len(rooms) > 5


def test_a_written_line_is_cut_where_the_given_text_goes_on() -> None:
    typed = PartialInfill(TWO, TWO.answer[:5])
    typed.fill(0, "7]\nmore")
    assert typed.text == "a = [7]\n"
    typed.fill(1, "b = (9)\nand more")
    assert typed.text == "a = [7]\nb = (9)\n"
    ending = PartialInfill(Example("fill python", "a(b.c())\n", 1, ((2, 7),)), "a(")
    assert ending.fill(0, "b.c())\n") == "b.c()"
    assert ending.text == "a(b.c())\n"
    lost = PartialInfill(TWO, TWO.answer[:5])
    lost.fill(0, "7, 8")
    assert lost.text == "a = [7, 8]\n"


def test_steps_left_to_right_are_a_forward_pass_a_token_and_one_a_hole(model: Model) -> None:
    options = {"max_new_tokens": 12}
    (found,) = infill_autoregressively(model, [TWO], 3, options, 1)
    first, second = found.text[5:].split("]\n", 1)
    fills = first, second.removesuffix("\n")
    assert found.text == f"a = [{fills[0]}]\n{fills[1]}\n"
    tokens = [len(model.tokenizer.encode(fill, bos=False)) for fill in fills]
    assert found.steps == sum(tokens) + 2
    outcomes = evaluate(model, Infill(), [TWO], method="autoregressive", seed=3, options=options)
    assert [(one.text, one.steps) for one in outcomes] == [(found.text, found.steps)]


def test_both_ways_are_judged_on_the_same_holes(model: Model) -> None:
    rng = random.Random(0)
    examples = [Infill().draw(rng) for _ in range(6)]
    for method, length in (("diffusion", 400), ("autoregressive", 30)):
        options = {"max_new_tokens": length}
        outcomes = evaluate(model, Infill(), examples, method=method, options=options)
        for example, outcome in zip(examples, outcomes, strict=True):
            assert outcome.text.startswith(example.answer[: example.holes[0][0]])
            assert outcome.steps > 0
    assert not any(outcome.right for outcome in outcomes)  # a random model


def test_trying_again_keeps_what_was_right_and_takes_the_first_that_is(model: Model) -> None:
    class Lucky:
        name = "lucky"

        def draw(self, rng):
            raise NotImplementedError

        def check(self, example: Example, text: str) -> bool:
            return bool(text) and text[0] < "\u00a0"

    examples = [Example(f"q{number}", "", 1) for number in range(8)]
    first = evaluate(model, Lucky(), examples, options={"max_new_tokens": 400})
    again = retry(model, Lucky(), first, 4)
    assert sum(one.right for one in first) < sum(one.right for one in again)
    for before, after in zip(first, again, strict=True):
        assert after.first_right == before.first_right
        assert after is before if before.right else after.steps >= 2 * before.steps
        assert after.steps == 4 * before.steps or after.right


def test_facts_are_counted() -> None:
    task, rng = Wiki(), random.Random(0)
    examples = [task.draw(rng) for _ in range(50)]
    right = [Outcome(e, e.answer, True, 1, None, True) for e in examples]
    told = wiki_facts(right)
    assert told.pages == told.parsed == 50
    assert told.stated == told.right == sum(example.difficulty for example in examples)
    assert 0 < told.links == told.resolved
    spoilt = wiki_facts(
        [Outcome(e, e.answer.replace("<a>", "<a>X"), False, 1, None, True) for e in examples]
    )
    assert spoilt.right < told.right
    assert spoilt.resolved == 0
    more = wiki_facts(
        [
            Outcome(e, e.answer.replace("</p>", " It is made of cheese.</p>"), False, 1, None, True)
            for e in examples
        ]
    )
    assert (more.stated, more.right) == (told.stated + 50, told.right)


@pytest.mark.parametrize("name", SETS)
def test_every_set_has_held_out_examples_in_its_bins(name: str) -> None:
    held = SETS[name]
    examples = held_out(held.task, 20)
    assert len(examples) >= 15
    assert all(is_held_out(example.key) for example in examples)
    assert all(
        any(least <= example.difficulty <= most for least, most in held.bins)
        for example in examples
    )
    assert all(held.task.check(example, example.answer) for example in examples)


def test_a_table_becomes_a_picture(tmp_path: Path) -> None:
    outcomes = [Outcome(Example("", "", n), "", n > 1, n, None, True) for n in (1, 1, 2, 3)]
    rows = summarise(outcomes, [(1, 1), (2, 3)])
    plot_rows(
        {"diffusion": rows, "autoregressive": rows[:1]}, "title", "unit", tmp_path / "out.png"
    )
    assert (tmp_path / "out.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(ConfigError, match="cannot be written"):
        plot_rows({"diffusion": rows}, "title", "unit", tmp_path / "no" / "out.png")


def test_a_checkpoint_without_template_is_told() -> None:
    with pytest.raises(ChatTemplateError, match="held-out sets need both"):
        example_request(Model(tiny_model(0)), TWO, 0, {})
