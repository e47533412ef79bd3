"""The Sudoku command on a network with given answers: its requests, its checks, its output."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from redraft.api import Model
from redraft.cli import sudoku
from redraft.cli.sudoku_picture import read_picture
from redraft.config import GenerationConfig
from redraft.errors import ImageError, RequestError
from redraft.network import DiffusionGemma
from redraft.ops.vocabulary import VocabularyStatistics
from redraft.testing import byte_tokenizer, randomise, tiny_config
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from tests.tasks.test_tasks import PUZZLE, SOLVED


class Oracle(DiffusionGemma):
    """Denoises every canvas to the answers in turn, one for each row of a batch."""

    answers: tuple[str, ...]

    def denoise(
        self, canvas, caches, self_conditioning, readout, clean=None
    ) -> VocabularyStatistics:
        rows = [
            [*byte_tokenizer().encode(self.answers[row % len(self.answers)], bos=False), 106]
            for row in range(len(canvas))
        ]
        tokens = torch.tensor([row + [1] * (canvas.shape[1] - len(row)) for row in rows])
        sure = torch.ones(tokens.shape)
        return VocabularyStatistics(
            argmax=tokens,
            sample=tokens,
            entropy=0 * sure,
            confidence=sure,
            soft_embedding=self_conditioning,
        )


def oracle(*answers: str) -> Model:
    network = randomise(Oracle(tiny_config(canvas_length=96)))
    network.answers = answers
    config = GenerationConfig(max_new_tokens=96, eos_token_id=(1, 106))
    return Model(
        network, byte_tokenizer(), ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"}), config
    )


WRONG = SOLVED[:-1] + "1"


def test_a_right_answer_is_valid() -> None:
    solution = sudoku.solve(oracle(SOLVED), PUZZLE, 1, 0)
    assert vars(solution) == {
        "puzzle": PUZZLE,
        "solution": SOLVED,
        "valid": True,
        "steps": 2,
        "attempts": 1,
    }


def test_a_wrong_answer_is_told_and_shown_with_its_conflicts() -> None:
    solution = sudoku.solve(oracle(WRONG), PUZZLE, 1, 0)
    assert not solution.valid
    drawn = sudoku.drawn(solution)
    assert "not solved" in drawn.plain
    red = [drawn.plain[span.start : span.end] for span in drawn.spans if "red" in str(span.style)]
    assert len(red) >= 2


def test_of_several_attempts_the_one_by_the_rules_is_taken() -> None:
    solution = sudoku.solve(oracle(WRONG, "no grid", SOLVED, WRONG), PUZZLE, 4, 0)
    assert solution.valid
    assert (solution.solution, solution.attempts) == (SOLVED, 4)
    assert solution.steps == 4 * 2


def test_puzzles_come_as_text_file_or_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sudoku.read_puzzles(PUZZLE.replace("0", ".")) == [PUZZLE]
    file = tmp_path / "puzzles.txt"
    file.write_text(f"{PUZZLE}\n\n{SOLVED}\n")
    assert sudoku.read_puzzles(str(file)) == [PUZZLE, SOLVED]
    for wrong, message in (
        ("123", "81 cells"),
        ("55" + PUZZLE[2:], "row 1 column 1"),
        ("", "no puzzle"),
    ):
        with pytest.raises(RequestError, match=message):
            sudoku.read_puzzles(wrong)


def test_the_command_prints_a_line_each_and_exits_1_where_one_is_unsolved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "puzzles.txt"
    file.write_text(f"{PUZZLE}\n{'0' * 80}9\n")
    monkeypatch.setattr(sudoku, "open_model", lambda *_: oracle(SOLVED))
    sudoku.sudoku(str(file), "model", 1, 0, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["valid"] for line in lines] == [True, True]
    monkeypatch.setattr(sudoku, "open_model", lambda *_: oracle(WRONG))
    with pytest.raises(SystemExit) as ended:
        sudoku.sudoku(PUZZLE, "model", 2, 0, as_json=False)
    assert ended.value.code == 1
    assert "2 attempts" in capsys.readouterr().out


def picture_in(folder: Path) -> Path:
    path = folder / "grid.png"
    Image.new("RGB", (90, 90), "white").save(path)
    return path


def test_a_picture_is_read_and_what_was_read_is_solved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Reader:
        def generate(self, messages, seed):
            asked.append(messages[0]["content"])
            return SimpleNamespace(text=PUZZLE.replace(".", "0"))

    models = {"reader": Reader(), "solver": oracle(SOLVED)}
    monkeypatch.setattr(sudoku, "open_model", lambda name: models[name])
    image = picture_in(tmp_path)
    sudoku.sudoku(None, "solver", as_json=True, image=image, reader="reader")
    assert json.loads(capsys.readouterr().out)["solution"] == SOLVED
    assert [part["type"] for part in asked[0]] == ["image", "text"]
    assert asked[0][0]["image"].shape == (90, 90, 3)


@pytest.mark.parametrize(
    ("read", "told"),
    [
        ("a cat", "no Sudoku was read in .*a cat"),
        ("5" * 81, "breaks the rules at row 1 column 1"),
        ("12", "no Sudoku was read"),
    ],
)
def test_what_is_no_puzzle_is_told(tmp_path: Path, read: str, told: str) -> None:
    reader = SimpleNamespace(generate=lambda **_: SimpleNamespace(text=read))
    with pytest.raises(ImageError, match=told):
        read_picture(reader, picture_in(tmp_path))  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [(None, None), (PUZZLE, Path("grid.png"))])
def test_a_puzzle_or_a_picture_is_wanted(given: tuple[str | None, Path | None]) -> None:
    with pytest.raises(RequestError, match="--image FILE"):
        sudoku.sudoku(given[0], image=given[1])
