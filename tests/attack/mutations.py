"""Mutations of checkpoint files: each returns other bytes, or puts something else in a file's place.

Most keep a file's outer form, so that a reader comes past its first checks: lengths fit, JSON
parses, and what is wrong is a shape, a dtype, an offset, a count, a name or a setting.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import struct
from pathlib import Path
from typing import Any

import gguf

DTYPES = (
    "BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "I16", "U16", "F16", "BF16", "I32", "U32", "F32",
    "F64", "I64", "U64", "F8_E8M0", "F4", "C64", "", "f32", "X9",
)  # fmt: skip
NAMES = (
    "", "x", "a.b.c", "../../x", "/etc/passwd", "\x1b[2J\x1b]0;title\x07", "\u202egnp", "x" * 5000,
    "weight", "model.decoder.layers.99.mlp.up_proj.weight", "lm_head.weight", "é\ud800", "a\nb",
)  # fmt: skip
PLACES = (
    "../model.safetensors", "/etc/passwd", "/dev/zero", "a/../../b.safetensors", "", ".", "..",
    "config.json", "x" * 300, "x\0y", "none.safetensors", "sub/none.safetensors", "C:\\x", "~/x",
    7, None, [], ["model.safetensors"], {"a": 1}, True,
)  # fmt: skip
DEEP = 20_000


def _values(rng: random.Random) -> Any:
    """A value that a setting should not have."""
    return rng.choice(
        (
            None, True, False, -1, 0, 1, 2, 3, 7, 255, 2**16, 2**31 - 1, 2**31, 2**40, 2**63, 2**64,
            10**30, 1e308, -1e308, 0.5, 1e-300, float("nan"), float("inf"), -0.0, "", "x", "1", *NAMES,
            [], {}, [[]], [None], [0] * 1000, ["x"] * 1000, {"a": {}}, [-1, 2**40], {"": None},
            {"content": None}, {"0": 1}, [{"name": 1}], "(" * 50, "re:(", "re:(a+)+$", "{{ x }}", "9" * 3000,
        )
    )  # fmt: skip


def json_file(text: bytes, rng: random.Random) -> bytes:
    """JSON with a value, a key or a nesting that it should not have, or bytes that are none."""
    match rng.randrange(10):
        case 0:
            return _broken_text(text, rng)
        case 1:
            return _other_text(text, rng)
        case _:
            whole = json.loads(text)
            for _ in range(rng.choice((1, 1, 2, 3))):
                _change(whole, rng)
            found = json.dumps(whole).encode()
            return _twice(found, rng) if rng.random() < 0.15 else found


def _change(whole: Any, rng: random.Random) -> None:
    """Change one place of a value in place, deep or not."""
    at = whole
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.8:
            at = at[key]
            continue
        break
    match rng.randrange(6):
        case 0:
            del at[key]
        case 1 if isinstance(at, dict):
            at[rng.choice(NAMES)] = at.pop(key)
        case 2 if isinstance(at, dict):
            at[rng.choice(NAMES)] = _values(rng)
        case 3 if isinstance(at[key], int | float) and math.isfinite(at[key]):
            at[key] = rng.choice(
                (at[key] + 1, at[key] * 2, -at[key], at[key] * 10**9, str(at[key]))
            )
        case _:
            at[key] = _values(rng)


def _twice(text: bytes, rng: random.Random) -> bytes:
    """JSON with one key twice, whose values differ."""
    keys = list(re.finditer(rb'[{,] ?("[^"\\]*"): ', text))
    if not keys:
        return text
    found = rng.choice(keys)
    at = found.start(1)
    return text[:at] + found[1] + b": " + json.dumps(_values(rng)).encode() + b", " + text[at:]


def _broken_text(text: bytes, rng: random.Random) -> bytes:
    data = bytearray(text)
    match rng.randrange(3):
        case 0:
            for _ in range(rng.randint(1, 5)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        case 1:
            del data[rng.randrange(len(data)) :]
        case _:
            at = rng.randrange(len(data))
            data[at:at] = rng.randbytes(rng.randint(1, 50))
    return bytes(data)


def _other_text(text: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"", b"[]", b"null", b"{}", b"7", b'"x"', b"NaN", b"\xff\xfe" + text, b"\xef\xbb\xbf" + text,
            text.decode().encode("utf-16"), b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP,
            b'{"a":' * DEEP + b"1" + b"}" * DEEP, b'{"x": ' + b"9" * 10_000 + b"}", b" " * 100_000,
            b'{"x": 1e99999}', text + text, b"\0" * 100, b"{" + b'"k": 1,' * 10_000 + text.lstrip()[1:],
        )
    )  # fmt: skip


def index_file(text: bytes, rng: random.Random) -> bytes:
    """An index of shards that points elsewhere, or is another thing."""
    if rng.random() < 0.3:
        return json_file(text, rng)
    whole = json.loads(text)
    placed = whole["weight_map"]
    match rng.randrange(5):
        case 0:
            placed[rng.choice(list(placed))] = rng.choice(PLACES)
        case 1:
            placed[rng.choice(NAMES)] = rng.choice((*placed.values(), *PLACES))
        case 2:
            one, other = rng.sample(list(placed), 2)
            placed[one], placed[other] = placed[other], placed[one]
        case 3:
            del placed[rng.choice(list(placed))]
        case _:
            place = rng.choice(PLACES)
            whole["weight_map"] = dict.fromkeys(placed, place)
    return json.dumps(whole).encode()


def safetensors_file(whole: bytes, rng: random.Random) -> bytes:
    """A safetensors file whose header says something else of a tensor, or whose numbers changed."""
    size = int.from_bytes(whole[:8], "little")
    header, data = json.loads(whole[8 : 8 + size]), whole[8 + size :]
    match rng.randrange(8):
        case 0:
            return _values_changed(whole, 8 + size, rng)
        case 1:
            length = rng.choice(
                (0, 1, 2, size - 1, size + 1, size * 2, 2**31, 2**40, 2**63, 2**64 - 1)
            )
            return length.to_bytes(8, "little") + whole[8:]
        case 2:
            return whole[: rng.randrange(len(whole))]
        case 3:
            text = json_file(whole[8 : 8 + size], rng)
        case _:
            for _ in range(rng.choice((1, 1, 2, 4))):
                _change_tensor(header, rng)
            text = json.dumps(header).encode()
            text = _twice(text, rng) if rng.random() < 0.1 else text
    return len(text).to_bytes(8, "little") + text + data


def _change_tensor(header: dict[str, Any], rng: random.Random) -> None:
    names = [name for name, said in header.items() if isinstance(said, dict) and "shape" in said]
    if not names:
        return
    name = rng.choice(names)
    said = header[name]
    shape = said["shape"] if isinstance(said["shape"], list) else []
    match rng.randrange(9):
        case 0:
            said["dtype"] = rng.choice(DTYPES)
        case 1:
            said["shape"] = rng.choice(
                (
                    [],
                    [0],
                    [-1],
                    [2**40, 2**40],
                    [2**63],
                    [0, 2**62],
                    [1.5],
                    ["2"],
                    [1] * 100,
                    None,
                    "x",
                    [[1]],
                )
            )
        case 2:  # the same bytes in another shape
            said["shape"] = rng.choice((shape[::-1], [math.prod(shape)], [1, *shape], [*shape, 1]))
        case 3:
            begin, end = _offsets(said)
            said["data_offsets"] = rng.choice(
                (
                    [end, begin],
                    [0, end],
                    [begin, end + 1],
                    [begin, 2**62],
                    [-1, end],
                    [begin],
                    [],
                    None,
                    "x",
                )
            )
        case 4:  # two tensors of each other's bytes, dtypes or shapes
            other, key = header[rng.choice(names)], rng.choice(("data_offsets", "dtype", "shape"))
            said[key], other[key] = other.get(key), said.get(key)
        case 5:
            header[rng.choice(NAMES)] = header.pop(name)
        case 6:
            header[rng.choice(NAMES)] = dict(said)
        case 7:
            del header[name]
        case _:
            header["__metadata__"] = rng.choice(
                ({"format": "tf"}, {"x": 1}, [], None, "x", {"": ""})
            )


def _offsets(said: dict[str, Any]) -> tuple[int, int]:
    """Return where a tensor's bytes lie; an earlier change may have left no such numbers."""
    match said.get("data_offsets"):
        case [int(begin), int(end)]:
            return begin, end
    return 0, 0


def _values_changed(whole: bytes, first: int, rng: random.Random) -> bytes:
    """Numbers of scales, zero points, orders of columns: bits of extreme values."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 20, 500))):
        at = rng.randrange(first, max(first + 1, len(data)))
        if at < len(data):
            data[at] = rng.choice((0, 1, 0x7C, 0x7F, 0x80, 0xFC, 0xFF, rng.randrange(256)))
    if rng.random() < 0.2:
        at = rng.randrange(first, max(first + 1, len(data)))
        run = rng.choice((b"\0", b"\xff", b"\x7f\x80", b"\x80")) * rng.choice((64, 4096))
        data[at : at + len(run)] = run[: max(0, len(data) - at)]
    return bytes(data)


Places = dict[str, list[tuple[int, int]]]


def gguf_places(path: Path) -> Places:
    """Offset and size of each part of the header: of metadata and of tensors, by their names."""
    reader = gguf.GGUFReader(path)
    base = reader.data.__array_interface__["data"][0]
    fields = {**reader.fields, **{f"tensor {one.name}": one.field for one in reader.tensors}}
    found: Places = {}
    for name, field in fields.items():
        found[name] = [
            (part.__array_interface__["data"][0] - base, part.nbytes) for part in field.parts
        ]
    found["end"] = [(int(reader.data_offset), 0)]
    return found


def gguf_file(whole: bytes, places: Places, rng: random.Random) -> bytes:
    """A GGUF file with another count, length, type, number, name, dimension or offset."""
    data, end = bytearray(whole), places["end"][0][0]
    match rng.randrange(10):
        case 0:
            return whole[: rng.randrange(len(whole))]
        case 1 | 2:
            return _values_changed(whole, end, rng)
        case 3:
            at = rng.randrange(end)
            if rng.random() < 0.5:
                del data[at : at + rng.randint(1, 100)]
            else:
                data[at:at] = rng.randbytes(rng.randint(1, 100))
        case 4:
            data[8:24] = struct.pack(
                "<QQ", *(rng.choice((0, 3, 2**16, 2**40, 2**63)) for _ in range(2))
            )
        case _:
            for _ in range(rng.choice((1, 1, 2, 4))):
                parts = [part for part in places[rng.choice(list(places))] if part[1]]
                if parts:
                    _change_part(data, *rng.choice(parts), rng)
    return bytes(data)


def _change_part(data: bytearray, at: int, size: int, rng: random.Random) -> None:
    own = int.from_bytes(data[at : at + size], "little")
    near = (own + 1, own - 1, own * 2, own // 2)
    limit = 256**size
    numbers = (
        0,
        1,
        2,
        3,
        6,
        7,
        8,
        9,
        12,
        24,
        255,
        2**16,
        2**24,
        2**31 - 1,
        2**31,
        2**32,
        2**40,
        2**63,
        limit - 1,
    )
    if size in (1, 2, 4, 8):
        data[at : at + size] = (rng.choice((*numbers, *near)) % limit).to_bytes(size, "little")
        return
    text = rng.choice([name for name in NAMES if name]).encode("utf-8", "surrogatepass")
    data[at : at + size] = (text * size)[:size]


def put_instead(path: Path, rng: random.Random) -> None:
    """Put something else in a file's place: nothing, a folder, a link, a pipe."""
    path.unlink()
    match rng.randrange(7):
        case 0:
            path.mkdir()
        case 1:
            path.symlink_to(path.name)  # a circle
        case 2:
            path.symlink_to("/nothing/at/all")
        case 3:
            path.symlink_to("/dev/zero")
        case 4:
            os.mkfifo(path)
        case 5:
            path.write_bytes(b"")
        case _:
            return


def template(text: bytes, rng: random.Random) -> bytes:
    """A chat template with a piece lost, doubled, or put in.

    No piece computes for long: a template is a program, and its time has no limit.
    """
    at, other = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    pieces = (
        b"{{", b"}}", b"{% for x in y %}", b"{% endfor %}", b"{{ x.y.z }}", b"{{ ''.__class__.__mro__ }}", b"{% include 'x' %}",
        b"{{ 'x' * 10**12 }}", b"{% for i in range(10**9) %}{% endfor %}", b"{{ '{:>9999999999}'.format(1) }}",
        b"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", b"{{ x" + b".y" * 5000 + b" }}", b"{{" + b"(" * 500 + b"1" + b")" * 500 + b"}}",
        b"{{ raise_exception('\x1b[2J') }}", b"{{ 'a' | center(10**12) }}", b"\xff\xfe", b"{# ", b"{{ [0] * 10**12 }}",
    )  # fmt: skip
    match rng.randrange(4):
        case 0:
            return text[:at] + text[other:]
        case 1:
            return text[:other] + text[at:]
        case 2:
            return rng.choice(pieces)
        case _:
            return text[:at] + rng.choice(pieces) + text[at:]
