"""Write the checkpoint small-sight: a text network, an image encoder, tokens and template for both.

python -m redraft.train.export recipes/small-sight.toml runs/small-sight-text runs/text --from small
python recipes/small-sight/assemble.py runs/small-sight-text/checkpoint runs/small-sight OUT
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from encoder import CONFIG
from safetensors.torch import load_file

import redraft
from redraft.checkpoint.save import save_checkpoint
from redraft.config.model_card import CARD_FILE, KnownTask, ModelCard
from redraft.network.vision import VisionEncoder

TOKENS = {"<unused107>": "<|image|>", "<unused108>": "<|image>", "<unused109>": "<image|>"}
TEMPLATE = """{{ bos_token }}{% for message in messages %}<|turn>\
{{ 'model' if message.role == 'assistant' else message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}\
{{ '<|image|>' if part.type == 'image' else part.text }}{% endfor %}{% endif %}<turn|>
{% endfor %}{% if add_generation_prompt %}<|turn>model
{% endif %}"""
CARD = ModelCard(
    purpose="Sudokus in pictures of one grid",
    tasks=(
        KnownTask(
            name="sudoku-reading",
            description="write the 81 cells of the grid in a picture, 0 for a blank",
            prompts=("read",),
        ),
        KnownTask(
            name="picture-sudoku",
            description="solve the Sudoku in a picture",
            prompts=("sudoku",),
        ),
    ),
)


def main() -> None:
    """Read the two runs and write one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="the checkpoint of the text network")
    parser.add_argument("encoder", type=Path, help="the folder of the image encoder's run")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    model = redraft.load(args.text, dtype="bfloat16")
    tensors = load_file(args.encoder / "state.safetensors")
    average = {
        n.removeprefix("average."): t for n, t in tensors.items() if n.startswith("average.")
    }
    encoder = VisionEncoder(CONFIG, model.config.hidden_size)
    encoder.load_state_dict(average)

    def companion(folder: Path) -> None:
        model.tokenizer.save(folder, TEMPLATE)
        named = (folder / "tokenizer.json").read_text(encoding="utf-8")
        for unused, name in TOKENS.items():
            assert named.count(json.dumps(unused)) == 2, unused
            named = named.replace(json.dumps(unused), json.dumps(name))
        (folder / "tokenizer.json").write_text(named, encoding="utf-8")
        (folder / CARD_FILE).write_text(json.dumps(CARD.to_dict(), indent=2) + "\n")

    save_checkpoint(
        args.out,
        model.network,
        model.generation_config,
        companion=companion,
        vision=encoder.to(torch.bfloat16).eval().requires_grad_(False),
    )
    print(f"update {int(tensors['update'])} of the encoder: {args.out}")


if __name__ == "__main__":
    main()
