"""Plugin of llm: the models of a redraft server, for chats and for infills."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import click
import httpx2
import llm
import openai
from llm.default_plugins.openai_models import AsyncChat, Chat
from pydantic import Field

URL, KEY = "REDRAFT_URL", "REDRAFT_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
SECONDS_TO_LIST = 1.0  # llm starts with every command: a server that is not there must not be felt
# Options that OpenAI's client knows; it sends all others as further fields.
OPENAI_OPTIONS = ("max_tokens", "seed", "temperature", "stop", "reasoning_effort")


class RedraftOptions(llm.Options):
    """Options of all models."""

    max_tokens: int | None = Field(default=None, ge=1, description="the most tokens of a text")
    seed: int | None = Field(default=None, description="writes the same text again")
    temperature: float | None = Field(default=None, ge=0, description="factor of the schedule")
    entropy_bound: float | None = Field(
        default=None, gt=0, description="entropy (nats) that a step may accept"
    )
    max_denoising_steps: int | None = Field(default=None, ge=1, description="steps of a canvas")


class RedraftChatOptions(RedraftOptions):
    """Options of chats."""

    method: str | None = Field(default=None, description="diffusion or autoregressive")
    sampler: str | None = Field(default=None, description="such as confidence:threshold=0.9")
    stop: str | None = Field(default=None, description="a string that ends the text")
    reasoning_effort: str | None = Field(default=None, description="none switches reasoning off")


def server_url() -> str:
    """Return the address of the server, without `/v1`."""
    return os.environ.get(URL, DEFAULT_URL).rstrip("/").removesuffix("/v1").rstrip("/")


def found_key(explicit: str | None = None) -> str | None:
    """Return the key of the server; None where none is set."""
    return llm.get_key(explicit_key=explicit, key_alias="redraft", env_var=KEY) or None


def headers(key: str | None) -> dict[str, str]:
    """Return the headers that carry a key."""
    return {"authorization": f"Bearer {key}"} if key else {}


def server_models(seconds: float) -> list[dict[str, Any]]:
    """Return the server's models as it describes them.

    Args:
        seconds: time that it has to answer.

    Raises:
        llm.ModelError: it does not answer, or refuses.
    """
    try:
        answer = httpx2.get(
            f"{server_url()}/v1/models", headers=headers(found_key()), timeout=seconds
        )
    except httpx2.TransportError as error:
        raise llm.ModelError(f"{server_url()} does not answer: {error}") from None
    return list(told(answer)["data"])


def told(answer: httpx2.Response) -> dict[str, Any]:
    """Return the JSON of an answer.

    Raises:
        llm.ModelError: the server's words, where it refuses.
    """
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        raise llm.ModelError(f"{server_url()} is no redraft server") from None
    if "error" in body:
        raise llm.ModelError(body["error"]["message"])
    return body


def with_further_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of OpenAI's client; redraft's own options are further fields."""
    own = {
        name: fields.pop(name)
        for name in RedraftChatOptions.model_fields
        if name in fields and name not in OPENAI_OPTIONS
    }
    return fields | ({"extra_body": own} if own else {})


class RedraftChat(Chat):
    """A chat with a model of the server."""

    needs_key = None
    Options = RedraftChatOptions

    def __str__(self) -> str:
        return f"redraft: {self.model_id}"

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """Return the key, which a server may do without."""
        return self.key or found_key(explicit_key)

    def get_client(self, key: str | None, *, async_: bool = False) -> Any:
        """Return OpenAI's client for the server."""
        kind = openai.AsyncOpenAI if async_ else openai.OpenAI
        return kind(base_url=self.api_base, api_key=key or "none")

    def build_kwargs(self, prompt: llm.Prompt, stream: bool) -> dict[str, Any]:
        """Return the arguments of a request."""
        return with_further_fields(super().build_kwargs(prompt, stream))


class AsyncRedraftChat(AsyncChat):
    """A chat with a model of the server, for event loops."""

    needs_key = None
    Options = RedraftChatOptions
    __str__ = RedraftChat.__str__
    get_key = RedraftChat.get_key
    get_client = RedraftChat.get_client

    def build_kwargs(self, prompt: llm.Prompt, stream: bool) -> dict[str, Any]:
        """Return the arguments of a request."""
        return with_further_fields(super().build_kwargs(prompt, stream))


class _Infill:
    """What both infills have in common."""

    needs_key = None
    can_stream = False
    Options = RedraftOptions

    def __init__(self, name: str) -> None:
        self.model_id, self._name = f"redraft/{name}/infill", name

    def __str__(self) -> str:
        return f"redraft: {self.model_id}"

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """Return the key, which a server may do without."""
        return found_key(explicit_key)

    def _body(self, prompt: llm.Prompt) -> dict[str, Any]:
        given = {name: value for name, value in prompt.options if value is not None}
        instruction = {"instruction": prompt.system} if prompt.system else {}
        return {"model": self._name, "template": prompt.prompt} | instruction | given

    def _text(self, response: Any, answer: httpx2.Response) -> str:
        body = told(answer)
        response.response_json = {
            name: value for name, value in body.items() if name not in ("text", "usage")
        }
        usage = body["usage"]
        response.set_usage(input=usage["prompt_tokens"], output=usage["completion_tokens"])
        return str(body["text"])


class RedraftInfill(_Infill, llm.KeyModel):
    """Fills the `<hole>` marks of its prompt."""

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None = None,
        key: str | None = None,
    ) -> Iterator[str]:
        """Yield the filled text."""
        url, body = f"{server_url()}/v1/infill", self._body(prompt)
        answer = httpx2.post(url, json=body, headers=headers(key), timeout=None)
        yield self._text(response, answer)


class AsyncRedraftInfill(_Infill, llm.AsyncKeyModel):
    """Fills the `<hole>` marks of its prompt, for event loops."""

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None = None,
        key: str | None = None,
    ) -> AsyncGenerator[str, None]:
        """Yield the filled text."""
        url, body = f"{server_url()}/v1/infill", self._body(prompt)
        async with httpx2.AsyncClient(timeout=None) as client:
            answer = await client.post(url, json=body, headers=headers(key))
        yield self._text(response, answer)


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Register the models of the server, if it answers."""
    try:
        models = server_models(SECONDS_TO_LIST)
    except llm.ModelError:
        return
    for one in models:
        name = one["id"]
        options = {
            "model_name": name,
            "api_base": f"{server_url()}/v1",
            "vision": one.get("redraft", {}).get("images") is not None,
            "supports_schema": True,
            "supports_tools": True,
        }
        model_id = f"redraft/{name}"
        register(RedraftChat(model_id, **options), AsyncRedraftChat(model_id, **options))
        register(RedraftInfill(name), AsyncRedraftInfill(name))


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `llm redraft`."""

    @cli.group(name="redraft")
    def redraft() -> None:
        """Commands for a redraft server."""

    @redraft.command(name="models")
    def models() -> None:
        """List the models of the server."""
        try:
            found = server_models(10 * SECONDS_TO_LIST)
        except llm.ModelError as error:
            raise click.ClickException(str(error)) from None
        for one in found:
            click.echo(one["id"])
