"""A cluster service that is slow, wrong or hostile: calls end in time, one bad machine stops nobody, nothing that it
says steers the terminal."""

from __future__ import annotations

import io
import logging
import socket
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from ellopt.cli.commands.console import SafeConsole
from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.devices.cluster import client as cluster
from ellopt.devices.cluster.client import ClusterClient
from ellopt.devices.listing import list_devices
from ellopt.devices.open import open_pool
from ellopt.devices.settings import DeviceSettings
from ellopt.targets import find_target
from tests.support.devices.cluster import API_KEY, PI3, ClusterService
from tests.support.patience import SOON

HEADER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n"
#: what is sent at once, and what then again and again
SLOW = {
    "a status line without an end": (b"HTTP/1.1 200 ", b"O"),
    "headers without an end": (HEADER, b"X-More: 1\r\n"),
    "a header a byte at a time": (HEADER + b"X-Slow: ", b"x"),
    "continue without an end": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "content a byte at a time": (HEADER + b"\r\n", b"["),
    "chunks without an end": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@contextmanager
def raw_service(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A TCP server whose connections ``serve`` gets; the address of the service."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection, stop), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/"
        stop.set()


@pytest.mark.parametrize("how", SLOW)
def test_a_call_ends_in_time_however_slowly_the_answer_comes(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CALL_SECONDS", 1.0)
    first, again = SLOW[how]
    gone = threading.Event()

    def serve(connection: socket.socket, stop: threading.Event) -> None:
        with connection:
            connection.recv(1 << 16)
            try:
                connection.sendall(first)
                while not stop.wait(0.02):
                    connection.sendall(again)
            except OSError:
                gone.set()

    with raw_service(serve) as url:
        started = time.monotonic()
        with pytest.raises(InfrastructureError, match="cluster"):
            ClusterClient(url, API_KEY).machines()
        assert time.monotonic() - started < SOON
        assert gone.wait(SOON), "the connection was given up, too"


def settings_for(service: ClusterService, directory: Path) -> DeviceSettings:
    return DeviceSettings(
        cluster=service.url, apikey=API_KEY, state_directory=directory / "state", known_hosts=directory / "known_hosts"
    )


@given(address=st.text() | st.sampled_from(["10.0.0.1:99999", "root@10.0.0.1", "[::1", "a b", "-oProxyCommand=x", ":"]))
def test_a_machine_with_any_address_stops_nobody(address: str) -> None:
    with ClusterService(["127.0.2.1"]) as service:
        service.machines["odd"] = {"IpAddress": address, "Platform": PI3, "IsAlive": True}
        rows = list_devices(DeviceSettings(cluster=service.url, apikey=API_KEY), find_target("pi3"))
        assert [row.fits for row in rows if row.name.startswith("127.0.2.1")] == [True]


def test_a_machine_with_a_bad_address_is_left_out_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ClusterService(["127.0.2.1"]) as service:
        service.machines["odd"] = {"IpAddress": "10.0.0.1:99999", "Platform": PI3, "IsAlive": True}
        settings = settings_for(service, tmp_path)
        with caplog.at_level(logging.WARNING), open_pool(settings, find_target("pi3")) as pool:
            assert pool.capacity == 1
        assert caplog.text.count("10.0.0.1:99999") == 1
        assert "--ipaddress" not in caplog.text
        assert [row.state for row in list_devices(settings, find_target("pi3"))] == ["free", "bad address"]
        del service.machines["127.0.2.1"]
        with pytest.raises(ConfigurationError, match="no board"), open_pool(settings, find_target("pi3")):
            pass


EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b5m\u202egnp\r\b\0"


def steers(text: str) -> list[str]:
    return [c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf")]


def test_what_a_service_says_does_not_steer_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("RPI_APIKEY", API_KEY)
    with ClusterService(["127.0.2.1"]) as service:
        machine = service.machines["127.0.2.1"]
        machine.update(HostName=EVIL, Platform=EVIL, Command="Lock", CurrentUserName=EVIL, Comment=EVIL)
        machine["CurrentTaskName"] = EVIL
        service.machines["evil"] = {"IpAddress": EVIL, "Platform": EVIL}
        assert main(["devices", "--cluster", service.url]) == 0
        shown = capsys.readouterr()
        assert "red" in shown.out
        assert main(["optimize", "--model_path", "x", "-o", "y", "--cluster", service.url]) == 2
        service.before = lambda method, path: (200, b'{"error": "\\u001b[2J\\u0007 sorry"}')
        assert main(["devices", "--cluster", service.url]) == 1
        failed = capsys.readouterr()
        assert "sorry" in failed.err
    assert steers(shown.out + shown.err + failed.out + failed.err) == []


@given(st.text())
def test_whatever_is_shown_is_harmless(text: str) -> None:
    """Through every way onto the console that commands use: plain text, Text, tables."""
    written = io.StringIO()
    console = SafeConsole(file=written, width=200, color_system=None)
    table = Table()
    table.add_column(Text(text))
    table.add_row(Text(text))
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(Text(text), table)
    assert steers(written.getvalue()) == []
