"""Handshakes: connections that speak TLS, of which some have not begun to.

asyncio makes the protocol of a connection once its handshake is over. A client that never begins
one would hold a file of the process, and be counted nowhere.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from redraft.server.runtime.connections import ConnectionLimits, bounded_protocol

SHARE = 4  # of all connections, one in so many may be in its handshake


@dataclass
class Certificate:
    """What a server speaks TLS with; None until the server has read it."""

    context: ssl.SSLContext | None = None


def tls_protocol(limits: ConnectionLimits, certificate: Certificate) -> type[asyncio.Protocol]:
    """Return a protocol for plain sockets that shakes hands, and then is uvicorn's with limits.

    Where too many shake hands, the one that began first is closed. A handshake has the time of a
    request's head.
    """
    shaking: dict[asyncio.Protocol, asyncio.Transport] = {}
    most = max(1, limits.max_connections // SHARE)
    inner = bounded_protocol(replace(limits, max_connections=limits.max_connections - most))

    class HandshakeProtocol(asyncio.Protocol):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._http: H11Protocol = inner(*arguments, **options)
            self._early = b""  # what came in the last part of the handshake
            self._loop = self._http.loop

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            transport.pause_reading()
            if len(shaking) >= most:
                first = next(iter(shaking))
                shaking.pop(first).abort()
            shaking[self] = transport
            self._task = self._loop.create_task(self._shake(transport))

        def data_received(self, data: bytes) -> None:
            self._early += data

        async def _shake(self, transport: asyncio.Transport) -> None:
            assert certificate.context is not None
            try:
                secured = await self._loop.start_tls(
                    transport,
                    self,
                    certificate.context,
                    server_side=True,
                    ssl_handshake_timeout=limits.head_seconds,
                )
            except OSError:  # errors of TLS and time-outs are of this kind
                secured = None
            finally:
                shaking.pop(self, None)
            if secured is None:
                with suppress(OSError):
                    transport.abort()
                return
            secured.set_protocol(self._http)
            self._http.connection_made(secured)  # type: ignore[arg-type]
            if self._early:
                self._http.data_received(self._early)

    return HandshakeProtocol
