"""Fetch the fonts that pictures of Sudokus are drawn with, from the packages of Fontsource.

    python recipes/small-sight/fonts.py fonts

Needs npm. `fonts.txt` has each package with its version, licence and hash; those of `held` are
never drawn with in training.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

LIST = Path(__file__).with_name("fonts.txt")
WEIGHTS = (400, 700)


def fetch(name: str, version: str, digest: str, folder: Path) -> None:
    """Write the files of one family's weights.

    Raises:
        SystemExit: the package is not the one in the list.
    """
    with tempfile.TemporaryDirectory() as held:
        command = ["npm", "pack", "--silent", f"@fontsource/{name}@{version}"]
        subprocess.run(command, cwd=held, check=True, stdout=subprocess.DEVNULL)
        (package,) = Path(held).glob("*.tgz")
        if hashlib.sha256(package.read_bytes()).hexdigest() != digest:
            raise SystemExit(f"@fontsource/{name} {version} has another hash than in {LIST.name}")
        with tarfile.open(package) as files:
            there = set(files.getnames())
            for weight in WEIGHTS:
                path = f"package/files/{name}-latin-{weight}-normal.woff"
                if path in there:
                    member = files.extractfile(path)
                    assert member is not None
                    (folder / f"{name}-{weight}.woff").write_bytes(member.read())


def main(folder: Path) -> None:
    """Fetch all fonts of the list into `train` and `held`."""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        split, name, version, _, digest = line.split()
        (folder / split).mkdir(parents=True, exist_ok=True)
        fetch(name, version, digest, folder / split)
        print(split, name, version)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
