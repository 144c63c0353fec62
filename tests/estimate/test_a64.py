"""Instructions as the assembler writes them are what the decoder says they are."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.estimate.a64.decode import decode
from ellopt.estimate.a64.registers import SP, VECTORS
from ellopt.estimate.cores import CORES
from ellopt.estimate.elf import code_words
from ellopt.estimate.instruction import FLAGS, NO
from ellopt.estimate.table import encode
from ellopt.toolchains.zig import zig_command

V = VECTORS
#: text, kind, sources, targets, and further facts
CASES: list[tuple[str, str, set[int], set[int], dict[str, object]]] = [
    ("add x0, x1, x2", "alu", {1, 2}, {0}, {"x": True}),
    ("add w0, w1, w2, lsl #3", "alu_shift", {1, 2}, {0}, {"x": False}),
    ("add sp, sp, #16", "alu", {SP}, {SP}, {}),
    ("subs w3, w4, #7", "alu", {4}, {3, FLAGS}, {}),
    ("cmp x3, x4", "alu", {3, 4}, {FLAGS}, {}),
    ("ands x3, x4, #0xff", "alu", {4}, {3, FLAGS}, {}),
    ("mov x5, xzr", "alu", set(), {5}, {}),
    ("movz x5, #3", "alu", set(), {5}, {}),
    ("movk x5, #3, lsl #16", "alu", {5}, {5}, {}),
    ("bfi x5, x6, #4, #8", "alu", {5, 6}, {5}, {}),
    ("lsl x5, x6, #4", "alu", {6}, {5}, {}),
    ("adr x9, .", "alu", set(), {9}, {}),
    ("csel x1, x2, x3, eq", "alu", {2, 3, FLAGS}, {1}, {}),
    ("ccmp x1, #3, #0, ne", "alu", {1, FLAGS}, {FLAGS}, {}),
    ("madd x1, x2, x3, x4", "mul", {2, 3, 4}, {1}, {"x": True}),
    ("mul w1, w2, w3", "mul", {2, 3}, {1}, {"x": False}),
    ("udiv x1, x2, x3", "div", {2, 3}, {1}, {}),
    ("b .", "branch", set(), set(), {}),
    ("bl .", "branch", set(), {30}, {}),
    ("b.ne .", "cond", {FLAGS}, set(), {}),
    ("cbz x7, .", "cond", {7}, set(), {}),
    ("tbnz x7, #3, .", "cond", {7}, set(), {}),
    ("blr x7", "indirect", {7}, {30}, {}),
    ("ret", "indirect", set(), set(), {}),
    ("nop", "nop", set(), set(), {}),
    ("svc #0", "nop", set(), set(), {}),
    ("ldr x1, [x2, #8]", "load_x", {2}, {1}, {"x": True}),
    ("ldrb w1, [x2, x3]", "load_x", {2, 3}, {1}, {}),
    ("ldr w1, [x2], #4", "load_x", {2}, {1, 2}, {"writeback": 2}),
    ("str x1, [sp, #-16]!", "store_x", {1, SP}, {SP}, {"writeback": SP}),
    ("ldp x1, x2, [x3]", "load_x", {3}, {1, 2}, {"moved": 2, "x": True}),
    ("stp w1, w2, [x3, #8]", "store_x", {1, 2, 3}, set(), {"moved": 2, "x": False}),
    ("ldr q1, [x2, #16]", "load_v", {2}, {V + 1}, {"wide": True, "moved": 1}),
    ("ldr d1, [x2, x3, lsl #3]", "load_v", {2, 3}, {V + 1}, {"wide": False}),
    ("str s1, [x2], #4", "store_v", {V + 1, 2}, {2}, {"writeback": 2}),
    ("ldp q1, q2, [x3, #32]", "load_v", {3}, {V + 1, V + 2}, {"wide": True, "moved": 2}),
    ("ldp q1, q2, [x3], #32", "load_v", {3}, {V + 1, V + 2, 3}, {"writeback": 3}),
    ("stp d1, d2, [x3]", "store_v", {V + 1, V + 2, 3}, set(), {"wide": False, "moved": 2}),
    ("ld1r {v1.4s}, [x2]", "load_dup", {2}, {V + 1}, {"wide": True}),
    ("ld1 {v1.s}[2], [x2]", "load_lane", {2, V + 1}, {V + 1}, {"wide": False}),
    ("st1 {v1.s}[2], [x2], #4", "store_lane", {2, V + 1}, {2}, {"writeback": 2}),
    ("ld1 {v30.4s-v1.4s}, [x2]", "load_v", {2}, {V + 30, V + 31, V, V + 1}, {"moved": 4}),
    ("ld4 {v1.4s-v4.4s}, [x2], #64", "load_interleaved", {2}, {V + 1, V + 2, V + 3, V + 4, 2}, {"moved": 4}),
    ("st2 {v1.4s, v2.4s}, [x2]", "store_interleaved", {2, V + 1, V + 2}, set(), {"moved": 2}),
    ("prfm pldl1keep, [x2, #64]", "prefetch", {2}, set(), {}),
    ("fmla v1.4s, v2.4s, v3.4s", "fmla", {V + 1, V + 2, V + 3}, {V + 1}, {"flops": 8, "accumulator": V + 1}),
    ("fmla v1.4s, v2.4s, v3.s[2]", "fmla", {V + 1, V + 2, V + 3}, {V + 1}, {"flops": 8, "wide": True}),
    ("fmla v1.2s, v2.2s, v19.s[1]", "fmla", {V + 1, V + 2, V + 19}, {V + 1}, {"flops": 4, "wide": False}),
    ("fmla s1, s2, v3.s[1]", "fmla", {V + 1, V + 2, V + 3}, {V + 1}, {"flops": 2}),
    ("fmla v1.8h, v2.8h, v3.h[7]", "fmla", {V + 1, V + 2, V + 3}, {V + 1}, {"flops": 16, "wide": True}),
    ("fmla v1.8h, v2.8h, v3.8h", "fmla", {V + 1, V + 2, V + 3}, {V + 1}, {"flops": 16}),
    ("fmls v1.2d, v2.2d, v3.2d", "fmla", {V + 1, V + 2, V + 3}, {V + 1}, {"flops": 4}),
    ("fmadd s1, s2, s3, s4", "fmla", {V + 2, V + 3, V + 4}, {V + 1}, {"flops": 2, "accumulator": V + 4}),
    ("fmul v1.4s, v2.4s, v3.4s", "fmul", {V + 2, V + 3}, {V + 1}, {"flops": 4, "accumulator": NO}),
    ("fmul v1.4s, v2.4s, v3.s[0]", "fmul", {V + 2, V + 3}, {V + 1}, {"flops": 4}),
    ("fadd v1.4s, v2.4s, v3.4s", "fadd", {V + 2, V + 3}, {V + 1}, {"flops": 4}),
    ("faddp v1.4s, v2.4s, v3.4s", "fadd", {V + 2, V + 3}, {V + 1}, {}),
    ("fsub s1, s2, s3", "fadd", {V + 2, V + 3}, {V + 1}, {"flops": 1}),
    ("fmax v1.4s, v2.4s, v3.4s", "fminmax", {V + 2, V + 3}, {V + 1}, {}),
    ("fmaxv s1, v2.4s", "fminmax", {V + 2}, {V + 1}, {}),
    ("fdiv v1.4s, v2.4s, v3.4s", "fdiv", {V + 2, V + 3}, {V + 1}, {"wide": True}),
    ("fsqrt s1, s2", "fdiv", {V + 2}, {V + 1}, {}),
    ("fcmp s1, s2", "fcmp", {V + 1, V + 2}, {FLAGS}, {}),
    ("fcmp s1, #0.0", "fcmp", {V + 1}, {FLAGS}, {}),
    ("fcmgt v1.4s, v2.4s, #0.0", "fcmp", {V + 2}, {V + 1}, {}),
    ("fcsel s1, s2, s3, gt", "fmove", {V + 2, V + 3, FLAGS}, {V + 1}, {}),
    ("fabs v1.4s, v2.4s", "fmove", {V + 2}, {V + 1}, {}),
    ("fcvtzs v1.4s, v2.4s", "fcvt", {V + 2}, {V + 1}, {"wide": True}),
    ("scvtf s1, w2", "fcvt", {2}, {V + 1}, {}),
    ("fcvtzs w1, s2", "to_general", {V + 2}, {1}, {}),
    ("fcvtn2 v1.8h, v2.4s", "fcvt", {V + 1, V + 2}, {V + 1}, {}),
    ("fmov w1, s2", "to_general", {V + 2}, {1}, {}),
    ("fmov s1, w2", "from_general", {2}, {V + 1}, {}),
    ("fmov v1.4s, #1.0", "vimm", set(), {V + 1}, {}),
    ("movi v1.4s, #0", "vimm", set(), {V + 1}, {}),
    ("orr v1.4s, #1", "vlogic", {V + 1}, {V + 1}, {}),
    ("dup v1.4s, w2", "dup_general", {2}, {V + 1}, {}),
    ("mov v1.s[2], w2", "insert_general", {2, V + 1}, {V + 1}, {}),
    ("mov v1.d[1], v2.d[0]", "permute", {V + 1, V + 2}, {V + 1}, {}),
    ("dup v1.4s, v2.s[1]", "permute", {V + 2}, {V + 1}, {"wide": True}),
    ("umov w1, v2.s[1]", "to_general", {V + 2}, {1}, {}),
    ("zip1 v1.4s, v2.4s, v3.4s", "permute", {V + 2, V + 3}, {V + 1}, {}),
    ("ext v1.16b, v2.16b, v3.16b, #4", "permute", {V + 2, V + 3}, {V + 1}, {}),
    ("tbl v1.16b, {v2.16b, v3.16b}, v4.16b", "permute", {V + 2, V + 3, V + 4}, {V + 1}, {}),
    ("bsl v1.16b, v2.16b, v3.16b", "vlogic", {V + 1, V + 2, V + 3}, {V + 1}, {}),
    ("and v1.16b, v2.16b, v3.16b", "vlogic", {V + 2, V + 3}, {V + 1}, {}),
    ("bit v1.16b, v2.16b, v3.16b", "vlogic", {V + 1, V + 2, V + 3}, {V + 1}, {}),
    ("mla v1.4s, v2.4s, v3.4s", "vmul", {V + 1, V + 2, V + 3}, {V + 1}, {}),
    ("smlal v1.4s, v2.4h, v3.4h", "vmul_long", {V + 1, V + 2, V + 3}, {V + 1}, {"wide": True}),
    ("sdot v1.4s, v2.16b, v3.16b", "dot", {V + 1, V + 2, V + 3}, {V + 1}, {}),
    ("sdot v1.4s, v2.16b, v3.4b[1]", "dot", {V + 1, V + 2, V + 3}, {V + 1}, {}),
    ("shl v1.4s, v2.4s, #3", "vshift", {V + 2}, {V + 1}, {}),
    ("sli v1.4s, v2.4s, #3", "vshift", {V + 1, V + 2}, {V + 1}, {}),
    ("sxtl v1.8h, v2.8b", "vshift", {V + 2}, {V + 1}, {"wide": True}),
    ("xtn2 v1.8h, v2.4s", "permute", {V + 1, V + 2}, {V + 1}, {"wide": True}),
]


@cache
def words(texts: tuple[str, ...], directory: Path) -> tuple[int, ...]:
    (directory / "case.S").write_text("\n".join([".arch armv8.2-a+fp16+dotprod", ".text", *texts]) + "\n")
    command = (*zig_command(), "cc", "-target", "aarch64-linux-musl", "-mcpu=cortex_a76", "-nostdlib", "-static")
    subprocess.run((*command, "-Wl,-e,0", "case.S", "-o", "case"), cwd=directory, check=True, timeout=300)
    data = (directory / "case").read_bytes()
    first = decode_order(data)
    return tuple(int.from_bytes(data[first + 4 * i : first + 4 * i + 4], "little") for i in range(len(texts)))


def decode_order(data: bytes) -> int:
    """Where the first executable part of an ELF file begins in it."""
    start, count = int.from_bytes(data[32:40], "little"), int.from_bytes(data[56:58], "little")
    for number in range(count):
        header = data[start + 56 * number : start + 56 * number + 56]
        if header[0] == 1 and header[4] & 1:
            return int.from_bytes(header[8:16], "little")
    raise AssertionError("no code")


@pytest.fixture(scope="module")
def encodings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    texts = tuple(text for text, *_ in CASES)
    return dict(zip(texts, words(texts, tmp_path_factory.mktemp("a64")), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_it_is_what_the_assembler_was_told(
    case: tuple[str, str, set[int], set[int], dict[str, object]], encodings: dict[str, int]
) -> None:
    text, kind, sources, targets, facts = case
    found = decode(encodings[text])
    assert (found.kind, set(found.sources), set(found.targets)) == (kind, sources, targets)
    assert {name: getattr(found, name) for name in facts} == facts


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_every_kind_but_nothing_takes_a_pipeline(core: object, encodings: dict[str, int]) -> None:
    for text, word in encodings.items():
        instruction = decode(word)
        assert bool(core.timing(instruction).uops) == (instruction.kind != "nop"), text  # type: ignore[attr-defined]


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_word_is_too_strange(word: int) -> None:
    found = decode(word)
    assert all(0 <= register <= FLAGS for register in (*found.sources, *found.targets))
    for core in CORES.values():
        assert encode(core, (word,))


def test_the_words_of_a_program_are_found_once_each(tmp_path: Path) -> None:
    texts = ("nop", "add x0, x1, x2", "nop", "ret")
    found = words(texts, tmp_path)
    assert set(found) <= set(code_words(tmp_path / "case"))
    assert list(code_words(tmp_path / "case")) == sorted(set(code_words(tmp_path / "case")))
