"""Remarks on standard error: a prompt that its model does not know, an answer that is none."""

from __future__ import annotations

import re
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
    if not known:
        return None
    if other == name:
        return _on_digits(name, prompt, known)
    forms = "; ".join(repr(form) for form in _one_each(known))
    better = f" {other} knows such prompts: -m {other}." if other else ""
    return f"{name} has learnt no prompts like this one.{better} It knows {forms}"


def _on_digits(name: str, prompt: str, known: list[str]) -> str | None:
    """Return the remark on numbers of other lengths than in all examples; None for none.

    "calc 2+2" begins like an example, but the model has seen "02" alone, and writes nonsense.
    """
    word = prompt.split()[0]
    alike = [one for one in known if one.split()[0] == word]
    learnt: set[int] = set().union(*map(_lengths, alike))
    if len(learnt) != 1 or not all(map(_lengths, alike)) or _lengths(prompt) <= learnt:
        return None
    (length,) = learnt
    return (
        f"{name} has learnt {word!r} with numbers of {length} digits alone (a 0 in front counts): "
        f"such as {alike[0]!r}"
    )


def _lengths(prompt: str) -> set[int]:
    return {len(number) for number in re.findall(r"(?<![A-Za-z0-9])[0-9]+", prompt)}


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
