"""One command at a time works in an output directory; one that is told to end ends soon, whatever it is about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ellopt.files.locks import FileLock, exclusive
from tests.support.paths import TINY
from tests.support.patience import SOON

STATE = Path("out", "tiny16", ".ellopt")


def command(*further: str) -> list[str]:
    return [
        *(sys.executable, "-m", "ellopt", "optimize", "--model_path", str(TINY), "--target", "host", "-o", "out"),
        *("--options", "quick", "--no_warm_start", *further),
    ]


def test_a_second_command_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    with exclusive(tmp_path / STATE):
        done = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        found = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert done.returncode == 2
    assert "another ellopt is at work there" in done.stderr
    assert "Traceback" not in done.stderr
    assert found == [STATE / "lock"]


def test_the_directory_is_held_until_everything_is_written_and_removed(tmp_path: Path) -> None:
    process = subprocess.Popen(command("--trials", "3", "--no_mlflow"), cwd=tmp_path, stdout=subprocess.DEVNULL)
    lock = FileLock(tmp_path / STATE / "lock")
    try:
        while process.poll() is None and not (tmp_path / STATE / "search" / "observations.jsonl").exists():
            time.sleep(0.01)
        refused = 0
        while process.poll() is None and not lock.try_acquire():
            refused += 1
            time.sleep(0.001)
        files = {path.name for path in (tmp_path / STATE.parent).iterdir()}
        assert refused
        assert {"tuning_report.json", "tuning_report.html", "compile_options.json"} <= files
        assert not (tmp_path / STATE / "bundles").exists()
    finally:
        process.kill()
        process.wait()
        lock.release()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("number", "reached"), [(signal.SIGTERM, "bundles"), (signal.SIGHUP, "search/observations.jsonl")]
)
def test_a_command_that_is_told_to_end_ends_soon(tmp_path: Path, number: signal.Signals, reached: str) -> None:
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(tmp_path / "zig")}  # so that compilers have much to do
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            command("--trials", "1000", "--sampler", "random"), cwd=tmp_path, env=environment, stdout=said, stderr=said
        )
    while process.poll() is None and not (tmp_path / STATE / reached).exists():
        time.sleep(0.01)
    started = time.monotonic()
    process.send_signal(number)
    process.wait(60)
    assert time.monotonic() - started < SOON
    assert process.returncode == 128 + number
    assert "Traceback" not in (tmp_path / "said").read_text()
    with exclusive(tmp_path / STATE):
        pass
