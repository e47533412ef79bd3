"""Write a checkpoint of a run that goes on: python -m redraft.train.export RECIPE RUN FOLDER

It has the averaged weights in bfloat16. The run itself is only read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from redraft.checkpoint import open_checkpoint
from redraft.checkpoint.save import save_checkpoint
from redraft.config import GenerationConfig
from redraft.config.special_tokens import END_OF_TURN_ID, EOS_ID
from redraft.errors import ConfigError
from redraft.network import DiffusionGemma
from redraft.text import ChatTemplate, Tokenizer
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.train.recipe import Recipe
from redraft.train.state import read_state
from redraft.train.trainer import STATE


def export_state(recipe: Recipe, run: Path, folder: Path, start: str = "") -> int:
    """Write the averaged weights of a run's state as a checkpoint; return the state's step.

    Args:
        start: the checkpoint that the run began with, whose tokenizer it has; the recipe's
            tokenizer if empty.

    Raises:
        ConfigError: no tokenizer is named, or it is not the run's recipe.
        CheckpointError: the state is damaged, or `start` is no checkpoint.
    """
    if not (start or recipe.tokenizer):
        raise ConfigError("the recipe names no tokenizer: name what the run began with, --from")
    tensors, facts = read_state(run / STATE, [])
    step = int(facts["step"])
    if not recipe.continues(facts["recipe"], step):
        raise ConfigError(f"{run} holds the run of another recipe")
    average = {
        name.removeprefix("average."): tensor
        for name, tensor in tensors.items()
        if name.startswith("average.")
    }
    model = DiffusionGemma(recipe.model)
    model.load_state_dict(average)
    config = GenerationConfig(
        max_new_tokens=recipe.model.canvas_length, eos_token_id=(EOS_ID, END_OF_TURN_ID)
    )
    named = open_checkpoint(start).folder if start else Path(recipe.tokenizer)
    tokenizer = Tokenizer.from_folder(named)
    template = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})
    save_checkpoint(
        folder,
        model.eval().requires_grad_(False).to(torch.bfloat16),
        config.with_options(recipe.generation),
        companion=lambda draft: tokenizer.save(draft, template.source),
    )
    return step


def main() -> None:
    """Read the arguments and export."""
    parser = argparse.ArgumentParser(
        prog="python -m redraft.train.export", description="Write a checkpoint of a running run."
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("run", type=Path, help="the folder of the run")
    parser.add_argument("folder", type=Path, help="where the checkpoint is written")
    parser.add_argument("--from", dest="start", default="", help="what the run began with")
    args = parser.parse_args()
    step = export_state(Recipe.from_file(args.recipe), args.run, args.folder, args.start)
    print(f"step {step}: {args.folder}")


if __name__ == "__main__":
    main()
