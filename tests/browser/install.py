"""A browser for tests/browser where there is none: the system's own package where that can be had,
else playwright's.

Without one these tests are skipped, so nothing here fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def main() -> None:
    """Try one way after the other."""
    if (
        os.environ.get("REDRAFT_CHROMIUM")
        or shutil.which("chromium")
        or shutil.which("google-chrome")
    ):
        return
    ways = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        install = ["apt-get", "install", "-y", "-q", "chromium"]
        # An install that was cut off before must be ended first.
        mend = ["dpkg", "--configure", "-a"]
        ways = [install, ["apt-get", "update", "-q"], mend, install, *ways]
    for way in ways:
        try:
            done = subprocess.run(way, capture_output=True, timeout=240)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0 and (way[-1] == "chromium"):
            return
    print("no browser could be installed: tests/browser will be skipped", file=sys.stderr)


if __name__ == "__main__":
    main()
