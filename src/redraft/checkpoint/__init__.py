"""Checkpoints: folders in the Hugging Face layout, GGUF files; opened, checked, loaded, saved."""

from redraft.checkpoint.load import load_weights
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.save import save_checkpoint
from redraft.checkpoint.source import Checkpoint, open_checkpoint

__all__ = ["Checkpoint", "Quantization", "load_weights", "open_checkpoint", "save_checkpoint"]
