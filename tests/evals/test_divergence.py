from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import redraft
from redraft.api import Model
from redraft.checkpoint.quantize import Quantization
from redraft.config import GenerationConfig
from redraft.diffusion import Noise
from redraft.engine import Request
from redraft.errors import ConfigError, NonFiniteError, RequestError
from redraft.evals import SETS, divergence
from redraft.evals.divergence import (
    CanvasDivergence,
    canvas_divergences,
    divergence_by_step,
    divergence_of_all_steps,
    divergences,
)
from redraft.evals.model_comparison import (
    WrittenText,
    agreement,
    check_pair,
    compare_models,
    compare_steps,
    quantized,
    solved_examples,
)
from redraft.evals.plot import plot_divergence
from redraft.evals.questions import (
    PROMPTS,
    Question,
    conversation_of,
    known_sets,
    questions_of_conversations,
    questions_of_sets,
    read_prompts,
)
from redraft.network import DiffusionGemma
from redraft.tasks import Example
from redraft.testing import byte_tokenizer, naive_generate, tiny_checkpoint, tiny_model
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from tests.command import call

CONFIG = GenerationConfig(max_new_tokens=40, max_denoising_steps=6, eos_token_id=())


def model_of(network: DiffusionGemma) -> Model:
    return Model(
        network, byte_tokenizer(), ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"}), CONFIG
    )


def noisy(network: DiffusionGemma, strength: float) -> DiffusionGemma:
    """A copy whose matrices are off by normal noise, the same but for its strength."""
    twin, generator = copy.deepcopy(network), torch.Generator().manual_seed(9)
    for tensor in twin.state_dict().values():
        if tensor.ndim > 1:
            tensor += strength * tensor.std() * torch.randn(tensor.shape, generator=generator)
    return twin


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(tiny_model(2))


@pytest.fixture(scope="module")
def questions(model: Model) -> list[Question]:
    return questions_of_conversations(model, [conversation_of(text) for text in PROMPTS[:5]], 7, {})


def test_a_model_beside_itself_is_at_no_distance(model: Model, questions: list[Question]) -> None:
    begun: list[str] = []
    counted: list[int] = []

    def begin(part: str):
        begun.append(part)
        return lambda: counted.append(1)

    found = compare_models(model, model_of(tiny_model(2)), questions, batch_size=3, begin=begin)
    assert (
        found.distance.kl,
        found.distance.kl_99,
        found.distance.kl_written,
        found.distance.variation,
    ) == (0, 0, 0, 0)
    assert [one.step for one in found.distances] == list(range(1, len(found.distances) + 1))
    assert found.distances[0].canvases == found.count == 5
    assert (found.agreement.positions, found.agreement.written, found.agreement.texts) == (1, 1, 1)
    assert (found.steps.ratio, found.steps.low, found.steps.high) == (1, 1, 1)
    assert found.steps.first_counts == found.steps.second_counts
    assert len(found.steps.first_counts) == 5 * 3  # 40 tokens on canvases of 16
    assert (len(begun), len(counted)) == (3, 15)
    assert found.solved == []


def test_distances_are_those_of_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tiny_model(2), tiny_model(3)
    states = torch.randn(2, 11, 32, generator=torch.Generator().manual_seed(0)).unbind()
    temperature = torch.linspace(0.4, 1.2, 11)
    monkeypatch.setattr(divergence, "MAX_LOGITS", 4 * first.vocab_size)  # three blocks
    rows: list[int] = []
    whole = DiffusionGemma.logits
    monkeypatch.setattr(
        DiffusionGemma,
        "logits",
        lambda self, hidden: rows.append(len(hidden)) or whole(self, hidden),
    )
    kl, variation = divergences(first, second, states, temperature)
    assert rows == [4, 4, 4, 4, 3, 3]
    for position in range(11):
        logits = [30 * torch.tanh(net.embed_tokens.weight.double() @ state[position].double() / 30)
                  for net, state in zip((first, second), states, strict=True)]  # fmt: skip
        p, q = (torch.exp(one / temperature[position]) for one in logits)
        p, q = p / p.sum(), q / q.sum()
        assert float(kl[position]) == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-4)
        assert float(variation[position]) == pytest.approx(float((p - q).abs().sum() / 2), rel=1e-4)


def naive_signals(
    network: DiffusionGemma,
    canvases: list[torch.Tensor],
    prompt: tuple[int, ...],
    heard: list[torch.Tensor] | None = None,
) -> list[torch.Tensor]:
    """Tempered log probabilities [L, V] of each canvas, the signal of each step being the model's
    own of the step before, or that of the log probabilities that are `heard`."""
    cache = network.new_cache(len(prompt))
    network.encode([torch.tensor(prompt)], [cache])
    signal, found = torch.zeros(1, 16, 32), []
    for number, canvas in enumerate(canvases):
        heat = (
            CONFIG.t_min
            + (CONFIG.t_max - CONFIG.t_min)
            * (CONFIG.max_denoising_steps - number)
            / CONFIG.max_denoising_steps
        )
        logs = (network.logits(network.canvas_states(canvas, [cache], signal)) / heat).log_softmax(
            -1
        )
        signal = (
            (logs if heard is None else heard[number][None]).exp()
            @ network.embed_tokens.weight
            * network.embedding_scale
        )
        found.append(logs[0])
    return found


def test_a_walk_has_the_first_models_canvases_and_each_models_own_signal(
    model: Model, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = model.network, noisy(model.network, 0.05)
    request = questions[0].request
    seen: list[torch.Tensor] = []
    read = DiffusionGemma.canvas_states

    def watched(self, canvas, *others):
        if self is second:
            seen.append(canvas.clone())
        return read(self, canvas, *others)

    monkeypatch.setattr(DiffusionGemma, "canvas_states", watched)
    (found,) = canvas_divergences(first, second, [request])
    monkeypatch.undo()
    assert torch.equal(seen[0], Noise.of([(request.seed, 0, 0)]).initial(16, first.vocab_size))
    _, history = naive_generate(first, request.prompt, request.config, seed=request.seed)
    ours = naive_signals(first, seen, request.prompt)
    assert len(seen) == len(history[0]) == len(found.kl)
    for number, (p, q) in enumerate(
        zip(ours, naive_signals(second, seen, request.prompt), strict=True)
    ):
        assert torch.equal(p.argmax(-1), history[0][number])
        torch.testing.assert_close(
            found.kl[number], (p.exp() * (p - q)).sum(-1), rtol=1e-3, atol=1e-6
        )
    # What the second hears is made with the first's embedding: so is what the naive form makes for
    # it.
    second.embed_tokens.weight.copy_(first.embed_tokens.weight)
    (alike,) = canvas_divergences(first, second, [request], same_signal=True)
    for number, (p, q) in enumerate(
        zip(ours, naive_signals(second, seen, request.prompt, ours), strict=True)
    ):
        torch.testing.assert_close(
            alike.kl[number], (p.exp() * (p - q)).sum(-1), rtol=1e-3, atol=1e-6
        )
    assert not torch.equal(alike.kl[-1], found.kl[-1])


def test_a_walk_does_not_depend_on_its_batch(model: Model, questions: list[Question]) -> None:
    second = noisy(model.network, 0.05)
    requests = [question.request for question in questions]
    together = canvas_divergences(model.network, second, requests, batch_size=5)
    for one, alone in zip(
        together, canvas_divergences(model.network, second, requests, batch_size=1), strict=True
    ):
        torch.testing.assert_close(one.kl, alone.kl)


def test_a_row_that_is_done_goes_on_beside_others_unseen(
    model: Model, questions: list[Question]
) -> None:
    second = noisy(model.network, 0.05)
    requests = [
        replace(one.request, config=one.request.config.with_options({"max_denoising_steps": steps}))
        for one, steps in zip(questions, (2, 9, 3, 1, 6), strict=True)
    ]
    together = canvas_divergences(model.network, second, requests, batch_size=5)
    assert [len(one.kl) for one in together] == [2, 9, 3, 1, 6]
    for one, request in zip(together, requests, strict=True):
        (alone,) = canvas_divergences(model.network, second, [request])
        torch.testing.assert_close(one.kl, alone.kl)
        assert torch.equal(one.written, alone.written)


@pytest.mark.long
def test_more_noise_in_the_weights_is_further_away(model: Model, questions: list[Question]) -> None:
    found = [
        compare_models(model, model_of(noisy(model.network, strength)), questions)
        for strength in (0.003, 0.01, 0.03, 0.1)
    ]
    assert all(0 < a.distance.kl < b.distance.kl for a, b in pairwise(found))
    assert all(a.distance.variation < b.distance.variation for a, b in pairwise(found))
    assert all(a.distances[0].kl < b.distances[0].kl for a, b in pairwise(found))
    assert found[-1].agreement.positions < 1


def test_given_positions_are_not_counted(model: Model) -> None:
    request = Request.checked(
        [2, 200], CONFIG.with_options({"seed": 1}), model.config, frozen={0: 300, 5: 301}
    )
    (found,) = canvas_divergences(model.network, noisy(model.network, 0.05), [request])
    assert found.free.tolist() == [at not in (0, 5) for at in range(16)]
    ours = WrittenText(tuple(range(16)), (1,), "", (1,))
    theirs = WrittenText((9, *range(1, 15), 9), (1,), "", (1,))
    told = agreement([request], [ours], [theirs])
    assert (told.positions, told.texts) == (13 / 14, 1)


def test_rows_of_steps_count_who_still_took_them() -> None:
    free, written = torch.tensor([True, True, False]), torch.tensor([True, False, False])
    short = CanvasDivergence(
        torch.tensor([[1.0, 3.0, 99.0]]), torch.tensor([[0.5, 0.1, 9.0]]), free, written
    )
    long = CanvasDivergence(
        torch.tensor([[5.0, 7.0, 99.0], [2.0, 4.0, 99.0]]), torch.zeros(2, 3), free, written
    )
    first, second = divergence_by_step([short, long])
    assert (first.step, first.canvases, first.kl, first.kl_99, first.kl_written) == (
        1,
        2,
        4.0,
        7.0,
        3.0,
    )
    assert first.variation == pytest.approx(0.15)
    assert (second.step, second.canvases, second.kl, second.kl_written) == (2, 1, 3.0, 2.0)
    assert divergence_of_all_steps([short, long]).kl == pytest.approx(22 / 6)


def test_steps_are_compared_in_pairs() -> None:
    ours = [WrittenText((), (), "", (count, 2)) for count in (2, 4, 6, 8)]
    theirs = [WrittenText((), (), "", (count, 4)) for count in (4, 8, 12, 16)]
    told = compare_steps(ours, theirs)
    assert (told.first, told.second) == (3.5, 7.0)
    assert (
        told.ratio == told.low == told.high == 2.0
    )  # every pair has twice as many: nothing to be unsure of
    other = compare_steps(ours, list(reversed(theirs)))
    assert other.low < other.ratio == 2.0 < other.high


def test_what_each_solves_is_told_by_set() -> None:
    request = Request((2,), CONFIG)
    asked = [
        Question(request, Example("calc 01+02", "01+02=3", 2), "arithmetic"),
        Question(request),
    ]
    asked.append(asked[0])
    right, wrong = (
        WrittenText((), (), asked[0].example.answer, (1,)),
        WrittenText((), (), "no", (1,)),
    )
    assert SETS["arithmetic"].task.check(asked[0].example, right.text)
    (row,) = solved_examples(asked, [right, wrong, right], [right, wrong, wrong])
    assert (row.set, row.count, row.first, row.second, row.lost, row.gained) == (
        "arithmetic",
        2,
        1.0,
        0.5,
        1,
        0,
    )


def test_models_that_share_no_canvas_are_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A has canvas_length 16, B 24"):
        check_pair(model, model_of(tiny_model(0, canvas_length=24)))
    with pytest.raises(ConfigError, match="vocab_size 384, B 400"):
        check_pair(model, model_of(tiny_model(0, vocab_size=400)))
    wide = model_of(tiny_model(0, hidden_size=48))
    check_pair(model, wide)
    with pytest.raises(ConfigError, match="A has hidden_size 32, B 48"):
        check_pair(model, wide, same_signal=True)
    other = model_of(tiny_model(2))
    other.tokenizer = redraft.load("small").tokenizer
    with pytest.raises(ConfigError, match="tokenizers of A and B"):
        check_pair(model, other)
    with pytest.raises(ConfigError, match="save it first"):
        quantized(model, Quantization("int8"))
    narrow = redraft.load(
        tiny_checkpoint(tmp_path / "narrow", hidden_size=48, head_dim=4, global_head_dim=4)
    )
    with pytest.raises(ConfigError, match="groups of 64"):
        quantized(narrow, Quantization("int4"))
    few = quantized(narrow, Quantization("int8"))
    with pytest.raises(ConfigError, match="quantized already"):
        quantized(few, Quantization("int8"))


def test_a_short_context_or_broken_weights_are_told(
    model: Model, questions: list[Question]
) -> None:
    with pytest.raises(RequestError, match="context holds 48"):
        compare_models(model, model_of(tiny_model(2, max_position_embeddings=48)), questions)
    broken = tiny_model(2)
    broken.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"layers\.1\.mlp\.down_proj"):
        compare_models(model, model_of(broken), questions)


def test_prompts_come_from_a_file(tmp_path: Path, model: Model) -> None:
    (tmp_path / "a.txt").write_text("one\n\n two \n")
    assert read_prompts(tmp_path / "a.txt") == [conversation_of("one"), conversation_of("two")]
    conversation = [
        {"role": "user", "content": "hi"},
        {"role": "model", "content": "ho"},
        {"role": "user", "content": "so?"},
    ]
    (tmp_path / "b.jsonl").write_text(
        json.dumps({"messages": conversation}) + '\n{"prompt": "three"}\n'
    )
    assert read_prompts(tmp_path / "b.jsonl") == [conversation, conversation_of("three")]
    bad = {
        "": "no prompt",
        "{": "line 1 is not JSON",
        "[]": "line 1 is no prompt",
        '{"messages": []}': "line 1 is no prompt",
    }
    for text, wrong in bad.items():
        (tmp_path / "c.jsonl").write_text(text)
        with pytest.raises(RequestError, match=wrong):
            read_prompts(tmp_path / "c.jsonl")
    (tmp_path / "d.txt").write_bytes(b"\xff")
    for name in ("d.txt", "nowhere.txt", "."):
        with pytest.raises(RequestError, match="cannot be read"):
            read_prompts(tmp_path / name)
    bare = Model(model.network, model.tokenizer, None, CONFIG)
    (asked,) = questions_of_conversations(bare, [conversation_of("one")], 3, {"max_new_tokens": 9})
    assert list(asked.request.prompt) == bare.tokenizer.encode("one")
    assert (asked.request.seed, asked.request.config.max_new_tokens) == (3, 9)
    with pytest.raises(RequestError, match="no chat template"):
        questions_of_conversations(bare, [conversation], 0, {})
    with pytest.raises(RequestError, match="no tokenizer"):
        questions_of_conversations(Model(model.network), [conversation_of("one")], 0, {})


@pytest.mark.long
def test_a_shipped_model_is_asked_what_it_knows(model: Model) -> None:
    small, text = redraft.load("small"), redraft.load("small-text")
    assert known_sets(small) == known_sets(model, small) == ["sudoku", "arithmetic"]
    assert known_sets(text) == ["infill", "rewrite", "edits", "wiki"]
    assert known_sets(model) == []
    asked = questions_of_sets(text, ["infill", "wiki"], 3, 5, {})
    assert [one.set for one in asked] == ["infill"] * 3 + ["wiki"] * 3
    assert [one.request.seed for one in asked] == [5, 6, 7] * 2
    assert all(bool(one.request.frozen) == (one.set == "infill") for one in asked)
    found = compare_models(text, quantized(text, Quantization("int8")), asked)
    assert [(row.set, row.count) for row in found.solved] == [("infill", 3), ("wiki", 3)]
    assert 0 < found.distance.kl < 0.1


def test_a_comparison_becomes_a_picture(
    model: Model, questions: list[Question], tmp_path: Path
) -> None:
    for strength in (0.0, 0.1):
        found = compare_models(model, model_of(noisy(model.network, strength)), questions[:2])
        plot_divergence(found.distances, found.steps, "title", tmp_path / "out.png")
        assert (tmp_path / "out.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(ConfigError, match="cannot be written"):
        plot_divergence(found.distances, found.steps, "title", tmp_path / "no" / "out.png")


def test_the_command_measures_a_quantization(tmp_path: Path) -> None:
    arguments = ("eval", "divergence", "small", "--quantize", "int8", "--count", "1")
    done = call(*arguments, "--json", "--png", str(tmp_path / "out.png"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["a"], told["b"], told["seed"], told["count"]) == ("small", "small in int8", 0, 2)
    assert 0 < told["distance"]["kl"] < 0.1
    assert [one["step"] for one in told["distances"]] == list(range(1, len(told["distances"]) + 1))
    assert told["agreement"]["positions"] > 0.9
    assert [row["set"] for row in told["solved"]] == ["sudoku", "arithmetic"]
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
    shown = call(*arguments)
    for word in ("small in int8", "canvases", "steps a canvas", "sudoku (1)", "of whole texts"):
        assert word in shown.stdout


def test_the_command_compares_two_folders_on_prompts_of_a_file(tmp_path: Path) -> None:
    folders = [str(tiny_checkpoint(tmp_path / str(seed), seed)) for seed in (1, 2)]
    (tmp_path / "prompts.txt").write_text("one\ntwo\nthree\n")
    options = ("--count", "2", "--json", "--max-new-tokens", "20", "--batch", "2")
    prompts = ("--prompts", str(tmp_path / "prompts.txt"), "--dtype", "float32")
    done = call("eval", "divergence", *folders, *prompts, *options)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["count"], told["solved"]) == (2, [])
    assert told["distance"]["kl"] > 0
    assert 2 <= len(told["steps"]["first_counts"]) <= 2 * 2  # 20 tokens on canvases of 16, or fewer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "missing argument 'A'"),
        (("small",), "needs two checkpoints"),
        (("small", "small", "--quantize", "int8"), "A alone and --quantize"),
        (("small", "--quantize", "int3"), "not a format"),
        (("small", "--quantize", "int8", "--group", "32"), "--group is for"),
        (("small", "--quantize", "int4", "--group", "7"), "7"),
        (("small", "small-text"), "vocab_size 512, B 1280"),
        (("small", "nowhere"), "nowhere"),
        (("small", "small", "--prompts", "nowhere.txt"), "cannot be read"),
        (("small", "small", "--png", "nowhere/at/all.png"), "cannot be written"),
        (("small", "small", "--attempts", "2"), "no such option: --attempts"),
    ],
)
def test_misuse_of_the_command_is_told(arguments: tuple[str, ...], said: str) -> None:
    done = call("eval", "divergence", *arguments)
    assert done.returncode == 2
    assert re.search(re.escape(said), done.stderr)
    assert len(done.stderr.splitlines()) == 1


def test_options_of_divergence_are_refused_elsewhere() -> None:
    done = call("eval", "wiki", "--quantize", "int8")
    assert done.returncode == 2
    assert "no such option: --quantize" in done.stderr
