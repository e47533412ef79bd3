"""Folders of weights in the Hugging Face layout: found, checked, streamed in, written back."""

from redraft.checkpoint.load import load_weights
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.save import save_checkpoint
from redraft.checkpoint.source import Checkpoint, open_checkpoint

__all__ = ["Checkpoint", "Quantization", "load_weights", "open_checkpoint", "save_checkpoint"]
