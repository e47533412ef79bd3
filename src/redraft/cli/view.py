"""The live view of a generation: a canvas that settles, and the committed text above it.

The style of a token says what the last step did to it: settled (accepted and unchanged), revised
(its likeliest token changed), in doubt (neither).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from redraft.events import Committed, Draft, Event, Finished, Statistics

if TYPE_CHECKING:
    from redraft.api import Model
    from redraft.text import Tokenizer

SETTLED, REVISED, DOUBT = "bold green", "black on yellow", "dim"
MAX_COUNTS = 8  # canvases whose steps the summary lists


class CanvasView:
    """Draws drafts, up to the first of the tokens `ends`."""

    def __init__(self, tokenizer: Tokenizer | None, ends: tuple[int, ...]) -> None:
        self._tokenizer = tokenizer
        self._ends = ends

    def draw(self, draft: Draft) -> Group:
        """Return the canvas of a draft, with a line of figures below it."""
        line, revised = Text(), 0
        ends = [i for i, token in enumerate(draft.tokens) if token in self._ends]
        shown = ends[0] if ends else len(draft.tokens)
        for position, token in enumerate(draft.tokens[:shown]):
            style = SETTLED if draft.accepted[position] else DOUBT
            if draft.revised[position]:
                style, revised = REVISED, revised + 1
            line.append(self._piece(token), style)
        mean = sum(draft.entropy) / len(draft.entropy)
        figures = Text(
            f"canvas {draft.canvas + 1}  step {draft.step:2d}  "
            f"accepted {sum(draft.accepted):3d}/{len(draft.tokens)}  "
            f"revised {revised:3d}  entropy {mean:.4f}   ",
            "cyan",
        )
        legend = Text.assemble(
            ("settled", SETTLED), " ", ("revised", REVISED), " ", ("in doubt", DOUBT)
        )
        return Group(line, figures + legend)

    def _piece(self, token: int) -> str:
        """Return the text of one token; half a character becomes a sign."""
        text = self._tokenizer.decode([token]) if self._tokenizer else f"{token} "
        return printable(text)


def printable(text: str) -> str:
    """Return a model's text without characters that would control the terminal."""
    text = text.replace("\t", "  ").replace("\ufffd", "·")
    return "".join(char if char.isprintable() or char == "\n" else "·" for char in text)


class CommittedText:
    """Committed text. Whole lines are printed; the last line stays with the canvas while it
    grows."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.growing = Text()

    def add(self, text: str) -> None:
        """Add committed text, and print the lines that it completes."""
        whole = self.growing.plain + printable(text)
        lines = Text(whole).wrap(self._console, self._console.width, no_wrap=False)
        for line in lines[:-1]:
            self._console.print(line)
        # Wrapping drops spaces at the end of a line; the next word may need them.
        spaces = whole[len(whole.rstrip(" ")) :]
        self.growing = Text((lines[-1].plain.rstrip(" ") if lines else "") + spaces)

    def close(self) -> None:
        """Print the last line."""
        self._console.print(self.growing)


def show(
    events: Iterator[Event], model: Model, console: Console, ends: tuple[int, ...] | None = None
) -> Finished:
    """Show events in a terminal, and return the last of them.

    An interrupt leaves all committed text on the screen.

    Args:
        ends: tokens that end a draft; None for the EOS tokens of the model.
    """
    if ends is None:
        ends = model.generation_config.eos_token_id
    view = CanvasView(model.tokenizer, ends)
    locked = CommittedText(console)
    finished: Finished | None = None
    try:
        with Live(console=console, refresh_per_second=30, transient=True) as live:
            for event in events:
                if isinstance(event, Draft):
                    drawn = view.draw(event)
                    live.update(Group(locked.growing, drawn) if locked.growing else drawn)
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


def summary(statistics: Statistics, seed: int | None) -> str:
    """Return one line of figures."""
    counts = statistics.steps_per_canvas
    steps = "+".join(map(str, counts[:MAX_COUNTS])) + "+..." * (len(counts) > MAX_COUNTS)
    return (
        f"{statistics.new_tokens} tokens in {statistics.forwards} passes ({steps}), "
        f"{statistics.tokens_per_forward:.1f} tokens a pass, "
        f"{statistics.tokens_per_second:.0f} tokens a second, "
        f"first draft after {statistics.time_to_first_draft:.2f} s, seed {seed}"
    )
