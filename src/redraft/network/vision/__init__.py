"""The image encoder of Gemma 4: from the pixels of an image to soft tokens of the text network."""

from redraft.network.vision.encoder import VisionEncoder

__all__ = ["VisionEncoder"]
