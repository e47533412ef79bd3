"""A conversation with a model that another engine serves: `redraft chat --connect`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from redraft.cli.chat_session import ChatSession
from redraft.cli.view import CommittedText, printable
from redraft.events import Committed, Draft, Event, Finished
from redraft.images.read import read_image

if TYPE_CHECKING:
    from redraft.remote import RemoteModel
    from redraft.text import Message


class RemoteChatSession(ChatSession):
    """A conversation whose answers a server writes."""

    def __init__(
        self,
        remote: RemoteModel,
        system: str | None,
        thinking: bool | None,
        settings: Mapping[str, Any],
    ) -> None:
        super().__init__(None, remote.name, system, thinking, settings)
        self.remote = remote

    def _written(self, said: list[Message]) -> Finished:
        thinking: dict[str, Any] = {} if self._thinking is None else {"thinking": self._thinking}
        events = self.remote.stream(messages=said, **thinking, **self._settings)
        return show_texts(events, self.console)

    def _described(self, path: Path) -> str:
        height, width, _ = read_image(path, files=True).shape
        return f"{width} x {height}"


def show_texts(events: Iterator[Event], console: Console) -> Finished:
    """Show the texts of events, the draft that there is below them, and return the last event."""
    locked = CommittedText(console)
    finished: Finished | None = None
    try:
        with Live(console=console, refresh_per_second=30, transient=True) as live:
            for event in events:
                if isinstance(event, Draft):
                    live.update(Text(printable(event.text), "dim"))
                elif isinstance(event, Committed):
                    locked.add(event.text)
                    live.update(locked.growing)
                else:
                    finished = event
    finally:
        locked.close()
    assert finished is not None
    console.print(figures(finished), style="dim")
    return finished


def figures(finished: Finished) -> str:
    """Return one line of figures: those that the server told."""
    told = finished.statistics
    words = [f"{told.new_tokens} tokens"] if told.new_tokens else []
    if told.forwards:
        words += [f"{told.forwards} passes", f"{told.tokens_per_forward:.1f} tokens a pass"]
    words += [f"first text after {told.time_to_first_draft:.2f} s", f"{told.seconds:.2f} s"]
    if finished.seed is not None:
        words.append(f"seed {finished.seed}")
    return ", ".join(words)
