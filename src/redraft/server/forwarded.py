"""Forwarded: what a reverse proxy says of a request, believed of named proxies alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from redraft.errors import ConfigError

UNIX = "unix"  # stands for whoever is at the server's unix socket
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Proxies:
    """Proxies that are believed: networks, and whoever is at the unix socket."""

    networks: tuple[Network, ...] = ()
    unix: bool = False


def checked_proxies(proxies: Iterable[str]) -> Proxies:
    """Return the proxies of these names.

    Raises:
        ConfigError: one is neither an address nor a network.
    """
    networks: list[Network] = []
    named = set(proxies)
    for proxy in sorted(named - {UNIX}):
        try:
            networks.append(ipaddress.ip_network(proxy, strict=False))
        except ValueError:
            raise ConfigError(
                f"the proxy {proxy!r} is not valid: give an address, a network such as "
                "10.0.0.0/8, or unix for the unix socket"
            ) from None
    return Proxies(tuple(networks), UNIX in named)


class ForwardedMiddleware:
    """Takes host, scheme and client from `X-Forwarded-*` of requests that a named proxy sends.

    The headers of all others are dropped, so that nothing behind reads them.

    Args:
        proxies: see `checked_proxies`.
    """

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self.app, self._proxies = app, proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = self._forwarded(scope)
        await self.app(scope, receive, send)

    def _forwarded(self, scope: Scope) -> Scope:
        headers = Headers(scope=scope)
        plain = [
            (name, value)
            for name, value in scope["headers"]
            if not name.lower().startswith(b"x-forwarded-") and name.lower() != b"forwarded"
        ]
        if len(plain) == len(scope["headers"]):
            return scope
        scope = {**scope, "headers": plain}
        if not self._is_proxy(scope.get("client")):
            return scope
        if (scheme := headers.get("x-forwarded-proto", "").strip().lower()) in ("http", "https"):
            scope["scheme"] = scheme
        if host := headers.get("x-forwarded-host", "").split(",")[-1].strip():
            others = [(name, value) for name, value in plain if name.lower() != b"host"]
            scope["headers"] = [(b"host", host.encode("latin-1", "replace")), *others]
        if client := self._client(headers.get("x-forwarded-for", "")):
            scope["client"] = client, 0
        return scope

    def _client(self, chain: str) -> str:
        """Return the last address of a chain that is no proxy: those before it, the client could
        have written itself."""
        for part in reversed(chain.split(",")[-32:]):
            address = part.strip()
            if address and not self._is_named(address):
                return address
        return ""

    def _is_proxy(self, client: tuple[str, int] | None) -> bool:
        if client is None or not client[0]:
            return self._proxies.unix
        return self._is_named(client[0])

    def _is_named(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies.networks)
