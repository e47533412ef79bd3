"""Replicas: `redraft serve` with engines in several processes, on one machine or more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from redraft.cli import serving
from redraft.cli.progress import errors
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.batch.models import ModelsToLoad
    from redraft.cli.listening import Place
    from redraft.server import Settings


@dataclass(frozen=True)
class ReplicaOptions:
    """Options of the command that ask for replicas.

    Attributes:
        address: of the cluster; None for this machine. least, most: replicas. cpus: of each.
    """

    address: str | None
    least: int | None
    most: int | None
    cpus: int

    @property
    def given(self) -> bool:
        """True where engines are to run elsewhere than in this process."""
        return self.address is not None or self.least is not None or self.most is not None

    def check(self) -> None:
        """Check the options before any work.

        Raises:
            RayMissingError: Ray is not installed. ConfigError: the bounds are no bounds.
        """
        if not self.given:
            return
        from redraft.cluster.connection import check_ray

        check_ray()
        if self.most is not None and self.most < (self.least or 1):
            raise ConfigError(f"--max-replicas {self.most} is below --replicas {self.least}")


def run_replicas(
    models: ModelsToLoad,
    settings: Settings,
    speech: str | None,
    place: Place,
    options: ReplicaOptions,
) -> None:
    """Serve by replicas until SIGTERM or Ctrl-C; SIGHUP replaces them one after another.

    Raises:
        ClusterError, ConfigError: the cluster, the address or the certificate cannot be used.
    """
    from redraft.cluster.connection import LOCAL
    from redraft.cluster.replica import ReplicaPlan
    from redraft.cluster.serving import ReplicaBounds, replicas_on

    place.check_certificate()
    least = options.least or 1
    bounds = ReplicaBounds(least=least, most=options.most or least)
    plan = ReplicaPlan(models=models, settings=settings, speech=speech, threads=options.cpus)
    errors.print(f"redraft: {least} replicas start", highlight=False)
    with replicas_on(options.address or LOCAL, plan, bounds, place.port) as (_, app):
        told = f"{', '.join((*models.paths, *models.adapters))} on {least} replicas"
        serving.listen(app, settings, place, told)
