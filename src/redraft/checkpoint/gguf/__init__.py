"""GGUF, llama.cpp's file of weights: one file with metadata, tokenizer and tensors in blocks of few
bits."""
