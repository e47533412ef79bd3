"""For tests: tiny networks and checkpoints, a byte tokenizer, a naive reference of generation."""

from redraft.testing.byte_tokenizer import byte_tokenizer, write_byte_tokenizer
from redraft.testing.naive import naive_generate
from redraft.testing.tiny import randomise, tiny_checkpoint, tiny_config, tiny_encoder, tiny_model

__all__ = [
    "byte_tokenizer",
    "naive_generate",
    "randomise",
    "tiny_checkpoint",
    "tiny_config",
    "tiny_encoder",
    "tiny_model",
    "write_byte_tokenizer",
]
