"""Frameworks on top of a client: langchain, llama-index, instructor, pydantic-ai, llm."""

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
    PEOPLE,
    SAVE,
    URL,
    WEATHER,
    Checks,
    arrived,
    cannot,
    is_person,
    is_record,
    person_class,
    png,
    raises,
    record_class,
    run_tool,
    same,
)
from tests.clients.words import WORDS, journey, visit

NO_SUFFIX = "it hands no suffix on"
AGENT = "its agent owns the conversation"


def langchain_client() -> Checks:
    import openai
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    from langchain_openai import ChatOpenAI, OpenAI

    def model(name: str = MODEL, **more: Any) -> Any:
        given = {"base_url": f"{URL}/v1", "api_key": KEY, "max_retries": 0, "max_tokens": 250}
        return ChatOpenAI(model=name, **(given | more))

    def whole(bound: Any, history: Any) -> Any:
        """Return a stream's message, as its pieces add up to it."""
        parts = list(bound.stream(history))
        return sum(parts[1:], parts[0])

    def tools() -> None:
        bound = model().bind_tools([WEATHER])
        first = bound.invoke([HumanMessage(WORDS["ask_weather"])])
        (call,) = first.tool_calls
        history = [HumanMessage(WORDS["ask_weather"]), first, ToolMessage("warm", tool_call_id=call["id"])]
        same(bound.invoke(history).content, WORDS["warm"])

    def loop(streams: bool) -> None:
        bound = model(streaming=streams).bind_tools([WEATHER, PEOPLE])
        history: list[Any] = [HumanMessage(WORDS["ask_loop"])]
        turns = 0
        while (found := whole(bound, history) if streams else bound.invoke(history)).tool_calls:
            turns += 1
            same([call["name"] for call in found.tool_calls], ["weather", "people"])
            history.append(found)
            for call in found.tool_calls:
                said = run_tool(call["name"], call["args"])
                history.append(ToolMessage(said, tool_call_id=call["id"]))
        arrived(turns, found.content)

    def nested_tool() -> None:
        (call,) = model().bind_tools([SAVE]).invoke(WORDS["ask_person"]).tool_calls
        is_person(call["args"])
        (call,) = model().bind_tools([person_class()], strict=True).invoke(WORDS["ask_person"]).tool_calls
        is_person(call["args"])

    def images() -> None:
        urls = [f"data:image/png;base64,{png(shade)}" for shade in (0, 200)]
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        parts.append({"type": "text", "text": WORDS["ask_image"]})
        same(model().invoke([HumanMessage(parts)]).content, "2 images")

    def usage() -> None:
        spent = whole(model(stream_usage=True), WORDS["ask"]).usage_metadata
        same(spent["total_tokens"], spent["input_tokens"] + spent["output_tokens"])
        assert spent["output_tokens"] >= len(WORDS["hello"]), spent

    def options() -> None:
        more = {"n": 3, "presence_penalty": 0.5, "frequency_penalty": 0.5, "seed": 1, "stop": ["friend"]}
        found = model(**more).generate([[HumanMessage(WORDS["ask"])]]).generations[0]
        same([one.text for one in found], ["Hello there, "] * 3)

    def unicode() -> None:
        odd = WORDS["odd_text"]
        history: list[Any] = [SystemMessage(""), HumanMessage(f"{WORDS['repeat']}{odd}")]
        first = model().invoke(history)
        same(first.content, odd)
        same(whole(model(), history).content, odd)
        same(model().invoke([*history, first, HumanMessage(""), AIMessage(""), HumanMessage(WORDS["ask"])]).content)

    def infill() -> None:
        given: Any = {"base_url": f"{URL}/v1", "api_key": KEY, "max_tokens": 8}
        llm = OpenAI(model=MODEL, model_kwargs={"suffix": "\ny = x\n"}, **given)
        same(type(llm.invoke("x = 1\n")), str)

    def parsed(text: str, form: Any) -> Any:
        return model().with_structured_output(form).invoke(text).model_dump()

    return {
        "chat": lambda: same(model().invoke(WORDS["ask"]).content),
        "stream": lambda: same("".join(part.content for part in model().stream(WORDS["ask"]))),
        "tools": tools, "infill": infill,
        "structured": lambda: is_record(parsed(WORDS["ask_record"], record_class())),
        "errors": lambda: raises(lambda: model(OTHER).invoke(WORDS["ask"]), openai.NotFoundError),
        "adapter": lambda: same(model(ADAPTER).invoke(WORDS["ask"]).content, WORDS["formal"]),
        "nested": lambda: is_person(parsed(WORDS["ask_person"], person_class())),
        "nested tool": nested_tool, "images": images, "usage": usage, "options": options, "unicode": unicode,
        "loop": lambda: [loop(streams) for streams in (False, True)],
        "reasoning": cannot("ChatOpenAI leaves reasoning_content out"),
    }  # fmt: skip


def llama_index_client() -> Checks:
    import openai
    from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
    from llama_index.core.prompts import PromptTemplate
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike

    def model(name: str = MODEL, **more: Any) -> Any:
        return OpenAILike(
            model=name, api_base=f"{URL}/v1", api_key=KEY, is_chat_model=True, is_function_calling_model=True,
            max_retries=0, max_tokens=250, should_use_structured_outputs=True, **more,
        )  # fmt: skip

    def said(text: str) -> list[Any]:
        return [ChatMessage(role="user", content=text)]

    def weather(city: str) -> str:
        """The weather."""
        return visit(city)[0]

    def people(city: str) -> str:
        """The people."""
        return visit(city)[1]

    def tools() -> None:
        given = [FunctionTool.from_defaults(weather)]
        found = model().predict_and_call(given, user_msg=WORDS["ask_weather"])
        assert "sun in Rome" in str(found), found

    def loop() -> None:
        given = [FunctionTool.from_defaults(one) for one in (weather, people)]
        one, history, turns = model(), said(WORDS["ask_loop"]), 0
        while True:
            found = one.chat_with_tools(given, chat_history=history, allow_parallel_tool_calls=True)
            calls = one.get_tool_calls_from_response(found, error_on_no_tool_call=False)
            if not calls:
                break
            turns += 1
            history.append(found.message)
            for call in calls:
                result = run_tool(call.tool_name, call.tool_kwargs)
                more = {"tool_call_id": call.tool_id}
                history.append(ChatMessage(role="tool", content=result, additional_kwargs=more))
        arrived(turns, found.message.content)

    def images() -> None:
        shown = [ImageBlock(image=png(shade).encode(), image_mimetype="image/png") for shade in (0, 200)]
        blocks = [*shown, TextBlock(text=WORDS["ask_image"])]
        same(model().chat([ChatMessage(role="user", blocks=blocks)]).message.content, "2 images")

    def usage() -> None:
        more = {"stream_options": {"include_usage": True}}
        last = list(model(additional_kwargs=more).stream_chat(said(WORDS["ask"])))[-1].raw.usage
        assert last.completion_tokens >= len(WORDS["hello"]), last

    def options() -> None:
        more = {"n": 3, "stop": ["friend"], "presence_penalty": 0.5, "seed": 1}
        found = model(additional_kwargs=more).chat(said(WORDS["ask"])).raw.choices
        same([one.message.content for one in found], ["Hello there, "] * 3)

    def predicted(text: str, form: Any) -> Any:
        return model().structured_predict(form, PromptTemplate(text)).model_dump()

    def repeated() -> None:
        odd = WORDS["odd_text"]
        same(model().chat(said(f"{WORDS['repeat']}{odd}")).message.content, odd)
        empty = [ChatMessage(role="system", content=""), *said(""), ChatMessage(role="assistant", content="")]
        same(model().chat([*empty, *said(WORDS["ask"])]).message.content)

    return {
        "chat": lambda: same(model().chat(said(WORDS["ask"])).message.content),
        "stream": lambda: same("".join(part.delta for part in model().stream_chat(said(WORDS["ask"])))),
        "tools": tools, "infill": cannot(NO_SUFFIX), "loop": loop, "images": images,
        "structured": lambda: is_record(predicted(WORDS["ask_record"], record_class())),
        "errors": lambda: raises(lambda: model(OTHER).chat(said(WORDS["ask"])), openai.NotFoundError),
        "adapter": lambda: same(model(ADAPTER).chat(said(WORDS["ask"])).message.content, WORDS["formal"]),
        "nested": lambda: is_person(predicted(WORDS["ask_person"], person_class())),
        "nested tool": cannot("the same calls as its tools"),
        "usage": usage, "options": options, "unicode": repeated,
        "reasoning": cannot("OpenAILike leaves reasoning_content out"),
    }  # fmt: skip


def instructor_client() -> Checks:
    import instructor
    import openai

    plain = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)

    def made(text: str, form: Any, mode: Any, name: str = MODEL) -> Any:
        client = instructor.from_openai(plain, mode=mode)
        found = client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": text}], response_model=form, max_retries=0,
            max_tokens=250,
        )  # fmt: skip
        return found.model_dump()

    def structured() -> None:
        for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
            is_record(made(WORDS["ask_record"], record_class(), mode))

    other = "only structured answers"
    nested = {"nested": instructor.Mode.JSON_SCHEMA, "nested tool": instructor.Mode.TOOLS}
    return {name: cannot(other) for name in ("chat", "stream", "tools", "infill", "images", "loop")} | {
        name: cannot(other) for name in ("reasoning", "usage", "options", "unicode", "adapter")
    } | {
        "structured": structured,
        "errors": lambda: raises(lambda: made("x", record_class(), instructor.Mode.TOOLS, OTHER), Exception),
    } | {
        name: lambda mode=mode: is_person(made(WORDS["ask_person"], person_class(), mode))  # type: ignore[misc]
        for name, mode in nested.items()
    }  # fmt: skip


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

        shown = [BinaryContent(base64.b64decode(png(shade)), media_type="image/png") for shade in (0, 200)]
        same(agent().run_sync([*shown, WORDS["ask_image"]]).output, "2 images")

    def usage() -> None:
        _, spent = asyncio.run(streamed(agent(), WORDS["ask"]))
        assert spent.output_tokens >= len(WORDS["hello"]), spent

    def options() -> None:
        more = {"presence_penalty": 0.5, "frequency_penalty": 0.5, "seed": 1, "stop_sequences": ["friend"]}
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
