"""Marks of a place in a prompt, as editors write them for models that were trained with them.

Such a prompt has what stands before the place and behind it, with marks between. A text diffusion
model needs none: it fills the place from both sides.
"""

from __future__ import annotations

# (before the prefix, between prefix and suffix, behind the suffix).
FORMS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen, CodeGemma
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder
    ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),  # GLM
)


def marked_place(prompt: object) -> tuple[str, str] | None:
    """Return the texts before and behind the place that a prompt marks; None where it marks none.

    All three marks of a form stand in it once, the last at its end. What stands before the first,
    such as pieces of other files, belongs to the text before the place.
    """
    if not isinstance(prompt, str):
        return None
    for first, middle, last in FORMS:
        if not prompt.endswith(last) or any(
            prompt.count(one) != 1 for one in (first, middle, last)
        ):
            continue
        head, _, rest = prompt.partition(first)
        before, found, behind = rest.removesuffix(last).partition(middle)
        if found:
            return head + before, behind
    return None
