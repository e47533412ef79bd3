"""The cost of a constraint: a step with one over a step without, and the time to build it.

The weights are random, which is the hardest case: every class of tokens keeps some mass at every
position. The vocabulary is made of pieces of Python's own library, words of other scripts, spaces,
single digits and raw bytes. It is as large as the model's.
"""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from typing import Any

import torch
from backends import random_prompts
from measure import alternate, benchmark_parser, elapsed, median_ratio, medians, print_result
from shapes import SHAPES, checkpoint

import redraft
from redraft.config.special_tokens import END_OF_TURN_ID, EOS_ID, PAD_ID
from redraft.diffusion import Canvas, DenoisingOptions, DenoisingState, Noise, denoise_step
from redraft.grammar import JsonSchema
from redraft.grammar.guide import Guide
from redraft.grammar.tokens.build import build_token_dfa
from redraft.grammar.tokens.token_transitions import VocabularyBytes

# Ids below it are special tokens.
FIRST_PLAIN_ID = END_OF_TURN_ID + 1
ENDS = (EOS_ID, END_OF_TURN_ID)
# First letters of words: Latin (half of the words), then other scripts.
FIRST_LETTERS = (0x61, 0x61, 0x61, 0xE0, 0x430, 0x5D0, 0x905, 0xAC00, 0x4E00)


def schema(max_length: int | None) -> dict[str, Any]:
    """Build the schema of a record with the usual kinds of members.

    Args:
        max_length: of its strings, in characters; None for no limit.
    """
    text = {"type": "string"} if max_length is None else {"type": "string", "maxLength": max_length}
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
    """Build a vocabulary of `size` tokens, each by its bytes; None for special tokens."""
    words: dict[bytes, None] = {bytes([byte]): None for byte in range(256)}
    words |= {(" " * count).encode(): None for count in range(2, 32)}
    words |= {("\n" * count).encode(): None for count in range(2, 16)}
    for path in sorted(Path(random.__file__).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="ignore")
        for piece in re.findall(r" ?[A-Za-z_]+| ?[^\sA-Za-z0-9_]+", text):
            for end in range(1, min(len(piece), 12) + 1):
                words[piece[:end].encode()] = None
    rng = random.Random(0)
    while len(words) < size - FIRST_PLAIN_ID:
        first = rng.choice(FIRST_LETTERS)
        word = "".join(chr(first + rng.randrange(26)) for _ in range(rng.randint(2, 8)))
        words[(" " * rng.randint(0, 1) + word).encode()] = None
    return [None] * FIRST_PLAIN_ID + list(words)[: size - FIRST_PLAIN_ID]


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__, model="midbig", peer="none", rounds=5)
    parser.add_argument(
        "--schema", choices=SCHEMAS, default="typical", help="or the length of its strings"
    )
    parser.add_argument("--prefix", type=int, default=256, help="tokens of the prompt")
    args = parser.parse_args()
    dtype, shape = getattr(torch, args.dtype), SHAPES[args.model]
    token_bytes = VocabularyBytes(vocabulary(shape.vocab_size))
    started = time.perf_counter()
    dfa = build_token_dfa(
        JsonSchema(SCHEMAS[args.schema]).dfa, token_bytes, ENDS, [PAD_ID], shape.vocab_size
    )
    building = time.perf_counter() - started
    torch.set_num_threads(args.threads)
    model = redraft.load(checkpoint(args.model, dtype), dtype=dtype)
    cache = model.network.new_cache(args.prefix)
    model.network.encode_prompt(random_prompts(1, args.prefix, shape.vocab_size)[0], cache)
    noise = Noise.of([(1, 0, 0)])
    canvas = Canvas.free(noise.initial(shape.canvas_length, shape.vocab_size))
    start = DenoisingState.start(canvas, shape.hidden_size, dtype)
    max_tokens = max(shape.canvas_length, int(dfa.tokens_to_final[0]))
    constraint = Guide(dfa, max_tokens).on_canvas(shape.canvas_length)

    def step(bound: bool) -> float:
        options = DenoisingOptions.of(
            [model.generation_config], span_constraints=[(constraint,) if bound else ()]
        )
        return elapsed(lambda: denoise_step(model.network, start, [cache], options, noise))

    sides = {"bound": lambda: step(True), "free": lambda: step(False)}
    times = alternate(sides, args.rounds + 1)
    times = {name: values[1:] for name, values in times.items()}  # the first round warms
    seconds, ratio = medians(times), median_ratio(times, "bound", "free")
    states, edges = len(dfa.final), len(dfa.edge_source)
    print_result(
        "constraint",
        args,
        f"{args.schema}: {seconds['bound']:.3f} s a step, {ratio:.2f} times one without; "
        f"built in {building:.2f} s ({states} states, {dfa.class_count} classes, {edges} edges)",
        seconds=seconds,
        ratio=ratio,
        building=building,
        states=states,
        classes=dfa.class_count,
        pairs=edges,
    )


if __name__ == "__main__":
    main()
