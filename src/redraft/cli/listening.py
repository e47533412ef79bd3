"""Listening: the place at which a server listens: an address or a unix socket, with TLS or not."""

from __future__ import annotations

import socket
import ssl
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from redraft.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SOCKET_MODE = 0o660  # its owner and its group: a proxy's user is put into the group


@dataclass(frozen=True)
class Place:
    """A place to listen at.

    Attributes:
        unix_socket: path of a socket, in place of host and port. tls_cert, tls_key: PEM files of
            the certificate chain and of its private key.
    """

    host: str
    port: int
    unix_socket: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def certificate(self) -> tuple[str, str | None] | None:
        """The files of the certificate; None for a server without TLS."""
        if self.tls_cert is None:
            return None
        return str(self.tls_cert), None if self.tls_key is None else str(self.tls_key)

    @property
    def is_open(self) -> bool:
        """True where other machines reach it."""
        return self.unix_socket is None and self.host not in LOOPBACK

    def check_certificate(self) -> None:
        """Check that the files of the certificate can be used.

        Raises:
            ConfigError: they cannot.
        """
        if self.certificate is None:
            if self.tls_key is not None:
                raise ConfigError("--tls-key needs --tls-cert beside it")
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # A key with a pass phrase would be asked for at the terminal: there is nobody there.
            context.load_cert_chain(*self.certificate, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ConfigError(f"the certificate cannot be used: {error}") from None

    def address(self, listening: socket.socket) -> str:
        """Return the address of the server that listens here."""
        if self.unix_socket is not None:
            return f"unix:{self.unix_socket}"
        scheme = "http" if self.certificate is None else "https"
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{name}:{listening.getsockname()[1]}"


@contextmanager
def listening_at(place: Place, stall_timeout: float) -> Iterator[socket.socket]:
    """Give a listening socket; a unix socket's file goes with it.

    The system drops its connections when a client reads nothing for `stall_timeout` seconds.

    Raises:
        ConfigError: the address cannot be used.
    """
    if place.unix_socket is None:
        with _at_address(place, stall_timeout) as listening:
            yield listening
        return
    with _at_path(place.unix_socket) as listening:
        try:
            yield listening
        finally:
            place.unix_socket.unlink(missing_ok=True)


def _at_address(place: Place, stall_timeout: float) -> socket.socket:
    host, port = place.host, place.port
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(f"cannot listen at {host}:{port}: {error.strerror}") from None
    # Connections inherit it. Without, the second segment of an answer waits 40 ms for the client's
    # acknowledgement of the first.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * stall_timeout))
    return listening


def _at_path(path: Path) -> socket.socket:
    """Return a socket that listens at a path; one that nobody listens at is replaced."""
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError("this system has no unix sockets: give --host and --port")
    listening = socket.socket(socket.AF_UNIX)
    try:
        if path.exists():
            _remove_dead(path)
        listening.bind(str(path))
        path.chmod(SOCKET_MODE)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise ConfigError(f"cannot listen at {path}: {error.strerror or error}") from None
    return listening


def _remove_dead(path: Path) -> None:
    """Remove the socket of a server that is gone.

    Raises:
        OSError: it is another file, or a server listens there.
    """
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise OSError("there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionRefusedError):
        probe.connect(str(path))
        raise OSError("another server listens there")
    path.unlink()


def _no_password() -> str:
    raise ValueError("its private key has a pass phrase: give one without")
