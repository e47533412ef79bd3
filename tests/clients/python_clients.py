"""Clients in Python. Runs in an environment that has them: `python python_clients.py URL`.

Prints one JSON object: client -> ability -> "" where it works, else the reason.
"""

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

URL = sys.argv[1] if len(sys.argv) > 1 else ""
KEY, MODEL = "secret", "scripted"
HELLO, WARM = "Hello there, friend.", "It is warm in Rome."
ASK, WEATHER, RECORD = "Say hello", "How is the weather in Rome?", "Write a record"
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["ann", "bob"]}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather.", "parameters": PARAMETERS},
}
MESSAGES: Any = [{"role": "user", "content": ASK}]
Checks = dict[str, Callable[[], Any]]


def is_record(value: Any) -> None:
    value = value if isinstance(value, dict) else json.loads(value)
    assert value["name"] in ("ann", "bob"), value
    assert isinstance(value["age"], int), value


def raises(call: Callable[[], Any], *kinds: type[BaseException]) -> None:
    told = ""
    try:
        call()
    except kinds as error:
        told = str(error)
    if "other" not in told:
        raise AssertionError(f"the error does not name the model: {told!r}")


def record_class() -> Any:
    from typing import Literal

    from pydantic import BaseModel

    class Record(BaseModel):
        name: Literal["ann", "bob"]
        age: int

    return Record


def openai_chat() -> Checks:
    import openai

    client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)

    def ask(**more: Any) -> Any:
        return client.chat.completions.create(**({"model": MODEL, "messages": MESSAGES} | more))

    def stream() -> None:
        parts = [part.choices[0].delta.content or "" for part in ask(stream=True) if part.choices]
        assert "".join(parts) == HELLO

    def tools() -> None:
        history: Any = [{"role": "user", "content": WEATHER}]
        message = ask(messages=history, tools=[TOOL]).choices[0].message
        (call,) = message.tool_calls
        assert json.loads(call.function.arguments) == {"city": "Rome"}
        history += [message, {"role": "tool", "tool_call_id": call.id, "content": "warm"}]
        assert ask(messages=history, tools=[TOOL]).choices[0].message.content == WARM

    def structured() -> None:
        found = client.chat.completions.parse(
            model=MODEL,
            messages=[{"role": "user", "content": RECORD}],
            response_format=record_class(),
            max_tokens=60,
        )
        is_record(found.choices[0].message.parsed.model_dump())  # type: ignore[union-attr]

    def infill() -> None:
        found = client.completions.create(
            model=MODEL, prompt="x = 1\n", suffix="\ny = x\n", max_tokens=8
        )
        assert isinstance(found.choices[0].text, str)

    return {
        "chat": lambda: _is(ask().choices[0].message.content),
        "stream": stream, "tools": tools, "structured": structured, "infill": infill,
        "errors": lambda: raises(lambda: ask(model="other"), openai.NotFoundError),
    }  # fmt: skip


def openai_responses() -> Checks:
    import openai

    client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)

    def ask(**more: Any) -> Any:
        return client.responses.create(**({"model": MODEL, "input": ASK} | more))

    def stream() -> None:
        parts = [
            event.delta for event in ask(stream=True) if event.type == "response.output_text.delta"
        ]
        assert "".join(parts) == HELLO

    def tools() -> None:
        tool = {"type": "function", **TOOL["function"], "strict": False}  # type: ignore[dict-item]
        first = ask(input=WEATHER, tools=[tool])
        (call,) = (item for item in first.output if item.type == "function_call")
        result = [{"type": "function_call_output", "call_id": call.call_id, "output": "warm"}]
        second = ask(input=result, tools=[tool], previous_response_id=first.id)
        assert second.output_text == WARM

    def structured() -> None:
        found = client.responses.parse(
            model=MODEL, input=RECORD, text_format=record_class(), max_output_tokens=60
        )
        is_record(found.output_parsed.model_dump())  # type: ignore[union-attr]

    return {
        "chat": lambda: _is(ask().output_text), "stream": stream, "tools": tools, "structured": structured,
        "errors": lambda: raises(lambda: ask(model="other"), openai.NotFoundError),
    }  # fmt: skip


def anthropic_messages() -> Checks:
    import anthropic

    client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)

    def ask(**more: Any) -> Any:
        return client.messages.create(
            **({"model": MODEL, "max_tokens": 200, "messages": MESSAGES} | more)
        )

    def stream() -> None:
        with client.messages.stream(model=MODEL, max_tokens=200, messages=MESSAGES) as events:
            assert "".join(events.text_stream) == HELLO

    def tools() -> None:
        tool = {"name": "weather", "description": "x", "input_schema": PARAMETERS}
        history: Any = [{"role": "user", "content": WEATHER}]
        first = ask(messages=history, tools=[tool])
        (use,) = (block for block in first.content if block.type == "tool_use")
        assert use.input == {"city": "Rome"}
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "warm"}
        history += [
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]},
        ]
        assert ask(messages=history, tools=[tool]).content[0].text == WARM

    def structured() -> None:
        config = {"format": {"type": "json_schema", "schema": SCHEMA}}
        is_record(
            ask(messages=[{"role": "user", "content": RECORD}], output_config=config)
            .content[0]
            .text
        )

    return {
        "chat": lambda: _is(ask().content[0].text), "stream": stream, "tools": tools, "structured": structured,
        "errors": lambda: raises(lambda: ask(model="other"), anthropic.NotFoundError),
    }  # fmt: skip


def ollama_client() -> Checks:
    import ollama

    client = ollama.Client(host=URL, headers={"authorization": f"Bearer {KEY}"})

    def stream() -> None:
        parts = client.chat(model=MODEL, messages=MESSAGES, stream=True)
        assert "".join(part.message.content or "" for part in parts) == HELLO

    def tools() -> None:
        history: Any = [{"role": "user", "content": WEATHER}]
        message = client.chat(model=MODEL, messages=history, tools=[TOOL]).message
        (call,) = message.tool_calls or []
        assert dict(call.function.arguments) == {"city": "Rome"}
        history += [message, {"role": "tool", "content": "warm", "tool_name": "weather"}]
        assert client.chat(model=MODEL, messages=history, tools=[TOOL]).message.content == WARM

    def structured() -> None:
        found = client.chat(
            model=MODEL,
            messages=[{"role": "user", "content": RECORD}],
            format=SCHEMA,
            options={"num_predict": 60},
        )
        is_record(found.message.content)

    def infill() -> None:
        found = client.generate(
            model=MODEL, prompt="x = 1\n", suffix="\ny = x\n", options={"num_predict": 8}
        )
        assert isinstance(found.response, str)

    return {
        "chat": lambda: _is(client.chat(model=MODEL, messages=MESSAGES).message.content),
        "stream": stream, "tools": tools, "structured": structured, "infill": infill,
        "errors": lambda: raises(lambda: client.chat(model="other", messages=MESSAGES), ollama.ResponseError),
    }  # fmt: skip


def litellm_client() -> Checks:
    import litellm

    base = {"model": f"openai/{MODEL}", "api_base": f"{URL}/v1", "api_key": KEY, "num_retries": 0}

    def ask(**more: Any) -> Any:
        return litellm.completion(**(base | {"messages": MESSAGES} | more))

    def stream() -> None:
        assert "".join(part.choices[0].delta.content or "" for part in ask(stream=True)) == HELLO

    def tools() -> None:
        history: Any = [{"role": "user", "content": WEATHER}]
        message = ask(messages=history, tools=[TOOL]).choices[0].message
        (call,) = message.tool_calls
        history += [
            message.model_dump(),
            {"role": "tool", "tool_call_id": call.id, "content": "warm"},
        ]
        assert ask(messages=history, tools=[TOOL]).choices[0].message.content == WARM

    def structured() -> None:
        form = {
            "type": "json_schema",
            "json_schema": {"name": "r", "schema": SCHEMA, "strict": True},
        }
        found = ask(
            messages=[{"role": "user", "content": RECORD}], response_format=form, max_tokens=60
        )
        is_record(found.choices[0].message.content)

    def infill() -> None:
        found = litellm.text_completion(
            **(base | {"model": f"text-completion-openai/{MODEL}"}),
            prompt="x = 1\n",
            suffix="\ny = x\n",
            max_tokens=8,
        )
        assert isinstance(found.choices[0].text, str)

    return {
        "chat": lambda: _is(ask().choices[0].message.content), "stream": stream, "tools": tools,
        "structured": structured, "infill": infill,
        "errors": lambda: raises(lambda: ask(model="openai/other"), litellm.NotFoundError),
    }  # fmt: skip


def langchain_client() -> Checks:
    import openai
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_openai import ChatOpenAI, OpenAI

    def model(name: str = MODEL) -> Any:
        return ChatOpenAI(
            model=name, base_url=f"{URL}/v1", api_key=KEY, max_retries=0, max_tokens=60
        )  # type: ignore[call-arg,arg-type]

    def tools() -> None:
        bound = model().bind_tools([TOOL])
        history: Any = [HumanMessage(WEATHER)]
        first = bound.invoke(history)
        (call,) = first.tool_calls
        history += [first, ToolMessage("warm", tool_call_id=call["id"])]
        assert bound.invoke(history).content == WARM

    def infill() -> None:
        llm = OpenAI(
            model=MODEL,
            base_url=f"{URL}/v1",
            api_key=KEY,
            max_tokens=8,
            model_kwargs={"suffix": "\ny = x\n"},
        )  # type: ignore[arg-type]
        assert isinstance(llm.invoke("x = 1\n"), str)

    return {
        "chat": lambda: _is(model().invoke(ASK).content),
        "stream": lambda: _is("".join(part.content for part in model().stream(ASK))),
        "tools": tools, "infill": infill,
        "structured": lambda: is_record(model().with_structured_output(record_class()).invoke(RECORD).model_dump()),
        "errors": lambda: raises(lambda: model("other").invoke(ASK), openai.NotFoundError),
    }  # fmt: skip


def llama_index_client() -> Checks:
    import openai
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike

    def model(name: str = MODEL) -> Any:
        return OpenAILike(
            model=name, api_base=f"{URL}/v1", api_key=KEY, is_chat_model=True, is_function_calling_model=True,
            max_retries=0, max_tokens=60, should_use_structured_outputs=True,
        )  # fmt: skip

    def weather(city: str) -> str:
        """The weather."""
        return f"warm in {city}"

    def tools() -> None:
        found = model().predict_and_call([FunctionTool.from_defaults(weather)], user_msg=WEATHER)
        assert "warm in Rome" in str(found)

    def structured() -> None:
        found = model().structured_predict(record_class(), _prompt(RECORD))
        is_record(found.model_dump())

    def _prompt(text: str) -> Any:
        from llama_index.core.prompts import PromptTemplate

        return PromptTemplate(text)

    messages = [ChatMessage(role="user", content=ASK)]
    return {
        "chat": lambda: _is(model().chat(messages).message.content),
        "stream": lambda: _is("".join(part.delta for part in model().stream_chat(messages))),
        "tools": tools, "structured": structured,
        "errors": lambda: raises(lambda: model("other").chat(messages), openai.NotFoundError),
    }  # fmt: skip


def instructor_client() -> Checks:
    import instructor
    import openai

    plain = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)

    def structured() -> None:
        for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
            client = instructor.from_openai(plain, mode=mode)
            found = client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": RECORD}], response_model=record_class(), max_retries=0,
                max_tokens=80,
            )  # fmt: skip
            is_record(found.model_dump())

    return {"structured": structured}


def pydantic_ai_client(*, responses: bool) -> Checks:
    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.exceptions import ModelHTTPError
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    form: Any = OpenAIResponsesModel if responses else OpenAIChatModel

    def agent(name: str = MODEL, **more: Any) -> Any:
        provider = OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY)
        return Agent(form(name, provider=provider), model_settings={"max_tokens": 80}, **more)

    def tools() -> None:
        one = agent()

        def weather(city: str) -> str:
            """The weather."""
            return f"warm in {city}"

        one.tool_plain(weather)
        assert one.run_sync(WEATHER).output == WARM

    async def streamed() -> str:
        async with agent().run_stream(ASK) as found:
            return str(await found.get_output())

    return {
        "chat": lambda: _is(agent().run_sync(ASK).output),
        "stream": lambda: _is(asyncio.run(streamed())),
        "tools": tools,
        "structured": lambda: is_record(
            agent(output_type=NativeOutput(record_class())).run_sync(RECORD).output.model_dump()
        ),
        "errors": lambda: raises(lambda: agent("other").run_sync(ASK), ModelHTTPError),
    }  # fmt: skip


def llm_command() -> Checks:
    """simonw's llm, as a command, with the server in its extra-openai-models.yaml."""
    home = Path(tempfile.mkdtemp())
    lines = "".join(
        f"- model_id: {name}\n  model_name: {name}\n  api_base: {URL}/v1\n  api_key_name: redraft\n"
        "  supports_tools: true\n  supports_schema: true\n"
        for name in (MODEL, "other")
    )
    (home / "extra-openai-models.yaml").write_text(lines)
    (home / "keys.json").write_text(json.dumps({"redraft": KEY}))
    command = [sys.executable, "-m", "llm"]

    def run(*words: str) -> str:
        done = subprocess.run(
            [*command, *words],
            env=os.environ | {"LLM_USER_PATH": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-300:])
        return done.stdout.strip()

    function = "def weather(city: str) -> str:\n    return 'warm'\n"
    return {
        "chat": lambda: _is(run("-m", MODEL, "--no-stream", ASK)),
        "stream": lambda: _is(run("-m", MODEL, ASK)),
        "tools": lambda: _is(run("-m", MODEL, "--functions", function, WEATHER), WARM),
        "structured": lambda: is_record(run("-m", MODEL, "--schema", json.dumps(SCHEMA), "-o", "max_tokens", "60", RECORD)),
        "errors": lambda: raises(lambda: run("-m", "other", ASK), RuntimeError),
    }  # fmt: skip


def _is(found: Any, expected: str = HELLO) -> None:
    assert found == expected, repr(found)[:200]


CLIENTS: dict[str, Callable[[], Checks]] = {
    "openai (Python), chat": openai_chat,
    "openai (Python), responses": openai_responses,
    "anthropic (Python)": anthropic_messages,
    "ollama (Python)": ollama_client,
    "litellm": litellm_client,
    "langchain-openai": langchain_client,
    "llama-index": llama_index_client,
    "instructor": instructor_client,
    "pydantic-ai, chat": lambda: pydantic_ai_client(responses=False),
    "pydantic-ai, responses": lambda: pydantic_ai_client(responses=True),
    "llm": llm_command,
}


def main() -> None:
    """Try every client, and print what each can do."""
    results: dict[str, dict[str, str]] = {}
    for name, make in CLIENTS.items():
        try:
            checks = make()
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        results[name] = {}
        for ability, check in checks.items():
            try:
                check()
                results[name][ability] = ""
            except Exception as error:
                results[name][ability] = f"{type(error).__name__}: {error}"[:300]
        print(name, results[name], file=sys.stderr, flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
