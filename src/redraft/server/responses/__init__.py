"""OpenAI's Responses API: items in, a chat of the engine, items and events out."""
