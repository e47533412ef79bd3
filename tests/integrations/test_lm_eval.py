"""The LM Evaluation Harness: our model in its process, and its own client against a real server.

The harness brings many packages, so it is no test dependency: `make integrations` installs it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import redraft
from tests.server.test_openai import Served

lm_eval = pytest.importorskip("lm_eval", reason="lm_eval is missing: make integrations")
FOLDER = Path(__file__).parents[2] / "integrations" / "lm-eval-redraft"
SMALL_TEXT = Path(redraft.__file__).parent / "small" / "text"
ROWS = [
    {"text": "def add(a, b):\n    return a +", "choices": [" b", " c", " 7"], "label": 0, "answer": "b"},
    {"text": "for i in range(", "choices": ["10):", "])"], "label": 0, "answer": "10):"},
    {"text": "import", "choices": [" json", " =", " def"], "label": 0, "answer": "json"},
]  # fmt: skip
CHOICE = """
task: lines_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: choices
doc_to_target: label
target_delimiter: ""
metric_list: [{{metric: acc}}]
"""
ROLLING = """
task: lines_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: byte_perplexity}}]
"""
WRITTEN = """
task: lines_written
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{text}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 8}}
metric_list: [{{metric: exact_match}}]
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from lm_eval.tasks import TaskManager

    folder = tmp_path_factory.mktemp("tasks")
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, text in {"choice": CHOICE, "rolling": ROLLING, "written": WRITTEN}.items():
        (folder / f"{name}.yaml").write_text(text.format(data=data))
    return TaskManager(include_path=str(folder), include_defaults=False)


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


def evaluated(model: str, arguments: dict[str, Any], names: list[str], tasks: Any) -> Any:
    return lm_eval.simple_evaluate(
        model=model, model_args=arguments, tasks=names, task_manager=tasks, batch_size=4,
        log_samples=True, bootstrap_iters=0,
    )  # fmt: skip


def ours(method: str, names: list[str], tasks: Any) -> Any:
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    import lm_eval_redraft  # noqa: F401

    given = {"pretrained": "small-text", "method": method, "dtype": "float32"}
    return evaluated("redraft", given | {"max_denoising_steps": 4}, names, tasks)


def likelihoods(found: Any, task: str) -> list[float]:
    samples = sorted(found["samples"][task], key=lambda one: one["doc_id"])
    return [float(one[0]) for sample in samples for one in sample["filtered_resps"]]


def scored(model: redraft.Model, *, bos: bool) -> list[float]:
    """The log-likelihood of each choice behind its text."""
    assert model.tokenizer is not None
    found = []
    for row in ROWS:
        for choice in row["choices"]:  # type: ignore[attr-defined]
            context = model.tokenizer.encode(str(row["text"]), bos=bos)
            whole = model.tokenizer.encode(f"{row['text']}{choice}", bos=bos)
            likely = model.score(context, whole[len(context) :])
            found.append(sum(one.log_probability for one in likely))
    return found


def test_the_harness_scores_as_the_model_does(tasks: Any) -> None:
    found = ours("diffusion", ["lines_choice", "lines_rolling"], tasks)
    expected = scored(redraft.load("small-text", dtype="float32"), bos=True)
    assert likelihoods(found, "lines_choice") == pytest.approx(expected, abs=1e-4)
    assert 0 <= found["results"]["lines_choice"]["acc,none"] <= 1
    assert found["results"]["lines_rolling"]["byte_perplexity,none"] > 1


@pytest.mark.parametrize("method", ["diffusion", "autoregressive"])
def test_the_harness_gets_the_models_texts(method: Any, tasks: Any) -> None:
    found = ours(method, ["lines_written"], tasks)
    model = redraft.load("small-text", dtype="float32")
    samples = sorted(found["samples"]["lines_written"], key=lambda one: one["doc_id"])
    for row, sample in zip(ROWS, samples, strict=True):
        alone = model.generate(
            row["text"], method=method, seed=0, temperature=0.0, max_new_tokens=8,  # type: ignore[arg-type]
            max_denoising_steps=4, stop=("\n",),
        )  # fmt: skip
        assert sample["filtered_resps"] == [alone.text]


def test_local_completions_score_two_tasks_by_the_server(server: Served, tasks: Any) -> None:
    """The harness's own client: prompts as token ids, echo, log-probabilities."""
    given = {
        "model": "small-text", "base_url": f"{server.url}/completions", "tokenizer_backend": "huggingface",
        "tokenizer": str(SMALL_TEXT), "max_retries": 1,
    }  # fmt: skip
    names = ["lines_choice", "lines_rolling"]
    theirs, mine = (
        evaluated("local-completions", given, names, tasks),
        ours("diffusion", names[1:], tasks),
    )
    # Its tokenizer puts no BOS in front of a prompt.
    expected = scored(server.model, bos=False)
    assert likelihoods(theirs, "lines_choice") == pytest.approx(expected, abs=1e-3)
    perplexity = "byte_perplexity,none"
    assert theirs["results"]["lines_rolling"][perplexity] == pytest.approx(
        mine["results"]["lines_rolling"][perplexity], rel=1e-3
    )
