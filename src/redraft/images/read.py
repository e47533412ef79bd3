"""Read an image: a file, its bytes, a data URL, a Pillow image or an array becomes RGB pixels.

Nothing is fetched. The size in a file's header is checked before a pixel is decoded, and files are
decoded one at a time, a small one beside a large one, so that the memory for them has a bound.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import os
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from redraft.errors import ImageError
from redraft.images.budget import ImageBudget

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
# Bytes of a file, and pixels of an image, at most.
MAX_BYTES = 32 << 20
MAX_PIXELS = 64_000_000
DATA = "data:"
REMOTE = ("http:", "https:", "file:", "ftp:", "s3:", "gs:", "blob:")
WHITE = (255, 255, 255, 255)
Pixels = NDArray[np.uint8]  # [height, width, 3]
# A progressive JPEG is decoded whole for each scan, of which 31 bytes make one. Encoders write ten.
JPEG, SCAN, MAX_SCANS, USUAL_SCANS = b"\xff\xd8", b"\xff\xda", 64, 10
# Files are decoded one at a time; small ones beside large ones, which take seconds.
SMALL_PIXELS = 4_000_000
_decoding, _decoding_small = threading.Lock(), threading.Lock()


def read_image(source: object, *, files: bool, budget: ImageBudget | None = None) -> Pixels:
    """Return the pixels of an image, uint8 [height, width, 3], RGB.

    The first frame of an animation is read. The orientation in a photo's EXIF data is applied,
    transparent pixels are laid on white, 16-bit grey keeps its upper eight bits.

    Args:
        source: the path of a file; bytes of a file; a data URL; a Pillow image; or an array uint8
            [height, width], or [height, width, channels] with 1, 3 or 4 channels.
        files: a path may be read. A server says no: its callers must not read its files.
        budget: takes the pixels and the time of files; None sets no limit.

    Raises:
        ImageError: the image cannot be read, or is too large; the message says what to do.
    """
    if isinstance(source, Image.Image):
        _check_size(*source.size)
        with _decoding:
            return _converted(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decoded(bytes(source), budget)
    if isinstance(source, str) and source[:8].lower().startswith((DATA, *REMOTE)):
        return _decoded(bytes_of_url(source), budget)
    if isinstance(source, str | Path):
        if not files:
            raise ImageError(
                "an image is sent as a data URL (data:image/png;base64,...): files of this machine "
                "are not read for a request"
            )
        return _decoded(_bytes_of_file(Path(source)), budget)
    if hasattr(source, "__array__") and not isinstance(source, type):
        return _from_array(source)
    raise ImageError(
        f"an image is a path, bytes, a data URL, a Pillow image or a uint8 array, not "
        f"{type(source).__name__}"
    )


def bytes_of_url(url: str) -> bytes:
    """Return the bytes of a data URL.

    Raises:
        ImageError: it is another URL, which is never fetched; or not base64; or too large.
    """
    if url[:8].lower().startswith(REMOTE):
        scheme = url[:8].partition(":")[0]
        raise ImageError(
            f"an image at a {scheme} address is not fetched: send the file itself as a data URL, "
            "data:image/png;base64,..."
        )
    head, comma, body = url.partition(",") if url[:5].lower() == DATA else ("", "", "")
    kind, *parameters = head[5:].lower().split(";")
    if not comma or not kind.strip().startswith("image/") or "base64" not in parameters:
        raise ImageError(
            "the URL of an image must be a data URL: data:image/png;base64, and the file in base64"
        )
    if len(body) > MAX_BYTES * 4 // 3 + 4:
        raise _too_many_bytes()
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"the data URL of an image is not base64: {error}") from None


def _bytes_of_file(path: Path) -> bytes:
    try:
        path = path.expanduser()
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path} is not a file: give the path of an image")
        if status.st_size > MAX_BYTES:
            raise _too_many_bytes()
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageError(f"the image {path} cannot be read: {reason}") from None


def _too_many_bytes() -> ImageError:
    return ImageError(f"an image file may have {MAX_BYTES >> 20} MiB at most: make it smaller")


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"an image of {width} x {height} pixels has none: give another")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"an image of {width} x {height} pixels is too large: {MAX_PIXELS // 1_000_000} "
            "million pixels are read at most; make it smaller"
        )


def _decoded(data: bytes, budget: ImageBudget | None) -> Pixels:
    """Return the pixels of a file."""
    budget = budget or ImageBudget(sys.maxsize, math.inf)
    if len(data) > MAX_BYTES:
        raise _too_many_bytes()
    if not data:
        raise ImageError("the image has no bytes: give a file with an image in it")
    scans = data.count(SCAN) if data.startswith(JPEG) else 1
    if scans > MAX_SCANS:
        raise ImageError(f"the image has more than {MAX_SCANS} scans: save it anew")
    with budget.running():
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(*image.size)
                # Of many scans each counts.
                pixels = math.prod(image.size) * max(scans, USUAL_SCANS) // USUAL_SCANS
                budget.take(pixels)
                with _decoding_small if pixels <= SMALL_PIXELS else _decoding:
                    image.load()
                    _check_size(*image.size)
                    return _converted(image)
        except ImageError:
            raise
        except Exception as error:  # decoders raise nearly anything
            reason = str(error) or type(error).__name__
            if isinstance(error, UnidentifiedImageError):
                reason = "it is of another format, or damaged at its beginning"
            raise ImageError(
                f"the image cannot be read as {', '.join(FORMATS[:-1])} or {FORMATS[-1]}: {reason}"
            ) from None


def _converted(image: Image.Image) -> Pixels:
    """Return a Pillow image as RGB pixels, upright and on white."""
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            return _from_grey(image)
        if image.mode in ("I", "F"):
            raise ImageError(
                f"a Pillow image of mode {image.mode} has no fixed white: convert it to L or RGB"
            )
        if image.mode in ("RGBa", "La"):
            image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
        if "A" in image.getbands() or image.info.get("transparency") is not None:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image)
        pixels: Pixels = np.array(image.convert("RGB"), dtype=np.uint8)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"the image cannot be read as RGB: {error}") from None
    return pixels


def _from_grey(image: Image.Image) -> Pixels:
    """Return the pixels of a grey image of 16 bits: their upper eight, as Pillow has of colours of
    16 bits. Its own conversion would make every value above 255 white."""
    grey = np.asarray(image)
    upper = (grey >> 8).astype(np.uint8)
    if isinstance(clear := image.info.get("transparency"), int):
        upper[grey == clear] = 255
    return np.repeat(upper[..., None], 3, axis=-1)


def _from_array(source: Any) -> Pixels:
    try:
        array = np.asarray(source)
    except Exception as error:  # an object's own conversion can raise anything
        raise ImageError(f"the array of an image cannot be read: {error}") from None
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ImageError(
            f"an image of {array.dtype} {list(array.shape)} cannot be read: give uint8 [height, "
            "width], or [height, width, channels] with 1, 3 or 4 channels"
        )
    _check_size(array.shape[1], array.shape[0])
    if channels == 4:
        return _converted(Image.fromarray(np.ascontiguousarray(array)))
    if channels == 1:
        array = np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=-1)
    return np.ascontiguousarray(array)
