"""A server for clients: its model answers by what the prompt says, so that each client can be checked.

`python -m tests.clients.server PORT`
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import uvicorn

import redraft
from redraft.adapters import LoraConfig, attach, save_adapter
from redraft.adapters.attach import shared_copy
from redraft.engine import Request
from redraft.errors import ConstraintUnsatisfiedError
from redraft.server import Settings, create_app
from redraft.server.runtime.connections import ConnectionLimits
from redraft.testing import tiny_checkpoint, tiny_encoder
from tests.clients.script import turn_for
from tests.clients.words import WORDS
from tests.text.templates import RELEASE, template

CANVAS = 256
OPENED = "<|channel>thought\n"  # a prompt that ends so has begun to think


def scripted_model(folder: Path) -> redraft.Model:
    """Return a tiny model of texts and images with an adapter, and the release's chat template."""
    base = folder / "base"
    tiny_checkpoint(
        base, vision=tiny_encoder(1), canvas_length=CANVAS, max_position_embeddings=8192,
        num_hidden_layers=2, intermediate_size=16, num_experts=4,
    )  # fmt: skip
    (base / "chat_template.jinja").write_text(template(RELEASE), encoding="utf-8")
    twin = shared_copy(redraft.load(base).network)
    form = LoraConfig(rank=2, targets=("attention",))
    adapted = attach(twin, form)
    for weight in adapted.values():
        torch.nn.init.normal_(weight.lora_b, std=0.1)
    save_adapter(folder / "adapter", adapted, form, "base")
    return redraft.load(base, adapters={WORDS["adapter"]: folder / "adapter"})


def ended(turn: str, prompt: str) -> str:
    """Return a turn with its end, behind the end of a thought that its prompt has begun."""
    begin = "hm<channel|>" if prompt.endswith(OPENED) else ""
    end = "<|tool_response>" if turn.endswith("<tool_call|>") else "<turn|>"
    return f"{begin}{turn}{end}"


def follow_script(model: redraft.Model) -> None:
    """Let requests write what the script says, where their constraint admits it."""
    tokenizer, ends = model.tokenizer, model.generation_config.eos_token_id
    assert tokenizer is not None
    checked = Request.checked.__func__  # type: ignore[attr-defined]

    def scripted(cls: type[Request], prompt: list[int], *args: Any, **options: Any) -> Request:
        given = tokenizer.decode(prompt, special=True)
        turn = turn_for(given, adapted=options.get("adapter") is not None)
        if turn is None:
            return checked(cls, prompt, *args, **options)
        tokens = tokenizer.encode(ended(turn, given), bos=False)
        assert len(tokens) <= CANVAS, turn
        whole = [*tokens, *[ends[0]] * (CANVAS - len(tokens))]
        with suppress(ConstraintUnsatisfiedError):  # a client that wants something else gets it
            return checked(cls, prompt, *args, **options | {"frozen": dict(enumerate(whole))})
        return checked(cls, prompt, *args, **options)

    Request.checked = classmethod(scripted)  # type: ignore[assignment]


def main() -> None:
    """Serve until the process is ended."""
    model = scripted_model(Path(tempfile.mkdtemp()))
    follow_script(model)
    app = create_app({WORDS["model"]: model}, Settings(api_key=WORDS["key"]))
    seconds = ConnectionLimits().idle_seconds
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", timeout_keep_alive=seconds
    )  # fmt: skip


if __name__ == "__main__":
    main()
