"""A conversation in the terminal: what was said, and what a line of the user does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from redraft.cli.familiar import check_familiar
from redraft.cli.images import Part, image_parts, user_message
from redraft.cli.log_book import note
from redraft.cli.remarks import on_prompt
from redraft.cli.view import show
from redraft.errors import RequestError

if TYPE_CHECKING:
    from redraft.api import Model
    from redraft.events import Finished
    from redraft.text import Message


HELP = """\
/help        these commands
/reset       begin again
/image FILE  show an image, together with what you write next
/save FILE   write the conversation as JSON, in the form that `messages` takes
/quit        leave; Ctrl-D does so too. Ctrl-C stops an answer"""


class ChatSession:
    """A conversation: what was said, and what a line of the user does.

    Args:
        name: of the model. settings: of every answer.
    """

    def __init__(
        self,
        model: Model | None,
        name: str,
        system: str | None,
        thinking: bool | None,
        settings: Mapping[str, Any],
    ) -> None:
        self.console = Console()
        self._model, self._name, self._thinking, self._settings = model, name, thinking, settings
        self._opening: list[Message] = [{"role": "system", "content": system}] if system else []
        self._images: list[Part] = []
        self.messages = list(self._opening)

    def note(self, text: str) -> None:
        """Print what is no answer."""
        self.console.print(text, style="dim", markup=False, highlight=False)

    def take(self, line: str) -> None:
        """Run a command, or answer a message.

        Raises:
            RequestError: there is no such command, or its file or the message cannot be used.
        """
        word, _, rest = line.partition(" ")
        commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: self.note(HELP),
            "/reset": lambda _: self._reset(),
            "/image": self._show_image,
            "/save": self._save,
        }
        if word in commands:
            commands[word](rest.strip().strip("'\""))
        elif re.fullmatch(r"/[a-z]+", word):
            raise RequestError(f"there is no command {word}: /help lists them")
        elif line:
            self._answer(line)

    def _written(self, said: list[Message]) -> Finished:
        """Write an answer to what was said, and show it."""
        assert self._model is not None
        if remark := on_prompt(self._name, str(said[-1]["content"])):
            self.note(f"({remark})")
        check_familiar(self._model, self._name, messages=said)
        options = dict(self._settings)
        if "max_new_tokens" not in options:
            prompt = self._model.chat_prompt(said, thinking=self._thinking)
            options["max_new_tokens"] = self._model.tokens_left(prompt)
        events = self._model.stream(messages=said, thinking=self._thinking, **options)
        return show(events, self._model, self.console)

    def _answer(self, question: str) -> None:
        said = [*self.messages, user_message(question, self._images)]
        try:
            finished = self._written(said)
        except KeyboardInterrupt:
            self.note("(stopped)")
            return
        if not finished.text.strip():
            self.note("(the model ended its answer without a word)")
        note("chat", self._name, question, finished)
        # The answer alone goes into the history: reasoning is not repeated to the model.
        self.messages = [*said, {"role": "assistant", "content": finished.text}]
        self._images = []

    def _reset(self) -> None:
        self.messages, self._images = list(self._opening), []

    def _show_image(self, name: str) -> None:
        """Keep an image for the next message, and say how large it is."""
        if not name:
            raise RequestError("/image needs a file: /image FILE")
        path = Path(name)
        self.note(f"({path.name}: {self._described(path)})")
        self._images += image_parts([path])

    def _described(self, path: Path) -> str:
        """Return how large an image is for the model.

        Raises:
            RequestError: it cannot be read.
        """
        assert self._model is not None
        return f"{self._model.processor.image(path).soft_tokens} soft tokens"

    def _save(self, name: str) -> None:
        """Write the conversation; an existing file is not replaced."""
        if not name:
            raise RequestError("/save needs a file: /save FILE")
        path = Path(name).expanduser()
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(self.messages, file, ensure_ascii=False, indent=2, default=str)
        except OSError as error:
            raise RequestError(f"{path} cannot be written: {error.strerror}") from error
        self.note(f"({len(self.messages)} messages in {path})")
