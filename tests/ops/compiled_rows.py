"""The kernels between products, and those that decode matrices, as `tests.ops.compiled` compiles
them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.ops.compiled_products import Kernel


def row_kernels() -> Iterator[Kernel]:
    """Yield the kernels between products, in the 26B's shapes."""
    from redraft.ops.triton.gated import COLUMNS, _gated
    from redraft.ops.triton.grouping import _group
    from redraft.ops.triton.heads import FOUR_WARPS, _heads
    from redraft.ops.triton.residual import _after_attention, _end_layer

    floats = {"eps": "fp32", "root": "fp32"}
    for dim, kv_heads in ((256, 8), (512, 2)):
        constants = {"HALF": dim // 2, "WIDE": dim // 2, "HEADS": 16, "KV_HEADS": kv_heads}
        constants |= {"ROWS": 16, "KV_ROWS": kv_heads, "PLACED": True}
        warps = 4 if 16 * dim // 2 <= FOUR_WARPS else 8
        types = _pointers(_heads, floats) | {"owners": "*i32", "places": "*i64"}
        yield Kernel(f"heads {dim}", _heads, types, _always(constants, warps))
    for kernel, constants in (
        (_after_attention, {"WIDE": 4096, "PARTS": 3}),
        (_end_layer, {"WIDE": 4096, "TOP_K": 8, "PARTS": 3}),
        (_end_layer, {"WIDE": 4096, "TOP_K": 0, "PARTS": 1}),
    ):
        types = _pointers(kernel, floats) | {"mixture": "*fp32"}
        if constants["PARTS"] > 1:
            types |= (
                {"mixed": "*fp32", "dense": "*fp32"} if kernel is _end_layer else {"mixed": "*fp32"}
            )
        name = kernel.__name__.strip("_").replace("_", " ")
        combined = " combined" if constants.get("TOP_K") == 0 else ""
        yield Kernel(name + combined, kernel, types, _always(constants, 8))
    gate = {"FORM": "gelu_tanh", "COLUMNS": COLUMNS, "PARTS": 2}
    types = _pointers(_gated, {}) | {"gate": "*fp32", "up": "*fp32"}
    yield Kernel("gated", _gated, types, _always(gate, 4))
    types = dict.fromkeys(("order", "edges", "owners", "firsts"), "*i32") | {"index": "*i64"}
    yield Kernel("group", _group, types, _always({"SIZE": 2048, "BINS": 256}, 4))


def decoding_kernels() -> Iterator[Kernel]:
    """Yield the kernel that decodes matrices, for stacks of each form."""
    import triton.language as tl

    from redraft.ops.triton.decode import COLUMNS, ROWS, _decode

    types = dict.fromkeys(("values", "scales", "offsets"), "*i64")
    types |= {"out": "*bf16", "factors": "*fp32"}
    for form, group in (("int4", 64), ("int8", 0), ("fp8", 0), ("fp4", 16)):
        constants = {
            "K": 2816, "FORM": form, "GROUP": group, "VALUE": tl.uint16, "IN_WORDS": True,
            "SCALE": tl.uint32 if form == "fp4" else tl.bfloat16, "TABLE": True, "OFFSETS": False,
            "FACTORS": form == "fp4", "ROWS": ROWS, "COLUMNS": COLUMNS, "FACTOR": 1.0,
        }  # fmt: skip
        yield Kernel(f"decode {form}", _decode, types, _always(constants, 4))


def _pointers(kernel: Any, floats: dict[str, str]) -> dict[str, str]:
    """Return the types of a kernel's parameters: numbers by name, the others are bfloat16."""
    integers = (
        "rows",
        "width",
        "begin",
        "stride",
        "part_stride",
        "query_stride",
        "key_stride",
        "value_stride",
    )
    integers += ("scalar_stride",)
    named = dict.fromkeys(integers, "i32") | floats
    return {name: named.get(name, "*bf16") for name in kernel.arg_names}


def _always(constants: dict[str, Any], warps: int) -> Any:
    """Return the same constants and options for all cards."""
    return lambda card: (constants, {"num_warps": warps})
