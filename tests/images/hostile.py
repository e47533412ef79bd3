"""Mutated image files, and bodies of requests with images that no client means well with.

`python -m tests.attack.images` sends all of them to a real server; the tests take a few.
"""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    """A PNG with right checksums, whatever its header and its data say."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def image_file(rng: random.Random) -> bytes:
    """A right file of a random format, mode and size."""
    mode = rng.choice(MODES)
    size = rng.randint(1, 40), rng.randint(1, 40)
    noise = np.random.default_rng(rng.randrange(2**32))
    if mode == "I;16":
        image = Image.fromarray(noise.integers(0, 2**16, size[::-1], dtype=np.uint16))
    else:
        image = Image.fromarray(noise.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
        image = (
            image.convert("RGBA").convert(mode) if mode in ("LA", "RGBA") else image.convert(mode)
        )
    formats = (
        ["PNG"] + ["JPEG"] * (mode in ("L", "RGB", "CMYK")) + ["GIF", "WEBP"] * (mode == "RGB")
    )
    if mode == "CMYK":
        formats = ["JPEG"]
    options: dict[str, Any] = {}
    if rng.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112] = rng.choice((1, 3, 6, 8, 9, 0, 65535))
        options["exif"] = exif.tobytes()
    buffer = io.BytesIO()
    image.save(buffer, rng.choice(formats), **options)
    return buffer.getvalue()


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A file with something wrong in it: cut, flipped bits, bytes put in, taken out or repeated."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(found) + 1)
        match rng.randrange(6):
            case 0:
                del found[at:]
            case 1:
                for place in range(at, min(at + rng.randint(1, 8), len(found))):
                    found[place] ^= 1 << rng.randrange(8)
            case 2:
                found[at:at] = rng.randbytes(rng.randint(1, 50))
            case 3:
                del found[at : at + rng.randint(1, 30)]
            case 4:
                found[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
            case 5:
                found[at:at] = found[at : at + 20]
    return bytes(found)


def hostile_files(rng: random.Random, count: int) -> Iterator[bytes]:
    """Files that are mutated, cut short, bombs, or none at all."""
    for number in range(count):
        match number % 10:
            case 0:
                width, height = (rng.choice((1, 8, 30_000, 2**31 - 1)) for _ in "ab")
                yield png(width, height, rng.choice((1, 8, 16)), rng.randrange(7), b"\0" * 1000)
            case 1:
                yield rng.randbytes(rng.randrange(200))
            case 2:
                yield rng.choice(
                    (b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8X", b"II*\0")
                ) + (rng.randbytes(rng.randrange(100)))
            case 3:
                yield b"%!PS-Adobe" + image_file(rng)
            case _:
                right = image_file(rng)
                yield right if rng.random() < 0.2 else mutated(right, rng)


def url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def hostile_parts(rng: random.Random, data: bytes) -> dict[str, Any]:
    """A part of a message with an image, which may be wrong in its form too."""
    good = url(data)
    odd = [
        "http://127.0.0.1:1/a.png", "https://example.com/a.png", "file:///etc/passwd", "/etc/passwd",
        "data:image/png;base64,", "data:", "", "\ud800", good[:-3], good.upper(), good + "\n", " " + good,
        None, 3, [], {}, {"url": {}}, True, good.replace("base64", "utf-8"), "data:image/png," + "x" * 50,
    ]  # fmt: skip
    place: Any = good if rng.random() < 0.6 else rng.choice(odd)
    inner: Any = {"url": place}
    if rng.random() < 0.3:
        inner["detail"] = rng.choice(("low", "high", "auto", "", None, 7, "LOW", []))
    if rng.random() < 0.3:
        inner["max_soft_tokens"] = rng.choice((70, 140, 0, -1, 2**70, "70", 70.0, True, None, []))
    if rng.random() < 0.1:
        inner["extra"] = 1
    match rng.randrange(5):
        case 0:
            return {"type": "image", "image": place}
        case 1:
            return {"type": "input_image", "image_url": place}
        case 2:
            return {"type": "image_url", "image_url": place}
    return {"type": "image_url", "image_url": inner}


def hostile_bodies(rng: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """Bodies of chat requests for a model named `tiny`."""
    for data in hostile_files(rng, count):
        content: list[Any] = [hostile_parts(rng, data) for _ in range(rng.choice((1, 1, 1, 2, 40)))]
        content.append({"type": "text", "text": rng.choice(("x", "<|image|>", ""))})
        rng.shuffle(content)
        body: dict[str, Any] = {
            "model": "tiny",
            "messages": [{"role": rng.choice(("user", "user", "system")), "content": content}],
            "max_tokens": 1,
            "max_denoising_steps": 1,
            "stream": rng.random() < 0.2,
        }
        if rng.random() < 0.1:
            body["sanitize_control_tokens"] = False
        yield body
