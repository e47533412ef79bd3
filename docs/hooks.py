"""A hook of mkdocs: CONTRIBUTING, SECURITY and CHANGELOG, which stand at the root of the
repository, become pages of the site."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = {"CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages."""
    for name in sorted(PAGES):
        text = (ROOT / name).read_text(encoding="utf-8")
        content = re.sub(r"(\]\()([^)#]+)", lambda found: found[1] + _target(found[2]), text)
        content = re.sub(r"\[([^]]*)\]\(outside\)", r"`\1`", content)
        files.append(File.generated(config, name.lower(), content=content))
    return files


def _target(link: str) -> str:
    """Return the place of a link on the site; `outside` where it leads to a source file."""
    if link in PAGES:
        return link.lower()
    if link.startswith("http"):
        return link
    return link.removeprefix("docs/") if link.startswith("docs/") else "outside"
