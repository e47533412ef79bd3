"""Runs the inline assembly of kernels on a processor, instruction by instruction."""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch
from torch import Tensor

MASK = 0xFFFFFFFF


def assembly_of(kernel: Any) -> list[tuple[str, int]]:
    """Return each piece of inline assembly of a kernel, and how many registers it writes."""
    source = inspect.getsource(kernel.fn)
    found = re.findall(r'asm_elementwise\(\s*"""(.*?)""",\s*constraints="(.*?)"', source, re.S)
    return [(code, constraints.count("=")) for code, constraints in found]


def run_assembly(code: str, outputs: int, inputs: list[Tensor]) -> list[Tensor]:
    """Return the registers that a piece of assembly writes.

    Args:
        outputs: how many it writes.
        inputs: registers of 32 bits, int64 each, in the order of their numbers.
    """
    registers = {f"${outputs + at}": one for at, one in enumerate(inputs)}
    for line in code.split(";"):
        words = re.findall(r"[\w.$]+", line)
        if words and words[0] != ".reg" and "{" not in words:
            registers[words[1]] = _run(words[0], [_value(one, registers) for one in words[2:]])
    return [registers[f"${at}"] for at in range(outputs)]


def _value(word: str, registers: dict[str, Tensor]) -> Tensor:
    return registers[word] if word in registers else torch.tensor(int(word, 0))


def _run(name: str, values: list[Tensor]) -> Tensor:
    first = values[0]
    if name == "mov.b32":
        return first
    if name == "shl.b32":
        return (first << values[1]) & MASK
    if name == "shr.u32":
        return first >> values[1]
    if name == "and.b32":
        return first & values[1]
    if name == "lop3.b32":
        assert int(values[3]) == 0xEA
        return (first & values[1]) | values[2]
    if name == "prmt.b32":
        return _permuted(first, values[1], int(values[2]))
    assert name == "fma.rn.bf16x2", name
    halves = [_halves(one) for one in values]
    low, high = (_bits((a * b + c).float().bfloat16()) for a, b, c in zip(*halves, strict=True))
    return low | (high << 16)


def _permuted(first: Tensor, second: Tensor, selector: int) -> Tensor:
    octets = [(one >> shift) & 255 for one in (first, second) for shift in (0, 8, 16, 24)]
    parts = [octets[(selector >> (4 * at)) & 7] << (8 * at) for at in range(4)]
    return parts[0] | parts[1] | parts[2] | parts[3]


def _halves(register: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two bfloat16 of a register as float64: a product and a sum of them is exact."""
    low, high = (
        ((register >> shift) & 0xFFFF).to(torch.int32).to(torch.uint16).view(torch.bfloat16)
        for shift in (0, 16)
    )
    return low.double(), high.double()


def _bits(numbers: Tensor) -> Tensor:
    return numbers.view(torch.int16).long() & 0xFFFF


def numbers_of(register: Tensor) -> Tensor:
    """Return the numbers of a register of two bfloat16, lower half first, float64."""
    return torch.stack(_halves(register))
