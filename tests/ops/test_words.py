"""All 65,536 words are the numbers that torch makes of their bits: by the definition, and by the
instructions of a device, which are run here one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

import triton
import triton.language as tl

from redraft.ops.packed_layout import FOUR_IN_A_WORD, pack_words, unpack_words
from redraft.ops.triton import numbers, word_numbers
from redraft.ops.triton.word_numbers import (
    e2m1_words,
    e4m3_words,
    four_scales,
    int4_words,
    int8_words,
)
from redraft.ops.triton.words import MISSING
from tests.ops.ptx import assembly_of, numbers_of, run_assembly
from tests.ops.with_kernels import DEVICE

FORMS = ("int4", "fp4", "int8", "fp8")
WORDS = 1 << 16
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def every_word() -> Tensor:
    """All words as they lie in memory, uint8 [4096, 32]: each row is a block."""
    words = torch.arange(WORDS, dtype=torch.int32).view(-1, 16)
    return torch.stack((words & 255, words >> 8), dim=-1).to(torch.uint8).flatten(1)


def numbers_in(form: str) -> list[Tensor]:
    """The first to last numbers of every word, by torch, float64; NaN as 0."""
    bits = unpack_words(every_word(), form)
    if form == "int4":
        found = bits.double() - 8
    elif form == "fp4":
        found = E2M1[bits.long()].double()
    elif form == "int8":
        found = bits.view(torch.int8).double()
    else:
        found = bits.view(torch.float8_e4m3fn).double()
    parts = found.unflatten(1, (-1, 16)).unbind(1)
    return [part.flatten().nan_to_num(0.0) for part in parts]


def is_number(form: str) -> Tensor:
    """Whether both numbers of every word are: fp8 has NaN."""
    if form != "fp8":
        return torch.ones(WORDS, dtype=torch.bool)
    bits = unpack_words(every_word(), form) & 0x7F
    return (bits != 0x7F).unflatten(1, (-1, 16)).all(1).flatten()


@pytest.mark.parametrize("form", FORMS)
def test_packed_numbers_come_back(form: str) -> None:
    most = 16 if form in FOUR_IN_A_WORD else 256
    values = torch.randint(0, most, (3, 5, 192), dtype=torch.uint8)
    packed = pack_words(values, form)
    assert packed.numel() * (2 if most == 16 else 1) == values.numel()
    assert torch.equal(unpack_words(packed, form), values)
    assert torch.equal(pack_words(unpack_words(every_word(), form), form), every_word())


def test_the_first_number_of_a_word_has_the_first_columns_of_a_block() -> None:
    values = torch.arange(64, dtype=torch.uint8)[None]
    whole = pack_words(values[:, :32], "int8").view(-1, 2)
    assert (whole ^ 0x80).tolist() == [[at, at + 16] for at in range(16)]
    four = pack_words(values // 16, "int4").view(-1, 2)
    assert four.tolist() == [[0x10, 0x32]] * 16


@triton.jit
def _decoded(words, scales, out, FORM: tl.constexpr, COUNT: tl.constexpr, SIZE: tl.constexpr):
    at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    word = tl.load(words + at)
    one = tl.full((SIZE,), 1.0, tl.float32)
    if FORM == "int4":
        t0, t1, t2, t3 = int4_words(word, one, one, one, one, one, one, one, one, False)
    elif FORM == "fp4":
        s0, s1, s2, s3 = four_scales(tl.load(scales + at), False)
        t0, t1, t2, t3 = e2m1_words(word, s0, s1, s2, s3, False)
    else:
        if FORM == "int8":
            t0, t1 = int8_words(word, one, one, one, one, False)
        else:
            t0, t1 = e4m3_words(word, one, one, False)
        t2, t3 = t0, t1
    tl.store(out + at, t0)
    tl.store(out + COUNT + at, t1)
    tl.store(out + 2 * COUNT + at, t2)
    tl.store(out + 3 * COUNT + at, t3)


def scales_of_words() -> Tensor:
    """Four bits of e4m3 for each word, of which none is NaN, as int64 of 32 bits."""
    bits = torch.randint(0, 256, (WORDS, 4), generator=torch.Generator().manual_seed(1))
    bits = torch.where(bits & 0x7F == 0x7F, 0, bits)
    return (bits << torch.tensor([0, 8, 16, 24])).sum(-1)


def float_scales(fours: Tensor) -> list[Tensor]:
    bits = [(fours >> shift) & 255 for shift in (0, 8, 16, 24)]
    return [one.to(torch.uint8).view(torch.float8_e4m3fn).double() for one in bits]


@pytest.mark.parametrize("form", FORMS)
def test_words_are_their_numbers_by_definition(form: str) -> None:
    words = torch.arange(WORDS, dtype=torch.int32).to(torch.uint16).to(DEVICE)
    fours = scales_of_words()
    out = torch.empty(4, WORDS, device=DEVICE)
    scales = fours.to(torch.uint32).to(DEVICE)
    _decoded[(16,)](words, scales, out, FORM=form, COUNT=WORDS, SIZE=WORDS // 16)
    real = is_number(form)
    factors = float_scales(fours) if form == "fp4" else [torch.ones(())] * 4
    for found, number, factor in zip(out.cpu(), numbers_in(form), factors, strict=False):
        assert torch.equal(found[real].double(), (number * factor)[real])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1.0, 0.01173, 3e-5, -180.0])
def test_instructions_of_a_device_make_the_numbers_of_words(form: str, scale: float) -> None:
    """Rounded once; and neither word of a register changes the other."""
    low = torch.arange(WORDS)
    high = low.flip(0) ^ 0x2A5A
    words = low | (high << 16)
    exact = torch.tensor(scale).bfloat16()
    pairs = [torch.tensor(int(exact.view(torch.int16)) & 0xFFFF)]
    names = {"int4": int4_words, "fp4": e2m1_words, "int8": int8_words, "fp8": e4m3_words}
    ((code, outputs),) = assembly_of(names[form])
    factors = [exact.double()] * 4
    if form == "fp4":
        fours = scales_of_words()
        ((scaling, many),) = assembly_of(four_scales)
        made = run_assembly(scaling, many, [fours])
        factors = float_scales(fours)
        inputs = [one for one in made for _ in range(2)]
    else:
        which = ("int4", "int8", "fp8").index(form)
        scaling, many = assembly_of(word_numbers.scale_pairs)[which]
        made = run_assembly(scaling, many, pairs)
        if form == "int4":
            first, second, less = made
            inputs = [first, first, second, second] * 2 + [less] * 8
        elif form == "int8":
            inputs = [made[0]] * 4 + [made[1]] * 4
        else:
            inputs = [made[0]] * 4
    found = run_assembly(code, outputs, [words, *inputs])
    real = is_number(form)
    for register, number, factor in zip(found, numbers_in(form), factors, strict=False):
        for half, of in zip(numbers_of(register), (low, high), strict=True):
            expected = (number[of] * factor).float().bfloat16().double()
            known = real[of] & real[low]
            assert torch.equal((half * MISSING)[known], expected[known])


@pytest.mark.parametrize("name", ["e4m3", "int8"])
def test_instructions_of_a_device_make_the_numbers_of_bytes(name: str) -> None:
    """Four in a register, in natural order: tables, and widths that have no blocks."""
    bits = torch.randint(0, 256, (4, 4096), generator=torch.Generator().manual_seed(2))
    register = bits[0] | (bits[1] << 8) | (bits[2] << 16) | (bits[3] << 24)
    ((code, outputs),) = assembly_of(getattr(numbers, name))
    halves = [numbers_of(one) for one in run_assembly(code, outputs, [register])]
    kind = torch.int8 if name == "int8" else torch.float8_e4m3fn
    expected = bits.to(torch.uint8).view(kind).double()
    for found, number in zip(torch.cat(halves), expected, strict=True):
        real = ~number.isnan()
        assert torch.equal(found[real], number[real])
