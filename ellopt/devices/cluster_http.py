"""One HTTP call that ends at its deadline, however slowly the other side sends status lines, headers or content."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ellopt.core.deadline import Deadline

#: the longest answer that is read, in bytes
LARGEST_ANSWER = 16 << 20
_SILENCE = 10.0


@dataclass(frozen=True)
class Request:
    """What is sent. ``trust_environment``: proxies and certificates that the environment names are used."""

    method: str
    url: str
    body: Mapping[str, str] | None = None
    trust_environment: bool = True


def call(request: Request, deadline: Deadline) -> tuple[int, bytes]:
    """The status and content of the answer.

    Every timeout of a socket is for one piece, and pieces can come for ever (a byte a second, ``100 Continue`` without
    end); so the call runs in a thread, and when ``deadline`` passes its sockets are shut down, whatever it waits for.
    Raises requests.RequestException or OSError.
    """
    running = _Call(request, deadline)
    running.start()
    running.join(deadline.timeout)
    if running.is_alive():
        running.shut_down()
        raise requests.exceptions.ReadTimeout("the answer is too slow")
    return running.result()


class _Call(threading.Thread):
    def __init__(self, request: Request, deadline: Deadline) -> None:
        super().__init__(name="cluster call", daemon=True)
        self._request = request
        self._step = max(0.1, min(_SILENCE, deadline.remaining))
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._over = False
        self._answer: tuple[int, bytes] | None = None
        self._error: requests.RequestException | OSError | None = None

    def run(self) -> None:
        try:
            self._answer = self._send()
        except (requests.RequestException, OSError) as error:
            self._error = error

    def result(self) -> tuple[int, bytes]:
        if self._answer is not None:
            return self._answer
        raise self._error or requests.exceptions.ConnectionError("the call failed")

    def shut_down(self) -> None:
        with self._lock:
            self._over = True
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _connected(self, sock: socket.socket | None) -> None:
        with self._lock:
            if self._over:
                raise requests.exceptions.ReadTimeout("the answer is too slow")
            if sock is not None:
                self._sockets.append(sock)

    def _send(self) -> tuple[int, bytes]:
        with requests.Session() as session:
            session.trust_env = self._request.trust_environment
            adapter = _Adapter(self._connected)
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            response = session.request(
                self._request.method,
                self._request.url,
                json=self._request.body,
                timeout=(self._step, self._step),
                allow_redirects=False,
                stream=True,
            )
            with response:
                content = bytearray()
                for chunk in response.iter_content(1 << 16):
                    content += chunk
                    if len(content) > LARGEST_ANSWER:
                        raise requests.exceptions.ReadTimeout("the answer is too long")
                return response.status_code, bytes(content)


class _Adapter(HTTPAdapter):
    """Tells ``connected`` of every socket as soon as it is connected."""

    def __init__(self, connected: Callable[[socket.socket | None], None]) -> None:
        self._pools = _pools(connected)
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(connected: Callable[[socket.socket | None], None]) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            connected(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            connected(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
