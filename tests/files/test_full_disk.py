"""On a disk that is really full, the disk is blamed, and what was on it before stays readable."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ellopt.core.errors import DiskFullError
from ellopt.files.full_disk import blame_full_disk, disk_full, is_full

_PRELUDE = """
import os, sys
from pathlib import Path
from ellopt.core.deadline import Deadline
from ellopt.core.errors import DiskFullError
disk, other = Path(sys.argv[1]), Path(sys.argv[2])
"""
_COMPILE = """
from ellopt.targets import find_target
from ellopt.toolchains.zig import Compiler
text = "char big[400000] = {1};"
try:
    Compiler(find_target("host"), (), disk / "cache").objects({"big": text}, Deadline.after(300))
except DiskFullError as error:
    print(error)
"""
_RUN = """
from ellopt.devices.staging import run_here
from ellopt.targets import find_target
from ellopt.devices.bundle import Bundle, Invocation
script = other / "runner"
script.write_text("#!/bin/sh\\nhead -c 1000000 /dev/zero > result\\n")
script.chmod(0o755)
os.environ["TMPDIR"] = str(disk)
bundle = Bundle(other, "x", ("runner",), "x", find_target("host"), {})
try:
    run_here(bundle, Invocation(("runner",), {}, ("result",)), Deadline.after(60))
except DiskFullError as error:
    print(error)
"""
_APPEND = """
from ellopt.files.full_disk import is_full
from ellopt.files.jsonl import JournalReader, JournalWriter
path, kept = disk / "journal.jsonl", 0
try:
    while True:
        JournalWriter(path).append([{"n": kept, "text": "x" * 3000}])
        kept += 1
except OSError as error:
    assert is_full(error)
lines = JournalReader(path).read()
assert [line["n"] for line in lines.values] == list(range(kept)) and kept, lines
assert not lines.damaged and not lines.torn
print("the disk is full: no room for", path)
"""


@pytest.mark.parametrize("program", [_COMPILE, _RUN, _APPEND], ids=["compile", "run", "append"])
def test_a_full_disk_is_called_one(tmp_path: Path, program: str) -> None:
    mount = 'mount -t tmpfs -o size=96k tmpfs "$1" && exec "$2" -c "$3" "$1" "$4"'
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no small disk can be mounted here: that needs unshare and user namespaces")
    for name in ("disk", "other"):
        (tmp_path / name).mkdir()
    arguments = [str(tmp_path / "disk"), sys.executable, _PRELUDE + program, str(tmp_path / "other")]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the disk is full: no room for" in done.stdout
    assert str(tmp_path / "disk") in done.stdout


@pytest.mark.parametrize(
    "said", ["ld.lld: error: No space left on device", "error: NoSpaceLeft", "Disk quota exceeded"]
)
def test_what_a_program_says_of_a_full_disk_is_understood(said: str, tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="the disk is full"):
        blame_full_disk(said, [tmp_path])
    blame_full_disk("error: use of undeclared identifier", [tmp_path, tmp_path / "missing" / "place"])


def test_the_error_names_the_file() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/report.json")
    assert is_full(error)
    assert "no room for out/report.json" in str(disk_full(error))
    assert not is_full(OSError(errno.EACCES, "no"))
