from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.command import COMMAND, call

RECIPE = Path(__file__).parent.parent.parent / "recipes" / "small-first.toml"


# bfloat16 products take many times as long where the processor has none.
MORE = '[training]\nlog_every = 1\nsave_every = 1\nprecision = "auto"'


def little(folder: Path, steps: int) -> Path:
    """The shipped recipe with so few steps, uncompiled, and a small model."""
    text = RECIPE.read_text()
    for name, value in (
        ("steps", steps),
        ("compile", "false"),
        ("batch_size", 2),
        ("hidden_size", 32),
        ("intermediate_size", 32),
    ):
        text = re.sub(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
    path = folder / "little.toml"
    path.write_text(text.replace("[training]", MORE))
    return path


def test_a_recipe_becomes_a_checkpoint_that_is_measured(tmp_path: Path) -> None:
    recipe, out = little(tmp_path, 3), tmp_path / "run"
    done = call("train", str(recipe), "-o", str(out), "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert "step      3" in done.stdout
    measured = call("eval", "arithmetic", "-m", str(out / "checkpoint"), "--count", "1", "--json")
    assert measured.returncode == 0, measured.stderr
    figures = json.loads(measured.stdout)
    assert (
        sum(row["count"] for row in figures["diffusion"])
        == sum(row["count"] for row in figures["autoregressive"])
        == 1
    )
    again = call("train", str(recipe), "-o", str(out), "--threads", "1")
    assert again.returncode == 0
    assert "done before" in again.stdout
    other = call("train", str(little(tmp_path, 4)), "-o", str(out))
    assert other.returncode == 2
    assert "another recipe" in other.stderr


@pytest.mark.long
def test_what_a_recipe_starts_from_is_trained_first_or_given(tmp_path: Path) -> None:
    first = little(tmp_path, 2)
    second = tmp_path / "second.toml"
    second.write_text(
        f'[training]\nstart = "{first.name}"\nsteps = 1\nlog_every = 1\nbatch_size = 2\n'
        "prefix_length = 92\n"
        '[[task]]\nname = "sudoku"\n'
    )
    done = call("train", str(second), "-o", str(tmp_path / "run"), "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "start" / "checkpoint" / "tokenizer.json").exists()
    given = str(tmp_path / "run" / "start" / "checkpoint")
    again = call(
        "train", str(second), "-o", str(tmp_path / "again"), "--threads", "1", "--from", given
    )
    assert again.returncode == 0, again.stderr
    assert not (tmp_path / "again" / "start").exists()
    written = [
        (tmp_path / name / "checkpoint" / "model.safetensors").read_bytes()
        for name in ("run", "again")
    ]
    assert written[0] == written[1]
    refused = call("train", str(second), "-o", str(tmp_path / "other"), "--from", "small")
    assert refused.returncode == 2
    assert "another shape" in refused.stderr


@pytest.mark.long
def test_an_interrupted_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    recipe, out = little(tmp_path, 100_000), tmp_path / "run"
    command = [*COMMAND, "train", str(recipe), "-o", str(out), "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for _ in range(600):
        if (out / "metrics.jsonl").exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    (stopped,) = re.findall(r"saved at step (\d+)", printed)
    done = call("train", str(recipe), "-o", str(out), "--threads", "1", "--minutes", "0.01")
    assert f"step {stopped} of" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chess",), "sudoku, arithmetic"),
        (("wiki", "--attempts", "2"), "wiki is not one"),
        (("wiki", "--png", "."), "cannot be written"),
        (("wiki", "--png", "nowhere/at/all.png"), "cannot be written"),
        (("wiki", "-m", "nowhere"), "small-text"),
        (("wiki", "--sampler", "klas"), "did you mean 'klass'"),
        (("sudoku", "--sampler", "klass", "--attempts", "2"), "no others"),
        (("chess", "--sampler", "klass"), "sudoku, arithmetic"),
    ],
)
def test_misuse_is_told_before_anything_is_measured(
    arguments: tuple[str, ...], message: str
) -> None:
    done = call("eval", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_processes_that_cannot_share_a_batch_are_told(tmp_path: Path) -> None:
    done = call("train", str(little(tmp_path, 3)), "-o", str(tmp_path / "run"), "--processes", "3")
    assert done.returncode == 2
    assert "must divide" in done.stderr
