"""Record what varied requests give, to the last bit, and compare it with another version of the
code.

    git switch main;   python -m tests.bits record before.json
    git switch change; python -m tests.bits compare before.json

Recordings hold for one machine and one number of threads: sums are added in another order
elsewhere.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.bits.cases import Case, all_cases


def run(cases: list[Case]) -> dict[str, object]:
    """Return what each case gives, by its name; an error counts as what it gives."""
    found: dict[str, object] = {}
    for number, case in enumerate(cases, 1):
        try:
            found[case.name] = case.run()
        except Exception as error:
            found[case.name] = {"error": type(error).__name__}
        print(f"\r{number} of {len(cases)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return json.loads(json.dumps(found))


def main(action: str, path: str, *names: str) -> int:
    """Record or compare; returns the exit status."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        cases = [
            case
            for case in all_cases(Path(folder))
            if not names or any(name in case.name for name in names)
        ]
        found = run(cases)
    print(
        f"{len(found)} cases, {torch.get_num_threads()} threads,"
        f" {time.perf_counter() - begun:.0f} s"
    )
    if action == "record":
        errors = [
            name for name, value in found.items() if isinstance(value, dict) and "error" in value
        ]
        print(f"{len(errors)} of them are errors: {errors[:8]}")
        Path(path).write_text(json.dumps(found, indent=1))
        return 0
    before = json.loads(Path(path).read_text())
    other = [name for name, value in found.items() if before.get(name) != value]
    for name in other:
        print(
            f"DIFFERENT {name}\n"
            f"  before {json.dumps(before.get(name))[:600]}\n"
            f"  now    {json.dumps(found[name])[:600]}"
        )
    print(f"{len(found) - len(other)} of {len(found)} are the same, to the last bit")
    return bool(other)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("record", "compare"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
