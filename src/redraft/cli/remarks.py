"""Remarks on standard error: a prompt that its model does not know, an answer that is none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from redraft.cli.default_model import examples, shipped_model

if TYPE_CHECKING:
    from redraft.events import Finished


def on_prompt(name: str, prompt: str) -> str | None:
    """Return the remark on a prompt of which a model that ships has learnt nothing; None for none.

    Such a model answers prompts in the form of its examples, and writes nonsense to all others.
    """
    known, other = examples(name), shipped_model(prompt)
    if not known or other == name:
        return None
    forms = "; ".join(repr(form) for form in _one_each(known))
    better = f" {other} knows such prompts: -m {other}." if other else ""
    return f"{name} has learnt no prompts like this one.{better} It knows {forms}"


def _one_each(prompts: list[str]) -> list[str]:
    """Return the first of the prompts that begin with the same word."""
    firsts: dict[str, str] = {}
    for prompt in prompts:
        firsts.setdefault(prompt.split()[0], prompt)
    return list(firsts.values())


def on_answer(finished: Finished, max_steps: int) -> list[str]:
    """Return the remarks on a text that is empty, or that ran out of steps before it settled.

    Args:
        max_steps: the denoising steps that a canvas may take.
    """
    found = []
    if not finished.text.strip():
        found.append("the model ended its answer without a word")
    if max_steps in finished.statistics.steps_per_canvas:
        found.append(
            f"a canvas did not settle in {max_steps} steps, and its last draft was taken: try "
            "another --seed, or raise -s max_denoising_steps"
        )
    return found


def remark(*remarks: str | None) -> None:
    """Print remarks on standard error, a line each."""
    for one in remarks:
        if one is not None:
            print(f"redraft: {one}", file=sys.stderr)
