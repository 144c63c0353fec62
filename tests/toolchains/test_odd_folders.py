"""Whatever a folder is called, programs and libraries are linked into it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.targets import find_target
from ellopt.toolchains.zig import Compiler

ODD = ["a b", "it's", 'a"b', "50%", "%41%%%%%%", "a\\b", "a\nb", os.fsdecode(b"\xff\xfe"), "@file", "-o"]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_program_and_a_library_are_made_there(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    objects = tmp_path_factory.getbasetemp() / "odd-objects"  # the same for all names, so that they compile once
    compiler = Compiler(find_target("host"), (), objects, 1)
    made = compiler.objects({"main": "int main(void) { return 7; }\n"}, Deadline.after(300))
    folder = tmp_path / name
    folder.mkdir()
    compiler.link(made.values(), folder / "program", Deadline.after(300))
    compiler.archive(made, folder / "made.a", Deadline.after(300))
    assert subprocess.run([folder / "program"], check=False, timeout=60).returncode == 7
    assert (folder / "made.a").read_bytes().startswith(b"!<arch>\n")
    assert sorted(path.name for path in folder.iterdir()) == ["made.a", "program"]
