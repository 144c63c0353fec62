"""Where boards are: options that contradict each other, lists of boards, files of known host keys."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError
from ellopt.devices.board_lists import read_board_list
from ellopt.devices.ssh.known_hosts import known_name, read_known_hosts
from tests.support.processes import free_port


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "host", "--ipaddress", "10.0.0.1"), ("--target host", "--ipaddress")),
        (("--target", "host", "--boards", "boards.txt"), ("--target host", "--boards")),
        (("--target", "host", "--cluster", "https://c/api"), ("--target host", "--cluster")),
        (("--target", "host", "--emulate"), ("--target host", "--emulate")),
        (("--target", "pi3", "--boards", "boards.txt", "--cluster", "https://c/api"), ("--boards", "--cluster")),
        (("--target", "pi3", "--boards", "none.txt"), ("--boards", "none.txt")),
        (("--target", "pi3", "--ipaddress", "10.0.0.1", "--remote_dir", "tmp"), ("--remote_dir", "tmp")),
    ],
)
def test_contradictions_are_named(
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RPI_CLUSTER", "https://c/api")  # the same value as an option must not be dropped for it
    monkeypatch.setenv("RPI_APIKEY", "key")
    (tmp_path / "boards.txt").write_text("pi@10.0.0.1:2222 # the first\n\n")
    (tmp_path / "m.ell").write_text("{}")
    assert main(["optimize", "--model_path", "m.ell", "-o", "out", "--no_mlflow", *arguments]) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said


def test_a_board_that_cannot_be_reached_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["devices", "--ipaddress", f"127.0.0.1:{free_port()}"]) == 1
    assert "unreachable" in capsys.readouterr().out


def test_a_list_of_boards(tmp_path: Path) -> None:
    path = tmp_path / "boards"
    path.write_text("# ours\npi@10.0.0.1:2222\n\n[fe80::1]:23 # by the window\nbench-7\n")
    assert read_board_list(path) == ("pi@10.0.0.1:2222", "[fe80::1]:23", "bench-7")
    path.write_text("10.0.0.1\n10.0.0.2:x\n")
    with pytest.raises(ConfigurationError, match=r"--boards: .*line 2"):
        read_board_list(path)


def key(seed: bytes) -> bytes:
    kind = b"ssh-ed25519"
    return len(kind).to_bytes(4) + kind + (32).to_bytes(4) + seed.ljust(32, b"k")[:32]


@given(
    before=st.lists(st.binary(max_size=80)),
    after=st.lists(st.binary(max_size=80)),
    seed=st.binary(min_size=1, max_size=32),
    cut=st.integers(1, 60),
    port=st.sampled_from([22, 2222]),
)
def test_bad_lines_stop_nothing_but_themselves(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[bytes],
    after: list[bytes],
    seed: bytes,
    cut: int,
    port: int,
) -> None:
    text = base64.b64encode(key(seed))
    name = known_name("Board", port).encode()
    broken = name + b" ssh-ed25519 " + base64.b64encode(key(seed))[: -cut - 1]
    authority = b"@cert-authority * ssh-ed25519 " + base64.b64encode(key(b"authority"))
    path = tmp_path_factory.getbasetemp() / "known_hosts"
    good = name + b",other ssh-ed25519 " + text + b" comment \xff"
    path.write_bytes(b"\n".join([*before, broken, authority, good, broken, *after]))
    found = read_known_hosts([path, path.with_name("missing")]).keys_of(name.decode())
    assert key(seed) in [entry.blob for entry in found]
    assert key(b"authority") not in [entry.blob for entry in found]
