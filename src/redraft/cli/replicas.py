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
        address: of the cluster; None for this machine. min_replicas, max_replicas: their bounds.
        cpus: of each.
    """

    address: str | None
    min_replicas: int | None
    max_replicas: int | None
    cpus: int

    @property
    def given(self) -> bool:
        """True where engines are to run elsewhere than in this process."""
        return (
            self.address is not None
            or self.min_replicas is not None
            or self.max_replicas is not None
        )

    def check(self) -> None:
        """Check the options before any work.

        Raises:
            RayMissingError: Ray is not installed. ConfigError: the bounds are no bounds.
        """
        if not self.given:
            return
        from redraft.cluster.connection import check_ray

        check_ray()
        if self.max_replicas is not None and self.max_replicas < (self.min_replicas or 1):
            raise ConfigError(
                f"--max-replicas {self.max_replicas} is below --replicas {self.min_replicas}"
            )


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
    count = options.min_replicas or 1
    bounds = ReplicaBounds(min_replicas=count, max_replicas=options.max_replicas or count)
    plan = ReplicaPlan(models=models, settings=settings, speech=speech, threads=options.cpus)
    counted = "one replica" if count == 1 else f"{count} replicas"
    errors.print(f"redraft: starting {counted}", highlight=False)
    with replicas_on(options.address or LOCAL, plan, bounds, place.port) as (_, app):
        names = ", ".join((*models.paths, *models.adapters))
        serving.listen(app, settings, place, f"{names} on {counted}")
