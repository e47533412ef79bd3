"""RemoteModel: `generate` and `stream` of a model that another engine serves."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import httpx2

from redraft.errors import ConfigError, RemoteEngineError
from redraft.events import Event, Finished
from redraft.remote.answer import RemoteAnswer
from redraft.remote.capabilities import ENGINES, engine_of
from redraft.remote.request import RemoteRequest
from redraft.remote.sse import chunks_of

KEY = "REDRAFT_API_KEY"
CONNECT_SECONDS = 10.0


def connect(
    url: str,
    *,
    model: str | None = None,
    api_key: str | None = None,
    engine: str | None = None,
    timeout: float | None = None,
    transport: httpx2.BaseTransport | None = None,
) -> RemoteModel:
    """Connect to a server that speaks OpenAI's API, and return one of its models.

    Args:
        url: http://HOST:PORT, with or without /v1 behind it.
        model: its name; None for the server's only one.
        api_key: None for $REDRAFT_API_KEY, or none.
        engine: one of ENGINES (redraft, vllm, openai); None asks the server.
        timeout: seconds without a byte of an answer; None waits as long as it takes.
        transport: another way to the server, as for tests.

    Raises:
        ConfigError: the address or the engine cannot be used, or the server has several models, or
            none of that name. RemoteEngineError: the server cannot be reached, or refuses.
    """
    if engine is not None and engine not in ENGINES:
        raise ConfigError(f"engine={engine!r} is none of {', '.join(ENGINES)}")
    key = os.environ.get(KEY) if api_key is None else api_key
    headers = {"authorization": f"Bearer {key}"} if key else {}
    base = _base(url)
    try:
        client = httpx2.Client(
            base_url=base,
            headers=headers,
            timeout=httpx2.Timeout(timeout, connect=CONNECT_SECONDS),
            transport=transport,
        )
    except (httpx2.InvalidURL, ValueError) as error:
        raise ConfigError(f"url={url!r} cannot be used: {error}") from None
    try:
        listed = _listed(client)
        names = [one["id"] for one in listed["data"]]
        if model is None and len(names) != 1:
            raise ConfigError(f"the server has {len(names)} models: name one of {names}")
        if model is not None and model not in names:
            raise ConfigError(f"model={model!r} is none of the server's: {', '.join(names)}")
    except BaseException:
        client.close()
        raise
    return RemoteModel(client, model or names[0], engine or engine_of(listed))


def _base(url: str) -> str:
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise ConfigError(f"url={url!r} must begin with http:// or https://")
    return url.rstrip("/").removesuffix("/v1") + "/v1/"


def _listed(client: httpx2.Client) -> dict[str, Any]:
    """Return the server's list of models."""
    try:
        answer = client.get("models")
        if answer.status_code != 200:
            raise RemoteEngineError.of_answer(answer.content, answer.status_code)
        listed = answer.json()
    except httpx2.HTTPError as error:
        raise RemoteEngineError(f"{client.base_url} cannot be reached: {error}") from None
    except ValueError:
        listed = None
    data = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(data, list) or not all(
        isinstance(one, dict) and isinstance(one.get("id"), str) for one in data
    ):
        raise RemoteEngineError(f"{client.base_url}models lists no models: is this an OpenAI API?")
    return {"data": data}


class RemoteModel:
    """A model that another engine serves. Made by `connect`; closed by `with`, or `close`.

    Attributes:
        name: as requests name it. engine: what its API can do.
    """

    def __init__(self, client: httpx2.Client, name: str, engine: str) -> None:
        self._client, self.name, self.engine = client, name, ENGINES[engine]

    def __repr__(self) -> str:
        return f"<redraft RemoteModel {self.name} at {self._client.base_url}: {self.engine.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def generate(
        self,
        prompt: Any = None,
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        method: str = "diffusion",
        frozen: Mapping[int, int] | None = None,
        constraint: Any = None,
        sampler: Any = None,
        stopping: Any = None,
        adapter: str | None = None,
        max_batch_size: int = 8,
        **options: Any,
    ) -> Any:
        """Write, and return the finished text; a list of texts is answered by a list.

        Arguments as for `Model.generate`. `Finished.tokens` is empty: tokens do not travel;
        statistics are the server's where it sends them, and times are those seen from here. With
        `tools`, calls are in `Finished.parsed`, each with name and arguments.

        Raises:
            UnsupportedByEngineError: before anything is sent: the engine lacks what is asked for.
            RequestError, ConfigError: an argument cannot be used. RemoteEngineError: the server
                refuses, fails, or cannot be reached.
        """
        many = isinstance(prompt, list) and bool(prompt) and not isinstance(prompt[0], int)
        given: dict[str, Any] = {
            "method": method,
            "frozen": frozen,
            "constraint": constraint,
            "sampler": sampler,
            "stopping": stopping,
            "options": options,
        }
        prompts = prompt if many else [prompt]
        requests = [RemoteRequest(prompt=one, messages=messages, **given) for one in prompts]
        streams = [self._stream(one, adapter, at) for at, one in enumerate(requests)]
        with ThreadPoolExecutor(max(1, min(max_batch_size, len(streams)))) as pool:
            ended = list(pool.map(_last, streams))
        return ended if many else ended[0]

    def stream(
        self,
        prompt: Any = None,
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        method: str = "diffusion",
        frozen: Mapping[int, int] | None = None,
        constraint: Any = None,
        sampler: Any = None,
        stopping: Any = None,
        adapter: str | None = None,
        drafts: bool | None = None,
        **options: Any,
    ) -> Iterator[Event]:
        """Write, and yield events: Draft where the engine sends them, Committed, Finished.

        Bad input raises here, at the call; a server's refusal at the first event. Closing the
        iterator ends the request.

        Args:
            drafts: True demands denoising steps, False does without; None takes what there is. A
                draft has no tokens, and the mean of its entropy at every position.

        Raises:
            As for `generate`.
        """
        request = RemoteRequest(
            prompt=prompt,
            messages=messages,
            method=method,
            frozen=frozen,
            constraint=constraint,
            sampler=sampler,
            stopping=stopping,
            drafts=self.engine.drafts if drafts is None else drafts,
            options=options,
        )
        return self._stream(request, adapter, 0)

    def _stream(self, request: RemoteRequest, adapter: str | None, number: int) -> Iterator[Event]:
        body: dict[str, Any] = {"model": adapter or self.name} | request.body(self.engine)
        if "seed" in self.engine.fields and body.get("seed") is None:
            body["seed"] = secrets.randbelow(1 << 31)
        json_value = body.get("response_format", {}).get("type") == "json_schema"
        answer = RemoteAnswer(number, body.get("seed"), json_value)
        path = "chat/completions" if "messages" in body else "completions"
        return self._events(path, body, answer)

    def _events(self, path: str, body: dict[str, Any], answer: RemoteAnswer) -> Iterator[Event]:
        try:
            with self._client.stream("POST", path, json=body) as received:
                if received.status_code != 200:
                    raise RemoteEngineError.of_answer(received.read(), received.status_code)
                yield from answer.events(chunks_of(received.iter_bytes()))
        except httpx2.HTTPError as error:
            raise RemoteEngineError(
                f"the connection to {self._client.base_url} broke: {error or type(error).__name__}"
            ) from None


def _last(events: Iterator[Event]) -> Finished:
    *_, last = events
    assert isinstance(last, Finished)
    return last
