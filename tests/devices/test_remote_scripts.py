"""The shell scripts that run on boards, in the shells that boards have."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ellopt.core.errors import InfrastructureError
from ellopt.devices.ssh import remote
from ellopt.devices.ssh.framing import framed
from tests.support.devices.bundles import RUNNER
from tests.support.patience import SOON, eventually
from tests.support.processes import processes_in

SHELLS = ("dash", "bash", "busybox")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if not shutil.which(request.param):
        pytest.skip(f"no {request.param} here (a Debian package of that name)")
    program = "busybox sh" if request.param == "busybox" else request.param
    original = remote.command
    monkeypatch.setattr(remote, "command", lambda *words: f"exec {program} -c {shlex.quote(original(*words))} ellopt")
    return str(request.param)


@pytest.fixture
def run_directory(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "runner").write_text(RUNNER)
    (directory / "runner").chmod(0o755)
    (directory / "job").write_text("job ")
    (directory / "data").write_text("data")
    yield directory
    subprocess.run(["sh", "-c", remote.wipe_command(str(directory))], capture_output=True, cwd="/")
    assert eventually(lambda: processes_in(directory) == [])


def start(command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")


def watched(directory: Path, *arguments: str, limit: int = 60) -> subprocess.Popen[bytes]:
    return start(remote.run_command(str(directory), limit, ["result"], ["./runner", *arguments]))


def test_a_run_tells_its_exit_code_and_files(shell: str, run_directory: Path) -> None:
    process = watched(run_directory, "answer", "x", "3")
    assert process.stdout is not None
    lines = process.stdout.read().decode().splitlines()
    assert lines[0] == "exit 3"
    files = {line.split()[3]: line.split()[1] for line in lines if line.startswith("file ")}
    assert files == {".ellopt-stdout": "6", ".ellopt-stderr": "6", "result": "8"}
    assert lines[-1] == "done"
    assert lines[3].startswith("cpu ")
    assert lines[4].startswith("cpu ")
    assert process.wait(SOON) == 0


def test_a_signal_shows_in_the_exit_code(shell: str, run_directory: Path) -> None:
    process = watched(run_directory, "crash")
    assert process.stdout is not None
    assert b"exit 139\n" in process.stdout.read()
    process.wait(SOON)


@pytest.mark.parametrize("how", ["hang", "ignore"])
def test_the_limit_kills(shell: str, run_directory: Path, how: str) -> None:
    started = time.monotonic()
    process = watched(run_directory, how, limit=1)
    assert process.stdout is not None
    assert process.stdout.readline() == b"limit\n"
    process.communicate(timeout=SOON)
    assert 0.5 < time.monotonic() - started < SOON


@pytest.mark.parametrize("how", ["hang", "ignore"])
def test_a_lost_connection_kills(shell: str, run_directory: Path, how: str) -> None:
    process = watched(run_directory, how)
    assert eventually(lambda: bool(processes_in(run_directory)))
    process.communicate(timeout=SOON)  # closes the life line
    assert eventually(lambda: processes_in(run_directory) == [])


def test_a_connection_that_is_lost_at_any_time_leaves_nothing_running(shell: str, tmp_path: Path) -> None:
    """The watch over the limit is about to start another nap, or has just started it, or not yet."""

    def lose(number: int) -> list[int]:
        directory = tmp_path / f"run-{number}"
        directory.mkdir()
        process = start(remote.run_command(str(directory), 60, [], ["sleep", "60"]))
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert eventually(lambda: (directory / ".ellopt-beat").exists())
        process.communicate(timeout=SOON)
        return processes_in(directory)

    with ThreadPoolExecutor(8) as executor:
        assert [left for left in executor.map(lose, range(48)) if left] == []


def test_silence_kills_and_signs_of_life_are_answered(
    shell: str, run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "SILENCE", 2)
    process = watched(run_directory, "hang")
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(12):  # for longer than the silence that is allowed
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b".\n"
        time.sleep(0.25)
    assert processes_in(run_directory)
    started = time.monotonic()
    process.stdout.read()  # ends when everything on the board has ended
    assert time.monotonic() - started < SOON
    process.communicate()


def test_a_run_without_setsid_is_killed_too(run_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "RUN_SCRIPT", remote.RUN_SCRIPT.replace("command -v setsid", "false"))
    process = watched(run_directory, "hang", limit=1)
    assert process.stdout is not None
    assert process.stdout.readline() == b"limit\n"
    process.communicate(timeout=SOON)


def test_a_stray_process_goes_with_its_directory(shell: str, run_directory: Path) -> None:
    process = watched(run_directory, "stray")
    process.communicate(timeout=SOON)
    answer = subprocess.run(["sh", "-c", remote.wipe_command(str(run_directory))], capture_output=True, cwd="/")
    assert answer.stdout == b"wiped\n"
    assert not run_directory.exists()


def places(environment: dict[str, str], owner: str = "a" * 32, stale: tuple[str, ...] = ()) -> list[str]:
    answer = subprocess.run(
        ["sh", "-c", remote.open_command(owner, stale, "", remote.process_name(owner, "board"))],
        capture_output=True,
        cwd="/",
        env={"PATH": os.environ["PATH"], **environment},
    )
    lines = remote.answer_lines("opening", answer.stdout)
    return [line.split(" ", 2)[2] for line in lines if line.startswith("base ")]


@pytest.fixture
def only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the scripts look at $TMPDIR and $HOME only."""
    monkeypatch.setattr(
        remote, "COMMON_SCRIPT", remote.COMMON_SCRIPT.replace("/tmp ", "").replace(" /dev/shm /var/tmp", "")
    )


@pytest.mark.usefixtures("only_here")
def test_places_that_cannot_be_used_are_passed_over(shell: str, tmp_path: Path) -> None:
    home = tmp_path / "home with a space"
    home.mkdir()
    owner = "a" * 32
    assert places({"TMPDIR": str(tmp_path / "missing"), "HOME": str(home)}) == [f"{home}/ellopt-{owner}"]
    assert places({"HOME": str(home)}) == [f"{home}/ellopt-{owner}"]
    assert places({}) == []
    assert oct((home / f"ellopt-{owner}").stat().st_mode)[-3:] == "700"
    # not writable: where a file is, no directory can be made
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / f"ellopt-{owner}").write_text("in the way")
    assert places({"TMPDIR": str(blocked), "HOME": str(home)}) == [f"{home}/ellopt-{owner}"]
    # somebody has put a link there
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / f"ellopt-{owner}").symlink_to(tmp_path)
    assert places({"TMPDIR": str(linked), "HOME": str(home)}) == [f"{home}/ellopt-{owner}"]


@pytest.mark.usefixtures("only_here")
def test_opening_removes_what_dead_clients_left_and_nothing_else(shell: str, tmp_path: Path) -> None:
    mine, dead, other, abandoned = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)
    for owner in (mine, dead, other, abandoned):
        (tmp_path / f"ellopt-{owner}" / "run-1").mkdir(parents=True)
        (tmp_path / f"ellopt-{owner}" / "bundle-x").mkdir()
    (tmp_path / "ellopt-mine").mkdir()
    old = time.time() - 30 * 86_400
    os.utime(tmp_path / f"ellopt-{abandoned}", (old, old))
    places({"TMPDIR": str(tmp_path)}, mine, (dead,))
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == sorted(
        [
            "ellopt-mine",
            f"ellopt-{mine}",
            f"ellopt-{mine}/bundle-x",
            f"ellopt-{other}",
            f"ellopt-{other}/bundle-x",
            f"ellopt-{other}/run-1",
        ]
    )


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe\x00", b"wiped", b"done\nmore", b"\n"])
def test_an_answer_that_is_cut_off_is_noticed(garbage: bytes) -> None:
    if garbage == b"wiped":
        assert remote.answer_lines("x", garbage) == []
        return
    with pytest.raises(InfrastructureError):
        remote.answer_lines("x", garbage)


@pytest.mark.parametrize("name", ["", "../x", "a b", "a/b", "-x", ".x", "$x"])
def test_output_names_are_plain(name: str) -> None:
    with pytest.raises(ValueError, match="plain"):
        remote.run_command("/run", 1, [name], ["./runner"])


@pytest.mark.usefixtures("only_here")
def test_scripts_for_several_owners_do_not_end_themselves(shell: str, tmp_path: Path) -> None:
    """Nor what works for the same owner at another address of this machine; what an earlier connection left ends."""
    mine, stale = "b" * 32, ["a" * 32, "c" * 32]
    ours, *theirs = (remote.process_name(owner, "pi@board:22") for owner in (mine, *stale, mine))
    elsewhere = remote.process_name(stale[0], "pi@other:22")
    left = [subprocess.Popen(["sh", "-c", framed("sleep 30; :", name).text]) for name in (*theirs, elsewhere)]
    for script, last in (
        (remote.open_command(mine, stale, "", ours), b"done\n"),
        (remote.clean_command([mine, *stale], "", ours), b"cleaned\n"),
    ):
        command = framed(script, ours)
        environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
        answer = subprocess.run(["sh", "-c", command.text], capture_output=True, cwd="/", env=environment)
        assert answer.stdout.endswith(last)
    assert [process.wait(SOON) for process in left[:-1]] == [-signal.SIGKILL] * 3
    assert left[-1].poll() is None
    left[-1].kill()
    left[-1].wait(SOON)
