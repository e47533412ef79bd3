"""Images on the command line: shown to a model, refused by one that reads text alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import redraft
from redraft.testing import tiny_checkpoint, tiny_encoder
from tests.command import call

QUESTION = ("What is it?", "--seed", "1", "--max-tokens", "8")


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("seeing") / "tiny", vision=tiny_encoder())


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "red.png"
    Image.new("RGB", (60, 40), "red").save(path)
    return path


def test_the_command_is_the_api(seeing: Path, picture: Path) -> None:
    done = call("generate", "-m", str(seeing), *QUESTION, "--image", str(picture), "--json")
    assert done.returncode == 0, done.stderr
    parts = [{"type": "image", "image": str(picture)}, {"type": "text", "text": QUESTION[0]}]
    model = redraft.load(seeing)
    messages = [{"role": "user", "content": parts}]
    expected = model.generate(messages=messages, seed=1, max_new_tokens=8)  # type: ignore[arg-type]
    assert json.loads(done.stdout)["tokens"] == list(expected.tokens)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--image", "nothing.png"), "the image nothing.png cannot be read"),
        (("--image", __file__), "cannot be read"),
        (("--no-vision",), "its image encoder is left out"),
    ],
)
def test_an_image_that_cannot_be_shown_is_told(
    seeing: Path, picture: Path, options: tuple[str, ...], told: str
) -> None:
    image = () if "--image" in options else ("--image", str(picture))
    done = call("generate", "-m", str(seeing), *QUESTION, *image, *options)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert told in done.stderr


def test_a_model_without_an_encoder_says_so(picture: Path) -> None:
    done = call("generate", "-m", "small", *QUESTION, "--image", str(picture))
    assert (done.returncode, "without an image encoder" in done.stderr) == (2, True), done.stderr


def test_a_chat_shows_an_image_with_the_next_message(
    seeing: Path, picture: Path, tmp_path: Path
) -> None:
    typed = f"/image\n/image nothing.png\n/image '{picture}'\nWhat is it?\nAnd now?\n"
    saved = tmp_path / "talk.json"
    options = ("--seed", "1", "--max-tokens", "4")
    done = call("chat", "-m", str(seeing), *options, stdin=f"{typed}/save {saved}\n/quit\n")
    assert done.returncode == 0, done.stderr
    for told in ("/image needs a file", "nothing.png cannot be read", "soft tokens"):
        assert told in done.stdout
    first, _, second, _ = json.loads(saved.read_text())
    assert [part["type"] for part in first["content"]] == ["image", "text"]
    assert second["content"] == "And now?"
