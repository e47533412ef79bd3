"""Notebook: a result as HTML, its canvas step by step, with a slider over the steps.

All text is escaped, and nothing is loaded from elsewhere. Without scripts, as in a notebook that is
not trusted, the last step stands there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, TypeVar

MAX_TOKENS, MAX_STEPS = 2048, 48  # that are drawn
Kind = TypeVar("Kind", bound="ShowsCanvas")
Spell = Callable[[int], str]
# Colours with their own background: they are read on light and on dark pages.
STYLES = {
    "settled": "background:#b9e2d9;color:#16211e",
    "revised": "background:#f6d9a8;color:#16211e;font-weight:700",
    "unsettled": "background:#e1e5e1;color:#52605b",
}
FRAME = "font:13px/1.9 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere"
# Shows the step of the slider's value, and hides the others.
SHOW = (
    "for(const e of this.closest('[data-redraft]').querySelectorAll('[data-step]'))"
    "e.hidden=e.dataset.step!==this.value"
)


class ShowsCanvas:
    """A result that has the history of its positions: in a notebook it shows them."""

    history: tuple[tuple[int, ...], ...]

    def spelled_by(self: Kind, spell: Spell) -> Kind:
        """Return the result, which knows from now on how its token ids are spelled."""
        object.__setattr__(self, "_spell", spell)  # no field: it belongs to no comparison, no JSON
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_spell"}

    def _repr_html_(self) -> str:
        spell: Spell = getattr(self, "_spell", lambda token: f" {token}")
        return canvas_html(self.history, spell, repr(self))


def canvas_html(history: Sequence[Sequence[int]], spell: Spell, title: str) -> str:
    """Return the HTML of a canvas over its steps.

    A token is settled from the step on from which it stays to the end; revised where it has just
    replaced another one; unsettled else.

    Args:
        history: for each position the token ids that it held, one a step; at most the first 2048
            positions are drawn, and 48 steps.
        spell: from a token id to its text. title: a line above it.
    """
    shown = [held for held in history[:MAX_TOKENS] if held]
    count = max((len(held) for held in shown), default=0)
    head = f'<div style="font:13px/1.5 system-ui,sans-serif">{escape(title)}</div>'
    if not count:
        return f"<div>{head}</div>"
    steps = drawn_steps(count)
    last = len(steps) - 1
    frames = "".join(
        f'<div data-step="{number}"{"" if number == last else " hidden"} style="{FRAME}">'
        f"{_frame(shown, step, spell)}<div>step {step + 1} of {count}</div></div>"
        for number, step in enumerate(steps)
    )
    name = f"step-{secrets.token_hex(4)}"
    slider = (
        f'<label for="{name}" style="font:13px system-ui,sans-serif">Step </label>'
        f'<input id="{name}" type="range" min="0" max="{last}" value="{last}" oninput="{SHOW}">'
    )
    left_out = len(history) - MAX_TOKENS
    more = f"<div>and {left_out} more tokens</div>" if left_out > 0 else ""
    return f"<div data-redraft>{head}{slider if last else ''}{frames}{more}</div>"


def drawn_steps(count: int) -> list[int]:
    """Return the steps that are drawn: all, or evenly spread ones with the first and the last."""
    if count <= MAX_STEPS:
        return list(range(count))
    return [round(number * (count - 1) / (MAX_STEPS - 1)) for number in range(MAX_STEPS)]


def state_of(held: Sequence[int], step: int) -> str:
    """Return the state of a position after a step, which is counted from 0."""
    if step >= len(held):
        return "settled"
    if step and held[step - 1] != held[step]:
        return "revised"
    return "settled" if all(token == held[-1] for token in held[step:]) else "unsettled"


def _frame(history: Sequence[Sequence[int]], step: int, spell: Spell) -> str:
    parts: list[str] = []
    for held in history:
        text = escape(spell(held[min(step, len(held) - 1)])).replace("\n", "⏎\n")
        state = state_of(held, step)
        parts.append(f'<span title="{state}" style="{STYLES[state]}">{text}</span>')
    return "".join(parts)
