"""A simulated processor, and tiny programs of assembly that it times."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from ellopt.app.estimating import make_simulator
from ellopt.core.deadline import Deadline
from ellopt.devices.bundle import Bundle, Invocation
from ellopt.devices.estimated import EstimatedDevice
from ellopt.estimate.cores import core_of
from ellopt.targets import find_target
from ellopt.toolchains.zig import zig_command

needs_qemu = pytest.mark.skipif(
    not (shutil.which("qemu-aarch64") and shutil.which("qemu-arm")), reason="no qemu-user (Debian package)"
)

#: Calls ``body`` in a simulated region of its own and leaves behind what the clock's page says.
_PROGRAM = """
.text
.globl _start
_start:
    mov x0, #-100
    adr x1, name
    mov x2, #2
    mov x8, #56
    svc #0
    mov x4, x0
    mov x0, #0
    mov x1, #4096
    mov x2, #1
    mov x3, #1
    mov x5, #0
    mov x8, #222
    svc #0
    mov x28, x0
    mov x1, #1
    bl mark
    bl body
    mov x1, #2
    bl mark
    bl body
    mov x1, #4
    bl mark
    mov x1, #0
    bl mark
    mov x0, #-100
    adr x1, result
    mov x2, #0x241
    mov x3, #0x1a4
    mov x8, #56
    svc #0
    mov x1, x28
    mov x2, #24
    mov x8, #64
    svc #0
    mov x0, #0
    mov x8, #94
    svc #0
mark:
    mov x0, #0x4c4c
    movk x0, #0x45, lsl #16
    mov x8, #141
    svc #0
    ret
name: .asciz "simulated-clock"
result: .asciz "result"
.balign 64
body:
{body}
    ret
.data
.balign 4096
memory: .zero 8388608
"""

#: The same in 32-bit code.
_PROGRAM_32 = """
.syntax unified
.arm
.text
.globl _start
_start:
    mvn r0, #99
    adr r1, name
    mov r2, #2
    ldr r7, =322
    svc #0
    mov r4, r0
    mov r0, #0
    mov r1, #4096
    mov r2, #1
    mov r3, #1
    mov r5, #0
    mov r7, #192
    svc #0
    mov r10, r0
    mov r1, #1
    bl mark
    bl body
    mov r1, #2
    bl mark
    bl body
    mov r1, #4
    bl mark
    mov r1, #0
    bl mark
    mvn r0, #99
    adr r1, result
    ldr r2, =0x241
    ldr r3, =0x1a4
    ldr r7, =322
    svc #0
    mov r1, r10
    mov r2, #24
    mov r7, #4
    svc #0
    mov r0, #0
    mov r7, #248
    svc #0
mark:
    ldr r0, =0x454c4c
    mov r7, #96
    svc #0
    bx lr
name: .asciz "simulated-clock"
.balign 4
result: .asciz "result"
.ltorg
.balign 64
body:
{body}
    bx lr
.ltorg
.data
.balign 4096
memory: .zero 8388608
"""


@dataclass(frozen=True)
class Loop:
    """The cycles of a round of a loop, and of all its rounds; instructions and floating-point operations of all."""

    cycles: float
    total: float
    instructions: int
    operations: int


def assembled(target: str, body: str, directory: Path) -> Path:
    """A program of ``body``. Raises CalledProcessError with what the assembler says."""
    is_32 = core_of(find_target(target)).code == "a32"
    (directory / "program.S").write_text((_PROGRAM_32 if is_32 else _PROGRAM).format(body=body))
    kind = ("arm-linux-musleabihf", find_target(target).compiler_cpu) if is_32 else ("aarch64-linux-musl", "cortex_a76")
    command = (
        *zig_command(), "cc", "-target", kind[0], f"-mcpu={kind[1]}", "-nostdlib", "-static",
        "program.S", "-o", "program",
    )  # fmt: skip
    subprocess.run(command, cwd=directory, check=True, timeout=300)
    return directory / "program"


@cache
def loop(target: str, round_: str, rounds: int = 400, before: str = "") -> Loop:
    """What a loop of ``round_`` takes on a processor when its code and data were seen once.

    x0 counts, x1 has the address of 8 MiB, and x2; r0, r1 and r2 in 32-bit code.
    """
    lines = "\n".join(f"    {line}" for line in round_.splitlines())
    if core_of(find_target(target)).code == "a32":
        body = (
            "    ldr r1, =memory\n    mov r2, r1\n"
            f"{before}\n    ldr r0, ={rounds}\n1:\n{lines}\n    subs r0, r0, #1\n    bne 1b"
        )
    else:
        body = (
            f"    adrp x1, memory\n    add x1, x1, :lo12:memory\n    mov x2, x1\n{before}\n"
            f"    mov x0, #{rounds}\n1:\n{lines}\n    subs x0, x0, #1\n    b.ne 1b"
        )
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        assembled(target, body, directory)
        simulator = make_simulator(find_target(target))
        bundle = Bundle(directory, target + body, ("program",), "test", find_target(target), {})
        execution = EstimatedDevice(simulator).run(
            bundle, Invocation(("program",), outputs=("result",)), Deadline.after(120)
        )
    assert execution.exit_code == 0, execution.stderr
    nanoseconds, instructions, operations = struct.unpack("<3q", execution.outputs["result"])
    total = nanoseconds * simulator.mhz / 1000
    return Loop(total / rounds, total, instructions, operations)
