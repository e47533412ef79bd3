"""The plugin of llm against a real server; its package is integrations/llm-redraft."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import redraft
from tests.server.test_openai import Served

llm = pytest.importorskip("llm", reason="llm is missing: make integrations")
pytestmark = pytest.mark.long

FOLDER = Path(__file__).parents[2] / "integrations" / "llm-redraft"
QUICK = {"seed": 3, "max_denoising_steps": 4}
SHORT = {**QUICK, "max_tokens": 12}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    served = Served(api_key="secret")
    yield served
    served.close()


@pytest.fixture
def models(
    server: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, tuple[Any, Any]]:
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    monkeypatch.setenv("REDRAFT_URL", server.url)
    monkeypatch.setenv("REDRAFT_API_KEY", "secret")
    return registered(monkeypatch)


def registered(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Any, Any]]:
    monkeypatch.syspath_prepend(str(FOLDER))
    import llm_redraft

    monkeypatch.setattr(llm_redraft, "SECONDS_TO_LIST", 60.0)  # a machine may be busy
    found: dict[str, tuple[Any, Any]] = {}
    llm_redraft.register_models(lambda one, both: found.update({one.model_id: (one, both)}))
    return found


def test_the_servers_models_are_registered(models: dict[str, Any]) -> None:
    assert set(models) == {"redraft/small-text", "redraft/small-text/infill"}


def test_a_chat_is_what_the_model_writes(models: dict[str, Any], server: Served) -> None:
    chat, both = models["redraft/small-text"]
    message = [{"role": "user", "content": "fill python"}]
    alone = server.model.generate(messages=message, max_new_tokens=12, **QUICK)
    for stream in (True, False):
        found = chat.prompt("fill python", stream=stream, key="secret", **SHORT)
        assert found.text() == alone.text
    assert found.usage().output == len(alone.tokens)

    async def ask() -> str:
        return str(await both.prompt("fill python", **SHORT).text())

    assert asyncio.run(ask()) == alone.text


def test_an_option_of_diffusion_has_its_effect(models: dict[str, Any], server: Served) -> None:
    chat, _ = models["redraft/small-text"]
    message = [{"role": "user", "content": "fill python"}]
    alone = server.model.generate(
        messages=message, max_new_tokens=12, seed=3, method="autoregressive"
    )
    found = chat.prompt("fill python", method="autoregressive", seed=3, max_tokens=12)
    assert found.text() == alone.text


def test_a_schema_binds_the_answer(models: dict[str, Any]) -> None:
    chat, _ = models["redraft/small-text"]
    schema = {"type": "object", "properties": {"kind": {"enum": ["a", "b"]}}, "required": ["kind"]}
    schema["additionalProperties"] = False
    found = chat.prompt("which?", schema=schema, seed=1, max_tokens=40, max_denoising_steps=8)
    assert json.loads(found.text())["kind"] in ("a", "b")


def test_holes_are_filled(models: dict[str, Any], server: Served) -> None:
    infill, both = models["redraft/small-text/infill"]
    few = {**QUICK, "max_tokens": 4}
    alone = server.model.infill(["x = ", redraft.Hole(1, 4), "\n"], **QUICK)
    found = infill.prompt("x = <hole>\n", **few)
    assert found.text() == alone.text
    assert found.usage().output > 0

    async def ask() -> str:
        return str(await both.prompt("x = <hole>\n", **few).text())

    assert asyncio.run(ask()) == alone.text
    with pytest.raises(llm.ModelError, match="hole"):
        infill.prompt("no mark", **QUICK).text()


def test_a_server_that_is_not_there_has_no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner
    from llm.cli import cli

    monkeypatch.setenv("REDRAFT_URL", "http://127.0.0.1:9")
    assert registered(monkeypatch) == {}
    llm_redraft = sys.modules["llm_redraft"]
    if "redraft" not in cli.commands:
        llm_redraft.register_commands(cli)
    done = CliRunner().invoke(cli, ["redraft", "models"])
    assert done.exit_code == 1
    assert "does not answer" in done.output
