"""Session: one text, edited again and again; every edit can be taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Unpack

from redraft.editing.diff import unified_diff
from redraft.editing.options import InfillOptions
from redraft.editing.plan import plan_infill, rewriting
from redraft.editing.result import Infilled
from redraft.editing.template import Hole, Template, check_text, checked_spans
from redraft.engine import Processor, Work
from redraft.engine.prefix_rows import SessionPrefix
from redraft.errors import RequestError
from redraft.short_repr import short


@dataclass(frozen=True)
class Edit:
    """One change of a text. `filled` is what the model made of it, None for a change by hand."""

    before: str
    after: str
    filled: Infilled | None = None

    @property
    def diff(self) -> str:
        """The change as a unified diff."""
        return unified_diff(self.before, self.after)


class Session:
    """A text being edited. What is encoded of it is kept: an edit encodes from the first token on
    that differs.

    Args:
        processor: of the model. run: runs one infill and returns its result.

    Attributes:
        text: as it is now. edits: what led to it, the oldest first.
    """

    def __init__(
        self,
        processor: Processor,
        run: Callable[[Work], Infilled],
        text: str,
        instruction: str | None = None,
    ) -> None:
        check_text(text)
        self.instruction = instruction
        self.text = text
        self.edits: list[Edit] = []
        self._processor, self._run = processor, run
        self._undone: list[Edit] = []
        self._prefix = SessionPrefix()

    def __repr__(self) -> str:
        return f"<redraft Session: {len(self.edits)} edits, {short(self.text)}>"

    @property
    def encoded(self) -> int:
        """Tokens encoded so far, all edits together."""
        return self._prefix.encoded

    def insert(
        self,
        at: int,
        instruction: str | None = None,
        *,
        hole: Hole | None = None,
        **options: Unpack[InfillOptions],
    ) -> Edit:
        """Let the model insert text at character `at`.

        Args:
            instruction: for this edit, instead of the session's; the text before it is then
                encoded anew.
            hole: its widths. options: as for `Model.infill`.
        """
        template = Template.around(self.text, [(at, at)], hole)
        return self._fill(template, instruction, options)

    def rewrite(
        self,
        spans: Sequence[tuple[int, int]],
        instruction: str | None = None,
        *,
        hole: Hole | None = None,
        **options: Unpack[InfillOptions],
    ) -> Edit:
        """Let the model rewrite spans (first and last character); arguments as for
        `Model.rewrite`."""
        template, instruction = rewriting(self._processor, self.text, spans, instruction, hole)
        return self._fill(template, instruction, options)

    def _fill(self, template: Template, instruction: str | None, options: InfillOptions) -> Edit:
        work = plan_infill(
            self._processor,
            template,
            instruction or self.instruction,
            options,
            session=self._prefix,
        )
        filled = self._run(work)
        return self._apply(Edit(self.text, filled.text, filled))

    def replace(self, first: int, last: int, text: str) -> Edit:
        """Change characters `first` to `last` by hand.

        Raises:
            RequestError: they do not lie in the text.
        """
        ((first, last),) = checked_spans(self.text, [(first, last)])
        check_text(text)
        return self._apply(Edit(self.text, self.text[:first] + text + self.text[last:]))

    def undo(self) -> Edit:
        """Take the last edit back.

        Raises:
            RequestError: there is none.
        """
        edit = _move(self.edits, self._undone, "undo")
        self.text = edit.before
        return edit

    def redo(self) -> Edit:
        """Make the edit again that was taken back last.

        Raises:
            RequestError: there is none, or another edit was made since.
        """
        edit = _move(self._undone, self.edits, "redo")
        self.text = edit.after
        return edit

    def _apply(self, edit: Edit) -> Edit:
        self.edits.append(edit)
        self._undone.clear()
        self.text = edit.after
        return edit


def _move(edits: list[Edit], others: list[Edit], what: str) -> Edit:
    """The last of `edits`, which goes over to the others."""
    if not edits:
        raise RequestError(f"there is nothing to {what}")
    others.append(edits.pop())
    return others[-1]
