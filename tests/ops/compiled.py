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
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from redraft.ops.triton.launch import CHAINS_FROM
from redraft.ops.triton.tiles import CARDS as KINDS
from tests.ops.compiled_products import (
    Kernel,
    attention_kernels,
    placed_kernels,
    product_kernels,
    table_kernels,
)
from tests.ops.compiled_rows import decoding_kernels, row_kernels

# Shared memory of a block, in bytes, by compute capability (CUDA's programming guide).
CARDS = {80: 163 << 10, 86: 99 << 10, 89: 99 << 10, 90: 227 << 10, 100: 227 << 10}
CARDS |= {120: 99 << 10}
# Bytes that a thread may spill: the pass over the vocabulary does so on 12.0.
MOST_SPILLED = 8
POINTER = [["tt.divisibility", 16]]
# Products of tensor cores, and branches, in the disassembler's words.
PRODUCT = re.compile(r"\b(HGMMA|HMMA|UTCHMMA|QGMMA|IMMA)\b")
BACK = re.compile(r"\bBRA(?:\.\w+)*\s+(?:!?U?P\d,\s*)?0x([0-9a-f]+)")
# The loops of experts' kernels have so many instructions at most, for so many numbers of a matrix,
# issued by four warps each; on 10.0 a product has more to do.
TURN = 16384
BUDGETS = {"int4 experts": 400, "fp8 experts": 425, "int8 experts": 425, "fp4 experts": 630}
# What a kernel has that may be launched while the one before it still runs.
CHAIN_INSTRUCTIONS = ("griddepcontrol.wait", "griddepcontrol.launch_dependents")
BUDGET_CARDS = (80, 86, 89, 90, 120)


@dataclass(frozen=True)
class Compiled:
    """What a kernel takes: registers of a thread, bytes of a thread that are spilled, bytes of
    shared memory, instructions, how many of them are products of tensor cores, how many its loop
    has for 16,384 numbers of a matrix, and whether it waits for the kernel before it by itself."""

    kernel: str
    capability: int
    registers: int
    spilled: int
    shared: int
    instructions: int
    products: int
    loop: int
    chained: bool = False


def kernels() -> Iterator[Kernel]:
    """Yield all kernels, in the 26B's shapes."""
    from redraft.ops.triton.vocabulary import BLOCK, MAX_MASS, _read

    yield from product_kernels()
    yield from table_kernels()
    yield from attention_kernels()
    yield from placed_kernels()
    read = {"logits": "*bf16", "temperatures": "*fp32", "uniforms": "*fp64", "greedy": "*i1"}
    read |= {"argmax": "*i64", "sample": "*i64", "totals": "*fp32", "entropies": "*fp32"}
    read |= {"softcap": "fp32"}
    constants = {"BLOCK": BLOCK, "MAX_MASS": MAX_MASS}
    yield Kernel("vocabulary", _read, read, lambda card: (constants, {"num_warps": 8}))
    yield from row_kernels()
    yield from decoding_kernels()


def compile_all(
    capabilities: list[int], only: list[str] | None = None, chained: bool = False
) -> Iterator[Compiled]:
    """Compile each kernel, or those of some names, for each capability.

    Args:
        chained: as they are launched before the one before has ended, where a card can do so.
    """
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    for one in kernels():
        if only and one.name not in only:
            continue
        names = one.kernel.arg_names
        for capability in capabilities:
            constants, options = one.choose(KINDS.get(divmod(capability, 10), "small"))
            if "CHAINED" in names:
                at_once = chained and divmod(capability, 10) >= CHAINS_FROM
                constants = constants | {"CHAINED": at_once}
                options = options | ({"launch_pdl": True} if at_once else {})
            signature = {
                name: "constexpr" if name in constants else one.types.get(name, "i32")
                for name in names
            }
            whole = [name for name, kind in signature.items() if kind.startswith("*")]
            whole += [name for name in names if name.endswith(("stride", "step"))]
            whole += [name for name in names if name == "width"]
            attributes = {(names.index(name),): POINTER for name in whole}
            source = ASTSource(one.kernel, signature, constexprs=constants, attrs=attributes)
            target = GPUTarget("cuda", capability, 32)
            made = compile(source, target=target, options=options)
            weights = one.weights(constants) * 4 // options.get("num_warps", 4)
            found = read_binary(
                one.name, capability, made.asm["cubin"], made.metadata.shared, weights
            )
            yield replace(found, chained=waits_by_itself(made.asm["ptx"]))


def waits_by_itself(ptx: str) -> bool:
    """Return True if a kernel waits for the one before it, before it uses memory, and lets the next
    one begin.

    Raises:
        AssertionError: it does only a part of that.
    """
    has = [one in ptx for one in CHAIN_INSTRUCTIONS]
    assert all(has) == any(has), has
    memory = min(ptx.find(f"{one}.global") % len(ptx) for one in ("ld", "st"))
    assert not any(has) or ptx.index(CHAIN_INSTRUCTIONS[0]) < memory, "it reads before it waits"
    return all(has)


def read_binary(
    name: str, capability: int, binary: bytes, shared: int, weights: int = 0
) -> Compiled:
    """Return what a compiled kernel takes, as the disassembler tells it.

    Args:
        weights: how many numbers of matrices a turn of its loop multiplies with.
    """
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
    lines = re.findall(r"/\*([0-9a-f]{4,})\*/\s+([^;]+);", code.stdout)
    products = sum(bool(PRODUCT.search(line)) for _, line in lines)
    loop = round(len(main_loop(lines)) * TURN / weights) if weights else 0
    return Compiled(name, capability, registers, spilled, shared, len(lines), products, loop)


def main_loop(lines: list[tuple[str, str]]) -> list[str]:
    """Return the instructions of the longest loop that has products of tensor cores.

    Args:
        lines: addresses, hexadecimal, and instructions.
    """
    found: list[list[str]] = [[]]
    for address, line in lines:
        target = BACK.search(line)
        if target and int(target[1], 16) < int(address, 16):
            first, last = int(target[1], 16), int(address, 16)
            found.append([line for at, line in lines if first <= int(at, 16) <= last])
    return max((one for one in found if any(map(PRODUCT.search, one))), key=len, default=[])


def specialized_lengths() -> list[str]:
    """Return the parameters whose values vary from request to request and yet are compiled in."""
    from redraft.ops.triton.attention import _attend, _merge
    from redraft.ops.triton.decode import _decode
    from redraft.ops.triton.grouping import _group
    from redraft.ops.triton.heads import _heads
    from redraft.ops.triton.philox import _philox
    from redraft.ops.triton.product_kernel import _product
    from redraft.ops.triton.residual import _after_attention, _end_layer
    from redraft.ops.triton.table import _weigh

    lengths = [(_attend, "length"), (_attend, "count"), (_group, "count"), (_group, "limit")]
    lengths += [(_attend, "rows"), (_merge, "rows"), (_weigh, "count")]
    lengths += [(_after_attention, "rows"), (_end_layer, "rows"), (_philox, "count")]
    lengths += [(_heads, "begin"), (_decode, "first"), (_decode, "last")]
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
    parser.add_argument("--chained", action="store_true", help="as `redraft tune` may launch them")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    specialized = specialized_lengths()
    wrong = len(specialized)
    if specialized:
        print("compiled anew for other values:", *specialized, sep="\n", file=sys.stderr)
    for one in compile_all(args.capability or list(CARDS), args.kernel, args.chained):
        print(json.dumps(asdict(one)), flush=True)
        wrong += one.spilled > MOST_SPILLED or one.shared > CARDS[one.capability]
        wrong += one.chained and not args.chained
        if one.capability in BUDGET_CARDS:
            wrong += one.loop > BUDGETS.get(one.kernel, one.loop)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
