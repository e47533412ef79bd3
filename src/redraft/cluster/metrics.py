"""Metrics: the pages of all replicas as one page, a label telling them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

LABEL = "replica"


class ReplicaPages:
    """A collector of what replicas have told of themselves.

    Args:
        pages: text of each page, by the replica's name.
        own: names of families that the front counts itself.
    """

    def __init__(self, pages: Mapping[str, str], own: frozenset[str]) -> None:
        self._pages, self._own = pages, own

    def collect(self) -> Iterator[Metric]:
        """Yield each family once, with the samples of all replicas."""
        families: dict[str, Metric] = {}
        for replica, page in self._pages.items():
            for family in text_string_to_metric_families(page):
                if family.name in self._own:
                    continue
                kept = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, LABEL: replica}
                    kept.add_sample(sample.name, labels, sample.value)
        yield from families.values()


def joined_pages(own: CollectorRegistry, pages: Mapping[str, str], names: frozenset[str]) -> bytes:
    """Return the page of a front: its own families of these names, and those of its replicas."""
    registry = CollectorRegistry()
    registry.register(ReplicaPages(pages, names))
    mine = CollectorRegistry()
    mine.register(_Chosen(own, names))
    return generate_latest(mine) + generate_latest(registry)


class _Chosen:
    """The families of some names of another registry."""

    def __init__(self, registry: CollectorRegistry, names: frozenset[str]) -> None:
        self._registry, self._names = registry, names

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            if family.name in self._names:
                yield family
