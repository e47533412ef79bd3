"""Models of a job: what they are loaded from, and the engines that they get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redraft.api import Model
    from redraft.batch.engines import LocalEngines


@dataclass(frozen=True, kw_only=True)
class ModelsToLoad:
    """Models by the names of requests, and how they are loaded.

    Attributes:
        paths: folders, files or hub ids.
        adapters: paths by name, of the one model. batch: rows of an engine at a time.
        memory: bytes for caches and passes; None for nearly all that the device has free.
    """

    paths: Mapping[str, str]
    adapters: Mapping[str, str] = field(default_factory=dict)
    dtype: str = "auto"
    device: str = "auto"
    vision: bool = True
    batch: int = 32
    memory: int | None = None

    def load(self) -> dict[str, Model]:
        """Load the models without showing progress, as a worker does."""
        from redraft.api import load

        return {
            name: load(
                path,
                dtype=self.dtype,
                device=self.device,
                adapters=dict(self.adapters),
                vision=self.vision,
            )
            for name, path in self.paths.items()
        }

    def engines(self, models: Mapping[str, Model]) -> LocalEngines:
        """Return engines of these models, with the memory that there is for them."""
        from redraft.batch.engines import LocalEngines
        from redraft.engine.memory_budget import usable_memory

        device = next(iter(models.values())).network.device
        limit = usable_memory(device) if self.memory is None else self.memory
        kept = min(limit // 4, MAX_PREFIX_CACHE)
        return LocalEngines(models, batch=self.batch, memory=limit, prefix_cache=kept)


MAX_PREFIX_CACHE = 4 << 30
