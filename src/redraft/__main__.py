"""`python -m redraft`: the command line, where the `redraft` script is not on the path."""

from __future__ import annotations

from redraft.cli.app import main

if __name__ == "__main__":
    main()
