"""The kernels of products, tables and attention, as `tests.ops.compiled` compiles them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from redraft.ops.triton.tiles import Card

# Constants and options of a kernel.
Choice = tuple[dict[str, Any], dict[str, int]]


class Kernel(NamedTuple):
    """A kernel to be compiled.

    Attributes:
        types: of its pointers and floats, by name; what is not there is an integer.
        choose: returns constants and options for a kind of card.
        weights: how many numbers of matrices a turn of its loop multiplies with, by constants.
    """

    name: str
    kernel: Any
    types: dict[str, str]
    choose: Callable[[Card], Choice]
    weights: Callable[[dict[str, Any]], int] = lambda constants: 0


# Forms, their groups, and the types in which their scales are read.
FORMS = (("int4", 64), ("int8", 0), ("fp8", 0), ("fp4", 16), ("plain", 0))
# Names of products: input rows, columns, whether they are grouped and gated, parts of the sums.
PRODUCTS = {
    "experts": (32, 2816, True, True, 1),
    "down": (32, 704, True, False, 1),
    "few rows": (64, 2816, False, False, 1),
    "canvas": (128, 2816, False, False, 2),
}


def product_kernels() -> Iterator[Kernel]:
    """Yield products of each form, in the 26B's shapes."""
    import torch
    import triton.language as tl

    from redraft.ops.packed_layout import PackedLayout
    from redraft.ops.triton.numbers import ENCODINGS
    from redraft.ops.triton.product_kernel import _product
    from redraft.ops.triton.tiles import expert_tokens, product_tile
    from redraft.ops.triton.words import MISSING

    pointers = {"x": "*bf16", "out": "*bf16", "factors": "*fp32"}
    pointers |= dict.fromkeys(("order", "owners", "firsts", "edges"), "*i32")
    for form, group in FORMS:
        in_words = form != "plain"
        layout: Any = PackedLayout(form, (1, 1), torch.empty(0), in_words=in_words)  # type: ignore[arg-type]
        addresses = dict.fromkeys(("values", "scales", "offsets"), "*i64" if in_words else "*bf16")
        for name, (most, width, grouped, gated, parts) in PRODUCTS.items():
            if not in_words and not grouped:
                continue

            def choose(
                card: Card, form=form, group=group, layout=layout, most=most, width=width,
                grouped=grouped, gated=gated, parts=parts,
            ) -> Choice:  # fmt: skip
                tokens = expert_tokens(2048, 128, card) if grouped else most
                tile = product_tile(
                    card, layout, torch.bfloat16, tokens, gated=gated, grouped=grouped
                )
                constants = {
                    "K": width, "FORM": form, "PARTS": 1 + gated, "GROUP": group,
                    "VALUE": tl.uint16 if layout.in_words else ENCODINGS[form].dtype,
                    "SCALE": tl.uint32 if form == "fp4" else tl.bfloat16,
                    "TABLE": layout.in_words, "IN_WORDS": layout.in_words, "OFFSETS": False,
                    "FACTORS": form == "fp4", "GROUPED": grouped, "GATHER": gated,
                    "SCATTER": grouped and not gated, "GATE": "gelu_tanh" if gated else "",
                    "TOKENS": tile.tokens, "ROWS": tile.rows, "COLUMNS": tile.columns,
                    "SPLIT": parts, "NUMBER": tl.bfloat16, "FAST": True,
                    "FACTOR": MISSING if layout.in_words else 1.0,
                }  # fmt: skip
                return constants, {"num_warps": tile.warps, "num_stages": tile.stages}

            types = pointers | addresses | ({"out": "*fp32"} if parts > 1 else {})
            yield Kernel(
                f"{form} {name}", _product, types, choose,
                lambda made: made["ROWS"] * made["COLUMNS"] * (1 + (made["GATE"] != "")),
            )  # fmt: skip


def table_kernels() -> Iterator[Kernel]:
    """Yield the kernels of an int8 embedding: logits and the mean of its rows."""
    import torch
    import triton.language as tl

    from redraft.ops.packed_layout import PackedLayout
    from redraft.ops.triton.product_kernel import _product
    from redraft.ops.triton.table import _weigh
    from redraft.ops.triton.tiles import product_tile, table_tile

    layout = PackedLayout("int8", (1, 1), torch.empty(0))

    def logits(card: Card) -> Choice:
        tile = product_tile(card, layout, torch.bfloat16, 128, gated=False, grouped=False)
        constants = {
            "K": 2816, "FORM": "int8", "PARTS": 1, "GROUP": 0, "VALUE": tl.int8,
            "SCALE": tl.bfloat16, "TABLE": False, "IN_WORDS": False, "OFFSETS": False,
            "FACTORS": False, "GROUPED": False, "GATHER": False, "SCATTER": False, "GATE": "",
            "TOKENS": tile.tokens, "ROWS": tile.rows, "COLUMNS": tile.columns, "SPLIT": 1,
            "NUMBER": tl.bfloat16, "FAST": True, "FACTOR": 1.0,
        }  # fmt: skip
        return constants, {"num_warps": tile.warps, "num_stages": tile.stages}

    types = dict.fromkeys(("x", "out", "scales", "offsets"), "*bf16") | {"values": "*i8"}
    types |= dict.fromkeys(("order", "owners", "firsts", "edges"), "*i32") | {"factors": "*fp32"}
    yield Kernel("table logits", _product, types, logits)

    def mean(card: Card) -> Choice:
        tile = table_tile(card, torch.bfloat16)
        constants = {"TOKENS": tile.tokens, "ROWS": tile.rows, "COLUMNS": tile.columns}
        constants |= {"NUMBER": tl.bfloat16, "FAST": True}
        return constants, {"num_warps": tile.warps, "num_stages": tile.stages}

    types = {"weights": "*bf16", "values": "*i8", "scales": "*bf16", "sums": "*fp32"}
    yield Kernel("table mean", _weigh, types, mean)


def attention_kernels() -> Iterator[Kernel]:
    """Yield attention of canvases, whole and in two parts, and of prompts."""
    import torch
    import triton.language as tl

    from redraft.ops.triton.attention import _attend, _merge
    from redraft.ops.triton.tiles import attention_tile

    where = dict.fromkeys(("query", "key", "value", "out"), "*bf16") | {"prefixes": "*i64"}
    where |= {"tops": "*fp32", "totals": "*fp32"}
    for width in (256, 512):
        for kind, parts in (("", 1), (" in parts", 2), (" causal", 1)):

            def choose(card: Card, width=width, causal=kind == " causal", parts=parts) -> Choice:
                tile = attention_tile(card, width, torch.bfloat16.itemsize, causal=causal)
                constants = {
                    "DIM": width, "WIDE": width, "CAUSAL": causal, "WINDOW": causal,
                    "PARTS": parts, "QUERIES": tile.queries, "KEYS": tile.keys,
                    "NUMBER": tl.bfloat16,
                }  # fmt: skip
                return constants, {"num_warps": tile.warps, "num_stages": tile.stages}

            types = where | ({"out": "*fp32"} if parts > 1 else {})
            yield Kernel(f"attention {width}{kind}", _attend, types, choose)
    merge = {"DIM": 256, "WIDE": 256, "HEADS": 16, "PARTS": 2}
    types = dict.fromkeys(("sums", "tops", "totals"), "*fp32") | {"out": "*bf16"}
    yield Kernel("attention merged", _merge, types, lambda card: (merge, {"num_warps": 8}))


def placed_kernels() -> Iterator[Kernel]:
    """Yield the kernels for clean tokens whose keys lie in a cache."""
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
    few = {"num_warps": 4, "num_stages": 2}
    for width in (256, 512):
        shared = {"DIM": width, "WIDE": width}
        read = shared | {"NUMBER": tl.bfloat16, "DTYPE": tl.bfloat16, "NUMBERS": PLACE}
        read |= {"WINDOW": True}

        def choose(card: Card, width: int = width, read: dict[str, Any] = read) -> Choice:
            tile = attention_tile(card, width, torch.bfloat16.itemsize, causal=True)
            constants = read | {"LENGTH": 256, "QUERIES": tile.queries, "KEYS": tile.keys}
            return constants, {"num_warps": tile.warps, "num_stages": tile.stages}

        yield Kernel(f"placed attention {width}", _attend_placed, where, choose)
        group = 2 if width == 256 else 8  # the 26B's heads
        tokens = read | {"HEADS": 16, "GROUP": group, "ROWS": 16, "SHARES": 32, "KEYS": TOKEN_KEYS}
        yield Kernel(
            f"token attention {width}", _attend_tokens, where,
            lambda card, tokens=tokens: (tokens, few),
        )  # fmt: skip
        joined = shared | {"SHARES": 32}
        yield Kernel(
            f"joined shares {width}", _join_shares, where,
            lambda card, joined=joined: (joined, few),
        )  # fmt: skip
