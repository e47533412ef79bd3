"""The `redraft` command: a thin face on the engine. Heavy imports wait until a command needs
them."""
