"""Loops of 32-bit code that a model of a processor must time as the same work of 64-bit code, or as its manual says."""

from __future__ import annotations

import pytest

from ellopt.core.errors import ConfigurationError
from tests.support.simulated import loop, needs_qemu

pytestmark = needs_qemu
A53, A72 = "pi3", "pi4"


def sums(count: int) -> str:
    """Independent multiply-adds of 128 bits, by lane."""
    return "\n".join(f"vmla.f32 q{4 + n}, q1, d{n % 2}[{n % 2}]" for n in range(count))


@pytest.mark.parametrize(("target", "chain"), [(A53, 4), (A72, 3)])
def test_a_chain_of_sums_waits_and_independent_ones_fill_the_pipelines(target: str, chain: int) -> None:
    """``chain``: cycles from one sum to the next that adds to it."""
    assert loop(target, "\n".join(["vmla.f32 q4, q1, d0[0]"] * 16)).cycles == pytest.approx(16 * chain, rel=0.05)
    assert loop(target, sums(12)).cycles == pytest.approx(12, rel=0.15)


@pytest.mark.parametrize("target", [A53, A72])
def test_a_part_of_a_register_is_waited_for_and_its_neighbour_is_not(target: str) -> None:
    """d0 is s0 and s1; q4 is d8 and d9."""
    beside, within = (
        loop(target, "\n".join([f"vadd.f32 s{n}, s4, s4\nvadd.f32 d1, d0, d0\nvadd.f32 s4, s2, s2"] * 8)).cycles
        for n in (9, 0)
    )
    assert within > 1.25 * beside


def test_in_order_no_vector_load_goes_beside_a_sum_but_an_integer_load_does() -> None:
    bare = loop(A53, sums(12)).cycles
    lines = sums(12).splitlines()
    beside = loop(A53, "\n".join(f"{line}\nldr r{n % 4 + 3}, [r1]" for n, line in enumerate(lines))).cycles
    vectors = loop(A53, "\n".join(f"{line}\nvldr d{n % 2 + 4}, [r1]" for n, line in enumerate(lines))).cycles
    assert beside == pytest.approx(bare, rel=0.1)
    assert vectors > 1.8 * bare


@pytest.mark.parametrize("target", [A53, A72])
def test_several_registers_take_as_long_as_their_words(target: str) -> None:
    few, many = (loop(target, f"ldm r1, {{r3-r{last}}}\nstm r1, {{r3-r{last}}}").cycles for last in (4, 9))
    assert 1.5 * few < many < 4 * few


@pytest.mark.parametrize("target", [A53, A72])
def test_what_is_done_on_a_condition_waits_for_the_flags_and_for_what_was_there(target: str) -> None:
    free, bound = (
        loop(target, "\n".join([f"mul r3, r4, r5\ncmp r3, #0\nadd{condition} r4, r6, r7"] * 8)).cycles
        for condition in ("", "ne")
    )
    assert bound > free + 5


@pytest.mark.parametrize("target", [A53, A72])
def test_a_branch_that_cannot_be_foreseen_costs_more(target: str) -> None:
    def jumps(bit: int, jump: str) -> float:
        return loop(
            target,
            f"mul r3, r3, r4\nadd r3, r3, r5\ntst r3, #{1 << bit}\n{jump}\nadd r6, r6, #1\n2:",
            rounds=4000,
            before="    mov r3, #1\n    movw r4, #0x660d\n    movt r4, #0x19\n    movw r5, #0xf35f\n"
            "    movt r5, #0x3c6e\n    adr r8, 2f",
        ).cycles

    for jump in ("beq 2f", "moveq pc, r8"):
        assert jumps(29, jump) > jumps(0, jump) + 2  # the lowest bit alternates


@pytest.mark.parametrize(
    ("round_", "reason"),
    [
        ("aese.8 q0, q1", "the instruction 0xf3b00302 at 0x[0-9a-f]+ is not known"),
        ("adr r3, 3f\n    add r3, r3, #1\n    blx r3\n    b 4f\n.thumb\n3: bx lr\n.arm\n4:", "Thumb code"),
    ],
)
def test_what_is_not_known_is_refused_and_named(round_: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot be simulated: .*{reason}.*--ipaddress"):
        loop(A53, round_)


def test_what_is_not_simulated_may_be_anything() -> None:
    """Only a region counts: of the rest a program's start is not looked at."""
    assert loop(A72, "b 5f\n    aese.8 q0, q1\n5:").cycles < 10
