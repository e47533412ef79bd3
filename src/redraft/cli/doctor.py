"""`redraft doctor`: what this machine can run, and what is missing."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from rich.console import Console
from rich.table import Table

from redraft import __version__
from redraft.cli.options import GIB, JsonOption

# Parts that are installed by choice, and what they are for.
PARTS = {
    "serve": "redraft serve, redraft play",
    "speech": "redraft serve --speech",
    "train": "pictures of training, Sudokus without end",
}


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine can run, and what is missing."""
    from redraft.checkpoint.machine import devices

    report = {
        "redraft": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": version("torch"),
        "devices": devices(),
        "parts": {name: missing(name) for name in PARTS},
    }
    if as_json:
        print(json.dumps(report))
    else:
        Console().print(_table(report))


def missing(part: str) -> list[str]:
    """Return the packages of an optional part that are not installed, or not new enough."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in requires("redraft") or []]
    return [
        f"{one.name}{one.specifier}"
        for one in wanted
        if one.marker is not None
        and one.marker.evaluate({"extra": part})
        and not one.marker.evaluate({"extra": ""})
        and not _is_installed(one.name, str(one.specifier))
    ]


def _is_installed(name: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    try:
        return SpecifierSet(wanted).contains(version(name), prereleases=True)
    except PackageNotFoundError:
        return False


def _table(report: dict[str, Any]) -> Table:
    table = Table(show_header=False)
    for name in ("redraft", "python", "system", "torch"):
        table.add_row(name, report[name])
    for device in report["devices"]:
        said = [f"{device['name']}, {device['free_bytes'] / GIB:.1f} GiB free"]
        if "threads" in device:
            fast = "has" if device["bfloat16"] else "has no"
            threads = f"{device['threads']} thread{'s' if device['threads'] != 1 else ''}"
            said.append(f"{threads}, {fast} instructions for bfloat16")
        else:
            said.append("kernels run" if device["kernels"] else "no kernels: plain torch, slower")
        formats = ", ".join(device["holds_26b_in"])
        said.append(f"holds the 26B in {formats}" if formats else "does not hold the 26B")
        table.add_row(device["device"], "\n".join(said))
    if len(report["devices"]) == 1:
        table.add_row("cuda", "no CUDA device, or a torch without CUDA")
    for part, absent in report["parts"].items():
        here = "installed" if not absent else f"missing: pip install 'redraft[{part}]'"
        table.add_row(part, f"{here} ({PARTS[part]})")
    return table
