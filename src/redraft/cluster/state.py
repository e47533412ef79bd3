"""State: edit sessions, pages and responses of all replicas, in one place.

One actor has the store, beside the command. A replica calls it as it would call a store of its
own. The results of a request's calls are remembered until it has been answered: a request that is
asked again, because its replica died, changes nothing twice.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from redraft.drawn import secret_of_request
from redraft.server.runtime.store import Store
from redraft.server.runtime.worker import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Requests whose calls are remembered, where the front has not said that they have ended.
MAX_REMEMBERED = 1024
UNREACHABLE = "sessions and pages cannot be reached now: try again later"
RETRY_SECONDS = 5  # in which Ray starts the actor again
PARTS = ("", "responses")  # of a store: itself, and what it has beside
_numbers: ContextVar[Iterator[int] | None] = ContextVar("numbers_of_calls", default=None)


class StateActor:
    """The store, in a process of Ray's.

    Args:
        path: the file; None for memory.
    """

    def __init__(self, path: str | None) -> None:
        self._store = Store(None if path is None else Path(path))
        self._remembered: OrderedDict[bytes, dict[int, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def call(self, request: bytes, number: int, part: str, name: str, arguments: Any) -> Any:
        """Return the result of a method, or what this call of this request returned before.

        Args:
            request: the secret of the request; b"" remembers nothing. number: of the call in it.
            part: one of PARTS. name, arguments: of the method.
        """
        with self._lock:
            before = self._remembered.get(request, {})
            if number in before:
                return before[number]
        owner = getattr(self._store, part) if part else self._store
        result = getattr(owner, name)(*arguments)
        if request:
            with self._lock:
                self._remembered.setdefault(request, {})[number] = result
                if len(self._remembered) > MAX_REMEMBERED:
                    self._remembered.popitem(last=False)
        return result

    def forget_request(self, request: bytes) -> None:
        """Forget a request that has been answered."""
        with self._lock:
            self._remembered.pop(request, None)

    def close_store(self) -> None:
        """Close the file."""
        self._store.close()


def number_calls() -> None:
    """Number the calls of the request of this context from 0."""
    _numbers.set(count())


class RemotePart:
    """The methods of a store, or of a part of it, called where the store is."""

    def __init__(self, actor: Any, part: str) -> None:
        self._actor, self._part = actor, part

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: Any) -> Any:
            import ray
            from ray.exceptions import RayError, RayTaskError

            numbers = _numbers.get()
            request = secret_of_request() if numbers is not None else b""
            number = next(numbers) if numbers is not None else 0
            asked = self._actor.call.remote(request, number, self._part, name, arguments)
            try:
                return ray.get(asked)
            except RayTaskError as error:
                raise error.cause from None
            except RayError:
                raise BusyError(UNREACHABLE, RETRY_SECONDS) from None

        return call


class RemoteStore(RemotePart):
    """A store that is elsewhere, as a replica uses it."""

    def __init__(self, actor: Any) -> None:
        super().__init__(actor, "")
        self.responses = RemotePart(actor, "responses")

    def close(self) -> None:
        """Leave the store open: others use it."""


def remote_store(actor: Any) -> Store:
    """Return the store of an actor: it has all methods of a `Store`."""
    return cast(Store, RemoteStore(actor))
