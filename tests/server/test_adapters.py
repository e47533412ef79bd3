"""Adapters on the server: each is a model by its own name, in the batch of its base."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from fastapi.testclient import TestClient

import redraft
from redraft.adapters import LoraConfig, attach, save_adapter
from redraft.adapters.attach import shared_copy
from redraft.errors import ConfigError
from redraft.server import Settings, create_app
from redraft.testing import byte_tokenizer, tiny_model
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from tests.command import call

TARGETS = {"dense": ("dense", "attention"), "experts": ("experts", "self_conditioning")}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of a model and of two adapters."""
    folder = tmp_path_factory.mktemp("served")
    template = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})
    config = redraft.GenerationConfig(max_new_tokens=8, max_denoising_steps=3)
    base = tiny_model(2, vocab_size=384)
    redraft.Model(base, byte_tokenizer(), template, config).save(folder / "base")
    found, generator = {"base": folder / "base"}, torch.Generator().manual_seed(7)
    for name, targets in TARGETS.items():
        twin, form = shared_copy(base), LoraConfig(rank=2, targets=targets)
        adapted = attach(twin, form)
        for weight in adapted.values():
            torch.nn.init.normal_(weight.lora_b, std=0.5, generator=generator)
        save_adapter(folder / name, adapted, form, "base")
        found[name] = folder / name
    return found


@pytest.fixture(scope="module")
def alone(folders: dict[str, Path]) -> dict[str, redraft.Model]:
    """Return the base, and the base with one adapter each."""
    base = redraft.load(folders["base"])
    return {"base": base} | {name: base.with_adapter(folders[name]) for name in TARGETS}


@pytest.fixture(scope="module")
def client(folders: dict[str, Path]) -> Iterator[TestClient]:
    adapters = {name: folders[name] for name in TARGETS}
    model = redraft.load(folders["base"], adapters=adapters)
    app = create_app({"base": model}, Settings(prefix_cache=1 << 20))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def said(name: str, **more: Any) -> dict[str, Any]:
    return {"model": name, "messages": [{"role": "user", "content": "hello"}], "seed": 3} | more


def test_adapters_are_models_of_the_list(client: TestClient) -> None:
    listed = {one["id"]: one for one in client.get("/v1/models").json()["data"]}
    assert list(listed) == ["base", *TARGETS]
    assert "parent" not in listed["base"]
    assert listed["dense"]["parent"] == listed["experts"]["parent"] == "base"
    refused = client.post("/v1/chat/completions", json=said("other"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("name", ["base", *TARGETS])
def test_every_route_answers_with_the_adapter(
    client: TestClient, alone: dict[str, redraft.Model], name: str
) -> None:
    model = alone[name]
    limited = client.post("/v1/chat/completions", json=said(name, max_tokens=8, logprobs=True))
    answer = limited.json()
    assert answer["model"] == name
    text = model.generate(messages=said(name)["messages"], seed=3, max_new_tokens=8)
    assert answer["choices"][0]["message"]["content"] == text.text
    scored = model.score(model.chat_prompt(said(name)["messages"]), list(text.tokens))
    told = answer["choices"][0]["logprobs"]["content"]
    for one in told:  # control tokens are left out, and may be all that there is
        assert min(abs(one["logprob"] - other.log_probability) for other in scored) < 1e-3
    completion = client.post(
        "/v1/completions", json={"model": name, "prompt": "ab", "seed": 1, "max_tokens": 8}
    ).json()
    assert completion["choices"][0]["text"] == model.generate("ab", seed=1, max_new_tokens=8).text
    body = {"model": name, "template": "a<hole>b", "seed": 1, "max_candidates": 2, "max_tokens": 4}
    filled = client.post("/v1/infill", json=body).json()
    hole = redraft.Hole(1, 4)
    infilled = model.infill(["a", hole, "b"], seed=1, max_candidates=2)
    assert (filled["model"], filled["fills"]) == (name, list(infilled.fills))
    edit = {"spans": [[2, 4]], "seed": 1, "max_candidates": 1, "max_tokens": 4}
    edited = client.post("/v1/edits", json={"model": name, "text": "ab cd ef", **edit}).json()
    rewritten = model.rewrite("ab cd ef", [(2, 4)], hole=hole, seed=1, max_candidates=1)
    assert edited["text"] == rewritten.text
    session = client.post("/v1/sessions", json={"model": name, "text": "ab cd ef"}).json()
    assert session["model"] == name
    changed = client.post(f"/v1/sessions/{session['id']}/edits", json=edit).json()
    assert changed["text"] == rewritten.text
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": [12, 34]}}}
    constrained = client.post(
        "/v1/chat/completions", json=said(name, response_format=form, max_tokens=8)
    ).json()
    enum = model.generate(
        messages=said(name)["messages"],
        constraint={"enum": [12, 34]},
        seed=3,
        max_new_tokens=8,
    )
    assert constrained["choices"][0]["message"]["content"] == enum.text


def test_requests_of_all_adapters_share_one_batch(
    client: TestClient, alone: dict[str, redraft.Model]
) -> None:
    """They come at once, and each text is the one written alone."""
    transport = httpx2.ASGITransport(client.app)
    names = [*TARGETS, "base"] * 3

    async def all_at_once() -> list[str]:
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as at:
            asked = [
                at.post(
                    "/v1/chat/completions",
                    json=said(name, max_tokens=8, seed=number),
                    timeout=120,
                )
                for number, name in enumerate(names)
            ]
            found = await asyncio.gather(*asked)
        return [one.json()["choices"][0]["message"]["content"] for one in found]

    for number, (name, text) in enumerate(zip(names, asyncio.run(all_at_once()), strict=True)):
        written = alone[name].generate(
            messages=said(name)["messages"], seed=number, max_new_tokens=8
        )
        assert text == written.text


def test_names_are_told_apart(folders: dict[str, Path]) -> None:
    model = redraft.load(folders["base"], adapters={"base": folders["dense"]})
    with pytest.raises(ConfigError, match="two models or adapters have the name 'base'"):
        create_app({"base": model})


@pytest.mark.parametrize(("options", "message"), [
    (["--adapter", "dense"], "must be NAME=PATH"),
    (["--adapter", "=x"], "must be NAME=PATH"),
    (["--adapter", "a=x", "--adapter", "a=y"], "two adapters have the name a"),
    (["--adapter", "base=x"], "model and adapter have the name base"),
    (["--adapter", "a=x", "-m", "small"], "exactly one model"),
    (["--adapter", "a=x"], "cannot be read as an adapter's config"),
    (["--adapter", "a\nb=x"], "is no name"),
])  # fmt: skip
def test_misuse_is_one_line_before_the_server_starts(
    folders: dict[str, Path], options: list[str], message: str
) -> None:
    done = call("serve", "-m", str(folders["base"]), "--port", "0", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
