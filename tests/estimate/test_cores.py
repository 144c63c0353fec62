"""Loops that a model of a processor must time as its manual, or its measured rules, say."""

from __future__ import annotations

import pytest

from tests.support.simulated import loop, needs_qemu

pytestmark = needs_qemu
A53, A72, A76 = "pi3_64", "pi4_64", "pi5"


def sums(count: int) -> str:
    """Independent multiply-adds of 128 bits."""
    return "\n".join(f"fmla v{n}.4s, v30.4s, v31.4s" for n in range(count))


@pytest.mark.parametrize(
    ("target", "chain", "apart"),
    [(A53, 4, 16), (A72, 3, 16), (A76, 2, 8)],
)
def test_a_chain_of_sums_waits_and_independent_ones_fill_the_pipelines(target: str, chain: int, apart: int) -> None:
    """``chain``: cycles from one sum to the next that adds to it; ``apart``: cycles of 16 that do not wait."""
    assert loop(target, "\n".join(["fmla v0.4s, v30.4s, v31.4s"] * 16)).cycles == pytest.approx(16 * chain, rel=0.05)
    assert loop(target, sums(16)).cycles == pytest.approx(apart, rel=0.15)


def test_in_order_no_vector_load_goes_beside_a_sum_but_an_integer_load_does() -> None:
    bare = loop(A53, sums(12)).cycles
    beside = loop(A53, "\n".join(f"{line}\nldr x{n + 3}, [x1]" for n, line in enumerate(sums(12).splitlines()))).cycles
    vectors = loop(
        A53, "\n".join(f"{line}\nldr d2{n % 8}, [x1]" for n, line in enumerate(sums(12).splitlines()))
    ).cycles
    assert beside == pytest.approx(bare, rel=0.1)
    assert vectors > 1.8 * bare


def test_out_of_order_a_load_hides_behind_sums() -> None:
    body = "\n".join(f"{line}\nldr d2{n % 8}, [x1]" for n, line in enumerate(sums(12).splitlines()))
    assert loop(A72, body).cycles == pytest.approx(loop(A72, sums(12)).cycles, rel=0.2)


@pytest.mark.parametrize("target", [A53, A72, A76])
def test_data_comes_slower_the_further_away_it_lies(target: str) -> None:
    def stride(kib: int) -> float:
        """Loads that depend on each other, of lines in an order that no prefetcher foresees, over so many KiB."""
        mask = kib * 1024 - 1
        return loop(
            target,
            f"mul w3, w3, w4\nadd w3, w3, w5\nand w6, w3, #{mask & ~63}\nldr w7, [x1, x6]\n"
            "eor w8, w7, w7\nadd w3, w3, w8",
            rounds=20000,
            before="    mov w3, #1\n    mov w4, #4101\n    mov w5, #12345",
        ).cycles

    near, second, far = stride(16), stride(256), stride(8192)
    assert near < second < far
    assert far > 3 * near


@pytest.mark.parametrize("target", [A53, A72, A76])
def test_a_branch_that_cannot_be_foreseen_costs_more(target: str) -> None:
    def jumps(bit: int) -> float:
        return loop(
            target,
            f"mul w3, w3, w4\nadd w3, w3, w5\ntbz w3, #{bit}, 2f\nadd w6, w6, #1\n2:",
            rounds=4000,
            before="    mov w3, #1\n    movz w4, #0x660d\n    movk w4, #0x19, lsl #16\n    movz w5, #0xf35f\n"
            "    movk w5, #0x3c6e, lsl #16",
        ).cycles

    assert jumps(29) > jumps(0) + 2  # the lowest bit alternates


def test_the_same_program_takes_the_same_each_time() -> None:
    loop.cache_clear()
    first = loop(A72, sums(8))
    loop.cache_clear()
    assert loop(A72, sums(8)) == first


def test_what_was_simulated_is_counted() -> None:
    short, long = (loop(A53, sums(12), rounds=rounds) for rounds in (100, 300))
    assert long.instructions - short.instructions == 200 * (12 + 2)
    assert (short.operations, long.operations) == (100 * 12 * 8, 300 * 12 * 8)


@pytest.mark.parametrize("target", [A53, A72, A76])
def test_what_warmed_the_caches_is_not_waited_for(target: str) -> None:
    """No time goes by while caches are warmed, so what was asked of memory then is no queue."""
    lines = 20000
    once = loop(target, "str q0, [x2]\nadd x2, x2, #64", rounds=lines, before="    ldr x3, [x1]\n    add x3, x3, x3")
    assert once.cycles < 8
