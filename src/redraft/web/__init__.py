"""The playground's page, built: what `redraft play` hands to a browser. Its source is `web/` in the
repository."""

from __future__ import annotations

from pathlib import Path


def static_folder() -> Path:
    """The folder with `index.html` and its assets, all of it for the browser to read."""
    return Path(__file__).parent / "static"
