"""Real clients of other projects against the server: who can do what, as a table for the docs."""
