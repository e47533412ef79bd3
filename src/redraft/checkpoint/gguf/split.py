"""Split files: one model in several GGUF files, of which the first has the metadata of all."""

from __future__ import annotations

import re
from pathlib import Path

from redraft.checkpoint.gguf.header import Header, read_header
from redraft.errors import CheckpointError

NUMBER, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"
# NAME-00002-of-00005.gguf: the second of five parts.
PART = re.compile(r"(?P<front>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
# Parts of one model.
MAX_PARTS = 1 << 10


def part_names(name: str) -> list[str]:
    """Return the names of all parts of a model, given that of one of them; none for other names."""
    match = PART.fullmatch(name)
    if match is None or not 0 < int(match["count"]) <= MAX_PARTS:
        return []
    count = int(match["count"])
    return [f"{match['front']}-{part:05d}-of-{count:05d}.gguf" for part in range(1, count + 1)]


def read_headers(path: Path) -> Header:
    """Read the header of a GGUF file, and of all its parts where it is split.

    Args:
        path: a file, or any of the parts.

    Returns:
        The header of the first part, with the tensors of all.

    Raises:
        CheckpointError: a part is missing, damaged, or of another model.
    """
    header = read_header(path)
    count = header.metadata.get(COUNT, 1)
    if count in (0, 1):
        return header
    names = part_names(path.name)
    if len(names) != count:
        raise CheckpointError(
            f"{path} is one of {count} parts: they are found by names that end in "
            f"-00001-of-{count:05d}.gguf and so on, as they were split; rename it"
        )
    if missing := [name for name in names if not (path.parent / name).exists()]:
        raise CheckpointError(
            f"{path} is one of {count} parts, and {', '.join(missing[:4])} "
            f"{'is' if len(missing) == 1 else 'are'} not beside it"
        )
    parts = [read_header(path.parent / name) for name in names]
    first = parts[0]
    for number, part in enumerate(parts):
        found = part.metadata.get(NUMBER), part.metadata.get(COUNT)
        if found != (number, count):
            raise CheckpointError(
                f"{part.path} says that it is part {found[0]} of {found[1]}, counted from 0, and "
                f"its name says {number} of {count}"
            )
        if twice := sorted(set(part.tensors) & set(first.tensors)) if number else []:
            raise CheckpointError(f"{part.path} has {twice[0]}, which another part has too")
        first.tensors.update(part.tensors)
    total = first.metadata.get(TENSORS, len(first.tensors))
    if total != len(first.tensors):
        raise CheckpointError(
            f"the {count} parts of {first.path} have {len(first.tensors)} tensors, "
            f"the first one says {total}"
        )
    return first
