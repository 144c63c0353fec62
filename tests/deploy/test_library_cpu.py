"""Libraries for older processors than this one, run under an emulator that has only those instructions."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ellopt.cli.main import main
from ellopt.toolchains.zig import zig_command
from tests.support.paths import DATA

NET = DATA / "cases" / "fork_hang" / "net.ell"
#: emulated processor -> the newest level that it has
PROCESSORS = {"qemu64": "x86-64", "Nehalem": "x86-64-v2", "Haswell": "x86-64-v3"}
LEVELS = ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"]

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux" or not shutil.which("qemu-x86_64"),
    reason="needs an x86-64 Linux with qemu-x86_64 (Debian package qemu-user)",
)


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v4"])
def test_a_library_runs_where_it_can_and_says_so_where_it_cannot(level: str, tmp_path: Path) -> None:
    assert main(["compile", str(NET), "-o", str(tmp_path), "--cpu", level]) == 0
    command = [*zig_command(), "cc", "-target", "x86_64-linux-gnu.2.28", "-mcpu=x86_64", "main.c", "libnet.a"]
    subprocess.run([*command, "-lm", "-lpthread", "-o", "example"], cwd=tmp_path, check=True)
    for processor, newest in PROCESSORS.items():
        emulated = ["qemu-x86_64", "-cpu", processor, str(tmp_path / "example")]
        done = subprocess.run(emulated, capture_output=True, text=True, timeout=60, check=False)
        if LEVELS.index(level) <= LEVELS.index(newest):
            assert done.returncode == 0, done.stderr
            assert "largest: output 3" in done.stderr
        else:
            assert (done.returncode, done.stdout) == (1, "")
            assert "this processor lacks instructions" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--cpu", "x86-64-v9"], "x86-64-v3"), (["--target", "pi3", "--cpu", "x86-64-v2"], "pi3")]
)
def test_a_processor_that_cannot_be_is_refused(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", str(NET), "-o", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert "--cpu" in error
    assert said in error
    assert not (tmp_path / "out").exists()
