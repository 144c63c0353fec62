"""Loops that the model of an ARM1176 must time as its manual says (DDI 0301H, chapter 16 and table 21-16)."""

from __future__ import annotations

import pytest

from tests.support.simulated import loop, needs_qemu

pytestmark = needs_qemu
PI0 = "pi0"


def sums(count: int) -> str:
    return "\n".join(f"vmla.f32 s{4 + n}, s{n % 2}, s{2 + n % 2}" for n in range(count))


@pytest.mark.parametrize("operation", ["vmla.f32 s4, s0, s1", "vadd.f32 s4, s4, s1", "vmul.f32 s4, s4, s1"])
def test_a_chain_takes_eight_cycles_a_step(operation: str) -> None:
    assert loop(PI0, "\n".join([operation] * 16)).cycles == pytest.approx(16 * 8, rel=0.05)


def test_eight_independent_sums_keep_the_multiplier_busy() -> None:
    for few, cycles in ((4, 8), (8, 8 + 2), (16, 16 + 2)):
        assert loop(PI0, sums(few)).cycles == pytest.approx(cycles, abs=1)


def test_one_instruction_a_cycle_and_several_registers_are_one() -> None:
    lines = sums(16).splitlines()
    single = "\n".join(f"{line}\nvldr s{24 + n % 4}, [r1, #{4 * n}]" for n, line in enumerate(lines))
    several = "\n".join(f"{line}\nvldmia r1, {{s24-s27}}" if n % 4 == 0 else line for n, line in enumerate(lines))
    assert loop(PI0, single).cycles == pytest.approx(32 + 2, abs=1)
    assert loop(PI0, several).cycles == pytest.approx(16 + 4 + 2, abs=1)


def test_a_load_of_several_registers_brings_two_words_a_cycle() -> None:
    for count in (4, 16):
        assert loop(PI0, f"vldmia r1, {{s0-s{count - 1}}}\n" * 4).cycles == pytest.approx(4 * count / 2, abs=2)


def test_results_are_waited_for() -> None:
    for round_, cycles in (("ldr r3, [r1]\nadd r3, r3, #1", 4), ("mul r3, r4, r5\nadd r3, r3, #1", 5)):
        assert loop(PI0, round_).cycles == pytest.approx(cycles + 2, abs=1.1)
    assert loop(
        PI0, "vldr s0, [r1]\nvadd.f32 s1, s0, s0\nvldr s0, [r1, #4]\nvadd.f32 s2, s0, s0"
    ).cycles == pytest.approx(2 * 5 + 2, abs=1.1)
    assert loop(PI0, "vdiv.f32 s0, s1, s2").cycles == pytest.approx(15, abs=1)


def reads(kib: int, step: int) -> float:
    """Cycles of a read, where ``kib`` KiB are read again and again, ``step`` bytes apart."""
    count = kib * 1024 // step
    round_ = f"ldr r3, [r2], #{step}\nadd r4, r4, r3\nsubs r5, r5, #1\nmoveq r2, r1\nldreq r5, ={count}"
    found = loop(PI0, round_, 8 * count, f"    ldr r5, ={count}\n    mov r4, #0")
    return found.cycles


def test_sixteen_kib_in_lines_of_32_bytes_are_near_and_nothing_is_fetched_ahead() -> None:
    near, far = reads(12, 32), reads(64, 32)
    assert near < 12
    assert far - near == pytest.approx(121, rel=0.1)
    assert reads(64, 4) - near == pytest.approx(121 / 8, rel=0.2)


def test_what_is_written_does_not_displace_what_is_read() -> None:
    """Lines that are written alone are not taken into the first level."""
    read = "\n".join(f"ldr r3, [r1, #{32 * n}]" for n in range(64))
    write = "add r2, r2, #4096\n" + "\n".join(f"str r4, [r2, #{32 * n}]" for n in range(64))
    beside = loop(PI0, f"{read}\n{write}", 400).cycles
    assert beside < 2 * 64 + 64 * 25
