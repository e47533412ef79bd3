"""Weights in few bits, which stand where a tensor would: `linear` asks them for their product, a
table for its rows."""

from redraft.quant.experts import ExpertList, Joined
from redraft.quant.fp4 import Fp4Weight
from redraft.quant.fp8 import Fp8Weight
from redraft.quant.int4 import Int4Weight
from redraft.quant.int8 import Int8Table, Int8Weight
from redraft.quant.weight import PackedWeight

# What `--to` and `quantize=` name.
FORMATS: dict[str, type[PackedWeight]] = {"int8": Int8Weight, "int4": Int4Weight, "fp8": Fp8Weight}

__all__ = [
    "FORMATS",
    "ExpertList",
    "Fp4Weight",
    "Fp8Weight",
    "Int4Weight",
    "Int8Table",
    "Int8Weight",
    "Joined",
    "PackedWeight",
]
