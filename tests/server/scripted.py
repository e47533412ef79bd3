"""A server whose model writes a script: a tiny checkpoint with the release's chat template, whose
canvases are frozen to the next turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redraft.api import Model, load
from redraft.engine import Request
from redraft.testing import tiny_checkpoint
from tests.server.test_openai import Served
from tests.text.templates import RELEASE, template

CANVAS = 256
QUOTE = '<|"|>'


class Script:
    """Turns to write, and the prompts that they were written behind."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.turns: list[str] = []
        self.prompts: list[str] = []

    def frozen(self, prompt: list[int]) -> dict[int, int]:
        assert self.model.tokenizer is not None
        self.prompts.append(self.model.tokenizer.decode(prompt, special=True))
        tokens = self.model.tokenizer.encode(self.turns.pop(0), bos=False)
        assert len(tokens) <= CANVAS
        ends = self.model.generation_config.eos_token_id
        return dict(enumerate([*tokens, *[ends[0]] * (CANVAS - len(tokens))]))


def scripted_model(folder: Path) -> Model:
    """A model with the release's chat template."""
    source = template(RELEASE)
    tiny_checkpoint(
        folder, canvas_length=CANVAS, max_position_embeddings=8192, num_hidden_layers=2,
        hidden_size=16, intermediate_size=16, num_experts=4,
    )  # fmt: skip
    (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
    return load(folder)


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(model=scripted_model(tmp_path_factory.mktemp("scripted")))
    yield served
    served.close()


@pytest.fixture
def script(hosted: Served, monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script(hosted.model)
    checked = Request.checked.__func__  # type: ignore[attr-defined]

    def scripted(cls: type[Request], prompt: list[int], *args: Any, **options: Any) -> Request:
        given = options | {"frozen": script.frozen(prompt)}
        return checked(cls, prompt, *args, **given)

    monkeypatch.setattr(Request, "checked", classmethod(scripted))
    return script
