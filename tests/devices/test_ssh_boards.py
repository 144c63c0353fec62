"""SSH boards: host keys, log-in, what is uploaded, what misbehaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.core.samples import DeviceState
from ellopt.devices.bundle import Bundle, Invocation
from ellopt.devices.sessions import Session
from ellopt.devices.settings import Address, DeviceSettings
from ellopt.devices.ssh import device as ssh_device
from ellopt.devices.ssh import remote
from ellopt.devices.ssh.device import SshDevice
from ellopt.devices.ssh.refusals import HostKeyError, LoginError
from ellopt.devices.state import foreign_load, read_state
from ellopt.targets import find_target
from tests.support.devices.boards import PASSWORD, USER, Board
from tests.support.devices.bundles import leftovers, script_bundle
from tests.support.patience import SOON, eventually
from tests.support.processes import processes_in

HOST = find_target("host")


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board("127.0.0.1", tmp_path / "board")
    (tmp_path / "known_hosts").write_text(made.known_hosts_line())
    yield made
    made.close()


@pytest.fixture
def settings(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceSettings:
    monkeypatch.setenv("HOME", str(tmp_path / "client"))
    return DeviceSettings(
        ipaddresses=(f"127.0.0.1:{board.port}",),
        username=USER,
        password=PASSWORD,
        known_hosts=tmp_path / "known_hosts",
        state_directory=tmp_path / "state",
    )


@pytest.fixture
def session(settings: DeviceSettings) -> Iterator[Session]:
    made = Session(settings.state_directory)
    yield made
    made.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return script_bundle(tmp_path / "bundle")


def connect(settings: DeviceSettings, session: Session, seconds: float = SOON) -> SshDevice:
    return SshDevice(Address.parse(settings.ipaddresses[0], 22), settings, HOST, session, Deadline.after(seconds))


def answer(device: SshDevice, bundle: Bundle) -> bytes:
    execution = device.run(
        bundle, Invocation(("./runner", "answer", "x"), {"job": b"job "}, ("result",)), Deadline.after(20)
    )
    assert execution.exit_code == 0
    return execution.outputs["result"]


# --- host keys and log-in -------------------------------------------------------------------------------------


def test_an_unknown_host_key_is_refused(settings: DeviceSettings, session: Session, tmp_path: Path) -> None:
    with pytest.raises(HostKeyError, match=r"SHA256:.*--accept_new_host_keys"):
        connect(replace(settings, known_hosts=tmp_path / "none"), session)
    assert not (tmp_path / "none").exists()


def test_a_new_host_key_is_remembered_and_then_insisted_on(
    board: Board, settings: DeviceSettings, session: Session, tmp_path: Path
) -> None:
    own_file = tmp_path / "own" / "known_hosts"
    accepting = replace(settings, known_hosts=own_file, accept_new_host_keys=True)
    connect(accepting, session).close()
    assert own_file.read_text() == board.known_hosts_line()
    connect(replace(accepting, accept_new_host_keys=False), session).close()
    connect(accepting, session).close()
    assert own_file.read_text() == board.known_hosts_line()
    before = board.known_hosts_line()
    board.change_host_key()
    for setting in (accepting, replace(accepting, accept_new_host_keys=False)):
        with pytest.raises(HostKeyError, match="has changed"):
            connect(setting, session)
    assert own_file.read_text() == before


def test_the_users_known_hosts_count(board: Board, settings: DeviceSettings, session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "client" / ".ssh"
    folder.mkdir(parents=True)
    (folder / "known_hosts").write_text(board.known_hosts_line())
    elsewhere = replace(settings, known_hosts=tmp_path / "none", accept_new_host_keys=True)
    connect(elsewhere, session).close()
    assert not (tmp_path / "none").exists()
    board.change_host_key()
    with pytest.raises(HostKeyError, match="has changed"):
        connect(elsewhere, session)


def test_a_wrong_password_is_the_users_to_mend(settings: DeviceSettings, session: Session) -> None:
    with pytest.raises(LoginError, match="--password") as caught:
        connect(replace(settings, password="another-secret"), session)
    assert "another-secret" not in str(caught.value)
    with pytest.raises(LoginError, match="RPI_PASSWORD"):
        connect(replace(settings, password=None), session)
    assert "another-secret" not in repr(replace(settings, password="another-secret"))


def test_a_missing_key_file_is_named(settings: DeviceSettings, session: Session, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--key_file.*no-key"):
        connect(replace(settings, key_files=(tmp_path / "no-key",)), session)


def test_a_board_that_is_not_there_fails_in_time(settings: DeviceSettings, session: Session, board: Board) -> None:
    board.refusing = True
    with pytest.raises(InfrastructureError, match="cannot connect"):
        connect(settings, session)
    board.die()
    with pytest.raises(InfrastructureError, match="cannot connect"):
        connect(settings, session)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pi", Address("pi", 22)),
        ("10.0.0.7:2222", Address("10.0.0.7", 2222)),
        ("[fe80::1]:23", Address("fe80::1", 23)),
        ("fe80::1", Address("fe80::1", 22)),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert Address.parse(text, 22) == expected
    assert Address.parse(str(expected), 22) == expected


@pytest.mark.parametrize("text", ["", "pi:", "pi:x", "pi:0", "pi:70000", "[::1", "a b", "[::1]x", ":22"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--ipaddress"):
        Address.parse(text, 22)


# --- uploads --------------------------------------------------------------------------------------------------


def test_a_bundle_is_uploaded_once_per_board(
    board: Board, settings: DeviceSettings, session: Session, bundle: Bundle
) -> None:
    uploads: list[str] = []
    board.fault = lambda command: uploads.append(command) if "echo published" in command else None  # type: ignore[func-returns-value]
    device = connect(settings, session)
    answer(device, bundle)
    answer(device, bundle)
    device.abort()  # the connection drops; the bundle stays and is verified
    device = connect(settings, session)
    answer(device, bundle)
    assert len(uploads) == 1
    (stored,) = board.directory.rglob("bundle-*/data")
    stored.chmod(0o600)
    stored.write_bytes(b"WEIGHTS")
    device.abort()
    device = connect(settings, session)
    assert answer(device, bundle) == b"job weights"
    assert len(uploads) == 2
    device.close()
    assert leftovers(board.directory) == []
    assert not session.addresses


def test_a_board_without_hash_programs(
    settings: DeviceSettings, session: Session, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "COMMON_SCRIPT", remote.COMMON_SCRIPT.replace("command -v", "false"))
    device = connect(settings, session)
    assert answer(device, bundle) == b"job weights"
    device.close()


def test_a_full_disk_is_the_boards_failure(
    board: Board, settings: DeviceSettings, session: Session, bundle: Bundle
) -> None:
    device = connect(settings, session)
    answer(device, bundle)
    board.fault = lambda command: "full" if 'cat > "$1"' in command or "silence=$3" in command else None
    with pytest.raises(InfrastructureError):
        answer(device, bundle)
    board.fault = lambda command: "full" if "silence=$3" in command else None
    with pytest.raises(InfrastructureError, match="disk is full"):
        device.run(bundle, Invocation(("./runner", "answer", "x"), {"job": b""}, ()), Deadline.after(20))
    board.fault = lambda command: None
    assert answer(device, bundle) == b"job weights"
    device.close()
    assert leftovers(board.directory) == []


def test_without_room_nothing_is_uploaded(
    settings: DeviceSettings, session: Session, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_device, "SPARE_KIB", 1 << 50)
    device = connect(settings, session)
    with pytest.raises(InfrastructureError, match="disk is full"):
        answer(device, bundle)
    device.close()


# --- misbehaviour ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["refuse", "drop_in", "drop_out", "garbage", "altered", "hang"])
@pytest.mark.parametrize("script", ["echo staged", 'cat > "$1"', "silence=$3", 'cat "$@"', "echo wiped"])
def test_whatever_fails_at_whatever_step_is_the_boards_failure(
    board: Board,
    settings: DeviceSettings,
    session: Session,
    bundle: Bundle,
    fault: str,
    script: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = connect(settings, session)
    assert answer(device, bundle) == b"job weights"
    struck: list[str] = []

    def strike_once(command: str) -> str | None:
        if script in command and not struck:
            struck.append(command)
            return fault
        return None

    board.fault = strike_once
    with monkeypatch.context() as hurried:  # a fault of which nothing is heard costs as long as this
        for module, name, value in (
            (remote, "HEARTBEAT", 0.2),
            (remote, "SILENCE", 1),
            (ssh_device, "STEP_SECONDS", 2.0),
            (ssh_device, "_CLEAN_UP_SECONDS", 1.0),
        ):
            hurried.setattr(module, name, value)
        try:
            assert answer(device, bundle) == b"job weights", "nothing but the clean-up may fail silently"
            # a channel that is closed before it is said to be open is asked for again
            assert script in ("echo wiped",) or fault in ("drop_in", "garbage")
        except InfrastructureError:
            pass
    assert struck
    device.abort()
    again = connect(settings, session)
    assert answer(again, bundle) == b"job weights"
    again.close()
    assert leftovers(board.directory) == []
    assert processes_in(board.directory) == []


def test_a_dropped_connection_ends_the_run_on_both_sides(
    board: Board, settings: DeviceSettings, session: Session, bundle: Bundle
) -> None:
    device = connect(settings, session)
    answer(device, bundle)
    threading.Timer(0.5, board.drop_all).start()
    with pytest.raises(InfrastructureError, match="connection lost"):
        device.run(bundle, Invocation(("./runner", "hang")), Deadline.after(60))
    assert eventually(lambda: processes_in(board.directory) == [])
    connect(settings, session).close()
    assert leftovers(board.directory) == []


def test_a_bundle_that_the_board_cannot_execute_is_not_the_candidates_fault(
    settings: DeviceSettings, session: Session, tmp_path: Path
) -> None:
    bundle = script_bundle(tmp_path / "odd")
    (bundle.path / "runner").write_bytes(b"\x7fELF of another machine")
    device = connect(settings, session)
    with pytest.raises(InfrastructureError, match="cannot execute"):
        device.run(replace(bundle, digest="f" * 32), Invocation(("./runner",)), Deadline.after(20))
    device.close()


# --- what a board says of itself ------------------------------------------------------------------------------


def test_the_state_of_a_raspberry_pi() -> None:
    lines = ["governor ondemand", "frequency 1200000", "temperature 48312", "load 0.52 0.58 0.59 1/123 4567"]
    assert read_state([*lines, "throttled=0x0"]) == DeviceState("ondemand", 1200.0, 48.312, False, 0.52)
    assert read_state([*lines, "throttled=0x50005"], 1.5) == DeviceState("ondemand", 1200.0, 48.312, True, 0.52, 1.5)
    # throttled once since it was started, but not now
    assert read_state(["throttled=0x50000"]).throttled is False


def test_a_board_that_says_little() -> None:
    assert read_state([]) == DeviceState()
    assert read_state(["frequency ?", "temperature", "throttled=error", "load "]) == DeviceState()


def test_the_load_of_others() -> None:
    before = "cpu  1000 0 500 8000 100 0 50 0 0 0"
    after = "cpu  1300 0 600 8600 100 0 50 0 0 0"  # 1000 ticks of four CPUs, 400 busy
    assert foreign_load(before, after, 4.0, 4) == 0.0
    assert foreign_load(before, after, 1.5, 4) == pytest.approx(1.0)
    assert foreign_load(before, before, 0.0, 4) is None
    assert foreign_load("", after, 0.0, 4) is None
