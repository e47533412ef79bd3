"""GGUF, llama.cpp's file format: metadata, tokenizer and quantized tensors in one file."""
