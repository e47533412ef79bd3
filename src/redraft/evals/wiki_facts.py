"""The facts that generated wiki pages state: how many there are, and how many are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redraft.evals.evaluate import Outcome
from redraft.tasks.world import claims, links, page, parses, subject_and_style, world


@dataclass(frozen=True)
class WikiFacts:
    """Counts over some wiki pages.

    Attributes:
        parsed: pages that parse.
        stated, right: facts, and those of them that are true.
        links, resolved: links, and those of them that lead to a page.
    """

    pages: int
    parsed: int
    stated: int
    right: int
    links: int
    resolved: int

    def __str__(self) -> str:
        return (
            f"{self.parsed} of {self.pages} pages parse, "
            f"{self.right} of {self.stated} facts are right, "
            f"{self.resolved} of {self.links} links resolve"
        )


def wiki_facts(outcomes: Sequence[Outcome]) -> WikiFacts:
    """Count the facts of the outcomes' pages; a sentence that states no known fact is wrong."""
    stated = right = found_links = resolved = 0
    for outcome in outcomes:
        subject = subject_and_style(outcome.example.prompt)[0]
        true = claims(page(world()[subject], "full"))
        claimed = [claim for claim in claims(outcome.text) if claim[0] != "kind"]
        targets = links(outcome.text)
        stated += len(claimed)
        right += sum(claim in true for claim in claimed)
        found_links += len(targets)
        resolved += sum(target in world() for target in targets)
    return WikiFacts(
        pages=len(outcomes),
        parsed=sum(parses(outcome.text) for outcome in outcomes),
        stated=stated,
        right=right,
        links=found_links,
        resolved=resolved,
    )
