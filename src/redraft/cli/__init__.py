"""The `redraft` command: a thin face on the API.

A command is one file: its options and its body. torch is imported when a command runs.
"""
