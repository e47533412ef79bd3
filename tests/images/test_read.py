"""Images of every kind, and files that are none: right pixels, or a typed error before any decoding."""

from __future__ import annotations

import base64
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from redraft.errors import ImageError
from redraft.images import read
from redraft.images.read import MAX_BYTES, MAX_PIXELS, bytes_of_url, read_image

SHAPE = (9, 14, 3)


def pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, dtype=np.uint8)


def file_of(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_every_way_to_give_an_image_gives_the_same_pixels(tmp_path: Path) -> None:
    wanted = pixels()
    image = Image.fromarray(wanted)
    data = file_of(image)
    (tmp_path / "a.png").write_bytes(data)
    ways = [wanted, image, data, bytearray(data), memoryview(data), data_url(data)]
    ways += [tmp_path / "a.png", str(tmp_path / "a.png"), data_url(data, "IMAGE/webp")]
    for way in ways:
        found = read_image(way, files=True)
        assert found.dtype == np.uint8
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_formats_without_loss(format: str) -> None:
    image = Image.fromarray(pixels()).quantize(40) if format == "GIF" else Image.fromarray(pixels())
    options = {"lossless": True} if format == "WEBP" else {}
    found = read_image(file_of(image, format, **options), files=False)
    assert np.array_equal(found, np.array(image.convert("RGB")))


def test_jpeg_is_what_pillow_decodes() -> None:
    data = file_of(Image.fromarray(pixels()), "JPEG")
    assert np.array_equal(read_image(data, files=False), np.array(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("format", ["TIFF", "BMP", "PPM", "ICO"])
def test_other_formats_are_refused_by_name(format: str) -> None:
    with pytest.raises(ImageError, match="PNG, JPEG, WEBP or GIF"):
        read_image(file_of(Image.fromarray(pixels()), format), files=False)


def test_the_first_frame_of_an_animation_is_read() -> None:
    frames = [Image.fromarray(np.full(SHAPE, value, np.uint8)) for value in (10, 200)]
    for format in ("GIF", "WEBP"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = file_of(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert (read_image(data, files=False) == 10).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_photo_is_applied(orientation: int) -> None:
    wanted = Image.fromarray(pixels())
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions
    stored = wanted.transpose(undo[orientation]) if orientation > 1 else wanted
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read_image(file_of(stored, exif=exif), files=False), pixels())


def test_transparency_lies_on_white() -> None:
    colour = pixels()
    alpha = np.zeros(SHAPE[:2], np.uint8)
    alpha[:, 7:] = 255
    wanted = np.where(alpha[..., None] == 255, colour, 255)
    rgba = Image.fromarray(np.dstack((colour, alpha)))
    for way in (rgba, np.dstack((colour, alpha)), file_of(rgba)):
        assert np.array_equal(read_image(way, files=False), wanted)
    half = Image.new("RGBA", (2, 2), (0, 0, 0, 128))
    assert abs(int(read_image(half, files=False)[0, 0, 0]) - 127) <= 1
    grey = Image.merge("LA", (Image.new("L", (3, 2), 90), Image.new("L", (3, 2), 0)))
    assert (read_image(file_of(grey), files=False) == 255).all()


def test_a_palette_with_a_transparent_colour() -> None:
    image = Image.new("P", (4, 2))
    image.putpalette([0, 0, 0, 250, 10, 20])
    image.putpixel((1, 0), 1)
    found = read_image(file_of(image, transparency=0), files=False)
    assert found[0, 1].tolist() == [250, 10, 20]
    assert (found[1] == 255).all()


def test_grey_of_sixteen_bits_keeps_its_shades() -> None:
    grey = np.linspace(0, 65535, 60).astype(np.uint16).reshape(6, 10)
    image = Image.fromarray(grey)
    for way in (image, file_of(image)):
        found = read_image(way, files=False)
        assert np.array_equal(found, np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, -1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB", "RGBX"])
def test_other_modes_become_rgb(mode: str) -> None:
    source = Image.fromarray(pixels()).convert("RGB")
    image = source.convert(mode) if mode != "LAB" else Image.new("LAB", (4, 4), (128, 0, 0))
    assert np.array_equal(read_image(image, files=False), np.array(image.convert("RGB")))


def test_a_cmyk_photo_is_not_a_negative() -> None:
    image = Image.new("CMYK", (8, 8), (0, 0, 0, 0))  # no ink: white
    assert read_image(file_of(image, "JPEG"), files=False).min() > 250


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_a_fixed_white_are_refused(mode: str) -> None:
    with pytest.raises(ImageError, match=f"mode {mode}"):
        read_image(Image.new(mode, (3, 3)), files=False)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_arrays_of_another_kind_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError):
        read_image(array, files=False)


@pytest.mark.parametrize("thing", [None, 3, {}, object(), [1, 2], np.ndarray])
def test_what_is_no_image_is_refused(thing: Any) -> None:
    with pytest.raises(ImageError):
        read_image(thing, files=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "https://example.com/a.png",
        "HTTPS://example.com/a.png",
        "file:///etc/passwd",
        "ftp://example.com/a.png",
    ],
)
def test_nothing_is_fetched(url: str) -> None:
    for files in (True, False):
        with pytest.raises(ImageError, match="data URL"):
            read_image(url, files=files)


@pytest.mark.parametrize(
    "url",
    [
        "data:,x",
        "data:image/png,x",
        "data:text/plain;base64,eA==",
        "data:image/png;base64,%%%",
        "data:image/png;base64,abc",
        "data:image/png;base64",
        "data:image/png;base64,eA==\n",
        "data:image/png;base64,",
        "data:image/svg+xml;base64,PHN2Zy8+",
    ],
)
def test_data_urls_that_hold_no_image_are_refused(url: str) -> None:
    with pytest.raises(ImageError):
        read_image(url, files=False)


def test_files_are_read_only_where_they_may_be(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(file_of(Image.fromarray(pixels())))
    for way in (str(path), path):
        with pytest.raises(ImageError, match="data URL"):
            read_image(way, files=False)


def test_paths_that_are_no_image_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    bad = ["pipe", "empty.png", "text.png", "large.png", "nowhere.png", "", "a\0b"]
    for name in bad:
        with pytest.raises(ImageError):
            read_image(tmp_path / name if "\0" not in name else name, files=True)
    with pytest.raises(ImageError):
        read_image("/dev/zero", files=True)


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header says a size, whatever it holds."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    for width, height in ((MAX_PIXELS, 2), (60_000, 60_000), (2**31 - 1, 2**31 - 1)):
        with pytest.raises(ImageError):
            read_image(png_of(width, height), files=False)
    gif = (
        b"GIF89a"
        + struct.pack("<HH", 65535, 65535)
        + b"\0\0\0,"
        + struct.pack("<HHHH", 0, 0, 65535, 65535)
    )
    with pytest.raises(ImageError):
        read_image(gif + b"\0\x02\x02D\x01\0;", files=False)


def test_large_images_are_refused_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_PIXELS", 100)
    large = np.zeros((11, 10, 3), np.uint8)
    for way in (large, Image.fromarray(large), file_of(Image.fromarray(large))):
        with pytest.raises(ImageError, match="too large"):
            read_image(way, files=False)
    monkeypatch.setattr(read, "MAX_BYTES", 10)
    with pytest.raises(ImageError, match="at most"):
        read_image(b"x" * 11, files=False)
    with pytest.raises(ImageError, match="at most"):
        bytes_of_url("data:image/png;base64," + "A" * 40)


def test_a_file_that_is_cut_short_is_refused() -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8))
    for format in ("PNG", "JPEG", "WEBP", "GIF"):
        data = file_of(image, format)
        with pytest.raises(ImageError):
            read_image(data[: len(data) // 2], files=False)


def test_a_small_image_does_not_wait_for_a_large_one() -> None:
    small = file_of(Image.fromarray(pixels()))
    with read._decoding:  # a large one is being decoded
        assert read_image(small, files=False).shape == SHAPE
