"""The kernels between products, and those that decode matrices, as `tests.ops.compiled` compiles
them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Name, kernel, types of pointers and floats, constants, options of a card.
Kernel = tuple[str, Any, dict[str, str], dict[str, Any], Any]


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
        yield f"heads {dim}", _heads, types, constants, _options(warps)
    for kernel, constants in (
        (_after_attention, {"WIDE": 4096}),
        (_end_layer, {"WIDE": 4096, "TOP_K": 8}),
        (_end_layer, {"WIDE": 4096, "TOP_K": 0}),
    ):
        types = _pointers(kernel, floats) | {"mixture": "*fp32"}
        name = kernel.__name__.strip("_").replace("_", " ")
        combined = " combined" if constants.get("TOP_K") == 0 else ""
        yield name + combined, kernel, types, constants, _options(8)
    gate = {"FORM": "gelu_tanh", "COLUMNS": COLUMNS}
    yield "gated", _gated, _pointers(_gated, {}), gate, _options(4)
    types = dict.fromkeys(("order", "edges", "owners", "firsts"), "*i32") | {"index": "*i64"}
    yield "group", _group, types, {"SIZE": 2048, "BINS": 256}, _options(4)


def decoding_kernels() -> Iterator[Kernel]:
    """Yield the kernel that decodes matrices, for stacks of each form."""
    import triton.language as tl

    from redraft.ops.triton.decode import ROWS, _decode
    from redraft.ops.triton.numbers import ENCODINGS

    types = dict.fromkeys(("values", "scales", "offsets"), "*i64")
    types |= {"out": "*bf16", "factors": "*fp32"}
    for form, group, scale in (
        ("int4", 64, tl.float32), ("int8", 0, tl.float32), ("fp8", 0, tl.float32),
        ("fp4", 16, tl.uint8),
    ):  # fmt: skip
        encoding = ENCODINGS[form]
        constants = {
            "K": 2816, "FORM": form, "GROUP": group, "VALUE": encoding.dtype, "SCALE": scale,
            "TABLE": True, "OFFSETS": False, "FACTORS": form == "fp4", "ROWS": ROWS,
            "COLUMNS": 128, "FACTOR": encoding.missing_factors[False],
        }  # fmt: skip
        yield f"decode {form}", _decode, types, constants, _options(4)


def _pointers(kernel: Any, floats: dict[str, str]) -> dict[str, str]:
    """Return the types of a kernel's parameters: numbers by name, the others are bfloat16."""
    integers = ("width", "begin", "stride", "query_stride", "key_stride", "value_stride")
    integers += ("gate_stride", "up_stride", "scalar_stride")
    named = dict.fromkeys(integers, "i32") | floats
    return {name: named.get(name, "*bf16") for name in kernel.arg_names}


def _options(warps: int) -> Any:
    return lambda memory: {"num_warps": warps}
