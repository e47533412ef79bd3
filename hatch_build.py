"""Build hook: a wheel or an sdist has the playground's page in it, built now if it is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = "src/redraft/web/static"


class PageHook(BuildHookInterface):
    """Builds the page with npm if it is missing. It is committed: a checkout needs no node."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if not (root / PAGE / "index.html").is_file():
            self._build(root / "web")
        build_data["artifacts"].append(f"/{PAGE}/**")

    def _build(self, source: Path) -> None:
        npm = shutil.which("npm")
        if npm is None or not (source / "package-lock.json").is_file():
            raise RuntimeError(
                f"the playground's page is missing: to build it, npm and {source} are needed"
            )
        subprocess.run([npm, "ci"], cwd=source, check=True)
        subprocess.run([npm, "run", "build"], cwd=source, check=True)
