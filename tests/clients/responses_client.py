"""The client of OpenAI's Responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.clients.checking import (
    ADAPTER,
    KEY,
    MODEL,
    OTHER,
    URL,
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
    user,
)
from tests.clients.words import WORDS

PARAMETERS, PERSON = WORDS["city"], WORDS["person_schema"]


def openai_responses() -> Checks:
    import openai

    client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)

    def tool(name: str, parameters: Any, **more: Any) -> Any:
        return {
            "type": "function",
            "name": name,
            "description": "x",
            "parameters": parameters,
        } | more

    def ask(**more: Any) -> Any:
        return client.responses.create(**({"model": MODEL, "input": WORDS["ask"]} | more))

    def streamed(**more: Any) -> Any:
        with client.responses.stream(**({"model": MODEL} | more)) as events:
            for _ in events:
                pass
            return events.get_final_response()

    def stream() -> None:
        wanted = "response.output_text.delta"
        same("".join(event.delta for event in ask(stream=True) if event.type == wanted))

    def calls(found: Any) -> list[Any]:
        return [item for item in found.output if item.type == "function_call"]

    def result(call: Any, output: str) -> Any:
        return {"type": "function_call_output", "call_id": call.call_id, "output": output}

    def tools() -> None:
        given = [tool("weather", PARAMETERS, strict=False)]
        first = ask(input=WORDS["ask_weather"], tools=given)
        (call,) = calls(first)
        more = {"tools": given, "previous_response_id": first.id}
        same(ask(input=[result(call, "warm")], **more).output_text, WORDS["warm"])

    def nested_tool() -> None:
        for strict, choice in ((False, "auto"), (True, "required")):
            given = [tool("save", PERSON, strict=strict)]
            (call,) = calls(ask(input=WORDS["ask_person"], tools=given, tool_choice=choice))
            is_person(call.arguments)

    def parsed(text: str, form: Any) -> Any:
        given: Any = {"input": text, "text_format": form, "max_output_tokens": 250}
        return client.responses.parse(model=MODEL, **given).output_parsed.model_dump()

    def loop(send: Callable[..., Any]) -> None:
        given = [tool("weather", PARAMETERS, strict=True), tool("people", PARAMETERS, strict=True)]
        history: list[Any] = [user(WORDS["ask_loop"])]
        turns = 0
        while made := calls(found := send(input=history, tools=given)):
            turns += 1
            same([call.name for call in made], ["weather", "people"])
            history += found.output
            history += [result(call, run_tool(call.name, call.arguments)) for call in made]
        arrived(turns, found.output_text)

    def reasoning(send: Callable[..., Any]) -> None:
        given: Any = {"reasoning": {"effort": "high", "summary": "auto"}}
        history: list[Any] = [user(WORDS["ask_thought"])]
        first = send(input=history, **given)
        same(first.output[0].content[0].text, WORDS["thought"])
        same(first.output[0].summary[0].text, WORDS["thought"])
        same(first.output_text, WORDS["thought_out"])
        same(send(input=[*history, *first.output, user(WORDS["ask"])], **given).output_text)
        given["tools"] = [tool("weather", PARAMETERS, strict=True)]
        calling = send(input=history, **given)
        history += [*calling.output, result(calls(calling)[0], "warm")]
        same(send(input=history, **given).output_text, "1 thought")

    def unicode(send: Callable[..., Any]) -> None:
        odd = WORDS["odd_text"]
        history: list[Any] = [user(f"{WORDS['repeat']}{odd}")]
        first = send(input=history, instructions="")
        same(first.output_text, odd)
        empty = [user(""), {"role": "assistant", "content": ""}, user(WORDS["ask"])]
        same(send(input=[*history, *first.output, *empty]).output_text)

    def images() -> None:
        urls = [f"data:image/png;base64,{png(shade)}" for shade in (0, 200)]
        parts = [{"type": "input_image", "image_url": url, "detail": "auto"} for url in urls]
        content = [*parts, {"type": "input_text", "text": WORDS["ask_image"]}]
        same(ask(input=[{"role": "user", "content": content}]).output_text, "2 images")

    def usage() -> None:
        spent = streamed(input=WORDS["ask"]).usage
        same(spent.total_tokens, spent.input_tokens + spent.output_tokens)
        assert spent.output_tokens >= len(WORDS["hello"]), spent

    def both(check: Callable[[Callable[..., Any]], None]) -> None:
        check(ask)
        check(streamed)

    return {
        "chat": lambda: same(ask().output_text), "stream": stream, "tools": tools,
        "structured": lambda: is_record(parsed(WORDS["ask_record"], record_class())),
        "infill": cannot("a response has no suffix"),
        "errors": lambda: raises(lambda: ask(model=OTHER), openai.NotFoundError),
        "adapter": lambda: same(ask(model=ADAPTER).output_text, WORDS["formal"]),
        "nested": lambda: is_person(parsed(WORDS["ask_person"], person_class())),
        "nested tool": nested_tool, "images": images, "usage": usage,
        "loop": lambda: both(loop), "reasoning": lambda: both(reasoning), "unicode": lambda: both(unicode),
        "options": cannot("a response has neither n, stop nor penalties"),
    }  # fmt: skip
