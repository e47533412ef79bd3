"""Clients of Anthropic's messages and of Ollama's chat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.clients.checking import (
    ADAPTER,
    KEY,
    MODEL,
    OTHER,
    PEOPLE,
    URL,
    WEATHER,
    Checks,
    arrived,
    cannot,
    is_person,
    is_record,
    png,
    raises,
    run_tool,
    same,
    user,
)
from tests.clients.words import WORDS

PARAMETERS, PERSON = WORDS["city"], WORDS["person_schema"]


def anthropic_messages() -> Checks:
    import anthropic

    client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)

    def tool(name: str, schema: Any) -> Any:
        return {"name": name, "description": "x", "input_schema": schema}

    def ask(*messages: Any, **more: Any) -> Any:
        asked = list(messages or [user(WORDS["ask"])])
        return client.messages.create(
            **({"model": MODEL, "max_tokens": 250, "messages": asked} | more)
        )

    def streamed(*messages: Any, **more: Any) -> Any:
        given = {"model": MODEL, "max_tokens": 250, "messages": list(messages)} | more
        with client.messages.stream(**given) as events:
            return events.get_final_message()

    def stream() -> None:
        given: Any = {"model": MODEL, "max_tokens": 200, "messages": [user(WORDS["ask"])]}
        with client.messages.stream(**given) as events:
            same("".join(events.text_stream))

    def text(found: Any) -> str:
        return "".join(block.text for block in found.content if block.type == "text")

    def uses(found: Any) -> list[Any]:
        return [block for block in found.content if block.type == "tool_use"]

    def result(use: Any, content: str) -> Any:
        return {"type": "tool_result", "tool_use_id": use.id, "content": content}

    def tools() -> None:
        given, asked = [tool("weather", PARAMETERS)], user(WORDS["ask_weather"])
        first = ask(asked, tools=given)
        (use,) = uses(first)
        same(use.input, {"city": "Rome"})
        answer = {"role": "assistant", "content": first.content}
        results = {"role": "user", "content": [result(use, "warm")]}
        same(text(ask(asked, answer, results, tools=given)), WORDS["warm"])

    def structured(said: str, schema: Any) -> str:
        return text(
            ask(user(said), output_config={"format": {"type": "json_schema", "schema": schema}})
        )

    def nested_tool() -> None:
        given = [tool("save", PERSON)]
        for choice in ("auto", "any"):
            (use,) = uses(ask(user(WORDS["ask_person"]), tools=given, tool_choice={"type": choice}))
            is_person(use.input)

    def loop(send: Callable[..., Any]) -> None:
        given = [tool("weather", PARAMETERS), tool("people", PARAMETERS)]
        history: list[Any] = [user(WORDS["ask_loop"])]
        turns = 0
        while made := uses(found := send(*history, tools=given)):
            turns += 1
            same([use.name for use in made], ["weather", "people"])
            results = [result(use, run_tool(use.name, use.input)) for use in made]
            history += [
                {"role": "assistant", "content": found.content},
                {"role": "user", "content": results},
            ]
        arrived(turns, text(found))

    def reasoning(send: Callable[..., Any]) -> None:
        given: Any = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
        asked = user(WORDS["ask_thought"])
        first = send(asked, **given)
        same([first.content[0].thinking, text(first)], [WORDS["thought"], WORDS["thought_out"]])
        same(
            text(
                send(
                    asked,
                    {"role": "assistant", "content": first.content},
                    user(WORDS["ask"]),
                    **given,
                )
            )
        )
        calling = send(asked, tools=[tool("weather", PARAMETERS)], **given)
        history = [asked, {"role": "assistant", "content": calling.content}]
        history.append({"role": "user", "content": [result(uses(calling)[0], "warm")]})
        same(text(send(*history, tools=[tool("weather", PARAMETERS)], **given)), "1 thought")

    def unicode(send: Callable[..., Any]) -> None:
        odd = WORDS["odd_text"]
        first = send(user(f"{WORDS['repeat']}{odd}"), system="")
        same(text(first), odd)
        answer = {"role": "assistant", "content": first.content}
        same(
            text(
                send(
                    user(""),
                    answer,
                    user(""),
                    {"role": "assistant", "content": ""},
                    user(WORDS["ask"]),
                )
            )
        )

    def images() -> None:
        sources = [
            {"type": "base64", "media_type": "image/png", "data": png(shade)} for shade in (0, 200)
        ]
        parts = [{"type": "image", "source": source} for source in sources]
        same(
            text(
                ask(
                    {
                        "role": "user",
                        "content": [*parts, {"type": "text", "text": WORDS["ask_image"]}],
                    }
                )
            ),
            "2 images",
        )

    def options() -> None:
        found = ask(stop_sequences=["friend"])
        same(
            [text(found), found.stop_reason, found.stop_sequence],
            ["Hello there, ", "stop_sequence", "friend"],
        )

    def usage() -> None:
        spent = streamed(user(WORDS["ask"])).usage
        assert spent.input_tokens > 0, spent
        assert spent.output_tokens >= len(WORDS["hello"]), spent
        assert (
            client.messages.count_tokens(model=MODEL, messages=[user(WORDS["ask"])]).input_tokens
            == spent.input_tokens
        )

    def both(check: Callable[[Callable[..., Any]], None]) -> None:
        check(ask)
        check(streamed)

    return {
        "chat": lambda: same(text(ask())), "stream": stream, "tools": tools,
        "structured": lambda: is_record(structured(WORDS["ask_record"], WORDS["record"])),
        "infill": cannot("its API has none"),
        "errors": lambda: raises(lambda: ask(model=OTHER), anthropic.NotFoundError),
        "adapter": lambda: same(text(ask(model=ADAPTER)), WORDS["formal"]),
        "nested": lambda: is_person(structured(WORDS["ask_person"], PERSON)),
        "nested tool": nested_tool, "images": images, "usage": usage, "options": options,
        "loop": lambda: both(loop), "reasoning": lambda: both(reasoning), "unicode": lambda: both(unicode),
    }  # fmt: skip


def ollama_client() -> Checks:
    import ollama

    client = ollama.Client(host=URL, headers={"authorization": f"Bearer {KEY}"})

    def tool(name: str, schema: Any) -> Any:
        return {
            "type": "function",
            "function": {"name": name, "description": "x", "parameters": schema},
        }

    def ask(*messages: Any, **more: Any) -> Any:
        asked = list(messages or [user(WORDS["ask"])])
        return client.chat(**({"model": MODEL, "messages": asked} | more)).message

    def streamed(*messages: Any, **more: Any) -> Any:
        parts = list(client.chat(model=MODEL, messages=list(messages), stream=True, **more))
        calls = [call for part in parts for call in part.message.tool_calls or []]
        content = "".join(part.message.content or "" for part in parts)
        thinking = "".join(part.message.thinking or "" for part in parts)
        return ollama.Message(
            role="assistant", content=content, thinking=thinking, tool_calls=calls or None
        )

    def tools() -> None:
        given, asked = [WEATHER], user(WORDS["ask_weather"])
        first = ask(asked, tools=given)
        (call,) = first.tool_calls
        same(dict(call.function.arguments), {"city": "Rome"})
        result = {"role": "tool", "content": "warm", "tool_name": "weather"}
        same(ask(asked, first, result, tools=given).content, WORDS["warm"])

    def structured(said: str, schema: Any) -> str:
        return str(ask(user(said), format=schema, options={"num_predict": 250}).content)

    def loop(send: Callable[..., Any]) -> None:
        history: list[Any] = [user(WORDS["ask_loop"])]
        turns = 0
        while made := (found := send(*history, tools=[WEATHER, PEOPLE])).tool_calls:
            turns += 1
            same([call.function.name for call in made], ["weather", "people"])
            history.append(found)
            for call in made:
                said = run_tool(call.function.name, call.function.arguments)
                history.append({"role": "tool", "content": said, "tool_name": call.function.name})
        arrived(turns, found.content)

    def reasoning(send: Callable[..., Any]) -> None:
        asked = user(WORDS["ask_thought"])
        first = send(asked, think=True)
        same([first.thinking, first.content], [WORDS["thought"], WORDS["thought_out"]])
        same(send(asked, first, user(WORDS["ask"]), think=True).content)
        calling = send(asked, think=True, tools=[WEATHER])
        result = {"role": "tool", "content": "warm", "tool_name": "weather"}
        same(send(asked, calling, result, think=True, tools=[WEATHER]).content, "1 thought")

    def unicode(send: Callable[..., Any]) -> None:
        odd = WORDS["odd_text"]
        first = send({"role": "system", "content": ""}, user(f"{WORDS['repeat']}{odd}"))
        same(first.content, odd)
        same(
            send(
                user(""), first, user(""), {"role": "assistant", "content": ""}, user(WORDS["ask"])
            ).content
        )

    def nested_tool() -> None:
        (call,) = ask(user(WORDS["ask_person"]), tools=[tool("save", PERSON)]).tool_calls
        is_person(dict(call.function.arguments))

    def options() -> None:
        more = {
            "stop": ["friend"],
            "presence_penalty": 0.5,
            "frequency_penalty": 0.5,
            "repeat_penalty": 1.1,
        }
        same(ask(options=more | {"seed": 1, "num_ctx": 2048}).content, "Hello there, ")

    def usage() -> None:
        last = list(client.chat(model=MODEL, messages=[user(WORDS["ask"])], stream=True))[-1]
        assert last.prompt_eval_count, last
        assert (last.eval_count or 0) >= len(WORDS["hello"]), last

    def infill() -> None:
        given: Any = {"prompt": "x = 1\n", "suffix": "\ny = x\n", "options": {"num_predict": 8}}
        same(type(client.generate(model=MODEL, **given).response), str)

    def both(check: Callable[[Callable[..., Any]], None]) -> None:
        check(ask)
        check(streamed)

    pictures = [png(0), png(200)]
    return {
        "chat": lambda: same(ask().content), "tools": tools, "infill": infill,
        "stream": lambda: same(streamed(user(WORDS["ask"])).content),
        "structured": lambda: is_record(structured(WORDS["ask_record"], WORDS["record"])),
        "errors": lambda: raises(lambda: ask(model=OTHER), ollama.ResponseError),
        "adapter": lambda: same(ask(model=ADAPTER).content, WORDS["formal"]),
        "nested": lambda: is_person(structured(WORDS["ask_person"], PERSON)),
        "nested tool": nested_tool, "usage": usage, "options": options,
        "images": lambda: same(ask(user(WORDS["ask_image"]) | {"images": pictures}).content, "2 images"),
        "loop": lambda: both(loop), "reasoning": lambda: both(reasoning), "unicode": lambda: both(unicode),
    }  # fmt: skip
