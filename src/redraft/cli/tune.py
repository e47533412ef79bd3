"""`redraft tune`: the fastest tiles of the kernels on this card, for later loads."""

from __future__ import annotations

import json

from redraft.cli.default_model import default_model
from redraft.cli.options import DefaultModelOption, DeviceOption, DtypeOption, JsonOption
from redraft.cli.progress import errors, open_model


def tune(
    model: DefaultModelOption = None,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure a model's kernels on this CUDA card, and keep the fastest tiles for later.

    It takes minutes, and is never done by itself. What was measured holds for this card, this
    version of torch and Triton, and these kernels; without it a built-in table holds.
    """
    from redraft.engine.tuning import check_device, tune

    place = check_device(device)
    name = model or default_model("")
    loaded = open_model(name, dtype, str(place), vision=False)
    found = tune(loaded.network, lambda text: errors.print(f"redraft: {text}", highlight=False))
    if as_json:
        kernels = {
            name: {"built_in_seconds": before, "seconds": after, "tile": tile}
            for name, before, after, tile in found.lines
        }
        print(json.dumps({"file": str(found.path), "kernels": kernels}))
        return
    before = sum(line[1] for line in found.lines)
    after = sum(line[2] for line in found.lines)
    print(f"{len(found.lines)} kernels, together {before / max(after, 1e-12):.2f} times as fast")
    print(f"the tiles are in {found.path}; delete it to have the built-in ones")
