"""What a constraint costs: a denoising step with one against a step without, and the time to build
it.

The weights are random, which is the hardest case: every class of tokens keeps some mass at every
position. The vocabulary is made of pieces of Python's own library, words of other scripts, spaces,
digits alone and raw bytes, as large as the model's.
"""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from typing import Any

import torch
from measure import arguments, in_turn, median_ratio, medians, seconds, tell
from shapes import SHAPES, checkpoint
from writers import prompts

import redraft
from redraft.diffusion import Canvas, DenoisingOptions, DenoisingState, Noise, denoise_step
from redraft.grammar import Guide, JsonSchema
from redraft.grammar.tokens.build import build_token_dfa
from redraft.grammar.tokens.token_transitions import VocabularyBytes

FIRST = 107  # ids before it are special tokens
ENDS, PAD = (1, 106), 0


def schema(longest: int | None) -> dict[str, Any]:
    """A record of the usual kinds of members, its strings bounded or not."""
    text = {"type": "string"} if longest is None else {"type": "string", "maxLength": longest}
    members = {
        "name": text,
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "email": text,
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        "active": {"type": "boolean"},
        "role": {"enum": ["admin", "user", "guest"]},
        "score": {"type": "number"},
    }
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


SCHEMAS = {"typical": schema(None), "40": schema(40), "100": schema(100), "200": schema(200)}


def vocabulary(size: int) -> list[bytes | None]:
    """Tokens by their bytes, None for special ones."""
    found: dict[bytes, None] = {bytes([byte]): None for byte in range(256)}
    found |= {(" " * count).encode(): None for count in range(2, 32)} | {
        ("\n" * count).encode(): None for count in range(2, 16)
    }
    texts = [
        path.read_text(encoding="utf-8", errors="ignore")
        for path in sorted(Path(random.__file__).parent.glob("*.py"))
    ]
    for text in texts:
        for piece in re.findall(r" ?[A-Za-z_]+| ?[^\sA-Za-z0-9_]+", text):
            for end in range(1, min(len(piece), 12) + 1):
                found[piece[:end].encode()] = None
    rng = random.Random(0)
    while len(found) < size - FIRST:
        first = rng.choice((0x61, 0x61, 0x61, 0xE0, 0x430, 0x5D0, 0x905, 0xAC00, 0x4E00))
        word = "".join(chr(first + rng.randrange(26)) for _ in range(rng.randint(2, 8)))
        found[(" " * rng.randint(0, 1) + word).encode()] = None
    return [None] * FIRST + list(found)[: size - FIRST]


@torch.inference_mode()
def main() -> None:
    """Measure and tell."""
    parser = arguments(__doc__, model="midbig", peer="none", rounds=5)
    parser.add_argument("--schema", choices=SCHEMAS, default="typical")
    parser.add_argument("--prefix", type=int, default=256)
    given = parser.parse_args()
    dtype, shape = getattr(torch, given.dtype), SHAPES[given.model]
    spelling = VocabularyBytes(vocabulary(shape.vocab_size))
    started = time.perf_counter()
    automaton = build_token_dfa(
        JsonSchema(SCHEMAS[given.schema]).dfa, spelling, ENDS, [PAD], shape.vocab_size
    )
    building = time.perf_counter() - started
    torch.set_num_threads(given.threads)
    model = redraft.load(checkpoint(given.model, dtype), dtype=dtype)
    cache = model.network.new_cache(given.prefix)
    model.network.encode_prompt(prompts(1, given.prefix, shape.vocab_size)[0], cache)
    noise = Noise.of([(1, 0, 0)])
    canvas = Canvas.free(noise.initial(shape.canvas_length, shape.vocab_size))
    start = DenoisingState.start(canvas, shape.hidden_size, dtype)
    room = max(shape.canvas_length, int(automaton.tokens_to_final[0]))
    constraint = Guide(automaton, room).on_canvas(shape.canvas_length)

    def step(bound: bool) -> float:
        options = DenoisingOptions.of(
            [model.generation_config], span_constraints=[(constraint,) if bound else ()]
        )
        return seconds(lambda: denoise_step(model.network, start, [cache], options, noise))

    taken = in_turn({"bound": lambda: step(True), "free": lambda: step(False)}, given.rounds + 1)
    taken = {name: times[1:] for name, times in taken.items()}  # the first round warms
    found, ratio = medians(taken), median_ratio(taken, "bound", "free")
    tell(
        "constraint", given,
        f"{given.schema}: {found['bound']:.3f} s a step, {ratio:.2f} times one without; built in {building:.2f} s "
        f"({len(automaton.final)} states, {automaton.class_count} classes, {len(automaton.edge_source)} edges)",
        seconds=found, ratio=ratio, building=building,
        states=len(automaton.final), classes=automaton.class_count, pairs=len(automaton.edge_source),
    )  # fmt: skip


if __name__ == "__main__":
    main()
