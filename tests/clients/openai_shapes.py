"""Clients of OpenAI's chat: openai itself and litellm, whose calls and answers are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.clients.checking import (
    ADAPTER,
    KEY,
    MODEL,
    OTHER,
    PEOPLE,
    SAVE,
    STRICT_SAVE,
    URL,
    WEATHER,
    Checks,
    arrived,
    is_person,
    is_record,
    person_class,
    png,
    raises,
    record_class,
    run_tool,
    same,
    user,
)
from tests.clients.words import WORDS

Ask = Callable[..., Any]
PLACE: dict[str, Any] = {"prompt": "x = 1\n", "suffix": "\ny = x\n", "max_tokens": 8}


def openai_chat() -> Checks:
    import openai

    client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)

    def ask(**more: Any) -> Any:
        given = {"model": MODEL, "messages": [user(WORDS["ask"])]} | more
        return client.chat.completions.create(**given)

    def parsed(text: str, form: Any) -> Any:
        found = client.chat.completions.parse(
            model=MODEL, messages=[user(text)], response_format=form, max_tokens=250  # type: ignore[list-item]
        )  # fmt: skip
        return found.choices[0].message.parsed.model_dump()  # type: ignore[union-attr]

    def streamed(**more: Any) -> Any:
        with client.chat.completions.stream(**({"model": MODEL} | more)) as events:
            for _ in events:
                pass
            return events.get_final_completion().choices[0].message

    def infill() -> None:
        same(type(client.completions.create(model=MODEL, **PLACE).choices[0].text), str)

    return chat_checks(ask, streamed) | {
        "structured": lambda: is_record(parsed(WORDS["ask_record"], record_class())),
        "nested": lambda: is_person(parsed(WORDS["ask_person"], person_class())),
        "infill": infill,
        "errors": lambda: raises(lambda: ask(model=OTHER), openai.NotFoundError),
    }


def litellm_client() -> Checks:
    import litellm

    litellm.suppress_debug_info = True
    base = {"api_base": f"{URL}/v1", "api_key": KEY, "num_retries": 0}

    def ask(**more: Any) -> Any:
        name = more.pop("model", MODEL)
        given = base | {"messages": [user(WORDS["ask"])]} | more
        return litellm.completion(model=f"openai/{name}", **given)

    def streamed(**more: Any) -> Any:
        parts = list(ask(stream=True, **more))
        return litellm.stream_chunk_builder(parts).choices[0].message  # type: ignore[union-attr]

    def structured(text: str, schema: Any) -> Any:
        named = {"name": "r", "schema": schema, "strict": True}
        form = {"type": "json_schema", "json_schema": named}
        return (
            ask(messages=[user(text)], response_format=form, max_tokens=250)
            .choices[0]
            .message.content
        )

    def infill() -> None:
        name = f"text-completion-openai/{MODEL}"
        same(type(litellm.text_completion(**base, model=name, **PLACE).choices[0].text), str)

    return chat_checks(ask, streamed) | {
        "structured": lambda: is_record(structured(WORDS["ask_record"], WORDS["record"])),
        "nested": lambda: is_person(structured(WORDS["ask_person"], WORDS["person_schema"])),
        "infill": infill,
        "errors": lambda: raises(lambda: ask(model=OTHER), litellm.NotFoundError),
    }  # fmt: skip


def chat_checks(ask: Ask, streamed: Ask) -> Checks:
    """Return the checks of a client with OpenAI's calls.

    Args:
        ask: returns an answer, or its chunks. streamed: returns the message of a stream.
    """

    def message(*messages: Any, **more: Any) -> Any:
        return ask(messages=list(messages), **more).choices[0].message

    def stream() -> None:
        parts = ask(stream=True, stream_options={"include_usage": True})
        same("".join(part.choices[0].delta.content or "" for part in parts if part.choices))

    def usage() -> None:
        last = list(ask(stream=True, stream_options={"include_usage": True}))[-1].usage
        same(last.total_tokens, last.prompt_tokens + last.completion_tokens)
        assert last.completion_tokens >= len(WORDS["hello"]), last

    def tools() -> None:
        first = message(user(WORDS["ask_weather"]), tools=[WEATHER])
        (call,) = first.tool_calls
        result = {"role": "tool", "tool_call_id": call.id, "content": "warm"}
        same(
            message(user(WORDS["ask_weather"]), first, result, tools=[WEATHER]).content,
            WORDS["warm"],
        )

    def nested_tool() -> None:
        for given in ({"tools": [SAVE]}, {"tools": [STRICT_SAVE], "tool_choice": "required"}):
            (call,) = message(user(WORDS["ask_person"]), **given).tool_calls
            is_person(call.function.arguments)

    def options() -> None:
        more = {
            "n": 3,
            "stop": ["friend"],
            "presence_penalty": 0.5,
            "frequency_penalty": 0.5,
            "seed": 1,
        }
        found = ask(**more, temperature=0.5, top_p=0.9).choices
        same([one.message.content for one in found], ["Hello there, "] * 3)
        same([one.finish_reason for one in found], ["stop"] * 3)

    def images() -> None:
        parts = [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png(shade)}"}}
            for shade in (0, 200)
        ]
        content = [*parts, {"type": "text", "text": WORDS["ask_image"]}]
        same(message({"role": "user", "content": content}).content, "2 images")

    return {
        "chat": lambda: same(ask().choices[0].message.content),
        "stream": stream, "tools": tools, "usage": usage, "options": options,
        "nested tool": nested_tool, "images": images,
        "loop": lambda: both(loop, ask, streamed), "reasoning": lambda: both(reasoning, ask, streamed),
        "unicode": lambda: both(unicode, ask, streamed),
        "adapter": lambda: same(ask(model=ADAPTER).choices[0].message.content, WORDS["formal"]),
    }  # fmt: skip


def both(check: Callable[[Ask], None], ask: Ask, streamed: Ask) -> None:
    """Check whole answers and streams, each as a function from messages to a message."""
    check(lambda messages, **more: ask(messages=messages, **more).choices[0].message)
    check(lambda messages, **more: streamed(messages=messages, **more))


def loop(message: Ask) -> None:
    history: list[Any] = [user(WORDS["ask_loop"])]
    turns = 0
    while (found := message(history, tools=[WEATHER, PEOPLE])).tool_calls:
        turns += 1
        same([call.function.name for call in found.tool_calls], ["weather", "people"])
        history.append(found)
        for call in found.tool_calls:
            result = run_tool(call.function.name, call.function.arguments)
            history.append({"role": "tool", "tool_call_id": call.id, "content": result})
    arrived(turns, found.content)


def reasoning(message: Ask) -> None:
    asked = user(WORDS["ask_thought"])
    effort = {"reasoning_effort": "high"}
    first = message([asked], **effort)
    same((first.reasoning_content, first.content), (WORDS["thought"], WORDS["thought_out"]))
    same(message([asked, first, user(WORDS["ask"])], **effort).content)
    calling = message([asked], tools=[WEATHER], **effort)
    result = {"role": "tool", "tool_call_id": calling.tool_calls[0].id, "content": "warm"}
    same(message([asked, calling, result], tools=[WEATHER], **effort).content, "1 thought")


def unicode(message: Ask) -> None:
    odd = WORDS["odd_text"]
    history: list[Any] = [{"role": "system", "content": ""}, user(f"{WORDS['repeat']}{odd}")]
    first = message(history)
    same(first.content, odd)
    empty = [user(""), {"role": "assistant", "content": ""}, user(WORDS["ask"])]
    same(message([*history, first, *empty]).content)
