"""What is printed: no secret, no traceback for a terminal's alphabet or a full disk behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import TINY


def ellopt(*arguments: str | bytes | Path, cwd: Path, **more: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **dict(more.pop("env", {}))}  # type: ignore[call-overload]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    command = [sys.executable, "-m", "ellopt", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, timeout=120, check=False, **settings)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_without_the_letters_gets_others(tmp_path: Path, encoding: str) -> None:
    model = tmp_path / "größe-模型.ell"
    model.write_bytes(TINY.read_bytes())
    for arguments in (("show", model), ("show", f"{model}x"), ("targets",)):
        done = ellopt(*arguments, cwd=tmp_path, env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
        assert b"Traceback" not in done.stderr
        assert done.returncode == (2 if arguments[-1] == f"{model}x" else 0)
        (done.stdout + done.stderr).decode(encoding)


def test_a_name_that_is_no_text_can_be_told(tmp_path: Path) -> None:
    done = ellopt("show", os.fsencode(tmp_path) + b"/m\xff\xfe.ell", cwd=tmp_path)
    assert done.returncode == 2
    assert b"no such model file" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [("show", TINY), ("targets",), ("--help",)])
def test_a_full_standard_output_is_one_line(tmp_path: Path, arguments: tuple[str | Path, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = ellopt(*arguments, cwd=tmp_path, stdout=full)
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1
    assert "standard output takes no more" in lines[0]
    assert done.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_both_outputs_full_is_an_exit_code(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        assert ellopt("show", TINY, cwd=tmp_path, stdout=full, stderr=full).returncode == 1


def test_a_path_that_the_system_does_not_take_is_one_line(tmp_path: Path) -> None:
    for arguments in (("show", "x" * 5000), ("report", "y" * 5000), ("sync", "z" * 5000)):
        done = ellopt(*arguments, cwd=tmp_path)
        assert done.returncode in (1, 2)
        assert len(done.stderr.decode().splitlines()) == 1
