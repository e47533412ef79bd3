"""The engine's thread, the queues between it and asyncio, metrics and the state file."""
