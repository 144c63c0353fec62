"""Commands in a process group of their own: nothing outlives its use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import DeadlineExceeded, InfrastructureError
from ellopt.devices.bundle import Invocation
from ellopt.devices.staging import run_here
from ellopt.files.process import KEPT_OUTPUT, Abort, run_in_group
from tests.support.devices.bundles import script_bundle
from tests.support.patience import SOON
from tests.support.processes import processes_in

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def sh(script: str, directory: Path, seconds: float = 60.0, abort: Abort | None = None) -> tuple[int, bytes, bytes]:
    done = run_in_group(["sh", "-c", script], directory, Deadline.after(seconds), {"ELLOPT_TEST": "1"}, abort)
    return done.exit_code, done.stdout, done.stderr


def test_what_a_command_says(tmp_path: Path) -> None:
    assert sh("echo out; echo err >&2; exit 3", tmp_path) == (3, b"out\n", b"err\n")
    assert sh("kill -SEGV $$", tmp_path)[0] == -signal.SIGSEGV
    assert sh("echo $ELLOPT_TEST; cat", tmp_path)[1] == b"1\n"


def test_the_time_is_the_commands_own(tmp_path: Path) -> None:
    """What is counted ends with the command, not when somebody looks again."""
    took = [run_in_group(["sleep", "0.07"], tmp_path, Deadline.after(60)).seconds]
    while took[-1] >= 0.1 and len(took) < 100:  # as often as neighbours on the processor demand
        took.append(run_in_group(["sleep", "0.07"], tmp_path, Deadline.after(60)).seconds)
    assert 0.07 <= took[-1] < 0.1


def test_more_output_than_is_kept_blocks_nothing(tmp_path: Path) -> None:
    code, out, _ = sh(f"head -c {KEPT_OUTPUT + 100_000} /dev/zero", tmp_path)
    assert code == 0
    assert len(out) == KEPT_OUTPUT


def test_what_a_command_leaves_running_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    assert sh("sleep 1000 & sleep 1000 & exit 0", tmp_path)[0] == 0
    assert time.monotonic() - started < SOON
    assert processes_in(tmp_path) == []


def test_a_deadline_kills_whatever_it_ignores(tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded):
        sh("trap '' TERM INT; sleep 1000 & while :; do sleep 1; done", tmp_path, 0.3)
    assert processes_in(tmp_path) == []
    with pytest.raises(DeadlineExceeded):
        sh("true", tmp_path, 0.0)


def test_another_thread_can_end_it(tmp_path: Path) -> None:
    abort = Abort()
    threading.Timer(0.2, abort.fire).start()
    with pytest.raises(InfrastructureError, match="stopped"):
        sh("sleep 1000", tmp_path, abort=abort)
    with pytest.raises(InfrastructureError, match="stopped"):
        sh("sleep 1000", tmp_path, abort=abort)
    assert processes_in(tmp_path) == []


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="cannot start"):
        run_in_group(["./nothing"], tmp_path, Deadline.after(5))


def test_a_killed_client_leaves_nothing_running(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from ellopt.core.deadline import Deadline\n"
        "from ellopt.files.process import run_in_group\n"
        "run_in_group(['sh', '-c', 'sleep 1000 & sleep 1000'], Path(sys.argv[1]), Deadline.never())\n"
    )
    client = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    end = time.monotonic() + 60
    while len(processes_in(tmp_path)) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    while processes_in(tmp_path) and time.monotonic() < end:
        time.sleep(0.02)
    assert processes_in(tmp_path) == []


def test_a_run_never_writes_into_the_bundle(tmp_path: Path) -> None:
    bundle = script_bundle(tmp_path / "bundle")
    done = run_here(
        bundle, Invocation(("./runner", "answer", "x"), {"data": b"other", "job": b""}, ("result",)), Deadline.after(20)
    )
    assert done.outputs == {"result": b"other"}
    assert (bundle.path / "data").read_bytes() == b"weights"


SECRETS = {
    "RPI_PASSWORD": "s1",
    "RPI_APIKEY": "s2",
    "MLFLOW_TRACKING_PASSWORD": "s3",
    "MLFLOW_TRACKING_TOKEN": "s4",
    "AWS_SECRET_ACCESS_KEY": "s5",
    "AWS_SESSION_TOKEN": "s6",
    "AZURE_STORAGE_CONNECTION_STRING": "s7",
    "AZURE_STORAGE_ACCESS_KEY": "s8",
    "DATABRICKS_TOKEN": "s9",
    "OPENAI_API_KEY": "s10",
    "PGPASSWORD": "s11",
    "my_secret": "s12",
    "MLFLOW_TRACKING_URI": "https://me:s13@mlflow.example/",
    "http_proxy": "http://me:s14@proxy.example:3128",
}


def test_no_child_gets_a_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the command nor the shell that guards it; what it needs to work is there."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KEYBOARD", "us")
    script = "tr '\\0' '\\n' < /proc/self/environ; cat /proc/$(ps -o pgid= -p $$ | tr -d ' ')/environ | tr '\\0' '\\n'"
    code, out, _ = sh(script, tmp_path)
    assert code == 0
    found = dict(line.split("=", 1) for line in out.decode().splitlines() if "=" in line)
    assert not set(SECRETS) & set(found)
    assert {"PATH": os.environ["PATH"], "KEYBOARD": "us", "ELLOPT_TEST": "1"}.items() <= found.items()


def test_what_is_given_to_a_child_it_gets(tmp_path: Path) -> None:
    done = run_in_group(["sh", "-c", "echo $A_TOKEN"], tmp_path, Deadline.after(20), {"A_TOKEN": "meant"})
    assert done.stdout == b"meant\n"
