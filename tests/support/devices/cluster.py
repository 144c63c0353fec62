"""The Pi cluster service's REST interface, as its documentation gives it, over real HTTP on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PI3 = "ARMv7 Processor rev 4 (v7l) (4 cores) BCM2835"
API_KEY = "api-key-5d1f20"
#: Addresses of machines; nothing need listen there.
ONE, TWO = "127.0.2.1", "127.0.2.2"


class ClusterService:
    """A service with ``machines``; ``requests`` counts what was asked. ``before`` may spoil an answer: it gets
    method and path and returns (status, body) to be sent instead, raises ConnectionError to drop the
    connection, or returns None."""

    def __init__(self, addresses: list[str], platform: str = PI3) -> None:
        self.machines: dict[str, dict[str, Any]] = {
            address: {
                "IpAddress": address,
                "HostName": f"pi-{index}",
                "Platform": platform,
                "OsName": "raspbian",
                "IsAlive": True,
                "LastHeartbeat": time.time() * 1000,
            }
            for index, address in enumerate(addresses)
        }
        self.lock = threading.Lock()
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str], tuple[int, bytes] | None] = lambda method, path: None
        self.after: Callable[[str, str], None] = lambda method, path: None
        self.problems: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                service.handle(self, b"")

            def do_POST(self) -> None:
                service.handle(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/api/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> ClusterService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def locked(self) -> list[str]:
        return sorted(a for a, machine in self.machines.items() if machine.get("Command") == "Lock")

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        parts = urlsplit(handler.path)
        path = parts.path.removeprefix("/api/")
        self.requests.append((handler.command, handler.path))
        try:
            spoiled = self.before(handler.command, path)
        except ConnectionError:
            handler.close_connection = True
            handler.connection.close()
            return
        status, answer = spoiled if spoiled else self.answer(handler.command, path, parts.query, body)
        self.after(handler.command, path)
        handler.send_response(status)
        handler.send_header("Content-Type", "text/html" if answer.startswith(b"<") else "application/json")
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        try:
            handler.wfile.write(answer)
        except OSError:
            handler.close_connection = True

    def answer(self, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        with self.lock:
            if method == "GET":
                wanted = parse_qs(query).get("id")
                found = [self.machines.get(wanted[0])] if wanted else list(self.machines.values())
                return 200, json.dumps(found).encode()
            try:
                data = json.loads(body)
            except ValueError:
                return 400, b"<html><body>Bad Request</body></html>"
            if data.get("ApiKey") != API_KEY:
                return 200, b'{"error": "api key mismatch"}'
            machine = self.machines.get(data["IpAddress"])
            if machine is None:
                return 200, b"null"
            if path == "lock":
                if machine.get("Command") == "Lock":
                    return 200, b"null"
                machine.update({k: data[k] for k in ("CurrentUserName", "CurrentTaskName", "LockKey")})
                machine["Command"] = "Lock"
            elif path == "free":
                if machine.get("CurrentUserName") not in (data["CurrentUserName"], "", None):
                    self.problems.append(f"{data['CurrentUserName']} tried to free {data['IpAddress']}")
                    return 200, b"null"
                machine.update({"Command": "Free", "CurrentUserName": "", "CurrentTaskName": "", "LockKey": ""})
            return 200, json.dumps(machine).encode()
