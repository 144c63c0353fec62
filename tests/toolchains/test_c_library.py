"""The first program for a kind of board takes a minute or two, for its C library; alike kinds then take none."""

from __future__ import annotations

from collections import defaultdict

from ellopt.targets import TARGETS
from ellopt.toolchains.zig import compile_flags, link_flags
from tests.support.paths import REPOSITORY


def test_alike_boards_share_a_c_library_and_each_has_code_of_its_own() -> None:
    libraries: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for target in TARGETS.values():
        if target.cpu is not None:
            libraries[link_flags(target)].add(target.cpu.name)
    assert sorted(map(sorted, libraries.values())) == [
        ["aarch64", "cortex-a53", "cortex-a72", "cortex-a76"],
        ["arm1176"],
        ["cortex-a53-32", "cortex-a7", "cortex-a72-32"],
    ]
    code = {compile_flags(target) for target in TARGETS.values() if target.cpu is not None}
    assert len(code) == len({target.cpu.name for target in TARGETS.values() if target.cpu is not None})


def test_one_module_chooses_the_c_library() -> None:
    """Where another one says for what to link, or how, the compiler builds one more C library for it."""
    choices = ('"-target"', '"-static"', '"-s"', 'f"-mcpu=')
    users = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "ellopt").rglob("*.py")
        if any(choice in path.read_text(encoding="utf-8") for choice in choices)
    }
    assert users == {"ellopt/toolchains/zig.py"}
