"""The first program for a kind of board takes minutes, for its C library: that is said, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

#: links in no time
ZIG = """#!/bin/sh
[ "$1" = version ] && { echo 0.17.1; exit 0; }
while [ $# -gt 0 ]; do [ "$1" = -o ] && { : > "$2"; exit 0; }; shift; done
"""
LINK = """
import sys
from pathlib import Path
from ellopt.app.board_probe import probe_bundle
from ellopt.targets import find_target
for name in sys.argv[1:]:
    with probe_bundle(find_target(name)):
        pass
"""


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for zig")
def test_it_is_said_once_for_each_kind_of_library(tmp_path: Path) -> None:
    package = tmp_path / "packages" / "ziglang"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "zig").write_text(ZIG)
    (package / "zig").chmod(0o755)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(package.parent), str(REPOSITORY)]),
        "ZIG_GLOBAL_CACHE_DIR": str(tmp_path / "zig"),
        "ELLOPT_CACHE": str(tmp_path / "cache"),
    }

    def said(*targets: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", LINK, *targets], env=environment, capture_output=True, text=True, timeout=120,
            check=True,
        )  # fmt: skip
        return [line for line in done.stderr.splitlines() if "setting up" in line]

    [line] = said("pi3", "pi3")
    assert line.startswith("setting up the compiler for pi3, once")
    assert said("pi3") == []
    assert len(said("pi3", "pi3_64", "pi0")) == 2
    assert said("pi3_64", "pi0", "pi3") == []
