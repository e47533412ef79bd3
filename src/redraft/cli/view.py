"""The live view: a canvas whose tokens are seen to settle, to be revised, and to lock.

Each token is drawn by what happened to it at the last step: settled (accepted, as it was before),
revised (the best guess changed), in doubt (neither). Committed text is locked: it stands above the
canvas in plain type.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from redraft.api import Model
from redraft.events import Committed, Draft, Event, Finished, Statistics
from redraft.text import Tokenizer

SETTLED, REVISED, DOUBT = "bold green", "black on yellow", "dim"


class CanvasView:
    """Draws drafts."""

    def __init__(self, tokenizer: Tokenizer | None, ends: tuple[int, ...]) -> None:
        self._tokenizer = tokenizer
        self._ends = ends

    def draw(self, draft: Draft) -> Group:
        """The canvas of a draft with its figures below; tokens behind the end of the text are left
        out."""
        line, revised = Text(), 0
        ends = [i for i, token in enumerate(draft.tokens) if token in self._ends]
        shown = ends[0] if ends else len(draft.tokens)
        for position, token in enumerate(draft.tokens[:shown]):
            revised += draft.revised[position]
            style = (
                REVISED
                if draft.revised[position]
                else SETTLED
                if draft.accepted[position]
                else DOUBT
            )
            line.append(self._piece(token), style)
        mean = sum(draft.entropy) / len(draft.entropy)
        figures = Text(
            f"canvas {draft.canvas + 1}  step {draft.step:2d}  accepted {sum(draft.accepted):3d}/{len(draft.tokens)}  "
            f"revised {revised:3d}  entropy {mean:.4f}   ",
            "cyan",
        )
        legend = Text.assemble(
            ("settled", SETTLED), " ", ("revised", REVISED), " ", ("in doubt", DOUBT)
        )
        return Group(line, figures + legend)

    def _piece(self, token: int) -> str:
        """One token's own text; half a character, or what would move the cursor, becomes a sign."""
        text = self._tokenizer.decode([token]) if self._tokenizer else f"{token} "
        return printable(text)


def printable(text: str) -> str:
    """`text` without anything that would move the cursor or command the terminal: it comes from a
    model, not from us."""
    text = text.replace("\t", "  ").replace("\ufffd", "·")
    return "".join(char if char.isprintable() or char == "\n" else "·" for char in text)


class CommittedText:
    """Locked text. Whole lines are printed for good; the line still growing stays with the canvas
    below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.growing = Text()

    def add(self, text: str) -> None:
        """Take in committed text and print the lines that it completes."""
        whole = self.growing.plain + printable(text)
        lines = Text(whole).wrap(self._console, self._console.width, no_wrap=False)
        for line in lines[:-1]:
            self._console.print(line)
        # Wrapping drops spaces at a line's end; what comes next may need them.
        spaces = whole[len(whole.rstrip(" ")) :]
        self.growing = Text((lines[-1].plain.rstrip(" ") if lines else "") + spaces)

    def close(self) -> None:
        """Print what is left."""
        self._console.print(self.growing)


def show(
    events: Iterator[Event], model: Model, console: Console, ends: tuple[int, ...] | None = None
) -> Finished:
    """Play events in a terminal and return the last; an interrupt leaves all committed text on the
    screen.

    Drafts are shown up to the first token of `ends`, the model's own EOS tokens unless given.
    """
    view = CanvasView(
        model.tokenizer, model.generation_config.eos_token_id if ends is None else ends
    )
    locked = CommittedText(console)
    finished: Finished | None = None
    try:
        with Live(console=console, refresh_per_second=30, transient=True) as live:
            for event in events:
                if isinstance(event, Draft):
                    live.update(
                        Group(locked.growing, view.draw(event))
                        if locked.growing
                        else view.draw(event)
                    )
                elif isinstance(event, Committed):
                    locked.add(event.text)
                    live.update(locked.growing)
                else:
                    finished = event
    finally:
        locked.close()
    assert finished is not None
    console.print(summary(finished.statistics, finished.seed), style="dim")
    return finished


def summary(statistics: Statistics, seed: int) -> str:
    """One line of honest figures."""
    steps = "+".join(map(str, statistics.steps_per_canvas[:8])) + (
        "+..." if len(statistics.steps_per_canvas) > 8 else ""
    )
    return (
        f"{statistics.new_tokens} tokens in {statistics.forwards} passes ({steps}), "
        f"{statistics.tokens_per_forward:.1f} tokens a pass, {statistics.tokens_per_second:.0f} tokens a second, "
        f"first draft after {statistics.time_to_first_draft:.2f} s, seed {seed}"
    )
