"""A link that carries so many bytes a second: what it is given for a server goes through it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator


class SlowLink:
    """Listens at ``port`` and hands on to a server on this machine. ``carried``: bytes towards it so far."""

    def __init__(self, server_port: int, bytes_per_second: float) -> None:
        self._server_port, self._rate = server_port, bytes_per_second
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.carried = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        """End all connections; new ones are made."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:
        free_at = time.monotonic()
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                if slow:
                    free_at = max(free_at, time.monotonic()) + len(data) / self._rate
                    time.sleep(max(0.0, free_at - time.monotonic()))
                    self.carried += len(data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def slow_link(server_port: int, bytes_per_second: float) -> Iterator[SlowLink]:
    """A link to a server on this machine, for the length of a ``with``."""
    link = SlowLink(server_port, bytes_per_second)
    try:
        yield link
    finally:
        link.close()
