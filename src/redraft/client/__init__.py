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

from redraft.client.asynchronous import AsyncClient, AsyncEventStream
from redraft.client.errors import ServerError
from redraft.client.events import (
    Answer,
    AnswerChoice,
    Filled,
    StreamedDraft,
    StreamedText,
    StreamEvent,
)
from redraft.client.reader import EventReader
from redraft.client.sse import SseDecoder
from redraft.client.synchronous import Client, EventStream

__all__ = [
    "Answer",
    "AnswerChoice",
    "AsyncClient",
    "AsyncEventStream",
    "Client",
    "EventReader",
    "EventStream",
    "Filled",
    "ServerError",
    "SseDecoder",
    "StreamEvent",
    "StreamedDraft",
    "StreamedText",
]
