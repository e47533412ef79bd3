"""Ollama's API: messages or a prompt in, a chat or a completion out, as lines of JSON."""
