"""`redraft serve --replicas N`: the same application on Ray Serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from redraft.cli.progress import errors
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.server import Settings


@dataclass(frozen=True, kw_only=True)
class OnRay:
    """How many replicas, where they listen, and how they load models: see `redraft serve`."""

    address: str
    fewest: int
    most: int
    host: str
    port: int
    dtype: str
    device: str
    vision: bool

    def check(self, given: Sequence[str]) -> None:
        """Check that Ray is there, and that no option was given that a cluster does not have.

        Raises:
            ConfigError: it is not, or one was.
        """
        from redraft.batch.ray_engines import import_ray

        if given:
            raise ConfigError(f"{given[0]} is not for --replicas: put a proxy in front that has it")
        import_ray()

    def run(
        self, paths: Mapping[str, str], adapters: Mapping[str, Path], settings: Settings
    ) -> None:
        """Serve until SIGTERM or Ctrl-C."""
        from redraft.batch.models import ModelsToLoad
        from redraft.cluster.serve import Cluster, Replicas, serve_until_stopped

        models = ModelsToLoad(
            paths=dict(paths),
            adapters={name: str(path) for name, path in adapters.items()},
            dtype=self.dtype,
            device=self.device,
            vision=self.vision,
        )
        place = Replicas(
            address=self.address,
            fewest=self.fewest,
            most=self.most,
            host=self.host,
            port=self.port,
        )
        errors.print(
            f"redraft: {', '.join(paths)} at http://{self.host}:{self.port}/v1, "
            f"{self.fewest} replicas begin",
            highlight=False,
        )
        serve_until_stopped(
            Cluster(models, settings, place),
            lambda text: errors.print(f"redraft: {text}", highlight=False),
        )
