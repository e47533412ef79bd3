"""Client: the drafts and texts of a server's streams, without torch.

    from redraft.client import Client, StreamedDraft

    with Client("http://127.0.0.1:8000").infill("a = 1\\nb = <hole>\\n") as events:
        for event in events:
            if isinstance(event, StreamedDraft):
                print(event.step, event.text)
    print(events.result().text)

A stream is an iterator of `StreamedDraft` and `StreamedText`; its `result` reads it to its end.
`AsyncClient` is the same with `async` and `await`.
"""

from redraft.client.asynchronous import AsyncClient, AsyncStream
from redraft.client.errors import ServerError
from redraft.client.events import (
    AnswerChoice,
    Filled,
    StreamedAnswer,
    StreamedDraft,
    StreamedText,
    StreamEvent,
)
from redraft.client.reader import EventReader
from redraft.client.sse import SseDecoder
from redraft.client.synchronous import Client, Stream

__all__ = [
    "AnswerChoice",
    "AsyncClient",
    "AsyncStream",
    "Client",
    "EventReader",
    "Filled",
    "ServerError",
    "SseDecoder",
    "Stream",
    "StreamEvent",
    "StreamedAnswer",
    "StreamedDraft",
    "StreamedText",
]
