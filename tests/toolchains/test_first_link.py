"""The first program for this machine links at once: what no program of ours refers to is not built for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.targets import find_target
from ellopt.toolchains.zig import Compiler

#: for which compilers call a function of their own library
_DIVISION = """
int main(int count, char **words) {
    volatile __int128 product = 21 * count, divisor = 3;
    (void)words;
    return (int)(product / divisor);
}
"""


@pytest.mark.parametrize("flags", [(), ("-shared",)], ids=["program", "library"])
def test_the_compiler_builds_no_library_of_its_own(
    flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "zig"))
    monkeypatch.setenv("ZIG_LOCAL_CACHE_DIR", str(tmp_path / "zig"))
    compiler = Compiler(find_target("host"), (), tmp_path / "objects", 1)
    source = '#include <math.h>\n#include <stdio.h>\nint main(void) { return printf("%f\\n", exp(0.0)) < 0; }\n'
    compiler.link(
        compiler.objects({"main": source}, Deadline.after(300)).values(), tmp_path / "made", Deadline.after(300), flags
    )
    assert (tmp_path / "made").read_bytes().startswith(b"\x7fELF")
    assert [path.name for path in (tmp_path / "zig").rglob("*.a")] == []


def test_a_program_that_refers_to_it_is_linked_with_it(tmp_path: Path) -> None:
    compiler = Compiler(find_target("host"), (), tmp_path / "objects", 1)
    made = compiler.objects({"main": _DIVISION}, Deadline.after(300))
    compiler.link(made.values(), tmp_path / "program", Deadline.after(300))
    assert subprocess.run([tmp_path / "program"], check=False, timeout=60).returncode == 7
