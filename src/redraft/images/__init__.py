"""Images: from files, data URLs and arrays to the pixels that an image encoder reads."""

from redraft.images.budget import ImageBudget
from redraft.images.prepare import PreparedImage, prepare
from redraft.images.read import FORMATS, MAX_BYTES, MAX_PIXELS

__all__ = ["FORMATS", "MAX_BYTES", "MAX_PIXELS", "ImageBudget", "PreparedImage", "prepare"]
