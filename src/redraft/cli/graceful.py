"""Graceful server: a stop that answers everybody, and a second signal that ends at once."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from redraft.server.runtime.connections import (
    ConnectionLimits,
    bounded_protocol,
    limit_logs,
)
from redraft.server.runtime.handshakes import Certificate, tls_protocol

CLOSE_SECONDS = 1.0  # to close the state file, behind the last answer
FLUSH_SECONDS = 0.5
log = logging.getLogger("uvicorn.error")


class GracefulServer(uvicorn.Server):
    """uvicorn's server, whose stop takes `grace` seconds at most, and whose process ends two or
    three seconds later, whatever its threads do.

    Args:
        grace: seconds that requests have to finish.
        stop: ends the work behind the application within that time, with errors where it must.
        limits: of connections; None for those of the system.
        certificate: files of the certificate chain and of its key, to speak TLS.
    """

    def __init__(
        self,
        app: FastAPI,
        grace: float,
        stop: Callable[[], Awaitable[None]],
        limits: ConnectionLimits | None = None,
        *,
        certificate: tuple[str, str | None] | None = None,
    ) -> None:
        # What is left a second later does not come from the engine, and is cancelled.
        limit = self._limit = math.ceil(grace) + 1
        limits = limits or ConnectionLimits.of_system()
        self._certificate = Certificate()
        config = uvicorn.Config(
            app,
            http=tls_protocol(limits, self._certificate)
            if certificate
            else bounded_protocol(limits),
            timeout_keep_alive=limits.idle_seconds,
            log_level="warning",
            timeout_graceful_shutdown=limit,
            # What a proxy says is read by the application, of named proxies alone.
            proxy_headers=False,
            ssl_certfile=certificate[0] if certificate else None,
            ssl_keyfile=certificate[1] if certificate else None,
        )
        super().__init__(config)
        limit_logs()
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. Connections arrive without TLS, and the protocol begins it: so they are counted
        before they have shaken hands."""
        self._certificate.context, self.config.ssl = self.config.ssl, None
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop at the first signal; end the process at the second."""
        if self.should_exit:
            os._exit(128 + sig)
        super().handle_exit(sig, frame)
        threading.Thread(target=self._end_late, name="redraft-stop", daemon=True).start()

    def _end_late(self) -> None:
        """End the process where a thread, or the event loop, holds it beyond its time: Python waits
        for threads. The state file is then as after any kill: what was answered is in it."""
        time.sleep(self._limit + CLOSE_SECONDS)
        flushing = threading.Thread(target=_say_late, daemon=True)
        flushing.start()
        flushing.join(FLUSH_SECONDS)  # who reads the log may have stopped
        os._exit(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, and let the engine end while their answers are sent."""
        ending = asyncio.ensure_future(self._stop())
        await super().shutdown(sockets)
        await ending


def _say_late() -> None:
    log.warning("threads still worked when the time to stop was over: the process ends")
    sys.stdout.flush()
    sys.stderr.flush()
