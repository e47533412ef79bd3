"""The table of packages: name, version, licence, hash of the wheel, and split of each."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from email.message import Message
from pathlib import Path

from redraft.errors import ConfigError

SPLITS = ("train", "held-out")
# The wheels are the same on every machine that builds the corpus.
PLATFORM = (
    "--python-version=3.11", "--implementation=cp",
    "--platform=manylinux2014_x86_64", "--platform=manylinux_2_28_x86_64",
)  # fmt: skip
PERMISSIVE = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|PSF|Python Software Foundation|ISC|HPND|CNRI|Zlib|CC0|Unlicense)", re.I
)
# Any of these is refused, also beside a permissive one: the table takes no doubtful package.
COPYLEFT = re.compile(
    r"\b([AL]?GPL|MPL|EPL|CDDL|EUPL|SSPL|BUSL|Mozilla|GNU|Proprietary|NC)\b", re.I
)


@dataclass(frozen=True)
class Package:
    """A row of the table. sha256: of the wheel; of the standard library's files for `python`."""

    name: str
    version: str
    licence: str
    sha256: str
    split: str

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ConfigError(f"{self.name}: {self.split=} must be one of {', '.join(SPLITS)}")
        if not PERMISSIVE.search(self.licence) or COPYLEFT.search(self.licence):
            raise ConfigError(f"{self.name}: {self.licence=} is not a permissive licence")


def read_table(path: Path) -> list[Package]:
    """Read the table.

    Raises:
        ConfigError: it cannot be read, or a row is wrong.
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["package"]
        return [Package(**row) for row in rows]
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a table of packages: {error}") from error


def write_table(path: Path, packages: Iterable[Package], heading: str) -> None:
    """Write the table, a line a package."""
    names = [field.name for field in fields(Package)]
    lines = []
    for package in packages:
        values = asdict(package)
        lines.append("    { " + ", ".join(f'{name} = "{values[name]}"' for name in names) + " },")
    path.write_text(f"{heading}\npackage = [\n" + "\n".join(lines) + "\n]\n", encoding="utf-8")


def fetch(packages: Sequence[Package], folder: Path) -> None:
    """Download the wheels that are not in `folder` yet, by pip, each by version and hash.

    Raises:
        ConfigError: pip cannot bring one of them, or its hash is another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        if package.name == "python" or wheel_of(package, folder) is not None:
            continue
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *PLATFORM]
        pip += ["--only-binary=:all:", "--require-hashes", "-d", str(folder), "-r", str(wanted)]
        if subprocess.run(pip, check=False).returncode:
            raise ConfigError(f"pip cannot bring {package.name}=={package.version}")


def wheel_of(package: Package, folder: Path) -> Path | None:
    """Return the file of a package's wheel, or None where it is missing."""
    stem = f"{_plain(package.name)}-{package.version}-".lower()
    found = (file for file in folder.glob("*.whl") if _stem(file).startswith(stem))
    return next(found, None)


def metadata(wheel: Path) -> Message:
    """Return what a wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def licence(found: Message) -> str:
    """Return the licence that a wheel's metadata names: the expression, the classifiers, or the
    field's first line."""
    if expression := found["License-Expression"]:
        return str(expression)
    rows = [str(row) for row in found.get_all("Classifier", [])]
    names = [row.split(" :: ")[-1] for row in rows if row.startswith("License :: OSI")]
    return ", ".join(names) or str(found["License"] or "").strip().split("\n")[0]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name)


def _stem(file: Path) -> str:
    name, version, *_ = file.name.split("-")
    return f"{_plain(name)}-{version}-".lower()
