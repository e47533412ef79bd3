"""Compile the kernels for cards that are not here, and tell what each takes of the card.

`python -m tests.ops.compiled` prints a JSON line for each kernel and compute capability.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.ops.compiled_rows import Kernel, decoding_kernels, row_kernels

# Shared memory of a block, in bytes, by compute capability (CUDA's programming guide).
CARDS = {80: 163 << 10, 86: 99 << 10, 89: 99 << 10, 90: 227 << 10, 120: 99 << 10}
# Bytes that a thread may spill: the pass over the vocabulary does so on 12.0.
MOST_SPILLED = 8
POINTER = [["tt.divisibility", 16]]


@dataclass(frozen=True)
class Compiled:
    """What a kernel takes: registers of a thread, bytes of a thread that are spilled, bytes of
    shared memory, instructions, and how many of them are products of tensor cores."""

    kernel: str
    capability: int
    registers: int
    spilled: int
    shared: int
    instructions: int
    products: int


def kernels() -> Iterator[tuple[str, Any, dict[str, str], dict[str, Any], dict[int, Any] | Any]]:
    """Yield (name, kernel, types of pointers, constants, options) of the 26B's shapes.

    Options are a function of the shared memory of a card.
    """
    import torch
    import triton.language as tl

    from redraft.ops.triton.attention import _attend
    from redraft.ops.triton.numbers import ENCODINGS
    from redraft.ops.triton.product import BFLOAT16_TILES, _product
    from redraft.ops.triton.tiles import attention_tile
    from redraft.ops.triton.vocabulary import BLOCK, MAX_MASS, _read

    pointers = {"x": "*bf16", "out": "*bf16", "factors": "*fp32"}
    pointers |= dict.fromkeys(("order", "owners", "firsts", "edges"), "*i32")
    tile = BFLOAT16_TILES
    fixed = {"PARTS": 1, "OFFSETS": False, "SCATTER": False, "ROWS": tile.rows, "FAST": True}
    fixed |= {"COLUMNS": tile.columns, "NUMBER": tl.bfloat16, "TABLE": True}
    for form, group, scale in (
        ("int4", 64, tl.float32), ("int8", 0, tl.float32), ("fp8", 0, tl.float32),
        ("fp4", 16, tl.uint8), ("plain", 0, tl.float32),
    ):  # fmt: skip
        for part, (width, tokens, grouped) in {
            "experts": (2816, 32, True),
            "dense": (2816, 64, False),
        }.items():
            encoding = ENCODINGS[form]
            addresses = dict.fromkeys(("values", "scales", "offsets"), "*i64")
            constants = fixed | {
                "K": width, "FORM": form, "GROUP": group, "VALUE": encoding.dtype, "SCALE": scale,
                "GROUPED": grouped, "GATHER": grouped, "TOKENS": tokens, "FACTORS": form == "fp4",
                "FACTOR": encoding.missing_factors[True],
            }  # fmt: skip
            options = {"num_warps": tile.warps, "num_stages": tile.stages}
            yield (
                f"{form} {part}",
                _product,
                pointers | addresses,
                constants,
                lambda _, o=options: o,
            )
    for width in (256, 512):
        where = dict.fromkeys(("query", "key", "value", "out"), "*bf16") | {"prefixes": "*i64"}
        for causal in (False, True):

            def options(memory: int, width: int = width, causal: bool = causal) -> Any:
                return attention_tile(width, torch.bfloat16.itemsize, memory, causal)

            constants = {"DIM": width, "WIDE": width, "CAUSAL": causal, "WINDOW": causal}
            constants |= {"NUMBER": tl.bfloat16}
            yield f"attention {width}{' causal' * causal}", _attend, where, constants, options
        yield from placed_kernels(width)
    read = {"logits": "*bf16", "temperatures": "*fp32", "uniforms": "*fp64", "greedy": "*i1"}
    read |= {"argmax": "*i64", "sample": "*i64", "totals": "*fp32", "entropies": "*fp32"}
    read |= {"softcap": "fp32"}
    constants = {"BLOCK": BLOCK, "MAX_MASS": MAX_MASS}
    yield "vocabulary", _read, read, constants, lambda _: {"num_warps": 8}
    yield from row_kernels()
    yield from decoding_kernels()


def placed_kernels(width: int) -> Iterator[Kernel]:
    """Yield the kernels for clean tokens whose keys lie in a cache, of heads of a width."""
    import torch
    import triton.language as tl

    from redraft.ops.triton.placed_attention import (
        PLACE,
        TOKEN_KEYS,
        _attend_placed,
        _attend_tokens,
        _join_shares,
    )
    from redraft.ops.triton.tiles import attention_tile

    where = {"query": "*bf16", "out": "*bf16", "places": "*i64", "parts": "*fp32", "sums": "*fp32"}
    shared = {"DIM": width, "WIDE": width}
    read = shared | {"NUMBER": tl.bfloat16, "DTYPE": tl.bfloat16, "NUMBERS": PLACE, "WINDOW": True}

    def options(memory: int) -> Any:
        return attention_tile(width, torch.bfloat16.itemsize, memory, True)

    yield f"placed attention {width}", _attend_placed, where, read | {"LENGTH": 256}, options
    group = 2 if width == 256 else 8  # the 26B's heads
    tokens = read | {"HEADS": 16, "GROUP": group, "ROWS": 16, "SHARES": 32, "KEYS": TOKEN_KEYS}
    few = {"num_warps": 4, "num_stages": 2}
    yield f"token attention {width}", _attend_tokens, where, tokens, lambda _: few
    yield f"joined shares {width}", _join_shares, where, shared | {"SHARES": 32}, lambda _: few


def compile_all(capabilities: list[int], only: list[str] | None = None) -> Iterator[Compiled]:
    """Compile each kernel, or those of some names, for each capability."""
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    for name, kernel, types, constants, choose in kernels():
        if only and name not in only:
            continue
        names = kernel.arg_names
        for capability in capabilities:
            options = choose(CARDS[capability])
            full = dict(constants)
            if not isinstance(options, dict):
                full |= {"QUERIES": options.queries, "KEYS": options.keys}
                options = {"num_warps": options.warps, "num_stages": options.stages}
            signature = {
                one: "constexpr" if one in full else types.get(one, "i32") for one in names
            }
            whole = [one for one, kind in signature.items() if kind.startswith("*")]
            whole += [one for one in names if one.endswith(("stride", "step")) or one == "width"]
            attributes = {(names.index(one),): POINTER for one in whole}
            source = ASTSource(kernel, signature, constexprs=full, attrs=attributes)
            target = GPUTarget("cuda", capability, 32)
            made = compile(source, target=target, options=options)
            yield read_binary(name, capability, made.asm["cubin"], made.metadata.shared)


def read_binary(name: str, capability: int, binary: bytes, shared: int) -> Compiled:
    """Return what a compiled kernel takes, as the disassembler tells it."""
    import triton

    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        usage, code = (
            subprocess.run([tool, flag, file.name], capture_output=True, text=True, check=True)
            for flag in ("-res-usage", "-sass")
        )
    registers, spilled = (
        int(found[-1]) for found in (re.findall(rf"{word}:(\d+)", usage.stdout) for word in ("REG", "STACK"))
    )  # fmt: skip
    lines = re.findall(r"/\*[0-9a-f]{4,}\*/\s+([^;]+);", code.stdout)
    products = sum(bool(re.search(r"\b(HGMMA|HMMA|UTCHMMA)\b", line)) for line in lines)
    return Compiled(name, capability, registers, spilled, shared, len(lines), products)


def specialized_lengths() -> list[str]:
    """Return the parameters whose values vary from request to request and yet are compiled in."""
    from redraft.ops.triton.attention import _attend
    from redraft.ops.triton.decode import _decode
    from redraft.ops.triton.grouping import _group
    from redraft.ops.triton.heads import _heads
    from redraft.ops.triton.philox import _philox
    from redraft.ops.triton.product import _product

    lengths = [(_attend, "length"), (_attend, "count"), (_group, "count"), (_group, "limit")]
    lengths += [(_philox, "count"), (_heads, "begin"), (_decode, "first"), (_decode, "last")]
    return [
        f"{kernel.__name__} {name}"
        for kernel, name in (*lengths, (_product, "count"))
        if not next(one for one in kernel.params if one.name == name).do_not_specialize
    ]


def main() -> int:
    """Print a line for each, and return 1 where one spills, does not fit, or is compiled anew for
    other lengths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--capability", type=int, action="append", choices=list(CARDS))
    parser.add_argument("--kernel", action="append", help="a name, such as 'int4 experts'")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    specialized = specialized_lengths()
    wrong = len(specialized)
    if specialized:
        print("compiled anew for other values:", *specialized, sep="\n", file=sys.stderr)
    for one in compile_all(args.capability or list(CARDS), args.kernel):
        print(json.dumps(asdict(one)), flush=True)
        wrong += one.spilled > MOST_SPILLED or one.shared > CARDS[one.capability]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
