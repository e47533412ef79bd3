"""Programs that hold the conversation themselves: pydantic-ai and llm."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.clients.checking import (
    ADAPTER,
    KEY,
    MODEL,
    OTHER,
    URL,
    Checks,
    cannot,
    is_person,
    is_record,
    person_class,
    png,
    raises,
    record_class,
    same,
)
from tests.clients.words import WORDS, journey, visit

NO_SUFFIX = "it hands no suffix on"
AGENT = "its agent owns the conversation"


def pydantic_ai_client(*, responses: bool) -> Checks:
    from pydantic_ai import Agent, BinaryContent, ModelSettings, NativeOutput, ToolOutput
    from pydantic_ai.exceptions import ModelHTTPError
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    form: Any = OpenAIResponsesModel if responses else OpenAIChatModel

    def agent(name: str = MODEL, *, settings: Any = None, **more: Any) -> Any:
        provider = OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY)
        given: Any = {"max_tokens": 250} | (settings or {})
        return Agent(form(name, provider=provider), model_settings=ModelSettings(**given), **more)

    def with_tools(**more: Any) -> tuple[Any, list[str]]:
        one, called = agent(**more), []  # type: ignore[var-annotated]

        def weather(city: str) -> str:
            """The weather."""
            called.append("weather")
            return visit(city)[0]

        def people(city: str) -> str:
            """The people."""
            called.append("people")
            return visit(city)[1]

        one.tool_plain(weather)
        one.tool_plain(people)
        return one, called

    async def streamed(one: Any, text: str) -> tuple[str, Any]:
        async with one.run_stream(text) as found:
            said = str(await found.get_output())
            return said, found.usage

    def loop() -> None:
        for run in (lambda one: one.run_sync(WORDS["ask_loop"]).output,
                    lambda one: asyncio.run(streamed(one, WORDS["ask_loop"]))[0]):  # fmt: skip
            one, called = with_tools()
            same(run(one), journey())
            same(len(called), 2 * len(WORDS["cities"]))

    def reasoning() -> None:
        effort = {"openai_reasoning_effort": "high"}
        if responses:
            effort["openai_reasoning_summary"] = "auto"
        one, called = with_tools(settings=effort)
        found = one.run_sync(WORDS["ask_thought"])
        thoughts = [part.content for message in found.new_messages() for part in message.parts
                    if part.part_kind == "thinking"]  # fmt: skip
        same([thoughts[0], called, found.output], [WORDS["thought"], ["weather"], "1 thought"])

    def images() -> None:
        import base64

        shown = [
            BinaryContent(base64.b64decode(png(shade)), media_type="image/png")
            for shade in (0, 200)
        ]
        same(agent().run_sync([*shown, WORDS["ask_image"]]).output, "2 images")

    def usage() -> None:
        _, spent = asyncio.run(streamed(agent(), WORDS["ask"]))
        assert spent.output_tokens >= len(WORDS["hello"]), spent

    def options() -> None:
        more = {
            "presence_penalty": 0.5,
            "frequency_penalty": 0.5,
            "seed": 1,
            "stop_sequences": ["friend"],
        }
        same(agent(settings=more).run_sync(WORDS["ask"]).output, "Hello there, ")

    def unicode() -> None:
        odd = f"{WORDS['repeat']}{WORDS['odd_text']}"
        first = agent().run_sync(odd)
        same([first.output, asyncio.run(streamed(agent(), odd))[0]], [WORDS["odd_text"]] * 2)
        same(agent().run_sync(WORDS["ask"], message_history=first.new_messages()).output)

    def wrapped(kind: Any, form: Any, text: str) -> Any:
        return agent(output_type=kind(form)).run_sync(text).output.model_dump()

    return {
        "chat": lambda: same(agent().run_sync(WORDS["ask"]).output),
        "stream": lambda: same(asyncio.run(streamed(agent(), WORDS["ask"]))[0]),
        "tools": lambda: same(with_tools()[0].run_sync(WORDS["ask_weather"]).output, WORDS["warm"]),
        "structured": lambda: is_record(wrapped(NativeOutput, record_class(), WORDS["ask_record"])),
        "infill": cannot(NO_SUFFIX),
        "errors": lambda: raises(lambda: agent(OTHER).run_sync(WORDS["ask"]), ModelHTTPError),
        "adapter": lambda: same(agent(ADAPTER).run_sync(WORDS["ask"]).output, WORDS["formal"]),
        "nested": lambda: is_person(wrapped(NativeOutput, person_class(), WORDS["ask_person"])),
        "nested tool": lambda: is_person(wrapped(ToolOutput, person_class(), WORDS["ask_person"])),
        "loop": loop, "images": images, "reasoning": reasoning, "usage": usage, "unicode": unicode,
        "options": cannot("a response has neither n, stop nor penalties") if responses else options,
    }  # fmt: skip


def llm_command() -> Checks:
    """simonw's llm, as a command, with the server in its extra-openai-models.yaml."""
    home = Path(tempfile.mkdtemp())
    lines = "".join(
        f"- model_id: {name}\n  model_name: {name}\n  api_base: {URL}/v1\n  api_key_name: redraft\n"
        "  supports_tools: true\n  supports_schema: true\n  vision: true\n"
        for name in (MODEL, ADAPTER, OTHER)
    )
    (home / "extra-openai-models.yaml").write_text(lines)
    (home / "keys.json").write_text(json.dumps({"redraft": KEY}))
    command = [sys.executable, "-m", "llm"]

    def run(*words: str) -> str:
        done = subprocess.run(
            [*command, *words], env=os.environ | {"LLM_USER_PATH": str(home)}, capture_output=True,
            text=True, check=False, encoding="utf-8",
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-300:])
        return done.stdout.removesuffix("\n")

    def schema(text: str, form: Any) -> str:
        return run("-m", MODEL, "--schema", json.dumps(form), "-o", "max_tokens", "250", text)

    def pictures() -> None:
        import base64

        words: list[str] = []
        for shade in (0, 200):
            (home / f"{shade}.png").write_bytes(base64.b64decode(png(shade)))
            words += ["-a", str(home / f"{shade}.png")]
        same(run("-m", MODEL, *words, WORDS["ask_image"]), "2 images")

    names: Callable[[str], str] = lambda name: f"def {name}(city: str) -> str:\n"  # noqa: E731
    functions = names("weather") + "    return f'sun in {city}'\n"
    functions += names("people") + "    return f'{len(city)} people in {city}'\n"
    options = ["-o", "stop", "friend", "-o", "presence_penalty", "0.5", "-o", "seed", "1"]
    return {
        "chat": lambda: same(run("-m", MODEL, "--no-stream", WORDS["ask"])),
        "stream": lambda: same(run("-m", MODEL, WORDS["ask"])),
        "tools": lambda: same(run("-m", MODEL, "--functions", functions, WORDS["ask_weather"]), WORDS["warm"]),
        "structured": lambda: is_record(schema(WORDS["ask_record"], WORDS["record"])),
        "infill": cannot("integrations/llm-redraft has it"),
        "errors": lambda: raises(lambda: run("-m", OTHER, WORDS["ask"]), RuntimeError),
        "adapter": lambda: same(run("-m", ADAPTER, WORDS["ask"]), WORDS["formal"]),
        "nested": lambda: is_person(schema(WORDS["ask_person"], WORDS["person_schema"])),
        "nested tool": cannot("its tools are functions of texts and numbers"),
        "loop": lambda: same(
            run("-m", MODEL, "--functions", functions, "--cl", "9", WORDS["ask_loop"]), journey()
        ),
        "images": pictures,
        "options": lambda: same(run("-m", MODEL, *options, WORDS["ask"]).rstrip(), "Hello there,"),
        "reasoning": cannot("it prints the answer alone"), "usage": cannot("it keeps it in its own log"),
        "unicode": lambda: same(run("-m", MODEL, f"{WORDS['repeat']}{WORDS['odd_text']}"), WORDS["odd_text"]),
    }  # fmt: skip
