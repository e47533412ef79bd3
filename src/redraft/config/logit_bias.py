"""LogitBias: what a request adds to the logits of some tokens, checked once."""

from __future__ import annotations

from collections.abc import Mapping

from redraft.config.check import check_integer, check_number
from redraft.errors import ConfigError


class LogitBias(dict[int, float]):
    """Nats by token id, checked. A copy of settings keeps it, and does not check it again.

    Attributes:
        largest: the largest token id; -1 where there is none.
    """

    largest: int = -1

    @classmethod
    def checked(cls, given: object) -> LogitBias:
        """Return a mapping from token ids to nats.

        Raises:
            ConfigError: it is something else.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise ConfigError(f"logit_bias={given!r} must map token ids to nats")
        for token, bias in given.items():
            check_integer("a token id in logit_bias", token, minimum=0)
            check_number(f"logit_bias[{token}]", bias, minimum=-1e9, maximum=1e9)
        found = cls(given)
        found.largest = max(found, default=-1)
        return found
