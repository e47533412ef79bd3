"""Quantized weights. Each stands in place of a weight tensor; `linear` calls its `product`.

A format is one file of this folder and one row of FORMATS: how a matrix is rounded, stored in a
file, laid out in memory, and multiplied. Nothing else in redraft names a format.
"""

from redraft.quant.affine import AFFINE
from redraft.quant.experts import ExpertList, StackedWeight
from redraft.quant.format import Format, Storage, find_storage
from redraft.quant.fp8 import FP8, Fp8Weight
from redraft.quant.gptq import INTEGERS
from redraft.quant.int4 import INT4, Int4Weight
from redraft.quant.int8 import INT8, Int8Table, Int8Weight
from redraft.quant.kept_decoded import keep_decoded_matrices
from redraft.quant.mx import MXFP4, MXFP8
from redraft.quant.nvfp4 import NVFP4, Nvfp4Weight
from redraft.quant.weight import PackedWeight

ALL = (INT8, INT4, FP8, NVFP4, AFFINE, MXFP4, MXFP8, INTEGERS)
FORMATS: dict[str, Format] = {one.name: one for one in ALL}


def quantizable_formats() -> list[str]:
    """Return the names of the formats that weights can be quantized to; others are only read."""
    return [name for name, one in FORMATS.items() if one.encode is not None]


__all__ = [
    "FORMATS",
    "ExpertList",
    "Format",
    "Fp8Weight",
    "Int4Weight",
    "Int8Table",
    "Int8Weight",
    "Nvfp4Weight",
    "PackedWeight",
    "StackedWeight",
    "Storage",
    "find_storage",
    "keep_decoded_matrices",
    "quantizable_formats",
]
