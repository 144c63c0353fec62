"""What zig says of its progress is read as it comes, in pieces; what has another form says nothing."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.deadline import Deadline
from ellopt.files.process import run_in_group
from ellopt.toolchains.zig_progress import VARIABLE, Stage, stage_of, watched


def message(*nodes: tuple[str, int, int, int]) -> bytes:
    """``nodes``: name, what is done, what is planned, parent."""
    parts = [struct.pack("<II120s", done, planned, name.encode()) for name, done, planned, _ in nodes]
    return bytes([len(nodes)]) + b"".join(parts) + bytes(parent for *_, parent in nodes)


MUSL = message(
    ("", 3, 0, 255), ("Linking", 4, 6, 0), ("musl libc.a", 726, 0, 0), ("Linking", 726, 728, 2), ("fputc.c", 1, 0, 2)
)
RUNTIME = message(("", 0, 0, 255), ("Linking", 1, 3, 0), ("compiler_rt", 4, 0, 0), ("LLVM Emit Object", 0, 0, 2))


def test_the_part_that_is_built_is_named_with_its_steps() -> None:
    assert stage_of(RUNTIME) == Stage("compiler_rt", 4)
    assert stage_of(MUSL) == Stage("musl libc.a", 726)


@given(st.binary(max_size=400) | st.just(MUSL[:-1]) | st.just(message(("Linking", 0, 0, 255), ("x", 0, 0, 9))))
def test_another_form_says_nothing(data: bytes) -> None:
    assert stage_of(data) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows hands down no descriptors")
def test_a_program_s_stages_are_told_while_it_runs(tmp_path: Path) -> None:
    (tmp_path / "messages").write_bytes(message() + RUNTIME + MUSL)
    told: list[Stage] = []
    with watched(told.append, 0.0) as descriptor:
        assert descriptor is not None
        script = f'dd if=messages bs=7 status=none >&"${VARIABLE}"'
        command = ("/bin/bash", "-c", script)
        done = run_in_group(command, tmp_path, Deadline.after(60), {VARIABLE: str(descriptor)}, None, (descriptor,))
    assert done.exit_code == 0, done.stderr
    assert told == [Stage("compiler_rt", 4), Stage("musl libc.a", 726)]
