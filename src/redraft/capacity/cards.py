"""Cards: bandwidth, arithmetic and memory of GPUs, and what of them a step of redraft reaches.

What it reaches was measured on one H100 (docs/benchmarks-cuda.md). Of every other card the maker's
figures are taken, times the same shares: an estimate, which `redraft bench` on the card replaces.
"""

from __future__ import annotations

from dataclasses import dataclass

GB, TERA = 1e9, 1e12


@dataclass(frozen=True)
class Card:
    """A GPU by its maker's figures.

    Attributes:
        bandwidth: bytes a second. arithmetic: dense bfloat16 operations a second. memory: bytes.
    """

    name: str
    bandwidth: float
    arithmetic: float
    memory: float


def _card(name: str, bandwidth: float, arithmetic: float, memory: float) -> Card:
    """Return a card of GB/s, TFLOP/s and GiB."""
    return Card(name, bandwidth * GB, arithmetic * TERA, memory * (1 << 30))


CARDS = {
    "h100": _card("H100 80 GB SXM", 3350, 989, 80),
    "h200": _card("H200", 4800, 989, 141),
    "a100": _card("A100 80 GB", 2039, 312, 80),
    "l4": _card("L4", 300, 121, 24),
    "l40s": _card("L40S", 864, 362, 48),
    "rtx-pro-6000": _card("RTX PRO 6000 Blackwell", 1792, 504, 96),
    "rtx-5090": _card("RTX 5090", 1792, 210, 32),
    "rtx-4090": _card("RTX 4090", 1008, 165, 24),
    "rtx-3090": _card("RTX 3090", 936, 71, 24),
}
MEASURED_CARD = "h100"
# Steps of one canvas of the 26B behind 1,024 tokens, and of eight, in seconds (medians; one H100).
MEASURED_STEPS = {"bf16": 0.0233, "int4": 0.0188, "int8": 0.0220, "fp8": 0.0226, "nvfp4": 0.0264}
MEASURED_EIGHT = 0.0787  # bf16
MEASURED_PREFIX = 1024
# Of the card's bandwidth, the share at which its experts were read (3.0 of 3.35 TB/s).
BANDWIDTH_SHARE = 0.9
# Bytes of a weight: of the experts, of the other products, of the embedding. Scales are counted.
WEIGHT_BYTES = {
    "bf16": (2.0, 2.0, 2.0),
    "int8": (1.01, 1.01, 2.0),
    "fp8": (1.01, 1.01, 2.0),
    "int4": (0.53, 0.53, 2.0),
    "nvfp4": (0.56, 2.0, 2.0),
}
