"""Frameworks on top of a client: langchain, llama-index, instructor."""

from __future__ import annotations

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
from tests.clients.words import WORDS, visit

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
        history = [
            HumanMessage(WORDS["ask_weather"]),
            first,
            ToolMessage("warm", tool_call_id=call["id"]),
        ]
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
        (call,) = (
            model().bind_tools([person_class()], strict=True).invoke(WORDS["ask_person"]).tool_calls
        )
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
        more = {
            "n": 3,
            "presence_penalty": 0.5,
            "frequency_penalty": 0.5,
            "seed": 1,
            "stop": ["friend"],
        }
        found = model(**more).generate([[HumanMessage(WORDS["ask"])]]).generations[0]
        same([one.text for one in found], ["Hello there, "] * 3)

    def unicode() -> None:
        odd = WORDS["odd_text"]
        history: list[Any] = [SystemMessage(""), HumanMessage(f"{WORDS['repeat']}{odd}")]
        first = model().invoke(history)
        same(first.content, odd)
        same(whole(model(), history).content, odd)
        same(
            model()
            .invoke([*history, first, HumanMessage(""), AIMessage(""), HumanMessage(WORDS["ask"])])
            .content
        )

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
        shown = [
            ImageBlock(image=png(shade).encode(), image_mimetype="image/png") for shade in (0, 200)
        ]
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
        empty = [
            ChatMessage(role="system", content=""),
            *said(""),
            ChatMessage(role="assistant", content=""),
        ]
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
