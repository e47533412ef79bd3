"""Anthropic's Messages API: blocks in, a chat of the engine, blocks and events out."""
